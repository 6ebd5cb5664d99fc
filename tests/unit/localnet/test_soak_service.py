# SPDX-License-Identifier: Apache-2.0
"""The service manager of a soak, with a small program in kuutamod's place: restart, hand-back, watchdog, leftovers."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from kuutamo_localnet import soak_service
from kuutamo_localnet.fleet_node import FleetNode
from kuutamo_localnet.fleet_plan import FleetSpec, NodeSite, make_keys, make_ledger, make_node
from kuutamo_localnet.ports import PortPool
from kuutamo_localnet.process import send_signal
from kuutamo_localnet.reaper import ProcessInfo
from kuutamo_localnet.soak_service import Manager, Service, Stage, processes_of
from kuutamo_localnet.wait import eventually

# A supervisor with a guard that is deaf to SIGTERM, ends when its supervisor does, and leaves neard alone unless asked.
# The guard is told its supervisor's pid: a $PPID read after a supervisor's early death names the one who inherited it.
PROGRAM = """#!/bin/sh
case "$*" in *--hand-back*) echo handed back; exit 0;; esac
echo supervisor started
sh -c 'trap "" TERM; while kill -0 $1 2>/dev/null && [ ! -e {stay} ]; do sleep 0.05; done
while [ -e {stay} ]; do sleep 0.05; done' guard $$ &
while :; do sleep 0.05; done
"""
DEADLINE = 30.0


@pytest.fixture
def stay(tmp_path: Path) -> Path:
    """While this file exists, the guard outlives its supervisor."""
    return tmp_path / "stay"


@pytest.fixture
def node(tmp_path: Path, stay: Path) -> Iterator[FleetNode]:
    program = tmp_path / "kuutamod"
    program.write_text(PROGRAM.replace("{stay}", str(stay)))
    program.chmod(0o755)
    spec = FleetSpec(nodes=1, kuutamod=program)
    keys, pool = make_keys(tmp_path / "keys", spec.account), PortPool()
    ledger = make_ledger(tmp_path / "ledger", spec, keys.public_key)
    plan = make_node("node0", tmp_path / "node0", spec, NodeSite(["http://127.0.0.1:1"]), ledger=ledger, pool=pool)
    node = FleetNode(plan, spec, keys)
    try:
        node.start()
        eventually(lambda: len(deaf(node)) == 1, DEADLINE, "the guard runs")
        yield node
    finally:
        node.close()
        pool.close()


def deaf(node: FleetNode) -> list[ProcessInfo]:
    """The guard: the one shell below the supervisor."""
    tree = node.process.tree()
    return [info for info in tree if info.parent == node.process.pid and info.name == "sh"]


def logged(node: FleetNode, words: str) -> int:
    return node.log_text().count(words)


@pytest.mark.parametrize("hand_back", [True, False])
def test_a_supervisor_that_ended_is_started_again_when_nothing_of_it_is_left(node: FleetNode, hand_back: bool) -> None:
    service = Service(node, lambda: None, hand_back=hand_back)
    guard = deaf(node)[0]
    with Manager([service]):
        node.process.kill()
        eventually(lambda: service.starts == 2 and logged(node, "supervisor started") == 2, DEADLINE, "it runs again")
        assert service.running()
    assert guard not in node.process.tree()
    assert logged(node, "handed back") == hand_back
    assert not service.leftovers


def test_what_outlives_its_supervisor_for_too_long_is_told_and_killed(
    node: FleetNode, stay: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(soak_service, "GROUP_DEADLINE", 0.5)
    service = Service(node, lambda: None, hand_back=False)
    stay.touch()
    guard = deaf(node)[0]
    node.process.kill()
    with Manager([service]):
        eventually(lambda: service.leftovers, DEADLINE, "the guard is told of")
        eventually(lambda: service.running() and service.starts == 2, DEADLINE, "it runs again")
    (leftover,) = service.leftovers
    assert leftover.node == "node0"
    assert f"{guard.name} pid {guard.pid}" in leftover.processes


def freeze(service: Service, *processes: ProcessInfo) -> None:
    for process in processes:
        send_signal(process, signal.SIGSTOP)
    service.watch(processes)


def test_what_does_not_stop_is_not_watched(node: FleetNode, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(soak_service, "FREEZE_DEADLINE", 0.1)
    service = Service(node, lambda: None, hand_back=False)
    with pytest.raises(AssertionError, match="node0 is frozen"):
        service.watch(deaf(node))
    assert service._watched is None


def test_the_watchdog_kills_everything_only_when_both_are_stopped(node: FleetNode, monkeypatch: pytest.MonkeyPatch) -> None:
    service = Service(node, lambda: None, hand_back=False)
    supervisor = next(info for info in node.process.tree() if info.pid == node.process.pid)
    guard = deaf(node)[0]
    with Manager([service]) as manager:
        monkeypatch.setattr(soak_service, "WATCHDOG", DEADLINE)
        freeze(service, guard, supervisor)
        send_signal(supervisor, signal.SIGCONT)
        eventually(lambda: service._watched is None, DEADLINE, "the watch is given up")
        assert (service.watchdog_kills, node.process.alive()) == (0, True)
        monkeypatch.setattr(soak_service, "WATCHDOG", 0.3)
        freeze(service, guard, supervisor)
        eventually(lambda: service.watchdog_kills == 1 and service.starts == 2, DEADLINE, "it was killed and started")
        assert manager.failure is None
    assert guard not in node.process.tree()


def test_a_lost_host_comes_back_only_when_it_is_booted(node: FleetNode) -> None:
    boots: list[str] = []
    service = Service(node, lambda: boots.append("again"), hand_back=True)
    with Manager([service]):
        service.lose_host()
        assert (service.stage, service.on_host(), service.running(), node.process.tree()) == (Stage.LOST, False, False, [])
        service.boot()
        assert (service.on_host(), service.running(), boots) == (True, True, ["again"])
    assert not logged(node, "handed back")


def test_a_stopped_service_stays_stopped(node: FleetNode) -> None:
    service = Service(node, lambda: None, hand_back=True)
    with Manager([service]):
        service.stop_for_good()
        eventually(service.ended, DEADLINE, "it has ended")
    assert (service.starts, service.running()) == (1, False)


def test_a_thread_that_fails_says_so(node: FleetNode, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_service: Service) -> None:
        raise OSError("out of processes")

    monkeypatch.setattr(Service, "tick", fail)
    with Manager([Service(node, lambda: None, hand_back=True)]) as manager:
        eventually(lambda: manager.failure is not None, DEADLINE, "the failure is kept")
    assert str(manager.failure) == "out of processes"


def test_processes_are_found_by_where_they_work(node: FleetNode, tmp_path: Path) -> None:
    found = processes_of(tmp_path / "node0")
    assert f"kuutamod pid {node.process.pid}" in found or f"sh pid {node.process.pid}" in found
    assert f"sh pid {deaf(node)[0].pid}" in found
    assert processes_of(tmp_path / "elsewhere") == ()
    node.close()
    assert processes_of(tmp_path / "node0") == ()


def test_a_supervisor_that_ends_without_being_asked_has_crashed(node: FleetNode) -> None:
    service = Service(node, lambda: None, hand_back=False)
    supervisor = next(info for info in node.process.tree() if info.pid == node.process.pid)
    with Manager([service]):
        send_signal(supervisor, signal.SIGABRT)
        eventually(lambda: service.starts == 2, DEADLINE, "it was started again")
        assert service.crashes == [-signal.SIGABRT]
        node.process.kill(signal.SIGKILL)
        eventually(lambda: service.starts == 3, DEADLINE, "it was started again")
    assert service.crashes == [-signal.SIGABRT]


def test_a_supervisor_that_is_asked_before_it_can_listen_has_not_crashed(node: FleetNode) -> None:
    service = Service(node, lambda: None, hand_back=False)
    with Manager([service]):
        service.ask_to_end()
        eventually(lambda: service.starts == 2, DEADLINE, "it was started again")
        assert service.crashes == []
        # In this life nobody has asked it.
        node.process.kill(signal.SIGTERM)
        eventually(lambda: service.starts == 3, DEADLINE, "it was started again")
        assert service.crashes == [-signal.SIGTERM]
        service.stop_for_good()
        eventually(service.ended, DEADLINE, "it has ended")
    assert service.crashes == [-signal.SIGTERM]
