# SPDX-License-Identifier: Apache-2.0
"""The operator's request: may it be acted on, what is it waiting for, and how far is it?

The holder acts on a request that names it and its term, and only before it expires; until it tells neard to drop the key
nothing has changed, and the request can still be refused. From then on it runs its course whatever happens to the command
line: the lock is released for the candidate, and if the candidate does not take it, the next one does. Whoever holds the
lock after that tells the outcome. Every phase is found from the facts, so a node that sees a request late tells it right.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from .lease import Lease
from .model import Giveup, NodeState, Peer
from .protocol import Ask, MemberRecord, Outcome, Request, Step
from .ranking import standbys

PASSING = frozenset({"new-watch", "settling", "paused"})
"""What a candidate gets over by itself, or by being asked for by name (``paused``); anything else refuses the request."""

CANDIDATE_INTERVAL = 1.0
"""Seconds between two words of a node that is asked to take the lock: the holder lets go on the last one."""


class Move(enum.Enum):
    """What the holder does about a request."""

    WAIT = "wait"
    GO = "go"
    END = "end"


@dataclass(frozen=True)
class Course:
    """The next move of the node that is asked. ``step``: the phase reached; ``outcome`` with END; ``request`` with GO, and
    ``giveup`` if it holds the lock.
    """

    move: Move
    step: Step
    why: str
    outcome: Outcome | None = None
    giveup: Giveup | None = None
    request: str = ""


def expires(state: NodeState, request: Request) -> float:
    """Boottime seconds after which the request is void: by its own moment, and by how long this node has known it."""
    return min(request.expires - state.wall, state.desk.first_seen + (request.expires - request.issued))


def certain(state: NodeState) -> bool:
    """Is it too late to withdraw the request? Its confirmation was written by compare-and-set, so it is as we know it."""
    return state.desk.request is not None and state.desk.request.marked(Step.CONFIRMED) is not None


def mine(state: NodeState) -> Request | None:
    """The pending request that asks this holder, in this term, to hand over (or to restart)."""
    request, lease = state.desk.pending, state.lease
    if request is None or lease is None or state.stop_requested is not None:
        return None
    ours = request.holder == state.identity.node_id and request.term == lease.term
    handover = request.ask is Ask.HANDOVER or request.node == state.identity.node_id
    return request if ours and handover else None


def course(state: NodeState, request: Request, now: float) -> Course:
    """What the holder does about a request that is ``mine``."""
    if state.child is None or not state.child.key_live:
        late = now >= expires(state, request)
        return _end(Outcome.EXPIRED, "the holder did not validate yet") if late else _wait("it does not validate yet")
    if now >= expires(state, request):
        return _end(Outcome.EXPIRED, f"not begun in time: {_waiting_for(state, request)}")
    if (wait := _waiting_for(state, request)) and request.when != "now":
        return _wait(wait, Step.WAITING)  # what is wrong with the candidate by then is over, or is told when it is time
    candidate, fault = _candidate(state, request, now)
    if fault and (state.fleet_read is None or state.fleet_sent < state.desk.first_seen):
        return _wait(f"reading the nodes' records anew: {fault}")  # what is older than the request may be over
    if fault:
        return _end(Outcome.REFUSED, fault)
    name = candidate.record.node_id if candidate is not None else ""
    if candidate is not None and now - candidate.seen > _hearing(state, request):
        return _wait(f"{name} has not been heard of for a while")
    if request.ask is Ask.HANDOVER and candidate is not None and candidate.record.ready_for != request.id:
        return _wait(f"{name} has not said yet that it is ready")
    text = _text(request)
    giveup = Giveup(text, fault=False, successor=name, request=request.id)
    return Course(Move.GO, Step.CONFIRMED, text, giveup=giveup, request=request.id)


def _hearing(state: NodeState, request: Request) -> float:
    """Seconds for which a candidate's word is good: three times as often it is told anew."""
    return 3 * (CANDIDATE_INTERVAL if request.ask is Ask.HANDOVER else state.policy.member_interval)


