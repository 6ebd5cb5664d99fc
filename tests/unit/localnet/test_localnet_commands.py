# SPDX-License-Identifier: Apache-2.0
"""Commands to a running localnet: carried out on the right process, over the socket, with a remedy in each refusal."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from kuutamo_localnet.commands import ALL, CommandError, Hints, NodeCommands, Request, Verb
from kuutamo_localnet.control import ControlServer, ask
from kuutamo_localnet.fleet import Fleet
from kuutamo_localnet.fleet_node import Part
from kuutamo_localnet.fleet_plan import FleetSpec, NodeSite
from kuutamo_localnet.reaper import read_process
from kuutamo_localnet.wait import eventually

# A supervisor without an exporter; what it starts first counts as its guard.
PROGRAM = """
import signal, subprocess
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
guard = subprocess.Popen(["sleep", "1000"])
signal.sigwait([signal.SIGTERM])
guard.kill()
"""


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    program = tmp_path / "supervisor"
    program.write_text(f"#!{sys.executable} -IS\n{PROGRAM}")
    program.chmod(0o755)
    site = NodeSite(consul_urls=("http://127.0.0.1:8500",))
    with Fleet(tmp_path / "fleet", site, FleetSpec(kuutamod=program, nodes=2)) as fleet:
        yield fleet


@pytest.fixture
def commands(fleet: Fleet) -> NodeCommands:
    return NodeCommands(fleet.nodes, lambda: "node1", lambda: "the table")


def state_of(pid: int) -> str | None:
    info = read_process(pid)
    return None if info is None else info.state


def test_kill_meets_exactly_one_process_of_the_holder(fleet: Fleet, commands: NodeCommands) -> None:
    guard = eventually(lambda: fleet.node(1).find(Part.GUARD), 20, "the guard runs")
    said = commands.execute(Request(Verb.KILL, "holder", "guard"))
    assert said == f"node1: SIGKILL to its guard, pid {guard.pid}"
    eventually(lambda: state_of(guard.pid) in (None, "Z"), 20, "the guard is dead")
    assert fleet.node(1).process.alive()
    assert fleet.node(0).process.alive()


def test_a_frozen_supervisor_is_thawed_and_stopped(fleet: Fleet, commands: NodeCommands) -> None:
    node = fleet.node(0)
    eventually(lambda: node.find(Part.GUARD), 20, "the guard runs, so the supervisor waits for its signal")
    commands.execute(Request(Verb.FREEZE, "node0", "supervisor"))
    eventually(lambda: state_of(node.process.pid) == "T", 20, "the supervisor is stopped")
    assert commands.execute(Request(Verb.THAW)).splitlines() == [
        "node0: SIGCONT to all its processes",
        "node1: SIGCONT to all its processes",
    ]
    assert commands.execute(Request(Verb.STOP, "node0")) == f"node0: SIGTERM to its supervisor, pid {node.process.pid}"
    assert node.process.wait(20) == 0


def test_start_brings_back_what_is_stopped_and_nothing_else(fleet: Fleet, commands: NodeCommands) -> None:
    first, other = fleet.node(0).process.pid, fleet.node(1).process.pid
    assert commands.execute(Request(Verb.KILL, "node0", "host")).startswith("node0: killed with SIGKILL")
    assert not fleet.node(0).process.alive()
    with pytest.raises(CommandError, match="node0 does not run; start it with `start node0`"):
        commands.execute(Request(Verb.STOP, "node0"))
    assert commands.execute(Request(Verb.START)) == f"node0: started as pid {fleet.node(0).process.pid}"
    assert fleet.node(0).process.pid != first
    assert fleet.node(1).process.pid == other
    assert commands.execute(Request(Verb.START)) == "every node runs"
    with pytest.raises(CommandError, match=f"node1 already runs as pid {other}"):
        commands.execute(Request(Verb.START, "node1"))


def test_refusals_say_what_would_work(fleet: Fleet, commands: NodeCommands) -> None:
    with pytest.raises(CommandError, match="no node 'node7'; there are node0, node1 and holder"):
        commands.execute(Request(Verb.KILL, "node7"))
    with pytest.raises(CommandError, match="node0 has no neard now"):
        commands.execute(Request(Verb.KILL, "node0"))
    nobody = NodeCommands(fleet.nodes, lambda: None, lambda: "")
    with pytest.raises(CommandError, match="nobody holds the lock now; name a node: node0, node1"):
        nobody.execute(Request(Verb.STOP, "holder"))


@pytest.mark.parametrize("content", [None, [], {"verb": "kill"}, {"verb": "sing", "node": "a", "part": "neard"}])
def test_rubbish_is_no_request(content: object) -> None:
    with pytest.raises(CommandError, match="not a request"):
        Request.from_json(content)


def test_a_part_must_be_known() -> None:
    with pytest.raises(CommandError, match="--part soul: expected one of supervisor, guard, neard, host"):
        Request.from_json({"verb": "kill", "node": "node0", "part": "soul"})


def execute(request: Request) -> str:
    if request.node == "broken":
        raise ZeroDivisionError("by nothing")
    if request.node == "nowhere":
        raise CommandError("no such node")
    return f"{request.verb.value} {request.node} {request.part}"


def test_requests_and_answers_cross_the_socket_of_a_deep_directory(tmp_path: Path) -> None:
    # A Unix socket's address has room for 107 bytes.
    directory = tmp_path.joinpath(*["a-directory-with-a-long-name"] * 5)
    directory.mkdir(parents=True)
    with ControlServer(directory, execute):
        assert (directory / "control").stat().st_mode & 0o777 == 0o600
        assert ask(directory, Request(Verb.FREEZE, "node1", "guard")) == "freeze node1 guard"
        with pytest.raises(CommandError, match=r"^no such node$"):
            ask(directory, Request(Verb.STOP, "nowhere"))
        with pytest.raises(CommandError, match="ZeroDivisionError: by nothing"):
            ask(directory, Request(Verb.STOP, "broken"))
        assert ask(directory, Request(Verb.START)) == f"start {ALL} neard"
    assert not (directory / "control").exists()


def test_a_client_that_sends_rubbish_harms_nobody(tmp_path: Path) -> None:
    with ControlServer(tmp_path, execute):
        with socket.socket(socket.AF_UNIX) as rude:
            rude.connect(str(tmp_path / "control"))
            rude.sendall(b"not json\n")
        assert ask(tmp_path, Request(Verb.STATUS)) == "status all neard"


def test_without_a_localnet_the_remedy_is_told(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="no localnet runs in it; start one with `kuutamo-localnet up`"):
        ask(tmp_path, Request(Verb.STATUS))
    with pytest.raises(CommandError, match="no localnet runs in it"):
        ask(tmp_path / "missing", Request(Verb.STATUS))


def test_what_a_killed_localnet_left_is_replaced(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "control"))
    with pytest.raises(CommandError, match="no localnet runs in it"):
        ask(tmp_path, Request(Verb.STATUS))
    with ControlServer(tmp_path, execute):
        assert ask(tmp_path, Request(Verb.STATUS)) == "status all neard"


def test_the_commands_for_the_second_terminal_work_from_the_present_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "my venv"))
    network = tmp_path / "net" / "network"
    text = Hints(tmp_path / "net", Path("net"), "fleet.near", "http://127.0.0.1:1", network).text()
    assert "  kill its supervisor    'my venv/bin/kuutamo-localnet' kill holder --part supervisor\n" in text
    assert "active-validator --account-id fleet.near --consul-url http://127.0.0.1:1\n" in text
    assert text.endswith("tail -F net/network/node*/kuutamod.log")
    elsewhere = Hints(tmp_path / "net", Path("other"), "fleet.near", "http://127.0.0.1:1", network).text()
    assert "stop holder --dir net\n" in elsewhere
