# SPDX-License-Identifier: Apache-2.0
"""What a soak reports: counts, tables, JSON; and what its memory samples say."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import pytest
from rich.console import Console

from kuutamo_localnet.soak_causes import Cause, CauseFigures, Takeover
from kuutamo_localnet.soak_faults import Injection
from kuutamo_localnet.soak_memory import Growth, Sample, growth
from kuutamo_localnet.soak_plan import Fault, Kind
from kuutamo_localnet.soak_report import FaultCount, Recoveries, Report, conclusions, count_faults, recoveries, render
from kuutamo_localnet.soak_stuck import Stuck
from neard_standin.journal import Event, Record
from neard_standin.ledger import Kind as Duty
from neard_standin.verdict import DoubleSignature, KeyInterval, Overlap, Verdict


def injection(kind: Kind, *, skipped: str = "", node: str = "node0", undone: float | None = 3.0) -> Injection:
    return Injection(Fault(1.0, kind, 0, True, 2.0, 0.5), node, 1.04, undone, skipped)


INJECTIONS = (
    injection(Kind.CUT),
    injection(Kind.KILL_NEARD, undone=1.04),
    injection(Kind.CUT, undone=None),
    injection(Kind.CUT, skipped="it lasts already", undone=None),
    injection(Kind.DELETE_KEY, skipped="there is no key", node="", undone=None),
)
MEMORY = Growth("supervisor", 4, 0.4321, 26.0, 26.5, 38.0, 38.4, 1.157, 0.9)
GOOD = Report(
    seed=77,
    expected=180.0,
    lasted=201.5,
    cut_by="the network of its host",
    clocks="apart by days",
    faults=count_faults(INJECTIONS),
    takeovers=(CauseFigures(Cause.STEAL.value, 3, 8.0, 9.25, 9.25, 10.2),),
    key_intervals=4,
    double_signatures=0,
    overlaps=0,
    stuck_terms=0,
    left_behind=0,
    crashes=0,
    recoveries=recoveries(4, [0.5, 9.75, 2.251], 211.09),
    standbys=2,
    duties=300,
    duties_missed=41,
    supervisor_starts=7,
    watchdog_kills=1,
    orders={"handover: rolled back": 2},
    confirms=1,
    false_alarms=0,
    memory=(MEMORY,),
    failures=(),
)


def drawn(report: Report) -> list[str]:
    out = io.StringIO()
    Console(file=out, width=100).print(render(report))
    return [line.rstrip() for line in out.getvalue().splitlines()]


def cells(lines: list[str], start: str) -> list[str]:
    (found,) = [line for line in lines if line.startswith(start)]
    return found.removeprefix(start).split()


def test_faults_are_counted_by_kind_done_or_not() -> None:
    assert count_faults(INJECTIONS) == (
        FaultCount("kill neard", 1, 0),
        FaultCount("partition", 2, 1),
        FaultCount("delete the lock's key", 0, 1),
    )


def test_a_fault_in_words() -> None:
    assert [each.text() for each in INJECTIONS] == [
        "    1.0 s  partition (node0) until 3.0 s",
        "    1.0 s  kill neard (node0)",
        "    1.0 s  partition (node0), still lasting",
        "    1.0 s  partition (node0): not done, it lasts already",
        "    1.0 s  delete the lock's key: not done, there is no key",
    ]


def test_the_tables_of_a_soak_that_passed() -> None:
    lines = drawn(GOOD)
    assert "Faults: 3 done, 2 planned and not done" in lines
    assert cells(lines, "partition") == ["2", "1"]
    assert cells(lines, "guard time, holder silent") == ["3", "8.00", "9.25", "9.25", "10.20"]
    assert cells(lines, "supervisor ") == ["4", "0.43", "26.0", "26.5", "38.0", "38.4", "+1.16", "+0.90"]
    assert cells(lines, "double signatures") == ["0"]
    told = "3 of 4: p50 2.25 s, p99 9.75 s, max 9.75 s (bound 211 s)"
    assert cells(lines, "signed after a wave of faults") == told.split()
    assert lines[-1] == "passed (seed 77)"
    assert not [line for line in lines if "FAILED" in line]
    assert max(map(len, lines)) <= 100


def test_failures_are_told_and_nothing_passes_with_one() -> None:
    failures = ("nobody signs", "left behind: neard pid 7")
    bad = replace(GOOD, recoveries=recoveries(1, [], 211.09), failures=failures)
    lines = drawn(bad)
    assert lines[-2:] == ["FAILED: nobody signs", "FAILED: left behind: neard pid 7"]
    assert cells(lines, "signed after a wave of faults") == ["0", "of", "1"]
    assert bad.recoveries == Recoveries(1, 0, None, None, None, 211.1)
    assert not bad.passed
    assert GOOD.passed


def test_the_json_has_everything_with_times_from_the_start() -> None:
    history = [Takeover(1000.5, "node1", "node0", 2, Cause.STEAL, 8.0, 9.0)]
    content = json.loads(json.dumps(GOOD.to_json(INJECTIONS, history, 998.25)))
    assert (content["passed"], content["seed"], content["failures"]) == (True, 77, [])
    assert content["takeovers"] == [
        {"cause": "guard time, holder silent", "n": 3, "p50": 8.0, "p99": 9.25, "most": 9.25, "most_silent": 10.2}
    ]
    assert content["memory"][0]["pss_per_hour"] == 1.157
    assert (content["history"][0]["at"], content["history"][0]["cause"]) == (2.25, "guard time, holder silent")
    assert content["injections"][0] == {"kind": "partition", "node": "node0", "at": 1.04, "until": 3.0, "skipped": ""}
    assert len(content["injections"]) == len(INJECTIONS)


def life(start: float, megabytes: list[float]) -> list[Sample]:
    return [Sample(start + 5.0 * number, pss, 2 * pss) for number, pss in enumerate(megabytes)]


def test_a_process_is_compared_with_itself_after_its_warm_up() -> None:
    # Half a minute of warm-up, then a minute in which it grows by 3 MB.
    steady, growing = life(0, [10.0] * 19), life(500, [1.0] * 6 + [20.0] * 3 + [21.0] * 7 + [23.0] * 3)
    found = growth("guard", [steady, growing])
    assert (found.lives, found.most) == (2, 3.0)
    assert (found.pss_first, found.pss_last, found.rss_first, found.rss_last) == (15.0, 16.5, 30.0, 33.0)
    assert found.hours == pytest.approx(2 * 50 / 3600, abs=1e-3)
    assert found.pss_per_hour == pytest.approx(3 / (100 / 3600), rel=0.02)


def test_lives_that_are_too_short_tell_nothing() -> None:
    assert growth("guard", [life(0, [1.0, 50.0] * 5), []]) == Growth("guard", 0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)


def test_nothing_bad_is_no_failure() -> None:
    assert conclusions(Verdict(9.0, (), (), (), (), 5, 2), [], [], [], [MEMORY], 0.0) == ()


def test_everything_that_must_not_be_is_a_failure_the_worst_first() -> None:
    first, second = (KeyInterval(f"/{n}", n, 1, "fleet.near", "ed25519:key", 1005.0, 1005.0) for n in (1, 2))
    records = [Record(Event.SIGNATURE, 1006.0, n, 1, f"/{n}", "key", height=8, kind=Duty.BLOCK) for n in (1, 2)]
    double = DoubleSignature("ed25519:key", 8, Duty.BLOCK, tuple(records))
    verdict = Verdict(1010.0, (first, second), (Overlap(first, second, 1005.5, 0.25),), (double,), (), 5, 2)
    stuck = Stuck(3, 1008.0, 50.0, 47.0, "it is booked on nobody living")
    fat = Growth("guard", 1, 1.0, 10.0, 21.0, 0.0, 0.0, 11.0, 11.0)
    assert conclusions(verdict, [stuck], ["node0: sh pid 7"], ["node0: exit code 1"] * 2, [MEMORY, fat], 1000.0) == (
        "signed twice: block of height 8, by pid 1 in /1 and pid 2 in /2",
        "two could sign for 0.25 s, from 5.5 s on: pid 1 in /1, pid 2 in /2",
        "term 3 was stuck for 50.0 s (bound 47 s), up to 8.0 s: it is booked on nobody living",
        "left behind: node0: sh pid 7",
        "crashed 2 times: node0: exit code 1",
        "a guard grew by 11.0 MB, more than 10 MB",
    )