def _text(request: Request) -> str:
    return f"{request.ask.value} asked for by {request.by or 'an operator'}: {request.reason or 'no reason given'}"


def _wait(why: str, step: Step = Step.PLANNED) -> Course:
    return Course(Move.WAIT, step, why)


def _end(outcome: Outcome, why: str) -> Course:
    return Course(Move.END, Step.PLANNED, why, outcome)


def _candidate(state: NodeState, request: Request, now: float) -> tuple[Peer | None, str]:
    """The node that is to take the lock, or why it may not be; neither if a holder is restarted that has no standby."""
    if request.ask is Ask.HANDOVER and request.node == state.identity.node_id:
        return None, f"{request.node} holds the lock already"
    names = [request.node] if request.ask is Ask.HANDOVER else [record.node_id for record in standbys(state, now)]
    fault = f"there is no node {request.node}" if request.ask is Ask.HANDOVER else ""
    known = {peer.record.node_id: peer for peer in state.peers}
    status = state.child.status if state.child is not None else None
    protocol = status.protocol if status is not None else 0
    for peer in (known[name] for name in names if name in known):
        fault = unfit(peer.record, peer.live, state.identity.fingerprint, protocol, request.allow_restart)
        if not fault:
            return peer, ""
    return None, fault


def unfit(record: MemberRecord, live: bool, fingerprint: str, protocol: int, allow_restart: bool) -> str:
    """Why this node can't be handed the lock; empty when it can.

    ``fingerprint`` is the validator's public key, ``protocol`` the chain's version as the holder sees it (0: unknown).
    """
    name = record.node_id
    if not live:
        return f"{name} is not there: its session has ended"
    if fingerprint and record.fingerprint != fingerprint:
        return f"{name} has another validator key: {record.fingerprint}"
    bad = [code for code in record.ineligible if code not in PASSING]
    if bad:
        return f"{name} is not eligible: {', '.join(bad)}"
    if 0 < record.latest_protocol < protocol:
        return f"{name}'s neard {record.neard_version} can't follow protocol version {protocol}"
    if record.promotion != "hot-swap" and not allow_restart:
        return f"{name} would have to restart its neard to get the key; --allow-restart accepts that"
    return ""


def _waiting_for(state: NodeState, request: Request) -> str:
    """What has to come before the handover; empty when it is time."""
    child = state.child
    head = child.status.height if child is not None and child.status is not None else 0
    if request.when == "window":
        return _window(state, head, request.min_window)
    if request.when != "now" and head < int(request.when):
        return f"waiting for height {request.when}"
    return ""


def _window(state: NodeState, head: int, shortest: int) -> str:
    windows = state.desk.windows
    if windows is None:
        return "asking neard for maintenance windows"
    if windows.why:
        return f"neard does not tell its maintenance windows: {windows.why}"
    left = [(max(start, head + 1), end) for start, end in windows.spans]
    fit = [(start, end) for start, end in left if end - start >= shortest]
    if not fit:
        return f"no window of {shortest} blocks is known of in this epoch"
    start, end = min(fit)
    return "" if start <= head + 1 else f"waiting for the window {start} to {end - 1}"


# --- after the lock has moved ---


@dataclass(frozen=True)
class Progress:
    """A phase that was reached, and the outcome if that is now clear."""

    step: Step
    outcome: Outcome | None = None
    why: str = ""


def progress(state: NodeState) -> Progress | None:
    """The next phase of the pending request that this node knows to be reached and has not told yet."""
    request = state.desk.pending
    if request is None:
        return None
    for found in (*_given_up(state, request), *_taken(state, request), *_restarted(state, request)):
        if found.outcome is not None or not state.desk.knows(found.step):
            return found
    return None


def _given_up(state: NodeState, request: Request) -> list[Progress]:
    """On the way out: what the node that gives the lock up for this request has seen."""
    ghost, lease, child = state.ghost, state.lease, state.child
    if state.giveup is not None and state.giveup.request == request.id and lease is not None:
        return (
            [Progress(Step.UNLOADING)] if child is not None and (child.unload_asked is not None or child.stopping) else []
        )
    if ghost is not None and ghost.giveup.request == request.id:
        return [Progress(Step.STOPPED)]
    return [Progress(Step.STOPPED), Progress(Step.RELEASED)] if state.released_for == request.id and lease is None else []


