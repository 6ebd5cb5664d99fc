# SPDX-License-Identifier: Apache-2.0
"""When the guard kills neard. Pure; the simulator uses the same function. Standard library only."""

from __future__ import annotations

import enum
from dataclasses import dataclass

LONGEST_SLEEP = 0.2
"""Seconds an armed guard sleeps at most: select() counts a clock that stops in suspend."""


class Cause(enum.Enum):
    """Why neard ended, or has to."""

    ITSELF = "neard ended by itself"
    ORDERED = "the supervisor asked for it"
    FENCE = "the lease's deadline passed without a newer proof"
    ORPHANED = "the supervisor is gone"


@dataclass(frozen=True)
class GuardView:
    """What a guard knows. ``fence_at`` None: neard has no key. Times are boottime seconds.

    ``unloaded``: the key was taken from neard, for good; the fence stays armed until neard is dead.
    """

    fence_at: float | None = None
    orphaned: bool = False
    kill_ordered: bool = False
    stop_by: float | None = None
    unloaded: bool = False
    killed: bool = False


def must_kill(view: GuardView, now: float) -> Cause | None:
    """Has neard to get SIGKILL now, and why? An orphan is killed whether or not it has a key."""
    if view.fence_at is not None and now >= view.fence_at:
        return Cause.FENCE
    if view.orphaned:
        return Cause.ORPHANED
    if view.kill_ordered or (view.stop_by is not None and now >= view.stop_by):
        return Cause.ORDERED
    return None


def may_place(view: GuardView, now: float, fence_at: float) -> bool:
    """May a key be placed for a neard that would be killed at ``fence_at``?"""
    wanted = not view.orphaned and not view.kill_ordered and not view.unloaded and view.stop_by is None
    return wanted and now < fence_at


def sleep_for(view: GuardView, now: float) -> float:
    """Seconds until the guard must look again."""
    if view.killed:
        return LONGEST_SLEEP
    ends = [end - now for end in (view.fence_at, view.stop_by) if end is not None]
    return max(0.0, min([LONGEST_SLEEP, *ends])) if ends else 1.0


def releases(cause: Cause, armed: bool) -> bool:
    """Does the guard itself hand the lock back after ``cause``? Otherwise its supervisor is alive and does."""
    return armed and cause in (Cause.FENCE, Cause.ORPHANED)
