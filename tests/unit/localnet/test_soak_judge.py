# SPDX-License-Identifier: Apache-2.0
"""When a soak ends and what it then says: on a ground of which nothing is real."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from kuutamo_localnet import soak_faults, soak_judge
from kuutamo_localnet.consul_client import KvEntry
from kuutamo_localnet.observe import NodeFacts
from kuutamo_localnet.soak_bounds import Bounds
from kuutamo_localnet.soak_ground import Ground
from kuutamo_localnet.soak_judge import SoakJudge
from kuutamo_localnet.soak_plan import Fault, Kind, Wave
from kuutamo_localnet.soak_service import Stage
from kuutamod.core.model import Policy
from kuutamod.core.protocol import FleetConfig
from neard_standin.journal import Event, Record
from neard_standin.procfs import boottime
from neard_standin.verdict import KeyInterval, Overlap, Verdict

ACCOUNT = "fleet.near"
HOLDER = KeyInterval("/a", 1, 1, ACCOUNT, "ed25519:key", 0.0, 0.0)
SAFE = Verdict(9.0, (HOLDER,), (), (), (), 5, 2)


class Place(Ground):
    """One node, which holds the key when `signs`. `done` has the kinds of faults done to it."""

    def __init__(self, directory: Path) -> None:
        self.signs = True
        self.verdict = SAFE
        self.done: list[Kind] = []
        node = SimpleNamespace(
            name="node0", state=lambda: "Validating", metrics=dict, log_text=str, plan=SimpleNamespace(home=Path("/a"))
        )
        referee = SimpleNamespace(
            verdict=lambda _account: self.verdict,
            intervals=lambda _account: (HOLDER,) if self.signs else (),
            signatures=lambda _account: [Record(Event.SIGNATURE, boottime(), 1, 1, "/a", "key")],
        )
        fleet = SimpleNamespace(
            nodes=[node], referee=referee, directory=directory / "fleet", spec=SimpleNamespace(account=ACCOUNT)
        )
        arena = SimpleNamespace(
            fleet=fleet, cut_by="a saw", node_of=lambda _interval: node, holding=lambda: HOLDER if self.signs else None
        )
        self.service = SimpleNamespace(
            node=node,
            starts=1,
            watchdog_kills=0,
            leftovers=[],
            crashes=[],
            stage=Stage.RUNNING,
            stop_for_good=lambda: None,
            ended=lambda: True,
        )
        super().__init__(cast(Any, arena), cast(Any, {"node0": self.service}))

    def lock_entry(self) -> KvEntry | None:
        """There is no key."""
        return None

    def config(self) -> FleetConfig:
        """Nothing is paused, nobody drained."""
        return FleetConfig()


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    place = Place(tmp_path)

    def strike(_ground: Ground, fault: Fault, _service: object) -> Any:
        place.done.append(fault.kind)
        return lambda: None

    monkeypatch.setattr(soak_faults, "strike", strike)
    monkeypatch.setattr("kuutamo_localnet.soak_watch.node_facts", lambda *_facts: NodeFacts("node0", "Validating"))
    monkeypatch.setattr(soak_judge, "MemoryWatch", lambda: SimpleNamespace(sample=lambda *_unused: None, growths=tuple))
    return place


def judged(place: Place, *plan: Wave) -> SoakJudge:
    judge = SoakJudge(place, Policy(), cast(Any, SimpleNamespace(failure=None)), lambda _text: None)
    judge._bounds = Bounds(vacant=0.3, booked=0.3, healed=0.3)
    judge.run(plan)
    return judge


def wave(kind: Kind, at: float = 0.0) -> Wave:
    return (Fault(at, kind, 0, False, 0.0, 0.5),)


FIRST, SECOND = wave(Kind.KILL_NEARD), wave(Kind.KILL_GUARD, 0.3)


def test_each_wave_is_followed_by_a_signature(place: Place) -> None:
    judge = judged(place, FIRST, SECOND)
    report = judge.report(7, 60.0, "one clock", 61.0)
    assert (judge.failures, report.passed) == ([], True)
    assert (report.recoveries.waves, report.recoveries.signed) == (2, 2)
    assert place.done == [Kind.KILL_NEARD, Kind.KILL_GUARD]
    assert [(each.kind, each.done) for each in report.faults] == [("kill neard", 1), ("kill guard", 1)]
    assert [each.node for each in judge.history] == ["node0"]


def test_a_wave_after_which_nobody_signs_is_a_failure_and_the_last(place: Place) -> None:
    place.signs = False
    judge = judged(place, FIRST, SECOND)
    assert judge.failures == ["nobody healthy has signed within 0 s after the last fault"]
    report = judge.report(7, 60.0, "one clock", 61.0)
    assert (report.passed, report.recoveries.waves, report.recoveries.signed) == (False, 1, 0)
    assert place.done == [Kind.KILL_NEARD]


def test_two_signers_end_it_at_once(place: Place) -> None:
    place.verdict = replace(SAFE, overlaps=(Overlap(HOLDER, HOLDER, 5.0, 0.25),))
    judge = judged(place, wave(Kind.KILL_NEARD, 1000.0))
    (failure,) = judge.failures
    assert failure.startswith("two could sign for 0.25 s")
    assert place.done == []
    assert "OVERLAP" in judge.evidence()


def test_what_does_not_stop_and_what_is_left_are_failures(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.service.ended = lambda: False
    monkeypatch.setattr(soak_judge, "BUSY", 0.0)
    monkeypatch.setattr(soak_judge, "processes_of", lambda _directory: ("neard pid 7",))
    place.service.leftovers = [SimpleNamespace(processes=("sh pid 8",))]
    judge = SoakJudge(place, Policy(stop_grace=0.2), cast(Any, SimpleNamespace(failure=None)), lambda _text: None)
    judge.run([])
    assert judge.failures == ["left behind: node0: sh pid 8", "left behind: neard pid 7", "node0 did not stop: running"]


def test_what_crashes_is_a_failure_though_it_is_restarted(place: Place) -> None:
    place.service.crashes = [1, 1]
    place.service.node.log_text = lambda: "Traceback (most recent call last):\n  File\nValueError: no\nINFO more\n"
    judge = judged(place, FIRST)
    assert judge.failures == [
        "crashed 2 times: node0: kuutamod ended with exit code 1",
        "crashed 1 times: node0: ValueError: no",
    ]
    assert judge.report(7, 60.0, "one clock", 61.0).crashes == 3


def test_without_its_service_manager_a_soak_proves_nothing(place: Place) -> None:
    judge = SoakJudge(place, Policy(), cast(Any, SimpleNamespace(failure=OSError("no processes"))), lambda _text: None)
    judge.run([FIRST])
    assert judge.failures == ["the harness itself failed: OSError: no processes"]
