# SPDX-License-Identifier: Apache-2.0
"""Carrying out a plan: overlaps, what is refused, what is undone when it ends early; and the old lock values."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any, cast

import pytest

from kuutamo_localnet import soak_faults, soak_strikes
from kuutamo_localnet.consul_client import KvEntry
from kuutamo_localnet.observe import LockFacts, NodeFacts
from kuutamo_localnet.soak_faults import Injector
from kuutamo_localnet.soak_ground import Ground, Skip
from kuutamo_localnet.soak_plan import Fault, Kind
from kuutamo_localnet.soak_strikes import Undo
from kuutamo_localnet.soak_watch import REGRESS, Operator, Watch
from kuutamo_localnet.wait import eventually
from kuutamod.core.lease import LeaseLaw
from kuutamod.core.protocol import LockRecord
from neard_standin.procfs import boottime

DEADLINE = 30.0
LONG = 1000.0  # seconds; a fault that lasts until it is undone


class Scene:
    """Two nodes of which nothing is real; node1 holds the key. `done` has what was done and undone, in order."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.done: list[str] = []
        self.skip: set[Kind] = set()
        self.fail: set[Kind] = set()
        self._lock = threading.Lock()
        services = {name: SimpleNamespace(node=SimpleNamespace(name=name)) for name in ("node0", "node1")}
        arena = SimpleNamespace(holding=lambda: "interval", node_of=lambda _interval: services["node1"].node)
        self.ground = Ground(cast(Any, arena), cast(Any, services))
        monkeypatch.setattr(soak_faults, "strike", self._strike)

    def _strike(self, _ground: Ground, fault: Fault, service: Any) -> Undo:
        if fault.kind in self.skip:
            raise Skip("not today")
        if fault.kind in self.fail:
            raise OSError("the harness is broken")
        self._note(f"{fault.kind.name} {service.node.name}")
        return lambda: self._note(f"undo {fault.kind.name} {service.node.name}")

    def _note(self, text: str) -> None:
        with self._lock:
            self.done.append(text)


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Scene:
    return Scene(monkeypatch)


def fault(kind: Kind, at: float = 0.0, lasting: float = 0.0, *, holder: bool = False) -> Fault:
    return Fault(at, kind, 0, holder, lasting, 0.5)


def test_faults_go_to_the_holder_or_to_their_node(scene: Scene) -> None:
    plan = [fault(Kind.KILL_NEARD), fault(Kind.KILL_GUARD, 0.2, holder=True), fault(Kind.DELETE_KEY, 0.4, holder=True)]
    with Injector(scene.ground, plan, boottime()) as injector:
        eventually(injector.done, DEADLINE, "all is done")
        assert [each.node for each in injector.injections()] == ["node0", "node1", ""]
        assert injector.failure is None
    assert scene.done[0::2] == ["KILL_NEARD node0", "KILL_GUARD node1", "DELETE_KEY node1"]
    assert scene.done[1::2] == [f"undo {text}" for text in scene.done[0::2]]


def test_a_wave_may_come_later_than_planned(scene: Scene) -> None:
    with Injector(scene.ground, [fault(Kind.KILL_NEARD, at=100.0)], boottime() - 150.0, late=50.5) as injector:
        eventually(injector.done, DEADLINE, "it is done")
        (only,) = injector.injections()
    assert only.struck >= 150.5


def test_a_slow_disk_stops_a_process_again_and_again_and_lets_it_go_at_the_end() -> None:
    seen: list[str] = []
    undo = soak_strikes._stutter(lambda: seen.append("stop"), lambda: seen.append("go"), 0.0)
    eventually(lambda: len(seen) >= 6, DEADLINE, "it was stopped again")
    undo()
    pairs = len(seen) // 2
    assert seen == ["stop", "go"] * pairs


def test_what_lasts_is_undone_when_it_ends_early_and_the_rest_is_never_done(scene: Scene) -> None:
    plan = [fault(Kind.CUT, lasting=LONG), fault(Kind.KILL_NEARD, LONG)]
    with Injector(scene.ground, plan, boottime()) as injector:
        eventually(lambda: scene.done, DEADLINE, "the first is done")
        assert injector.undisturbed_since("node0") is None
        assert injector.undisturbed_since("node1") is not None
        assert not injector.done()
    assert scene.done == ["CUT node0", "undo CUT node0"]
    (only,) = injector.injections()
    assert only.undone is not None


