# SPDX-License-Identifier: Apache-2.0
"""Building a fleet's files, and handling a node's processes, with a small program in kuutamod's place."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from kuutamo_localnet.fleet import Fleet
from kuutamo_localnet.fleet_node import FleetNode, Part
from kuutamo_localnet.fleet_plan import FleetSpec, NodeSite, Promotion, arguments, environment
from kuutamo_localnet.reaper import read_process
from kuutamo_localnet.wait import eventually
from kuutamod.core.lease import LeaseLaw
from neard_standin.config import read_config, read_genesis
from neard_standin.control import read_behaviour
from neard_standin.keys import read_key_file, read_node_key

SITE = NodeSite(consul_urls=("http://127.0.0.1:8500", "http://127.0.0.2:8500"))

# Serves the exporter and starts a guard, which starts a neard; on SIGTERM it ends all and leaves with 0.
STAND_IN = """
import http.server, os, signal, subprocess, sys
if sys.argv[1] == "guard":
    neard = subprocess.Popen(["sleep", "1000"])
    print(neard.pid, flush=True)
    neard.wait()
    signal.pause()
options = dict(zip(sys.argv[1::2], sys.argv[2::2]))
print("started", options["--node-id"], os.environ["KUUTAMO_GUARD_TIME"], flush=True)
guard = subprocess.Popen([sys.executable, "-I", "-S", __file__, "guard"], stdout=subprocess.PIPE, text=True)
pid = guard.stdout.readline().strip()
def leave(*_):
    guard.kill()
    os.kill(int(pid), signal.SIGKILL)
    os._exit(0)
signal.signal(signal.SIGTERM, leave)
state = "Validating" if options["--node-id"] == "node1" else "Voting"
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        answers = {"/neard-pid": pid, "/health": "OK\\n", "/metrics": 'kuutamod_state{type="%s"} 1\\n' % state}
        body = answers[self.path].encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass
host, port = options["--exporter-address"].split(":")
http.server.ThreadingHTTPServer((host, int(port)), Handler).serve_forever()
"""


@pytest.fixture
def spec(tmp_path: Path) -> FleetSpec:
    program = tmp_path / "stand-in"
    program.write_text(f"#!{sys.executable} -IS\n{STAND_IN}")
    program.chmod(0o755)
    return FleetSpec(kuutamod=program, nodes=2)


@pytest.fixture
def fleet(tmp_path: Path, spec: FleetSpec) -> Iterator[Fleet]:
    with Fleet(tmp_path / "fleet", SITE, spec) as fleet:
        yield fleet


@pytest.fixture
def node(fleet: Fleet) -> FleetNode:
    fleet.node(1).wait_state("Validating", 20)
    return fleet.node(1)


@pytest.mark.parametrize(
    ("promotion", "shadow", "tracked"),
    [
        ("auto", None, {"ShadowValidator": "fleet.near"}),
        ("auto", False, "NoShards"),
        ("hot-swap", None, {"ShadowValidator": "fleet.near"}),
        ("restart", None, "NoShards"),
    ],
)
def test_homes_are_ready_for_a_standby(
    promotion: Promotion, shadow: bool | None, tracked: object, tmp_path: Path, spec: FleetSpec
) -> None:
    fleet = Fleet(tmp_path / "fleet", SITE, replace(spec, promotion=promotion, shadow=shadow))
    plans = [node.plan for node in fleet.nodes]
    for plan in plans:
        config = read_config(plan.home)
        assert not (plan.home / "validator_key.json").exists()
        assert str(config.rpc_addr) == f"127.0.0.1:{plan.rpc_port}"
        assert str(config.network_addr) == f"127.0.0.1:{plan.voter_port}"
        assert config.unknown_fields == ()
        assert json.loads((plan.home / "config.json").read_text())["tracked_shards_config"] == tracked
        assert read_behaviour(plan.home).ledger == str(fleet.ledger.path)
        genesis = read_genesis(plan.home, config)
        assert (genesis.chain_id, len(genesis.validators)) == (fleet.ledger.chain_id, 4)
    assert all((plan.home / "node_key.json").resolve() == plan.voter_node_key for plan in plans)
    keys = [read_node_key(plan.voter_node_key).public_key for plan in plans]
    assert len(set(keys)) == 2
    ports = [port for p in plans for port in (p.exporter_port, p.rpc_port, p.voter_port, p.validator_port)]
    assert len(set(ports)) == 8
    fleet.close()


def test_one_key_of_the_chains_own_validator_is_shared(tmp_path: Path, spec: FleetSpec) -> None:
    fleet = Fleet(tmp_path / "fleet", SITE, spec)
    key = read_key_file(fleet.keys.validator_key)
    assert (key.account_id, key.public_key) == (spec.account, fleet.ledger.on_chain_key(spec.account))
    assert [seat.virtual for seat in fleet.ledger.validators] == [False, True, True, True]
    assert fleet.keys.validator_key.stat().st_mode & 0o777 == 0o600
    fleet.close()


def test_flags_and_environment(tmp_path: Path, spec: FleetSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONSUL_HTTP_TOKEN", "of the user's shell")
    law = LeaseLaw(heartbeat_interval=0.25, session_ttl=12.0)
    site = replace(SITE, environment={"KUUTAMO_CONSUL_TOKEN": "t"})
    fleet = Fleet(tmp_path / "fleet", site, replace(spec, law=law, environment={"EXTRA": "x"}))
    plan = fleet.node(0).plan
    flags = [str(part) for part in arguments(plan, fleet.spec, fleet.keys)[1:]]
    options = dict(zip(flags[::2], flags[1::2], strict=True))
    assert options["--consul-url"] == "http://127.0.0.1:8500,http://127.0.0.2:8500"
    assert options["--neard-home"] == str(plan.home)
    assert options["--voter-node-key"] == str(plan.voter_node_key)
    env = environment(plan, fleet.spec)
    assert (env["KUUTAMO_HEARTBEAT_INTERVAL"], env["KUUTAMO_SESSION_TTL"], env["KUUTAMO_GUARD_TIME"]) == ("0.25", "12", "9")
    assert (env["EXTRA"], env["KUUTAMO_CONSUL_TOKEN"], env["KUUTAMO_PROMOTION"]) == ("x", "t", "auto")
    assert not {"CONSUL_HTTP_TOKEN", "KUUTAMO_CLOCK_RATE_ERROR"} & env.keys()
    fleet.close()


def test_as_many_sites_as_nodes(tmp_path: Path, spec: FleetSpec) -> None:
    with pytest.raises(ValueError, match="3 were given for 2 nodes"):
        Fleet(tmp_path / "fleet", [SITE] * 3, spec)


def test_states_and_the_validator(fleet: Fleet) -> None:
    holder = fleet.wait_validator(20)
    assert holder is fleet.node(1)
    (standby,) = fleet.standbys(holder)
    standby.wait_state("Voting", 20)
    assert standby.exporter.healthy()
    with pytest.raises(AssertionError, match="other than node1") as caught:
        fleet.wait_validator(0, other_than=holder)
    assert any("started node1" in note for note in caught.value.__notes__)
    assert fleet.referee.verdict().safe


def test_parts_are_told_apart(node: FleetNode) -> None:
    supervisor, guard, neard = (node.find(part) for part in Part)
    assert supervisor.pid == node.process.pid
    assert (guard.parent, neard.parent) == (supervisor.pid, guard.pid)
    assert len(node.tree()) == 3


def test_each_part_is_frozen_and_killed_alone(node: FleetNode) -> None:
    for part in Part:
        pid = node.freeze(part)
        others = {node.pid(other) for other in Part if other is not part}
        eventually(lambda pid=pid: state_of(pid) == "T", 20, f"{part} is frozen")  # type: ignore[misc]
        assert {state_of(other) for other in others} <= AT_WORK
        node.thaw(part)
        eventually(lambda pid=pid: state_of(pid) == "S", 20, f"{part} goes on")  # type: ignore[misc]
    pids = [node.pid(part) for part in Part]
    assert node.kill_supervisor() == pids[0]
    assert node.process.wait(20) == -signal.SIGKILL
    # The others are still known although nobody answers any more.
    assert [node.pid(Part.GUARD), node.pid(Part.NEARD)] == pids[1:]
    assert node.kill_neard() == pids[2]
    eventually(lambda: state_of(pids[2]) in (None, "Z"), 20, "neard is dead")
    with pytest.raises(LookupError, match="node1 has no neard now"):
        node.find(Part.NEARD)
    assert node.kill_guard() == pids[1]


AT_WORK = {"S", "R", "D"}
"""States of a process that is neither stopped nor dead; which of them is chance."""


def state_of(pid: int) -> str | None:
    info = read_process(pid)
    return info.state if info is not None else None


def test_stop_and_start_again(node: FleetNode) -> None:
    with pytest.raises(RuntimeError, match="already runs"):
        node.start()
    assert node.stop() == 0
    node.start()
    node.wait_state("Validating", 20)
    assert node.log_text().count("started node1 9") == 2


def test_a_new_life_does_not_end_what_an_earlier_one_left(node: FleetNode) -> None:
    guard = node.pid(Part.GUARD)
    node.kill_supervisor()
    node.process.wait(20)
    node.start()
    node.wait_state("Validating", 20)
    assert state_of(guard) in AT_WORK
    assert node.pid(Part.GUARD) != guard
    assert len(node.tree()) == 5


def test_a_lost_host_loses_all_at_once(node: FleetNode) -> None:
    pids = [info.pid for info in node.tree()]
    node.freeze_host()
    eventually(lambda: {state_of(pid) for pid in pids} == {"T"}, 20, "all are frozen")
    node.thaw_host()
    node.lose_host()
    assert node.tree() == []
    assert node.process.wait(20) == -signal.SIGKILL
    node.return_host()
    node.wait_state("Validating", 20)


def test_behaviour_reaches_the_control_file(node: FleetNode) -> None:
    node.behaviour(hang=True)
    assert read_behaviour(node.plan.home).hang is True


def test_nothing_is_left_running(tmp_path: Path, spec: FleetSpec) -> None:
    with Fleet(tmp_path / "fleet", SITE, spec) as fleet:
        fleet.wait_validator(20)
        pids = [info.pid for node in fleet.nodes for info in node.tree()]
        assert len(pids) >= 5
        fleet.node(0).kill_supervisor()
    assert {state_of(pid) for pid in pids} == {None}
