# SPDX-License-Identifier: Apache-2.0
"""One form for all situations that the rules cannot tell apart. Why each step is sound:

* ``aged``: the rules only ever compare times with each other and with now (``test_normal`` shows that a shifted node
  decides the same, shifted), so instead of the clock going on, every time goes back.
* ``tidied`` clamps each time where every comparison it takes part in has been decided for good. The horizon stands beside
  each field. Comparisons of two stored times are kept: ``lease.proof`` with ``child_died`` (only while the proof is at
  most r + h old), the newest heartbeat with ``child_died`` (only before the next is due), ``watch.last_seen`` with
  ``take_refused``. Events that wait in an inbox carry their own, older times: while one waits, the times it is compared
  with are kept for as much longer as a pause may last.
* Texts are read only for being there or not; heartbeat counters, the number of starts and host names not at all. Two views
  of the lock that differ in the counter also differ in their index.
* What a node knows of the lock becomes one and the same once it has been blind for longer than D: it may not take the lock
  before a new read, and that read starts everything anew but ``largest_guard``, which is kept.
* Serial numbers tell neards of one host apart; only one exists at a time, so it is number 1.
"""

from __future__ import annotations

import math
from typing import Any, TypeVar

from exhaustive.world import LONG_AGO, NOW, UNSEEN, Host, Scale
from kuutamod.core.change import replace
from kuutamod.core.claim import Claim
from kuutamod.core.events import ChildExited
from kuutamod.core.holder import RELOAD_RETRY
from kuutamod.core.lease import Lease
from kuutamod.core.lifecycle import RELEASE_PATIENCE
from kuutamod.core.model import Child, Faults, LockView, NodeState, Slot, Watch
from kuutamod.core.protocol import LockRecord
from kuutamod.core.readiness import ANSWER_AGE

T = TypeVar("T")

TIMES: dict[str, tuple[str, ...]] = {
    "NodeState": (
        "started",
        "child_died",
        "stop_since",
        "fleet_sent",
        "fleet_read",
        "wall",
        "member_published",
        "take_refused",
    ),
    "Child": (
        "started",
        "guard_asked",
        "guard_silent_since",
        "guard_fence",
        "answered",
        "silent_since",
        "head_changed",
        "syncing_since",
        "synced_since",
        "lonely_since",
        "unload_asked",
        "unloaded",
        "key_asked",
        "key_reload",
        "key_live_since",
        "killed_at",
    ),
    "Session": ("renewed",),
    "Lease": ("proof", "since", "idle_since"),
    "Ghost": ("idle_since", "tried"),
    "Watch": ("first_seen", "last_seen", "since"),
    "Peer": ("seen",),
    "Faults": ("since", "next_start"),
    "ChildExited": ("at",),
    "StartChild": ("fence_at",),
    "PlaceKey": ("fence_at",),
    "ExtendGuard": ("fence_at",),
    "GuardView": ("fence_at", "stop_by"),
}
"""Every field that is a moment on the host's clock; ``test_normal`` holds the lists against the dataclasses."""

HOLDING_TIMES: dict[str, tuple[str, ...]] = {
    "Host": ("node", "outbox", "inbox", "guard"),
    "NodeState": ("child", "session", "lease", "ghost", "watch", "peers", "faults"),
    "Guard": ("view",),
}
"""Where more of them are."""

TEXT = "…"
"""Stands for every sentence that a node remembers: the rules only ask whether there is one."""


def shifted(value: T, by: float) -> T:
    """The same at another time: every moment in it is ``by`` seconds later."""
    if isinstance(value, tuple):
        return tuple(shifted(part, by) for part in value)  # type: ignore[return-value]
    name = type(value).__name__
    changes: dict[str, Any] = {}
    for each in TIMES.get(name, ()):
        old = getattr(value, each)
        changes[each] = None if old is None else old + by
    for each in HOLDING_TIMES.get(name, ()):
        changes[each] = shifted(getattr(value, each), by)
    if isinstance(value, NodeState):
        changes["tried"] = {slot: at + by for slot, at in value.tried.items()}
    return replace(value, **changes) if changes else value  # type: ignore[type-var]


