# SPDX-License-Identifier: Apache-2.0
"""What the referee concludes: the pure part."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from neard_standin.journal import Event, Record
from neard_standin.ledger import Kind, Ledger, Validator
from neard_standin.procfs import ProcessId
from neard_standin.verdict import KeyInterval, judge

_LEDGER = Ledger(Path("unused"), 0.0, 1000, 100, "test", 83, (Validator("a", "ka"), Validator("v", "kv", virtual=True)))


def _interval(pid: int, loaded_at: float, ended_at: float | None, **changes: object) -> KeyInterval:
    alive_at = loaded_at if ended_at is None else ended_at
    how = "running" if ended_at is None else "died"
    interval = KeyInterval(f"/h{pid}", pid, pid, "a", "ka", loaded_at, alive_at, ended_at, how)  # type: ignore[arg-type]
    return replace(interval, **changes)  # type: ignore[arg-type]


def _signature(pid: int, height: int, kind: Kind = Kind.ENDORSEMENT, key: str = "ka") -> Record:
    return Record(Event.SIGNATURE, height + 0.1, pid, pid, f"/h{pid}", "n", "a", key, height, kind)


def test_handover_without_overlap_is_safe() -> None:
    verdict = judge(_LEDGER, [_interval(1, 1, 5), _interval(2, 7, None)], [], 9)
    verdict.assert_safe()
    assert [(gap.start, gap.end) for gap in verdict.gaps] == [(5, 7)]


@pytest.mark.parametrize(
    ("first_end", "second_end", "seconds"), [(8.0, 20.0, 1.0), (20.0, 8.0, 1.0), (None, None, 23.0), (None, 9.0, 2.0)]
)
def test_overlap_is_measured(first_end: float | None, second_end: float | None, seconds: float) -> None:
    verdict = judge(_LEDGER, [_interval(1, 1, first_end), _interval(2, 7, second_end)], [], 30)
    assert [overlap.seconds for overlap in verdict.overlaps] == [seconds]
    with pytest.raises(AssertionError, match=r"(?s)OVERLAP.*pid 1 in /h1.*pid 2 in /h2"):
        verdict.assert_safe()


def test_one_key_under_two_accounts_overlaps_too() -> None:
    intervals = [_interval(1, 1, None), _interval(2, 7, None, account="b")]
    assert judge(_LEDGER, intervals, [], 9, "a").overlaps


def test_two_keys_do_not_overlap() -> None:
    intervals = [_interval(1, 1, None), _interval(2, 7, None, public_key="kb")]
    assert not judge(_LEDGER, intervals, [], 9).overlaps


def test_one_process_never_overlaps_itself() -> None:
    assert not judge(_LEDGER, [_interval(1, 1, 8), _interval(1, 7, None)], [], 9).overlaps


def test_late_noticed_death_is_settled_by_the_successor() -> None:
    late = _interval(1, 1, 7.2, alive_at=6.9)
    assert not judge(_LEDGER, [late, _interval(2, 7, None)], [], 9).overlaps


def test_successor_that_saw_the_predecessor_alive_convicts() -> None:
    successor = _interval(2, 7, None, others_alive=(ProcessId(1, 1),))
    assert judge(_LEDGER, [_interval(1, 1, 7.2, alive_at=6.9), successor], [], 9).overlaps
    assert judge(_LEDGER, [_interval(1, 1, 7.0, alive_at=7.0), successor], [], 9).overlaps


def test_process_known_to_have_lived_on_is_not_settled_away() -> None:
    late = _interval(1, 1, 7.9, alive_at=7.5)
    assert judge(_LEDGER, [late, _interval(2, 7, None)], [], 9).overlaps


def test_height_signed_twice_needs_two_processes_and_one_kind() -> None:
    twice = [_signature(1, 3), _signature(2, 3)]
    verdict = judge(_LEDGER, [], twice, 9)
    assert [(double.height, double.kind) for double in verdict.heights_signed_twice] == [(3, Kind.ENDORSEMENT)]
    with pytest.raises(AssertionError, match="SIGNED TWICE: endorsement of height 3"):
        verdict.assert_safe()
    assert judge(_LEDGER, [], [_signature(1, 3), _signature(1, 3)], 9).safe
    assert judge(_LEDGER, [], [_signature(1, 3), _signature(2, 3, Kind.CHUNK)], 9).safe
    assert judge(_LEDGER, [], [_signature(1, 3), _signature(2, 3, key="kb")], 9).safe


def test_duties_are_counted_from_the_first_whole_slot() -> None:
    interval = _interval(1, 1.5, None)
    done = [_signature(1, height) for height in (2, 3)]
    verdict = judge(_LEDGER, [interval], done, 6.5, "a")
    # Heights 2 to 5: four endorsements, blocks at 2 and 4, chunks at 3 and 5.
    assert (verdict.expected_duties, verdict.missed_duties) == (8, 6)


def test_signature_with_a_foreign_key_fulfils_no_duty() -> None:
    verdict = judge(_LEDGER, [_interval(1, 1.5, None)], [_signature(1, 2, key="kb")], 3.5, "a")
    assert verdict.missed_duties == verdict.expected_duties


def test_gap_lasts_until_now_after_the_last_holder() -> None:
    verdict = judge(_LEDGER, [_interval(1, 1, 5)], [], 9, "a")
    assert [gap.seconds for gap in verdict.gaps] == [4]
