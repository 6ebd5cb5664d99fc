# SPDX-License-Identifier: Apache-2.0
"""Products that are wrong on purpose: each has one rule missing or bent, and the simulator must find out.

A mutant is a set of switches for the adapters, patches of the rules (in this process, while it runs), and a change of the
fleet's settings. None of this exists in production code.
"""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any
from unittest import mock

from kuutamod.consul import transactions
from kuutamod.core import actions as ac
from kuutamod.core import answers, handover, heights, holder, lifecycle, plan, readiness, records, standby, takeover, upkeep
from kuutamod.core import decide as deciding
from kuutamod.core import events as ev
from kuutamod.core import observe as observing
from kuutamod.core.change import replace as changed
from kuutamod.core.desk import Desk, unsaid
from kuutamod.core.lease import Lease, LeaseLaw, prove
from kuutamod.core.model import LockView, NodeState, Slot, Watch
from kuutamod.core.plan import Plan
from kuutamod.core.protocol import LockRecord, Request
from kuutamod.core.readiness import Reason
from kuutamod.core.recovery import let_go
from kuutamod.core.takeover import Opening
from kuutamod.guard import rules as guarding
from kuutamod.guard.rules import Cause, GuardView

from . import adapter
from .setup import Setup
from .switches import NONE, Switches

SAFETY = frozenset({"two signers", "taken from the living", "height signed twice", "released without proof"})
"""The rules whose breach can double sign."""
Patch = tuple[Any, str, Any]


@contextlib.contextmanager
def patched(patches: tuple[Patch, ...]) -> Iterator[None]:
    """Functions of the production code are replaced inside."""
    with contextlib.ExitStack() as stack:
        for owner, name, value in patches:
            stack.enter_context(mock.patch.object(owner, name, value))
        yield


@dataclass(frozen=True)
class Mutant:
    """One wrong product. ``breaks``: the rules of the judge that it may break; ``says`` for people.

    ``rare``: it takes a chain of events that random schedules hardly ever have; a kept schedule has it.
    """

    name: str
    says: str
    switches: Switches = NONE
    patches: tuple[Patch, ...] = ()
    rules: tuple[tuple[type[Any], Callable[..., NodeState]], ...] = ()
    change: Callable[[Setup], Setup] = lambda setup: setup
    breaks: frozenset[str] = SAFETY
    rare: bool = False

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """The rules are wrong inside."""
        with patched(self.patches), mock.patch.dict(observing._RULES, dict(self.rules)):
            yield


# --- proofs ---


def _renewal_proves(state: NodeState, event: ev.SessionRenewed) -> NodeState:
    state = answers._session_renewed(state, event)
    lease = state.lease
    if lease is None or lease.session != event.session:
        return state
    return changed(state, lease=prove(lease, event.sent))


def _read_proves(state: NodeState, event: ev.LockSeen) -> NodeState:
    state = answers._lock_seen(state, event)
    lease = state.lease
    if lease is None or event.view.session != lease.session:
        return state
    return changed(state, lease=prove(lease, event.sent))


def _holder_reads(sheet: Plan) -> None:
    upkeep.keep_watching(sheet)
    if sheet.state.lease is not None and sheet.due(Slot.READ, 1.0):
        sheet.do(ac.ReadLock())


def _bare_lock(key: str, session: str, value: str) -> list[transactions.Operation]:
    return [{"KV": {"Verb": "lock", "Key": key, "Session": session, "Value": base64.b64encode(value.encode()).decode()}}]


# --- takeovers ---


def _by_lock_delay(watch: Watch, law: LeaseLaw) -> Opening | None:
    if watch.view.session is None and not watch.view.missing:
        return Opening(ac.TakeKind.FREE, watch.first_seen, "it is free and Consul lets us", watch.first_seen)
    return takeover.opening(watch, law)


def _own_guard_only(watch: Watch, law: LeaseLaw) -> Opening | None:
    return takeover.opening(changed(watch, largest_guard=0.0), law)


def _missing_after_guard(watch: Watch, law: LeaseLaw) -> Opening | None:
    if watch.view.missing:
        at = watch.first_seen + law.guard_time
        return Opening(ac.TakeKind.FREE, at, "it has been missing for the guard time", at)
    return takeover.opening(watch, law)