def _taken(state: NodeState, request: Request) -> list[Progress]:
    """On the way in: what whoever holds the lock after the request's term has to say."""
    lease, child = state.lease, state.child
    other = lease is not None and request.holder != state.identity.node_id and request.term == lease.term
    if lease is None or not (other or lease.term > request.term):
        return []
    if request.ask is Ask.RESTART and request.node != state.identity.node_id:
        return []
    begun = state.desk.knows(Step.CONFIRMED) if request.ask is Ask.HANDOVER else _under_way(state, request)
    if lease.claim.request != request.id and not begun:
        text = f"never begun: {state.identity.node_id} holds the lock in term {lease.term}: {lease.claim.why}"
        return [Progress(Step.DONE, Outcome.REFUSED, text)]
    if request.ask is Ask.RESTART:
        return []
    found = [Progress(Step.ACQUIRED)]
    if child is None or not child.key_live:
        return found
    found.append(Progress(Step.LOADED))
    if child.head_changed > child.key_live_since:
        found.extend([Progress(Step.PRODUCING), _verdict(state, request, lease)])
    return found


def _verdict(state: NodeState, request: Request, lease: Lease) -> Progress:
    me, asked = state.identity.node_id, request.node
    text = f"{me} validates in term {lease.term}"
    if lease.claim.request != request.id:
        text = f"{text}, but not by this request: {lease.claim.why}"
    if me == asked:
        return Progress(Step.DONE, Outcome.DONE, text)
    return Progress(Step.DONE, Outcome.ROLLED_BACK, f"{asked} did not take the lock; {text}")


def _restarted(state: NodeState, request: Request) -> list[Progress]:
    """A restart is done when the neard that was started since answers and is synced."""
    child = state.child
    asked = request.ask is Ask.RESTART and request.node == state.identity.node_id and state.lease is None
    if not asked or not _under_way(state, request):
        return []
    if child is not None and (child.stopping or child.unload_asked is not None):
        return []
    found = [Progress(Step.STOPPED)]
    if child is not None and child.synced and child.identified:
        found.append(Progress(Step.DONE, Outcome.DONE, f"neard runs again with pid {child.pid}"))
    return found


def _under_way(state: NodeState, request: Request) -> bool:
    """Was the restart that is asked of this node begun, here or in an earlier life of this supervisor?

    A holder's is begun by its word: when the lease ends, that neard is dead. Nobody but this node confirms a restart of it,
    so a confirmation that it doesn't remember is an earlier life's, and with that its neard has ended.
    """
    if state.stopped_for == request.id:
        return True
    answer = state.desk.answer
    here = answer is not None and any(mark.step is Step.CONFIRMED for mark in answer.marks)
    confirmed = request.marked(Step.CONFIRMED) is not None
    return confirmed and (request.holder == request.node or not here)


def restart(state: NodeState, now: float) -> Course | None:
    """What a standby does about a request to restart its neard; None when there is none, or it is under way.

    Like a holder it begins only once its confirmation is written: from then on nobody withdraws the request.
    """
    request = state.desk.pending
    asked = request is not None and request.ask is Ask.RESTART and request.node == state.identity.node_id
    if request is None or not asked or state.lease is not None or _under_way(state, request):
        return None
    if request.holder == request.node:
        unsure = state.desk.knows(Step.CONFIRMED) or state.ghost is not None
        return None if unsure else _end(Outcome.REFUSED, "it does not hold the lock any more")
    if state.fleet_read is None:
        return None  # nor does it know the time of day
    if now >= expires(state, request):
        return _end(Outcome.EXPIRED, "not begun in time")
    if not certain(state):
        return Course(Move.WAIT, Step.CONFIRMED, "about to restart neard")
    return Course(Move.GO, Step.CONFIRMED, _text(request), request=request.id)
