# SPDX-License-Identifier: Apache-2.0
"""When the guard kills, places and releases."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kuutamod.guard.rules import LONGEST_SLEEP, Cause, GuardView, may_place, must_kill, releases, sleep_for


@pytest.mark.parametrize(
    ("view", "cause"),
    [
        (GuardView(), None),
        (GuardView(fence_at=10.1), None),
        (GuardView(fence_at=10.0), Cause.FENCE),
        (GuardView(fence_at=3.0, orphaned=True), Cause.FENCE),
        (GuardView(orphaned=True), Cause.ORPHANED),
        (GuardView(fence_at=20.0, orphaned=True), Cause.ORPHANED),
        (GuardView(kill_ordered=True), Cause.ORDERED),
        (GuardView(stop_by=10.1), None),
        (GuardView(stop_by=10.0), Cause.ORDERED),
        (GuardView(fence_at=9.0, stop_by=30.0), Cause.FENCE),
    ],
)
def test_must_kill(view: GuardView, cause: Cause | None) -> None:
    assert must_kill(view, 10.0) is cause


@given(st.floats(0, 100), st.floats(0, 100), st.booleans(), st.floats(0, 100))
def test_an_armed_guard_never_sleeps_past_its_deadline(now: float, fence_at: float, stop: bool, stop_by: float) -> None:
    view = GuardView(fence_at=fence_at, stop_by=stop_by if stop else None)
    assert sleep_for(view, now) <= max(0.0, fence_at - now)
    assert sleep_for(view, now) <= LONGEST_SLEEP


def test_after_the_kill_the_guard_does_not_spin() -> None:
    assert sleep_for(GuardView(fence_at=1.0, killed=True), 10.0) == LONGEST_SLEEP


@pytest.mark.parametrize("view", [GuardView(orphaned=True), GuardView(kill_ordered=True), GuardView(stop_by=99.0)])
def test_no_key_for_a_neard_that_is_going(view: GuardView) -> None:
    assert not may_place(view, 10.0, 17.0)


def test_no_key_after_its_own_deadline() -> None:
    assert may_place(GuardView(), 16.9, 17.0)
    assert not may_place(GuardView(), 17.0, 17.0)


@pytest.mark.parametrize(
    ("cause", "armed", "itself"),
    [
        (Cause.FENCE, True, True),
        (Cause.ORPHANED, True, True),
        (Cause.ORPHANED, False, False),
        (Cause.ORDERED, True, False),
        (Cause.ITSELF, True, False),
    ],
)
def test_the_guard_releases_only_when_no_supervisor_will(cause: Cause, armed: bool, itself: bool) -> None:
    assert releases(cause, armed) is itself
