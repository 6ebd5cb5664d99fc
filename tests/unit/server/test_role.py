# SPDX-License-Identifier: Apache-2.0
"""When a node says that it validates, that it could, or neither."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kuutamod.core.model import Giveup, NodeState
from kuutamod.server.role import Role, active, ready, role, standby
from unit.server import snapshots

HOLDER, ELIGIBLE = snapshots.HOLDER, snapshots.ELIGIBLE


def holder(**child: object) -> NodeState:
    return replace(HOLDER, child=replace(snapshots.LIVE_CHILD, **child))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("state", "now", "why"),
    [
        (HOLDER, 151.0, "it validates in term 5, proven 1.0 s ago"),
        (HOLDER, 156.9, "it validates in term 5, proven 6.9 s ago"),
    ],
)
def test_active_with_proof_and_key(state: NodeState, now: float, why: str) -> None:
    assert (active(state, now).yes, active(state, now).why) == (True, why)
    assert ready(state, now) == active(state, now)
    assert standby(state, now).why == "it holds the lock in term 5"


@pytest.mark.parametrize(
    ("state", "now", "why"),
    [
        (HOLDER, 157.0, "no proof of holding the lock for 7 s"),
        (replace(HOLDER, lease=replace(snapshots.LEASE, doubt="timeout")), 157.0, "for 7 s: timeout"),
        (replace(HOLDER, lease=replace(snapshots.LEASE, lost="another holds it")), 151.0, "another holds it"),
        (holder(key_live=False), 151.0, "holds the lock in term 5, but its neard does not show the key yet"),
        (holder(keyed=False, key_live=False), 151.0, "does not show the key yet"),
        (replace(HOLDER, child=None), 151.0, "does not show the key yet"),
        (holder(killed="it hangs"), 151.0, "gives the lock of term 5 up: it hangs"),
        (holder(stopping="new disk"), 151.0, "gives the lock of term 5 up: new disk"),
        (replace(HOLDER, giveup=Giveup("asked for", False)), 151.0, "gives the lock of term 5 up: asked for"),
        (replace(holder(killed="no proof"), lease=None), 151.0, "its lease has ended and neard pid 77 is being stopped"),
    ],
)
def test_neither_with_the_lock_but_without_all_else(state: NodeState, now: float, why: str) -> None:
    assert not active(state, now).yes
    assert why in active(state, now).why
    assert not standby(state, now).yes
    assert ready(state, now) == active(state, now)
    assert role(state) is Role.VALIDATOR


def test_an_eligible_standby() -> None:
    assert standby(ELIGIBLE, 151.0).yes
    assert standby(ELIGIBLE, 151.0).why == "it is eligible; b holds the lock in term 4"
    assert ready(ELIGIBLE, 151.0) == standby(ELIGIBLE, 151.0)
    assert not active(ELIGIBLE, 151.0).yes
    assert active(ELIGIBLE, 151.0).why == "it does not hold the lock; b holds the lock in term 4"
    assert role(ELIGIBLE) is Role.STANDBY


def test_a_free_lock_is_not_called_held() -> None:
    free = replace(ELIGIBLE, watch=replace(snapshots.WATCH, view=replace(snapshots.WATCH.view, session=None)))
    assert active(free, 151.0).why == "it does not hold the lock; b is the last that held it, in term 4"


@pytest.mark.parametrize(
    ("state", "why"),
    [
        (snapshots.PAUSED, "takeovers are paused until 2023-11-14 22:16:21 UTC: new switch"),
        (snapshots.DRAINED, "drained"),
        (replace(ELIGIBLE, stop_requested="SIGTERM"), "shutting down"),
        (replace(ELIGIBLE, child=None), "neard does not answer yet"),
    ],
)
def test_a_standby_that_is_not_eligible_says_why(state: NodeState, why: str) -> None:
    assert not standby(state, 151.0).yes
    assert standby(state, 151.0).why.startswith("it is not eligible: ")
    assert why in standby(state, 151.0).why
    assert ready(state, 151.0) == standby(state, 151.0)


def test_every_reason_is_told() -> None:
    state = replace(snapshots.PAUSED, memory_fault="read-only", member_fault="no leader", session=None)
    assert standby(state, 151.0).why.count("; ") == 2


@pytest.mark.parametrize("state", [snapshots.FRESH, snapshots.SYNCING, snapshots.REGISTERING])
def test_a_node_that_is_not_registered_has_no_role(state: NodeState) -> None:
    assert role(state) is Role.NONE
    assert not ready(state, 151.0).yes
