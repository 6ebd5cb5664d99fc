# SPDX-License-Identifier: Apache-2.0
"""May this node take the lock, and from when? The other half of the argument in ``lease``.

A contender trusts only what it saw itself: the ModifyIndex, and when *it* first saw that index.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from .actions import TakeKind
from .change import replace
from .lease import LeaseLaw
from .model import LockView, NodeState, Watch


@dataclass(frozen=True)
class Opening:
    """The lock may be taken by a ``kind`` of transaction at ``at`` (boottime seconds) or later; ``why`` for the log.

    ``others``: from when on a node may take it that has watched for longer.
    """

    kind: TakeKind
    at: float
    why: str
    others: float


def watch_lock(watch: Watch | None, view: LockView, at: float, law: LeaseLaw) -> Watch:
    """What this node knows of the lock after a read answered at ``at`` (boottime seconds).

    The count of G starts anew when anything about the key changed, in either direction, and when this node was blind for
    longer than a lease lasts: then it can't tell an unmoved index from one that moved and came back. A blind node, and one
    that sees the index go backwards or the key vanish, knows nothing of what went before: `since` begins anew.
    """
    guard = max(watch.largest_guard if watch else 0.0, view.record.guard_time if view.record else 0.0)
    blind = watch is not None and at - watch.last_seen > law.fence_deadline
    if watch is None or blind or watch.view != view:
        since = at if watch is None or blind or view.index < watch.view.index else watch.since
        return Watch(view=view, first_seen=at, last_seen=at, since=since, largest_guard=guard)
    return replace(watch, last_seen=max(at, watch.last_seen))


def heed(watch: Watch, guards: Iterable[float]) -> Watch:
    """With the guard times (seconds) that other nodes publish: the lock's value may have been lost, with the holder's."""
    largest = max(guards, default=0.0)
    return replace(watch, largest_guard=largest) if largest > watch.largest_guard else watch


def counted(state: NodeState) -> Watch | None:
    """What this node knows of the lock, with every guard time it has heard of: G is counted on this, never on ``watch``."""
    return heed(state.watch, (peer.record.guard_time for peer in state.peers)) if state.watch is not None else None


def guard_time(watch: Watch | None, law: LeaseLaw) -> float:
    """G in seconds: the largest of ours and all that were published."""
    return max(law.guard_time, watch.largest_guard if watch is not None else 0.0)


def trusts_markers(watch: Watch, law: LeaseLaw) -> float:
    """From when on (boottime seconds) this node can tell a marker of now from one of the past: see ``opening``."""
    return watch.since + guard_time(watch, law)


def opening(watch: Watch, law: LeaseLaw) -> Opening | None:
    """When and how the lock may be taken, given that nothing moves it before; None for a missing key.

    Free with the marker: at once, the last holder proved its neard dead; but only by a node that has watched the lock for
    G, during which the index only grew. Any other may be looking at a marker of the past, brought back by a restored
    snapshot or an operator, while a holder of today has not noticed yet; G after the restore there is none.
    Everything else (held, free without the marker, unreadable): when the index has not moved for G.
    A missing key has no index: it may have been created, held and deleted between two looks, by a holder that still
    signs. So G can't be counted on it; the key has to be written anew first, held by nobody.
    """
    view = watch.view
    if view.missing:
        return None
    if view.released:
        at = max(watch.first_seen, trusts_markers(watch, law))
        return Opening(TakeKind.FREE, at, "it is released with proof", others=watch.first_seen)
    at = watch.first_seen + guard_time(watch, law)
    if view.session is None:
        return Opening(TakeKind.FREE, at, "it is free without the marker and has not moved for the guard time", others=at)
    return Opening(TakeKind.STEAL, at, "its holder has not proved itself for the guard time", others=at)


def watching(watch: Watch, law: LeaseLaw, now: float) -> bool:
    """Is what we know of the lock recent enough to act on? (Seconds; the take's own check decides in the end.)"""
    return now - watch.last_seen <= law.fence_deadline