def _holders_clock(watch: Watch | None, view: LockView, at: float, law: LeaseLaw) -> Watch:
    watch = _watch_lock(watch, view, at, law)
    written = view.record.idle if view.record is not None and not view.released else 0.0
    return changed(watch, first_seen=written) if written else watch


def _with_own_clock(state: NodeState, lease: Lease) -> LockRecord:
    return replace(_heartbeat(state, lease), idle=lease.proof)


def _unchecked(kind: ac.TakeKind, key: str, session: str, index: int, value: str) -> list[transactions.Operation]:
    return [operation for operation in _take(kind, key, session, index, value) if operation["KV"]["Verb"] != "check-index"]


def _missing_or(kind: ac.TakeKind, key: str, session: str, index: int, value: str) -> list[transactions.Operation]:
    if index:
        return _take(kind, key, session, index, value)
    return [{"KV": {"Verb": "check-not-exists", "Key": key}}, *_bare_lock(key, session, value)]


_take = transactions.take
_begin = plan.begin
_heartbeat = records.heartbeat
_watch_lock = takeover.watch_lock
_must_kill = guarding.must_kill
_sleep_for = guarding.sleep_for


def _any_term(state: NodeState, now: float) -> tuple[Reason, ...]:
    return tuple(reason for reason in readiness.ineligible(state, now) if reason.code != "term-regress")


def _never_blind(watch: Watch | None, view: LockView, at: float, law: LeaseLaw) -> Watch:
    seen = changed(watch, last_seen=at) if watch is not None else None
    return _watch_lock(seen, view, at, law)


_NO_HEIGHTS: tuple[Patch, ...] = ((heights, "MOVES", 0), (standby, "behind", lambda *_unused: False))


# --- ends ---


def _early_release(state: NodeState, action: ac.Action, now: float) -> NodeState:
    state = _begin(state, action, now)
    child = state.child
    if isinstance(action, ac.KillChild | ac.StopChild) and action.giveup is not None and child is not None:
        return changed(let_go(state, action.giveup), child=changed(child, keyed=False))
    return state


def _no_fence(view: GuardView, now: float) -> Cause | None:
    return _must_kill(replace(view, fence_at=None), now)


def _sleep_on(view: GuardView, now: float) -> float:
    return _sleep_for(replace(view, fence_at=None), now)


def _no_orphans(view: GuardView, now: float) -> Cause | None:
    return _must_kill(replace(view, orphaned=False), now)


# --- the Rust product ---


_left_to_say = unsaid


def _unsaid_anyway(desk: Desk) -> Request | None:
    request, answer = desk.request, desk.answer
    if request is None or answer is None or request.outcome is None or answer.outcome in (None, request.outcome):
        return _left_to_say(desk)
    return replace(request, outcome=answer.outcome, why=answer.why)


def _rust_law(setup: Setup) -> Setup:
    """Session TTL 30 s renewed every 10 s, step-down 25 s after the last answer, behaviour delete, no lock delay."""
    nodes = []
    for node in setup.nodes:
        law = replace(
            node.policy.law,
            fence_deadline=25.0,
            guard_time=0.001,
            session_ttl=30.0,
            session_renewal=10.0,
            heartbeat_interval=1.0,
        )
        nodes.append(replace(node, policy=replace(node.policy, law=law)))
    return replace(setup, nodes=tuple(nodes), session_behavior="delete", lock_delay=0.0)


def _blind_acquire(watch: Watch, law: LeaseLaw) -> Opening | None:
    at = watch.first_seen if watch.view.session is None else float("inf")
    return Opening(ac.TakeKind.FREE, at, "it looks free", at)


def _blind_take(kind: ac.TakeKind, key: str, session: str, index: int, value: str) -> list[transactions.Operation]:
    return _bare_lock(key, session, value)


RUST = Mutant(
    "the Rust product",
    "session only, renewed every 10 s, counted from the answer; polite step-down after 25 s; blind acquire; no heights",
    Switches(proof_from_answer=True, polite_fence=True),
    (
        (standby, "opening", _blind_acquire),
        (transactions, "take", _blind_take),
        (transactions, "in_term", lambda taking, *_unused: taking),
        (upkeep, "_heartbeat_due", lambda _unused: False),
        (lifecycle, "fresh_proof", lambda *_unused: True),
        (readiness, "fresh_proof", lambda *_unused: True),
        *_NO_HEIGHTS,
    ),
    ((ev.SessionRenewed, _renewal_proves),),
    change=_rust_law,
)

