# SPDX-License-Identifier: Apache-2.0
"""The search finds nothing wrong with the product, and what is wrong with the mutants."""

from __future__ import annotations

import pytest

from exhaustive.__main__ import main
from exhaustive.explore import budgets, explore
from exhaustive.machine import Budget, Machine
from exhaustive.mutants import MUTANTS, Mutant
from exhaustive.search import Search
from exhaustive.side import FAULTS, Kind
from exhaustive.story import sentence, told
from exhaustive.walk import walk
from exhaustive.world import Message, Scale
from kuutamod.core import actions as ac
from kuutamod.core.events import Outcome

LIMIT = 300.0
"""Seconds; a search that takes so long hangs."""


def test_without_faults_everything_is_seen() -> None:
    report = Search(Machine(Scale()), (), set()).run(LIMIT)
    assert (report.wrong, report.complete) == ("", True)
    assert report.worlds > 200


def test_one_fault_of_some_kinds_at_any_moment() -> None:
    kinds = frozenset({Kind.INVALIDATE, Kind.CRASH, Kind.ORPHAN, Kind.DELAY, Kind.DELETE})
    reports = list(explore(Scale(), 1, LIMIT, kinds))
    assert [report.wrong for report in reports] == [""] * 6
    assert all(report.complete for report in reports)
    assert sum(report.worlds for report in reports) > 20_000


@pytest.mark.parametrize(
    ("budget", "scale", "depth"),
    [
        ((Kind.PAUSE, Kind.INVALIDATE), Scale(), 12),
        ((Kind.FREEZE, Kind.NO_LEADER), Scale(), 12),
        ((Kind.DELAY, Kind.LOSE), Scale(), 17),
        ((Kind.PAUSE, Kind.CRASH), Scale(promotion="restart"), 12),
        ((Kind.PAUSE,), Scale(longer=2), 14),
    ],
    ids=["pause, session ends", "freeze, no leader", "delay, lose", "pause, crash, by restart", "pause, mixed laws"],
)
def test_two_faults_to_some_depth(budget: Budget, scale: Scale, depth: int) -> None:
    report = Search(Machine(scale), budget, set()).run(LIMIT, depth)
    assert (report.wrong, report.depth) == ("", depth)
    assert report.worlds > 10_000


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_wrong_product_is_found_out(mutant: Mutant) -> None:
    with mutant.applied():
        report = Search(Machine(mutant.scale), mutant.faults, set()).run(LIMIT)
    assert report.wrong, f"nothing is wrong with a product in which {mutant.says}"
    spent = [fault for taken in report.story for fault in taken.step.faults]
    assert set(spent) <= set(mutant.faults)
    assert told(report).count("FAULT") == len([taken for taken in report.story if taken.step.faults])


def test_the_law_is_tight() -> None:
    """One second less for G is found out; the second that D + S + sigma = G asks for is enough."""
    tight = Scale()
    assert tight.fence_deadline + tight.kill_budget == tight.guard_time
    assert not Search(Machine(tight), (Kind.PAUSE,), set()).run(LIMIT, 12).wrong
    assert Search(Machine(Scale(guard_time=tight.guard_time - 1)), (Kind.PAUSE,), set()).run(LIMIT, 12).wrong


def test_everything_that_can_happen_does() -> None:
    """Every kind of step, every outcome of every request, every way into the lock; each has its sentence."""
    kinds: set[Kind] = set()
    outcomes: set[tuple[type[object], str]] = set()
    takes: set[ac.TakeKind] = set()
    machine = Machine(Scale())
    for seed in range(150):
        for _here, following, _edge in walk(machine, seed, 60):
            for each in following:
                step = each.step
                kinds |= {step.kind, *step.faults}
                if step.kind is Kind.APPLY and isinstance(step.what, Message):
                    asked = step.what.request
                    outcomes.add((type(asked), each.why[0]))
                    if isinstance(asked, ac.Take) and each.why[0] == Outcome.APPLIED.value:
                        takes.add(asked.kind)
                if step.kind is not Kind.TICK:
                    assert sentence(each)
    assert kinds == set(Kind)
    requests = (ac.Heartbeat, ac.Take, ac.CreateKey, ac.Release, ac.ReleasePlan)
    assert outcomes == {(asked, outcome.value) for asked in requests for outcome in (Outcome.APPLIED, Outcome.REFUSED)}
    assert takes == set(ac.TakeKind)


def test_every_budget_has_its_search() -> None:
    number = len(FAULTS)
    assert len(budgets(FAULTS, 2)) == number * (number + 1) // 2
    assert budgets(FAULTS, 0) == [()]


def test_the_command_reports_and_fails(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explore", "--minutes", "1", "--faults", "1", "--only", "invalidate"]) == 0
    assert "1 faults: 1 of 1 searches complete" in capsys.readouterr().out
    assert main(["explore", "--minutes", "1", "--mutant", "unchecked take"]) == 1
    said = capsys.readouterr().out
    assert "wrong: taken from the living" in said
    assert "Consul gets b's take: applied" in said
    with pytest.raises(SystemExit):
        main(["explore", "--only", "earthquake"])
    assert "no fault is called earthquake" in capsys.readouterr().err
