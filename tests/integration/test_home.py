# SPDX-License-Identifier: Apache-2.0
"""Who else is on this home, RPC port or node id: orphans are ended, strangers are named and never taken for ours."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from integration.scenario import (
    BUSY,
    LAW,
    SHORT_HOLD_OFF,
    Stage,
    heal,
    mark,
    ready,
    release_bound,
    single,
    told_since,
    unmoved,
)
from kuutamo_localnet.fleet_node import FleetNode, Part
from kuutamo_localnet.fleet_plan import FleetSpec, arguments, environment, make_node
from kuutamo_localnet.ports import PortPool
from kuutamo_localnet.process import Process
from kuutamo_localnet.wait import eventually
from kuutamod.guard.child import MARKER
from kuutamod.neard.procfs import lock_holder
from neard_standin.files import read_object, write_object
from neard_standin.keys import generate_node_key

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with single(tmp_path_factory.mktemp("home"), FleetSpec(nodes=2, environment=SHORT_HOLD_OFF)) as made:
        yield made


@pytest.fixture
def stage(network: Stage) -> Iterator[Stage]:
    yield network
    heal(network)


@contextmanager
def neard(stage: Stage, home: Path, **variables: str) -> Iterator[Process]:
    """A neard that no kuutamod started, once it has its database."""
    argv: list[str | Path] = [stage.fleet.spec.neard, "--home", home, "run"]
    env = {"PATH": os.environ["PATH"]}
    # neard alone gets the variables, not the harness's own process above it.
    prefix = ["env", *(f"{name}={value}" for name, value in variables.items())]
    with Process(argv, log=home / "neard.log", env=env, cwd=home, name="foreign neard", prefix=prefix) as process:
        eventually(lambda: lock_holder(home / "data" / "LOCK") == process.pid, BUSY, "neard holds data/LOCK")
        yield process


def stopped_standby(stage: Stage) -> tuple[FleetNode, FleetNode]:
    """The holder of a healthy fleet, and its standby, which is stopped."""
    holder = stage.healthy()
    (standby,) = stage.fleet.standbys(holder)
    assert standby.stop() == 0
    return holder, standby


def test_an_orphan_of_an_earlier_life_is_killed_and_replaced(stage: Stage) -> None:
    _unused, node = stopped_standby(stage)
    start, term = mark(node), stage.term()
    with neard(stage, node.plan.home, **{MARKER: str(node.plan.home)}) as orphan:
        node.start()
        told_since(node, start, f"killing neard pid {orphan.pid}, left on {node.plan.home} by an earlier kuutamod")
        assert orphan.wait(BUSY) == -signal.SIGKILL
        eventually(lambda: ready(node), LAW.guard_time + 2 * BUSY, f"{node.name} is a ready standby")
        assert node.pid(Part.NEARD) != orphan.pid
    assert "neard failed" not in node.log_text()[start:]
    assert stage.term() == term
    stage.safe()


def test_a_foreign_neard_on_the_home_is_named_and_waited_for(stage: Stage) -> None:
    _unused, node = stopped_standby(stage)
    start = mark(node)
    # It listens on our RPC port, too: it is config.json's own.
    with neard(stage, node.plan.home) as foreign:
        node.start()
        told_since(node, start, f"data/LOCK is held by pid {foreign.pid}", "neard", "which kuutamod did not start: stop it")
        unmoved(stage, 3)
        assert foreign.alive()
        assert node.state() == "Startup"
        assert node.exporter.neard_pid() is None
        # No crash loop: neard is not even tried.
        assert "starting neard as" not in node.log_text()[start:]
        foreign.terminate()
        assert foreign.wait(BUSY) == 0
    eventually(lambda: ready(node), LAW.guard_time + 2 * BUSY, f"{node.name} is a ready standby")
    stage.safe()


def test_a_foreign_neard_on_the_rpc_port_is_not_taken_for_ours(stage: Stage, tmp_path: Path) -> None:
    _unused, node = stopped_standby(stage)
    start = mark(node)
    home = foreign_home(node, tmp_path / "foreign")
    # Our neard holds its database a while before it wants the port: only the other one can answer.
    node.behaviour(start_delay=2.0)
    with neard(stage, home) as foreign:
        node.start()
        told_since(node, start, "another neard answers on this node's RPC port: its node key is")
        told_since(node, start, "neard failed 1 times in a row, pausing before the next start", "SIGABRT")
        unmoved(stage, 3)
        assert node.state() == "Startup"
        assert node.metrics().value("kuutamod_eligible") == 0.0
        assert foreign.alive()
        foreign.terminate()
        assert foreign.wait(BUSY) == 0
    eventually(lambda: ready(node), LAW.guard_time + 2 * BUSY, f"{node.name} is a ready standby")
    stage.safe()


def foreign_home(node: FleetNode, home: Path) -> Path:
    """Another neard's home with the RPC address of this node's."""
    home.mkdir()
    for name in ("config.json", "genesis.json", "standin.json"):
        shutil.copy(node.plan.home / name, home / name)
    generate_node_key(home / "node_key.json")
    config = read_object(home / "config.json")
    config["network"]["addr"] = f"{node.plan.address}:{node.plan.validator_port}"
    write_object(home / "config.json", config)
    return home


def test_a_second_supervisor_on_one_home_refuses_and_names_both(stage: Stage) -> None:
    holder = stage.healthy()
    pid = holder.pid(Part.NEARD)
    second = second_supervisor(stage, holder, {"KUUTAMO_NODE_ID": "usurper"})
    _unused, said = second.communicate(timeout=BUSY)
    assert second.returncode == 1, said
    assert f"in use by kuutamod node {holder.name}, pid {holder.process.pid}" in said
    assert f"this is node usurper, pid {second.pid}" in said
    assert holder.state() == "Validating"
    assert holder.pid(Part.NEARD) == pid
    stage.safe()


def second_supervisor(stage: Stage, node: FleetNode, variables: Mapping[str, str]) -> subprocess.Popen[str]:
    """kuutamod once more with a node's own settings; `variables` win over them."""
    named = {f"--{name.removeprefix('KUUTAMO_').lower().replace('_', '-')}" for name in variables}
    argv = [str(part) for part in arguments(node.plan, stage.fleet.spec, stage.fleet.keys)]
    kept = [argv[0]]
    for flag, value in zip(argv[1::2], argv[2::2], strict=True):
        kept += [] if flag in named else [flag, value]
    env = {**environment(node.plan, stage.fleet.spec), **variables}
    return subprocess.Popen(kept, env=env, cwd=node.plan.directory, stderr=subprocess.PIPE, text=True)


def test_a_second_node_with_the_same_id_never_joins(stage: Stage, tmp_path: Path) -> None:
    holder = stage.healthy()
    (standby,) = stage.fleet.standbys(holder)
    fleet, pool = stage.fleet, PortPool()
    site = holder.plan.site
    plan = make_node(holder.name, tmp_path / "double", fleet.spec, site, ledger=fleet.ledger, pool=pool)
    double = FleetNode(plan, fleet.spec, fleet.keys)
    try:
        double.start()
        told_since(double, 0, f"node id {holder.name} is already used", str(holder.plan.home), str(plan.home))
        unmoved(stage, 3)
        assert double.state() == "Registering"
        assert double.metrics().value("kuutamod_eligible") == 0.0
        assert double.stop() == 0
    finally:
        double.close()
        pool.close()
    # What the double leaves behind does not hurt the one whose name it used.
    assert stage.healthy() is holder
    assert holder.stop() == 0
    assert stage.taken_over(holder, release_bound())[0] is standby
    stage.safe()
