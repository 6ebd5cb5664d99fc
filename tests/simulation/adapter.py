# SPDX-License-Identifier: Apache-2.0
"""The rules' Consul actions as requests to the model: the production transactions, the production deadlines."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from kuutamod.consul import transactions
from kuutamod.core import actions as ac
from kuutamod.core import events as ev
from kuutamod.core.model import LockView
from kuutamod.core.protocol import (
    LockRecord,
    MemberRecord,
    TermRecord,
    history_key,
    member_key,
    members_prefix,
    newest_term,
)

from .cluster import LOCK, WATCH_DEADLINE
from .consul import LOST, Entry, Refused
from .coverage import Seen
from .request import Done, Failed, Reply, Request
from .setup import ACCOUNT

if TYPE_CHECKING:
    from .supervisor import Supervisor

__all__ = ["Done", "request", "seen", "watch"]

DEADLINES = {ac.CreateSession: 3.0, ac.Publish: 3.0, ac.DestroySession: 2.0, ac.WriteHistory: 3.0}
"""In request deadlines; everything else gets one."""


def request(node: Supervisor, action: ac.Action, now: float) -> Request:
    """The request of an action that was begun at ``now`` (local seconds)."""
    maker = _MAKERS[type(action)]
    made = maker(node, action, now)
    made.deadline = node.host.world.timeline.now + node.host.clock.span(
        node.host.law.request_deadline * DEADLINES.get(type(action), 1.0)
    )
    return made


def _request(
    node: Supervisor,
    kind: str,
    run: Callable[[], Reply],
    finish: Callable[[Reply], ev.Event],
    locks: str | None = None,
    session: str | None = None,
) -> Request:
    return Request(kind, node.host.link, run, finish, node.notify, 0.0, locks, session)


def _outcome(reply: Reply) -> tuple[ev.Outcome, str]:
    """What a write is known to have done, and the words for it."""
    if isinstance(reply, Done):
        return ev.Outcome.APPLIED, ""
    if isinstance(reply, Failed):
        return ev.Outcome.UNKNOWN, reply.why
    return ev.Outcome.REFUSED, reply.value


def _if_lost(reply: Reply) -> tuple[ev.Outcome, str]:
    """The same for the holder's writes: only Consul's definite word counts as refused."""
    outcome, why = _outcome(reply)
    if outcome is ev.Outcome.REFUSED and reply not in LOST:
        return ev.Outcome.UNKNOWN, why
    return outcome, why


# --- the lock ---


def _heartbeat(node: Supervisor, action: ac.Heartbeat, now: float) -> Request:
    operations = transactions.heartbeat(LOCK, action.session, action.record.to_json())
    world = node.host.world

    def run() -> Reply:
        return world.judge.heartbeat(node.host, action.record, action.session, operations) or Done()

    def finish(reply: Reply) -> ev.Event:
        outcome, why = _if_lost(reply)
        sent = node.host.local() if world.switches.proof_from_answer else now
        return ev.HeartbeatAnswered(action.session, outcome, sent, why)

    return _request(node, "heartbeat", run, finish, locks=LOCK if world.switches.locking_heartbeat else None)


def _take(node: Supervisor, action: ac.Take, now: float) -> Request:
    term = TermRecord(action.record.term, node.host.name, node.host.wall())
    taking = transactions.take(action.kind, LOCK, action.session, action.view.index, action.record.to_json())
    operations = transactions.in_term(taking, ACCOUNT, term)
    world = node.host.world

    seen = node.state.term_seen

    def run() -> Reply:
        late = made.closed or world.timeline.now > made.deadline
        return world.judge.take(node.host, action, operations, seen, late) or Done()

    def finish(reply: Reply) -> ev.Event:
        outcome, why = _outcome(reply)
        at = node.host.local()
        sent = at if world.switches.proof_from_answer else now
        return ev.TakeAnswered(
            session=action.session,
            outcome=outcome,
            record=action.record,
            claim=action.claim,
            sent=sent,
            at=at,
            why=why,
            term_taken=reply is Refused.EXISTS,
        )

    made = _request(node, "take", run, finish, locks=LOCK)
    return made


def _create_key(node: Supervisor, action: ac.CreateKey, now: float) -> Request:
    operations = transactions.create(LOCK, action.record.to_json())
    world = node.host.world

    def run() -> Reply:
        refused = world.cluster.store.transact(operations)
        if refused is None:
            world.cover(Seen.KEY_CREATED)
        return refused or Done()

    def finish(reply: Reply) -> ev.Event:
        outcome, why = _outcome(reply)
        return ev.KeyCreated(outcome, node.host.local(), why)

    return _request(node, "create-key", run, finish)


def _release(node: Supervisor, action: ac.Release, now: float) -> Request:
    operations = transactions.release(LOCK, action.session, action.record.to_json())
    world = node.host.world
    ghost = node.state.ghost

    def run() -> Reply:
        return world.judge.release(node.host, action.record, operations, ghost) or Done()

    def finish(reply: Reply) -> ev.Event:
        outcome, why = _if_lost(reply)
        return ev.ReleaseAnswered(action.session, outcome, why)

    return _request(node, "release", run, finish)


def lock_view(node: Supervisor, entry: Entry | None) -> LockView:
    """The lock's key as the rules see it."""
    if entry is None:
        return LockView(0)
    record: LockRecord | None = node.host.world.cluster.store.record(entry)
    return LockView(entry.index, entry.session, record)