def test_a_fault_of_the_servers_disturbs_every_node(scene: Scene) -> None:
    begun = boottime()
    with Injector(scene.ground, [fault(Kind.FREEZE_LEADER, lasting=LONG)], begun) as injector:
        eventually(lambda: scene.done, DEADLINE, "it is done")
        assert injector.undisturbed_since("node0") is injector.undisturbed_since("node1") is None
    since = injector.undisturbed_since("node1")
    assert since is not None
    assert since > begun


def test_what_must_not_overlap_is_not_done_and_says_why(scene: Scene) -> None:
    plan = [fault(Kind.FREEZE_GUARD, lasting=LONG), fault(Kind.KILL_SUPERVISOR, 0.5), fault(Kind.CUT, 0.5)]
    with Injector(scene.ground, plan, boottime()) as injector:
        eventually(lambda: len(injector.injections()) == 3, DEADLINE, "each was tried")
    refused = {each.fault.kind: each.skipped for each in injector.injections()}
    assert "documented limit" in refused[Kind.KILL_SUPERVISOR]
    assert not refused[Kind.CUT]
    assert "KILL_SUPERVISOR node0" not in scene.done


def test_a_fault_that_cannot_be_done_is_no_failure_but_a_broken_harness_is(scene: Scene) -> None:
    scene.skip, scene.fail = {Kind.LEAVE_AGENT}, {Kind.CUT}
    with Injector(scene.ground, [fault(Kind.LEAVE_AGENT), fault(Kind.CUT)], boottime()) as injector:
        eventually(injector.done, DEADLINE, "both were tried")
    assert [each.skipped for each in injector.injections()] == ["not today"]
    assert str(injector.failure) == "the harness is broken"
    # What was refused lasts no longer.
    assert injector.undisturbed_since("node0") is not None


class Backups(Ground):
    """A ground whose lock is of term 5."""

    def lock_entry(self) -> KvEntry | None:
        return KvEntry("key", LockRecord("host", "node0", 5).to_json().encode(), "session", 1, 2, 1, 0)


def backups() -> Backups:
    found = Backups(cast(Any, None), {})
    found.lock_values.update(
        {(term, marker): f"{term} {marker}".encode() for term in (3, 4, 5) for marker in (True, False)}
    )
    return found


def test_only_values_of_earlier_terms_are_restored() -> None:
    picks = [pick / 20 for pick in range(20)]
    ground = backups()
    assert {soak_strikes._old_value(ground, pick, markers=False) for pick in picks} == {b"3 False", b"4 False"}
    assert {soak_strikes._old_value(ground, pick, markers=True) for pick in picks} == {
        b"3 False",
        b"4 False",
        b"3 True",
        b"4 True",
    }
    ground.lock_values.clear()
    with pytest.raises(Skip, match="no backup"):
        soak_strikes._old_value(ground, 0.5, markers=True)


def test_every_kind_can_be_done() -> None:
    assert set(soak_strikes._STRIKES) == set(Kind)


def test_an_operator_confirms_only_what_is_true() -> None:
    said: list[str] = []
    operator = Operator(backups(), said.append)
    assert operator._true([NodeFacts("node0", term=6)])
    assert not operator._true([NodeFacts("node0", term=5), NodeFacts("node1", term=4)])
    assert (operator.false_alarms, operator.confirmed) == (1, [])
    assert "false alarm" in said[0]


def test_only_a_standby_waits_for_an_operator_and_only_when_nothing_signs() -> None:
    operator = Operator(backups(), lambda _text: None)
    for state, signer, waits in (("Validating", False, False), ("Voting", True, False), ("Voting", False, True)):
        operator.look({"node0": NodeFacts("node0", state, reasons=(REGRESS,), term=6)}, signer=signer)
        assert (operator._since is not None) is waits


def test_a_node_waits_for_an_operator_when_the_lock_itself_says_so() -> None:
    watch = Watch(Ground(cast(Any, SimpleNamespace(fleet=SimpleNamespace(nodes=[]))), {}), LeaseLaw())
    watch._facts["node0"] = NodeFacts("node0", "Voting", reasons=(REGRESS,), term=6)
    for lock, waits in ((LockFacts(term=5), True), (LockFacts(term=6), False), (LockFacts(term=5, fault="silence"), False)):
        watch._lock = lock
        assert watch.waits_for_operator("node0") is waits
