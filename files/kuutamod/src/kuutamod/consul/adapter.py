# SPDX-License-Identifier: Apache-2.0
"""The rules' Consul actions, carried out: every action becomes one event, by its own deadline, whatever Consul does.

One action is one request to one URL, so that it never takes longer than the request deadline. The exceptions
(creating and ending a session, publishing) are none that a lease waits for. ``sent`` of an event is read before the
request is handed over: a proof counted from a moment too early is safe, from one too late it is not.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar, assert_never

from ..clock import Clock
from ..core import events as ev
from ..core.actions import (
    AnswerRequest,
    CreateKey,
    CreateSession,
    DestroySession,
    Heartbeat,
    Publish,
    ReadFleet,
    ReadLock,
    Release,
    RenewSession,
    Take,
    WriteHistory,
)
from ..core.lease import LeaseLaw
from ..core.protocol import Request, TermRecord, lock_key, request_key
from . import history, members, sessions, transactions
from .answers import Reading, lock_view, read_key, transact
from .endpoint import Link, TokenSource
from .faults import ConsulError, Fault, Refusal
from .settings import ConsulSettings
from .watch import DEADLINE as WATCH_DEADLINE
from .watch import watch

T = TypeVar("T")

ConsulAction = (
    CreateSession
    | RenewSession
    | DestroySession
    | Publish
    | ReadFleet
    | ReadLock
    | Heartbeat
    | Take
    | CreateKey
    | Release
    | AnswerRequest
    | WriteHistory
)


def _unobserved(_operation: str, _outcome: str, _seconds: float) -> None:
    pass


class ConsulAdapter:
    """Consul for one node of one account. ``observe_call`` is told operation, outcome and seconds of every call."""

    def __init__(
        self,
        settings: ConsulSettings,
        account_id: str,
        node_id: str,
        identity_life: str,
        hostname: str,
        home: str,
        law: LeaseLaw,
        clock: Clock,
        observe_call: Callable[[str, str, float], None] = _unobserved,
    ) -> None:
        self._account_id = account_id
        self._node_id = node_id
        self._me = members.Myself(account_id, node_id, identity_life, hostname, home)
        self._key = lock_key(account_id)
        self._request_key = request_key(account_id)
        self._law = law
        self._clock = clock
        self._observe_call = observe_call
        self._published = False
        tokens = TokenSource(settings)
        link = partial(Link, settings=settings, tokens=tokens, read_deadline=law.request_deadline)
        self._session, self._member, self._fleet = link("session"), link("member"), link("fleet")
        self._read, self._heartbeat, self._lock = link("read"), link("heartbeat"), link("lock")
        self._answer, self._history = link("answer"), link("history")
        self._watch = Link("watch", settings, tokens, read_deadline=WATCH_DEADLINE)
        self._requests = Link("requests", settings, tokens, read_deadline=WATCH_DEADLINE)
        self._links = (
            *(self._session, self._member, self._fleet, self._read, self._heartbeat, self._lock),
            *(self._answer, self._history, self._watch, self._requests),
        )

    async def execute(self, action: ConsulAction) -> ev.Event:
        """The action's one event. Raises nothing but cancellation."""
        match action:
            case Heartbeat():
                return await self._beat(action)
            case Take():
                return await self._take(action)
            case CreateKey():
                return await self._create_key(action)
            case Release():
                return await self._release(action)
            case ReadLock():
                return await self._read_lock()
            case ReadFleet():
                return await self._read_fleet()
            case Publish():
                return await self._publish(action)
            case CreateSession():
                return await self._create_session()
            case RenewSession():
                return await self._renew_session(action)
            case DestroySession():
                return await self._destroy_session(action)
            case AnswerRequest() | WriteHistory():
                return await self._record(action)
            case _:
                assert_never(action)

    async def watch(self, post: Callable[[ev.Event], None], wanted: Callable[[], bool]) -> None:
        """Post LockSeen (watched) whenever the lock's key has changed, while ``wanted()``; ends only by cancellation."""

        def seen(reading: Reading, sent: float) -> None:
            post(ev.LockSeen(lock_view(reading.entry), sent, self._clock.now(), watched=True))

        await watch(partial(self._blocking_read, self._watch, "watch", self._key), self._clock, seen, wanted)

    async def watch_request(self, post: Callable[[ev.Event], None], wanted: Callable[[], bool]) -> None:
        """Post RequestSeen whenever the operator's request has changed, while ``wanted()``; ends only by cancellation."""

        def seen(reading: Reading, _sent: float) -> None:
            entry = reading.entry
            request, index = (Request.from_json(entry.value), entry.index) if entry is not None else (None, 0)
            post(ev.RequestSeen(request, index, self._clock.now()))

        await watch(
            partial(self._blocking_read, self._requests, "watch-request", self._request_key), self._clock, seen, wanted
        )

    def close(self) -> None:
        """Let the threads end, each after the call it is in."""
        for link in self._links:
            link.close()

    async def _ask(self, link: Link, operation: str, call: Callable[[Any], T], deadline: float) -> T:
        begun = self._clock.now()
        outcome = "ok"
        try:
            return await link.ask(call, deadline)
        except ConsulError as error:
            outcome = error.fault.value
            raise
        finally:
            self._observe_call(operation, outcome, self._clock.now() - begun)

    # --- the lock ---

    async def _beat(self, action: Heartbeat) -> ev.HeartbeatAnswered:
        operations = transactions.heartbeat(self._key, action.session, action.record.to_json())
        sent = self._clock.now()
        try:
            await self._transact(self._heartbeat, "heartbeat", operations)
        except ConsulError as error:
            outcome = ev.Outcome.REFUSED if error.lost else ev.Outcome.UNKNOWN
            return ev.HeartbeatAnswered(action.session, outcome, sent, error.why)
        return ev.HeartbeatAnswered(action.session, ev.Outcome.APPLIED, sent)

    async def _take(self, action: Take) -> ev.TakeAnswered:
        claim = action.claim
        term = TermRecord(action.record.term, self._node_id, self._clock.wall(), cause=claim.cause.value, began=claim.why)
        taking = transactions.take(action.kind, self._key, action.session, action.view.index, action.record.to_json())
        operations = transactions.in_term(taking, self._account_id, term)
        sent = self._clock.now()
        outcome, why, refusals = await self._attempt("take", operations)
        return ev.TakeAnswered(
            session=action.session,
            outcome=outcome,
            record=action.record,
            claim=action.claim,
            sent=sent,
            at=self._clock.now(),
            why=why,
            term_taken=Refusal.EXISTS in refusals and Refusal.MOVED not in refusals,
        )

    async def _create_key(self, action: CreateKey) -> ev.KeyCreated:
        operations = transactions.create(self._key, action.record.to_json())
        outcome, why, _unused = await self._attempt("create-key", operations)
        return ev.KeyCreated(outcome, self._clock.now(), why)

    async def _attempt(
        self, operation: str, operations: list[transactions.Operation]
    ) -> tuple[ev.Outcome, str, tuple[Refusal, ...]]:
        """A transaction on a lock that is not ours yet: what came of it, and why it was not applied."""
        try:
            await self._transact(self._lock, operation, operations)
        except ConsulError as error:
            outcome = ev.Outcome.REFUSED if error.not_applied else ev.Outcome.UNKNOWN
            return outcome, error.why, error.refusals
        return ev.Outcome.APPLIED, "", ()

    async def _release(self, action: Release) -> ev.ReleaseAnswered:
        operations = transactions.release(self._key, action.session, action.record.to_json())
        try:
            await self._transact(self._lock, "release", operations)
        except ConsulError as error:
            outcome = ev.Outcome.REFUSED if error.lost else ev.Outcome.UNKNOWN
            return ev.ReleaseAnswered(action.session, outcome, error.why)
        return ev.ReleaseAnswered(action.session, ev.Outcome.APPLIED)

    async def _transact(self, link: Link, operation: str, operations: list[transactions.Operation]) -> None:
        await self._ask(link, operation, lambda client: transact(client, operations), self._law.request_deadline)

    async def _read_lock(self) -> ev.LockSeen | ev.LockReadFailed:
        sent = self._clock.now()
        try:
            reading = await self._ask(
                self._read, "read-lock", lambda client: read_key(client, self._key), self._law.request_deadline
            )
        except ConsulError as error:
            return ev.LockReadFailed(error.why)
        return ev.LockSeen(lock_view(reading.entry), sent, self._clock.now())

    async def _blocking_read(
        self, link: Link, operation: str, key: str, index: int, wait: float, deadline: float
    ) -> Reading:
        return await self._ask(link, operation, lambda client: read_key(client, key, index, wait), deadline)

    # --- the operator ---

    async def _record(self, action: AnswerRequest | WriteHistory) -> ev.Event:
        if isinstance(action, AnswerRequest):
            return await self._answer_request(action)
        return await self._write_history(action)

    async def _answer_request(self, action: AnswerRequest) -> ev.RequestAnswered:
        operations = transactions.swap(self._request_key, action.index, action.request.to_json())
        outcome, index, why = ev.Outcome.APPLIED, action.index, ""
        try:
            index = await self._ask(
                self._answer, "answer", lambda client: transact(client, operations), self._law.request_deadline
            )
        except ConsulError as error:
            outcome, why = ev.Outcome.REFUSED if error.not_applied else ev.Outcome.UNKNOWN, error.why
        return ev.RequestAnswered(outcome, action.request, index, self._clock.now(), why)

    async def _write_history(self, action: WriteHistory) -> ev.HistoryWritten:
        fault = ""
        try:
            await self._ask(
                self._history,
                "history",
                lambda client: history.write(client, self._account_id, action.record, action.before),
                3 * self._law.request_deadline,
            )
        except ConsulError as error:
            fault = error.why
        return ev.HistoryWritten(action.record.term, action.live, fault)

    # --- the fleet ---

    async def _read_fleet(self) -> ev.FleetSeen | ev.FleetFailed:
        sent = self._clock.now()
        try:
            fleet = await self._ask(
                self._fleet,
                "read-fleet",
                lambda client: members.read_fleet(client, self._account_id),
                self._law.request_deadline,
            )
        except ConsulError as error:
            return ev.FleetFailed(error.why)
        return ev.FleetSeen(fleet.members, fleet.config, sent, self._clock.now(), self._clock.wall(), fleet.newest_term)

    async def _publish(self, action: Publish) -> ev.MemberPublished | ev.MemberRefused:
        first = not self._published
        try:
            await self._ask(
                self._member,
                "publish",
                lambda client: members.publish(client, self._me, action.session, action.record, first),
                3 * self._law.request_deadline,
            )
        except ConsulError as error:
            why = error.why
            if Refusal.LOCK_DELAY in error.refusals:
                why = f"waiting for Consul's lock delay on {self._me.key}, at most {self._law.guard_time:g} s: {why}"
            return ev.MemberRefused(why, duplicate=error.fault is Fault.DUPLICATE)
        self._published = True
        return ev.MemberPublished(action.session, action.record, self._clock.now())

    # --- the session ---

    async def _create_session(self) -> ev.SessionCreated | ev.SessionFailed:
        sent = self._clock.now()
        try:
            session = await self._ask(
                self._session,
                "create-session",
                lambda client: sessions.create(client, self._node_id, self._law.session_ttl, self._law.guard_time),
                3 * self._law.request_deadline,
            )
        except ConsulError as error:
            return ev.SessionFailed(error.why)
        return ev.SessionCreated(session, sent)

    async def _renew_session(self, action: RenewSession) -> ev.SessionRenewed | ev.SessionGone | ev.SessionFailed:
        sent = self._clock.now()
        try:
            await self._ask(
                self._session,
                "renew-session",
                lambda client: sessions.renew(client, action.session),
                self._law.request_deadline,
            )
        except ConsulError as error:
            return ev.SessionGone(action.session) if error.fault is Fault.SESSION_GONE else ev.SessionFailed(error.why)
        return ev.SessionRenewed(action.session, sent)

    async def _destroy_session(self, action: DestroySession) -> ev.SessionGone | ev.SessionFailed:
        try:
            await self._ask(
                self._session,
                "destroy-session",
                lambda client: sessions.destroy(client, action.session, self._me.key),
                2 * self._law.request_deadline,
            )
        except ConsulError as error:
            return ev.SessionFailed(error.why)
        return ev.SessionGone(action.session)
