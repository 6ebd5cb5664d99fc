# SPDX-License-Identifier: Apache-2.0
"""What the referee concludes: the pure part."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from neard_standin.journal import Event, Record
from neard_standin.ledger import Kind, Ledger, Validator
from neard_standin.procfs import ProcessId
from neard_standin.verdict import KeyInterval, Miss, judge

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


def test_missed_duties_are_named_with_their_slot() -> None:
    done = [_signature(1, height) for height in (2, 3)]
    verdict = judge(_LEDGER, [_interval(1, 1.5, None)], done, 4.5, "a")
    assert verdict.misses == (Miss("a", 2, Kind.BLOCK, 2.0, True), Miss("a", 3, Kind.CHUNK, 3.0, True))
    assert verdict.missed == {"block": 1, "chunk": 1, "endorsement": 0}
    told = "duties missed: 2 of 4 (1 block, 1 chunk, 0 endorsement)\nof them while a process had the key: 2"
    assert verdict.story().endswith(told)


def _held(*intervals: KeyInterval) -> dict[int, bool]:
    """Of each height without an endorsement, whether a process had the key for the whole slot."""
    verdict = judge(_LEDGER, intervals, [], 9, "a")
    return {miss.height: miss.held for miss in verdict.misses if miss.kind is Kind.ENDORSEMENT}


def test_a_slot_that_touches_a_gap_is_told_apart() -> None:
    # Nobody has the key from 4.5 to 6.5. Who gets it in the middle of a slot begins with the next.
    assert _held(_interval(1, 1, 4.5), _interval(2, 6.5, None)) == {
        2: True,
        3: True,
        4: False,
        5: False,
        6: False,
        7: True,
        8: True,
    }
    assert _held(_interval(1, 1, 5.0), _interval(2, 6.0, None))[4], "the gap begins with the next slot"
    assert _held(_interval(1, 1, 5.0), _interval(2, 6.0, None))[6], "the gap ends with the slot before"


def test_a_slot_in_which_the_key_goes_from_one_to_the_other_has_no_holder() -> None:
    assert _held(_interval(1, 1, 5.5), _interval(2, 5.5, None))[5] is False


def test_a_slot_after_the_last_sign_of_life_of_a_dead_process_has_no_holder() -> None:
    held = _held(_interval(1, 1, 7.5, alive_at=4.2))
    assert [height for height, had in held.items() if had] == [2, 3]


def test_a_process_with_a_foreign_key_is_no_holder_of_a_slot() -> None:
    assert not any(_held(_interval(1, 1, None, public_key="kb")).values())


def test_a_slot_that_ended_while_the_journal_was_read_is_not_judged_yet() -> None:
    verdict = judge(_LEDGER, [_interval(1, 1.5, None)], [], 6.5, "a", read_at=3.9)
    assert {miss.height for miss in verdict.misses} == {2}
    assert verdict.at == 6.5


def test_signature_with_a_foreign_key_fulfils_no_duty() -> None:
    verdict = judge(_LEDGER, [_interval(1, 1.5, None)], [_signature(1, 2, key="kb")], 3.5, "a")
    assert verdict.missed_duties == verdict.expected_duties


def test_gap_lasts_until_now_after_the_last_holder() -> None:
    verdict = judge(_LEDGER, [_interval(1, 1, 5)], [], 9, "a")
    assert [gap.seconds for gap in verdict.gaps] == [4]