def _read_lock(node: Supervisor, action: ac.ReadLock, now: float) -> Request:
    world = node.host.world
    switches = world.switches

    def run() -> Reply:
        return Done(world.cluster.follower_entry() if switches.stale_reads else world.cluster.lock_entry())

    def finish(reply: Reply) -> ev.Event:
        if not isinstance(reply, Done):
            return ev.LockReadFailed("not read")
        return ev.LockSeen(lock_view(node, reply.value), now, node.host.local())

    return _request(node, "default-read" if switches.default_reads else "read", run, finish)


def watch(node: Supervisor, index: int, watched: Callable[[Request, int], None]) -> Request:
    """The blocking query."""
    timeline = node.host.world.timeline
    made = Request(
        "watch",
        node.host.link,
        lambda: node.host.world.cluster.wait(made, index, node.host.world.switches.stale_reads),
        lambda reply: reply,
        lambda asked: watched(asked, index),
        timeline.now + node.host.clock.span(WATCH_DEADLINE),
    )
    return made


def seen(node: Supervisor, entry: Entry | None, _asked: float, now: float) -> ev.Event:
    """What the blocking query has shown, when it is looked at."""
    return ev.LockSeen(lock_view(node, entry), now, now, watched=True)


# --- sessions and members ---


def _create(node: Supervisor, action: ac.CreateSession, now: float) -> Request:
    host = node.host
    setup = host.world.setup

    def run() -> Reply:
        delay = host.law.guard_time if setup.lock_delay is None else setup.lock_delay
        return Done(host.world.cluster.create_session(host.name, host.law.session_ttl, delay, setup.session_behavior))

    def finish(reply: Reply) -> ev.Event:
        if not isinstance(reply, Done):
            return ev.SessionFailed("no session")
        node.remember_session(reply.value)
        return ev.SessionCreated(reply.value, now)

    return _request(node, "create", run, finish)


def _renew(node: Supervisor, action: ac.RenewSession, now: float) -> Request:
    cluster = node.host.world.cluster

    def run() -> Reply:
        return Done() if cluster.renew(action.session) else Refused.SESSION_GONE

    def finish(reply: Reply) -> ev.Event:
        if isinstance(reply, Done):
            sent = node.host.local() if node.host.world.switches.proof_from_answer else now
            return ev.SessionRenewed(action.session, sent)
        return ev.SessionGone(action.session) if reply is Refused.SESSION_GONE else ev.SessionFailed("not renewed")

    return _request(node, "renew", run, finish, session=action.session)