def aged(host: Host) -> Host:
    """The host a tick later. Nothing of a frozen host's neard happens meanwhile, but its clock goes on."""
    neard = host.neard
    if neard is not None and neard.killed is not None and not host.frozen:
        neard = replace(neard, killed=neard.killed + 1)
    stopped = host.stopped_for + 1 if host.stopped else 0
    return replace(shifted(host, -1.0), neard=neard, stopped_for=stopped, due=host.awake)


def plain(record: LockRecord) -> LockRecord:
    """A record as the explored world keeps it."""
    return replace(record, heartbeat=0, hostname="", phase="", reason="", idle=0.0)


def plain_claim(claim: Claim) -> Claim:
    """The grounds of a takeover as far as the rules read them here; the rest is for people and for heights."""
    return Claim(fault=claim.fault, confirmed=claim.confirmed)


def tidied(node: NodeState, scale: Scale, waiting: float = 0.0) -> NodeState:
    """The node's one form. ``waiting``: the age that a waiting event may have."""
    child, lease, watch, ghost = node.child, node.lease, node.watch, node.ghost
    if child is not None:
        child = _child(child, node, scale, waiting)
    if lease is not None:
        lease = _lease(lease, node, scale, waiting)
    if watch is not None:
        watch = _watch(watch, node, scale)
    if ghost is not None:
        tried = ghost.tried if ghost.tried is not None and ghost.tried > NOW - 1 else None  # RETRY
        ghost = replace(ghost, tried=tried, giveup=replace(ghost.giveup, reason=TEXT))
    giveup = node.giveup
    if giveup is not None:
        giveup = replace(giveup, reason=TEXT)
    return replace(
        node,
        child=child,
        lease=lease,
        watch=watch,
        ghost=ghost,
        giveup=giveup,
        started=LONG_AGO,
        serial=0 if child is None else 1,
        starts=0,
        home_why="",
        child_died=_died(node),
        # session_renewal is NEVER
        session=None if node.session is None else replace(node.session, renewed=NOW),
        session_fault=_word(node.session_fault),
        stop_requested=_word(node.stop_requested),
        stop_since=_clamp(node.stop_since, RELEASE_PATIENCE),
        peers=tuple(replace(peer, seen=LONG_AGO) for peer in node.peers),  # freeze_timeout is NEVER
        wall=0.0,  # no moment of the day counts: nobody asks for anything
        history=(0, False),  # it is written at once and always
        fleet_sent=LONG_AGO,  # only a request asks for it
        fleet_read=None if node.fleet_read is None else LONG_AGO,
        member_said=None,  # a member record is written at once and always: whether it is due again changes nothing
        member_published=None,
        take_refused=_refused(node),
        faults=_faults(node, scale, waiting),
        tried={slot: at for slot, at in node.tried.items() if at > NOW - 1 and _retried(node, slot)},  # RETRY, r
    )


def _clamp(at: float, horizon: float) -> float:
    return at if at > NOW - horizon else LONG_AGO


def _word(text: str | None) -> str | None:
    return TEXT if text else text


def _retried(node: NodeState, slot: Slot) -> bool:
    """Can it matter that the slot was used in this tick?

    Home, member record and fleet always say the same and may be asked again; so may neard, ten times a second anyway.
    """
    match slot:
        case Slot.HEARTBEAT:
            return node.lease is not None
        case Slot.SESSION:
            return node.session is None or node.session_fault is not None
        case Slot.LOCK | Slot.READ:
            return node.lease is None
    return False


def _died(node: NodeState) -> float:
    """Compared with proofs and heartbeats that count for r + h, the pause before the next start, the end's patience.

    Without a lease, and without a take on its way, every proof to come is younger.
    """
    pause = 2.0 ** (node.start_failures - 1) if node.start_failures else 0.0
    if node.lease is not None or Slot.LOCK in node.inflight:
        pause = max(pause, node.policy.law.fence_deadline)
    return _clamp(node.child_died, RELEASE_PATIENCE if node.stop_requested else pause)


