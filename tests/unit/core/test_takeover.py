# SPDX-License-Identifier: Apache-2.0
"""From when the lock may be taken."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kuutamod.core.actions import TakeKind
from kuutamod.core.lease import LeaseLaw
from kuutamod.core.model import LockView, Watch
from kuutamod.core.protocol import LockRecord
from kuutamod.core.takeover import opening, watch_lock, watching

LAW = LeaseLaw()
HELD = LockRecord("h", "a", 3, heartbeat=1, guard_time=9)
MARKED = LockRecord("h", "a", 3, guard_time=9, released=True)


def seen(view: LockView, *times: float) -> Watch:
    watch = None
    for at in times:
        watch = watch_lock(watch, view, at, LAW)
    assert watch is not None
    return watch


def at(watch: Watch) -> float:
    chance = opening(watch, LAW)
    assert chance is not None
    return chance.at


@pytest.mark.parametrize(
    ("view", "kind", "wait"),
    [
        (LockView(5, None, MARKED), TakeKind.FREE, 9.0),
        (LockView(5, None, HELD), TakeKind.FREE, 9.0),
        (LockView(5, "s", HELD), TakeKind.STEAL, 9.0),
        (LockView(5, "s", MARKED), TakeKind.STEAL, 9.0),
        (LockView(5, "s", None), TakeKind.STEAL, 9.0),
        (LockView(5, None, None), TakeKind.FREE, 9.0),
        (LockView(5, "s", LockRecord("h", "a", 3, guard_time=20)), TakeKind.STEAL, 20.0),
    ],
)
def test_opening(view: LockView, kind: TakeKind, wait: float) -> None:
    chance = opening(seen(view, 100.0, 101.0), LAW)
    assert chance is not None
    assert (chance.kind, chance.at) == (kind, 100.0 + wait)


def test_a_larger_guard_time_is_remembered_when_the_value_is_gone() -> None:
    watch = seen(LockView(5, "s", LockRecord("h", "a", 3, guard_time=30)), 100.0)
    watch = watch_lock(watch, LockView(0), 101.0, LAW)
    assert opening(watch, LAW) is None
    watch = watch_lock(watch, LockView(9), 102.0, LAW)
    assert at(watch) == 132.0


def test_every_change_starts_the_count_anew_even_to_a_lower_index() -> None:
    watch = seen(LockView(5, "s", HELD), 100.0, 105.0)
    for index in (6, 5):
        watch = watch_lock(watch, LockView(index, "s", HELD), 106.0 + index, LAW)
        assert watch.first_seen == 106.0 + index


def test_a_marker_that_a_restored_snapshot_brought_back_is_not_trusted() -> None:
    watch = seen(LockView(90, "s", HELD), 100.0)
    watch = watch_lock(watch, LockView(5, None, MARKED), 101.0, LAW)
    assert at(watch) == 110.0
    watch = watch_lock(watch, LockView(91, None, MARKED), 102.0, LAW)
    assert at(watch) == 110.0
    watch = watch_lock(watch, LockView(92, "s", HELD), 109.0, LAW)
    watch = watch_lock(watch, LockView(93, None, MARKED), 112.0, LAW)
    assert at(watch) == 112.0


def test_a_marker_is_trusted_at_once_by_who_has_watched_the_lock_for_the_guard_time() -> None:
    """Who has not can't tell a release of now from an old one that a restored snapshot shows."""
    watch = seen(LockView(5, "s", HELD), 100.0, 105.0)
    early = watch_lock(watch, LockView(6, None, MARKED), 106.0, LAW)
    assert at(early) == 109.0
    late = watch_lock(seen(LockView(5, "s", HELD), 100.0, 105.0, 110.0), LockView(6, None, MARKED), 110.5, LAW)
    assert at(late) == 110.5
    chance = opening(early, LAW)
    assert chance is not None
    assert chance.others == 106.0


def test_a_marker_that_appears_after_the_key_was_deleted_is_not_trusted() -> None:
    """The holder can't have written it: its session no longer held the key."""
    watch = seen(LockView(5, "s", HELD), 80.0, 85.0, 90.0, 95.0, 100.0)
    watch = watch_lock(watch, LockView(0), 101.0, LAW)
    watch = watch_lock(watch, LockView(9, None, MARKED), 102.0, LAW)
    assert at(watch) == 110.0


def test_blindness_starts_the_count_anew() -> None:
    assert seen(LockView(5, "s", HELD), 100.0, 106.9, 113.8).first_seen == 100.0
    assert seen(LockView(5, "s", HELD), 100.0, 107.1).first_seen == 107.1
    assert not watching(seen(LockView(5, "s", HELD), 100.0), LAW, 107.1)


@given(st.lists(st.tuples(st.integers(0, 3), st.floats(0, 9)), min_size=1, max_size=40))
def test_the_count_never_covers_a_moment_at_which_another_index_was_seen(reads: list[tuple[int, float]]) -> None:
    watch, now, since = None, 0.0, 0.0
    last = None
    for index, pause in reads:
        now += pause
        if index != last or pause > LAW.fence_deadline:
            since = now
        last = index
        watch = watch_lock(watch, LockView(index, "s", HELD) if index else LockView(0), now, LAW)
    assert watch is not None
    assert watch.first_seen >= since