def _destroy(node: Supervisor, action: ac.DestroySession, now: float) -> Request:
    world = node.host.world
    key = member_key(ACCOUNT, node.host.name)

    def run() -> Reply:
        world.cluster.store.transact(transactions.withdraw(key, action.session))
        world.judge.session_ends(action.session)
        world.cluster.end_session(action.session)
        return Done()

    def finish(reply: Reply) -> ev.Event:
        return ev.SessionGone(action.session) if isinstance(reply, Done) else ev.SessionFailed("not destroyed")

    return _request(node, "destroy", run, finish)


def _publish(node: Supervisor, action: ac.Publish, now: float) -> Request:
    store = node.host.world.cluster.store
    key, value, first = member_key(ACCOUNT, node.host.name), action.record.to_json(), not node.published

    def run() -> Reply:
        refused = store.transact(transactions.publish(key, action.session, value))
        if refused is not Refused.HELD:
            return refused or Done()
        entry = store.data.keys[key]
        other = MemberRecord.from_json(entry.value)
        ours = other is not None and (other.life == action.record.life or (first and other.home == action.record.home))
        if not ours:
            return Refused.HELD
        return store.transact(transactions.displace(key, action.session, entry.index, value)) or Done()

    def finish(reply: Reply) -> ev.Event:
        if not isinstance(reply, Done):
            return ev.MemberRefused("not written")
        node.published = True
        return ev.MemberPublished(action.session, action.record, node.host.local())

    return _request(node, "publish", run, finish, locks=key)


def _read_fleet(node: Supervisor, action: ac.ReadFleet, now: float) -> Request:
    store = node.host.world.cluster.store

    def run() -> Reply:
        prefix = members_prefix(ACCOUNT)
        found = tuple((name, store.data.keys[name]) for name in sorted(store.data.keys) if name.startswith(prefix))
        return Done((found, store.data.config, newest_term(ACCOUNT, store.data.keys)))

    def finish(reply: Reply) -> ev.Event:
        if not isinstance(reply, Done):
            return ev.FleetFailed("not read")
        entries, config, newest = reply.value
        members = tuple(
            ev.SeenMember(record, entry.session, entry.index)
            for _unused, entry in entries
            if (record := MemberRecord.from_json(entry.value)) is not None
        )
        return ev.FleetSeen(members, config, now, node.host.local(), node.host.wall(), newest)

    return _request(node, "read", run, finish)


# --- the operator ---


def _answer(node: Supervisor, action: ac.AnswerRequest, now: float) -> Request:
    world = node.host.world
    index = action.index

    def run() -> Reply:
        nonlocal index
        refused = world.desk.write(action.request, action.index, node.host.name)
        index = action.index if refused is not None else world.desk.index
        return refused or Done()

    def finish(reply: Reply) -> ev.Event:
        outcome, why = _outcome(reply)
        return ev.RequestAnswered(outcome, action.request, index, node.host.local(), why)

    return _request(node, "answer", run, finish)


def _write_history(node: Supervisor, action: ac.WriteHistory, now: float) -> Request:
    store = node.host.world.cluster.store
    record = action.record

    def run() -> Reply:
        store.put(history_key(ACCOUNT, record.term), record.to_json())
        return Done()

    def finish(reply: Reply) -> ev.Event:
        _unused, why = _outcome(reply)
        return ev.HistoryWritten(record.term, action.live, why)

    return _request(node, "history", run, finish)


_MAKERS: dict[type[ac.Action], Callable[..., Request]] = {
    ac.Heartbeat: _heartbeat,
    ac.Take: _take,
    ac.CreateKey: _create_key,
    ac.Release: _release,
    ac.ReadLock: _read_lock,
    ac.CreateSession: _create,
    ac.RenewSession: _renew,
    ac.DestroySession: _destroy,
    ac.Publish: _publish,
    ac.ReadFleet: _read_fleet,
    ac.AnswerRequest: _answer,
    ac.WriteHistory: _write_history,
}