def _refused(node: NodeState) -> float | None:
    """Two questions are asked of it: was the lock read since, and has TAKE_RETRY (less than a tick) passed?"""
    refused, watch = node.take_refused, node.watch
    if refused is None or refused > NOW - 1:
        return refused
    return None if watch is not None and watch.last_seen > refused else NOW - 1


def _faults(node: NodeState, scale: Scale, waiting: float) -> Faults:
    faults = node.faults
    since = faults.since
    if since is not None and since <= NOW - scale.hold_off - waiting:
        since = None
    waits = node.lease is not None and faults.next_start > NOW
    return Faults(since, faults.retries, faults.next_start if waits else 0.0)


def _child(child: Child, node: NodeState, scale: Scale, waiting: float) -> Child:
    live = child.key_live
    settled = scale.settled + waiting  # stands for SETTLED; start_timeout is NEVER
    since = _clamp(child.key_live_since, settled) if node.faults.retries else LONG_AGO
    return replace(
        child,
        serial=1,
        started=_clamp(child.started, settled),
        guard_asked=child.guard_asked if (child.guard_asked or 0.0) > NOW - 1 else None,  # heartbeat_interval
        guard_silent_since=None if child.guard_silent_since is None else _clamp(child.guard_silent_since, 3.0),
        guard_fence=child.guard_fence if child.keyed and child.guard_fence > NOW else 0.0,  # newer ones lie ahead
        answered=None if child.answered is None else _clamp(child.answered, ANSWER_AGE + 1),
        head_changed=LONG_AGO,  # freeze_timeout is NEVER
        key_asked=None if child.key_asked is None else LONG_AGO,  # hot_swap_timeout is NEVER
        key_reload=0.0 if live or not child.keyed else _clamp(child.key_reload, RELOAD_RETRY),
        key_live_since=since if live else 0.0,
        synced_since=0.0,  # settle_time is 0
        unload_asked=None if child.unload_asked is None else -math.inf,  # it is refused
        killed_at=0.0 if child.killed is None else _clamp(child.killed_at, scale.kill_budget + 1),
        key_fault=TEXT if child.key_fault else "",
        stopping=_word(child.stopping),
        killed=_word(child.killed),
    )


def _lease(lease: Lease, node: NodeState, scale: Scale, waiting: float) -> Lease:
    since = _clamp(lease.since, scale.hold_off + waiting) if lease.claim.fault else LONG_AGO  # hot_swap_timeout: NEVER
    # From the deadline on it may not sign, and no older answer changes that.
    proof = max(lease.proof, NOW - node.policy.law.fence_deadline - waiting)
    claim = plain_claim(lease.claim)
    return replace(lease, since=since, proof=proof, claim=claim, counter=0, lost=_word(lease.lost), doubt="")


def _watch(watch: Watch, node: NodeState, scale: Scale) -> Watch:
    law = node.policy.law
    if watch.last_seen < NOW - law.fence_deadline:
        return replace(watch, view=LockView(UNSEEN), first_seen=-math.inf, last_seen=-math.inf, since=-math.inf)
    guard = scale.guard_time + scale.longer  # the largest of any node
    first_seen = _clamp(watch.first_seen, guard + node.policy.patience)
    return replace(watch, first_seen=first_seen, since=_clamp(watch.since, guard))


def tidied_host(host: Host, scale: Scale) -> Host:
    """The host's one form."""
    node, guard, inbox = host.node, host.guard, host.inbox
    if node is not None:
        node = tidied(node, scale, float(scale.longest_pause) if inbox else 0.0)
    if guard is not None:
        view = guard.view
        fence_at = None if view.fence_at is None else max(view.fence_at, NOW)
        stop_by = None if view.stop_by is None else max(view.stop_by, NOW)
        guard = replace(guard, view=replace(view, fence_at=fence_at, stop_by=stop_by))
    if inbox:
        inbox = tuple(replace(event, why=TEXT) if isinstance(event, ChildExited) else event for event in inbox)
    return replace(host, node=node, guard=guard, inbox=inbox)