MUTANTS = (
    RUST,
    Mutant("answer time", "a proof counts from its answer, not from its sending", Switches(proof_from_answer=True)),
    Mutant(
        "renewal proves",
        "a renewed session counts as a proof of holding",
        rules=((ev.SessionRenewed, _renewal_proves),),
    ),
    Mutant(
        "default read proves",
        "a read in Consul's default mode counts as a proof of holding",
        Switches(default_reads=True),
        ((deciding, "keep_watching", _holder_reads),),
        ((ev.LockSeen, _read_proves),),
    ),
    Mutant(
        "bare re-acquire",
        "a heartbeat locks the key again, without looking whether it is held",
        Switches(locking_heartbeat=True),
        ((transactions, "heartbeat", _bare_lock),),
        breaks=frozenset({"lock taken without a take"}),
    ),
    Mutant(
        "holder's clock",
        "a contender counts G from the time that the holder wrote",
        patches=((answers, "watch_lock", _holders_clock), (records, "heartbeat", _with_own_clock)),
    ),
    Mutant(
        "stale read",
        "a contender counts and takes by what a follower shows",
        Switches(stale_reads=True),
        ((transactions, "take", _unchecked),),
    ),
    Mutant("early release", "the lock is released when the kill is asked for", patches=((plan, "begin", _early_release),)),
    Mutant("polite fence", "a fence is SIGTERM, and SIGKILL thirty seconds later", Switches(polite_fence=True)),
    Mutant("stopping clock", "timers stop while the host is suspended", Switches(clock_stops_in_suspend=True)),
    Mutant(
        "lock delay for G",
        "a contender trusts Consul's lock delay and takes a free key at once",
        patches=((standby, "opening", _by_lock_delay),),
    ),
    Mutant(
        "no term check",
        "a term that went backwards is not looked at",
        patches=((plan, "ineligible", _any_term),),
        breaks=frozenset({"term went backwards"}),
    ),
    Mutant(
        "own G only",
        "a contender ignores a larger G that the holder published",
        patches=((standby, "opening", _own_guard_only),),
    ),
    Mutant("unchecked take", "a take does not check the index", patches=((transactions, "take", _unchecked),)),
    Mutant(
        "missing after G",
        "a missing key is taken once it has looked missing for G",
        patches=((standby, "opening", _missing_after_guard), (transactions, "take", _missing_or)),
        breaks=SAFETY | {"term used twice"},
    ),
    Mutant(
        "no height rule",
        "a new holder signs from its own head on",
        patches=_NO_HEIGHTS,
        breaks=frozenset({"height signed twice"}),
    ),
    Mutant(
        "guard without fence",
        "the guard does not fence by its own clock",
        patches=((guarding, "must_kill", _no_fence), (guarding, "sleep_for", _sleep_on)),
    ),
    Mutant(
        "requests never end",
        "a holder acts on a request however old it is",
        patches=((handover, "expires", lambda *_unused: float("inf")), (holder, "expires", lambda *_unused: float("inf"))),
        breaks=frozenset({"stale request"}),
    ),
    Mutant(
        "requests without compare-and-set",
        "a holder acts before Consul has its confirmation, though the request may be withdrawn meanwhile",
        patches=((holder, "certain", lambda _unused: True),),
        breaks=frozenset({"stale request"}),
    ),
    Mutant(
        "outcome told again",
        "a node tells how a request ended though somebody has told it already",
        patches=((upkeep, "unsaid", _unsaid_anyway),),
        breaks=frozenset({"two outcomes"}),
    ),
    Mutant(
        "terms by hearsay",
        "a take does not check that its term is new, nor is the history read",
        patches=((transactions, "in_term", lambda taking, *_unused: taking), (adapter, "newest_term", lambda *_unused: 0)),
        breaks=frozenset({"term used twice"}),
        rare=True,
    ),
    Mutant(
        "never blind",
        "a contender that was blind goes on counting",
        patches=((answers, "watch_lock", _never_blind),),
        rare=True,
    ),
    Mutant(
        "guard without pipe",
        "the guard does not notice a dead supervisor",
        patches=((guarding, "must_kill", _no_orphans),),
        breaks=frozenset({"nobody signs", "never quiet"}),
    ),
)
