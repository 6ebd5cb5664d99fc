# SPDX-License-Identifier: Apache-2.0
"""One node's adapter, driven from outside an event loop, and short words for what the tests do with it."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import replace
from typing import ClassVar

from kuutamo_localnet.consul import ConsulServer
from kuutamo_localnet.consul_client import KvEntry
from kuutamod.clock import BootClock
from kuutamod.consul.adapter import ConsulAction, ConsulAdapter
from kuutamod.consul.settings import ConsulSettings
from kuutamod.core import events as ev
from kuutamod.core.actions import (
    CreateKey,
    CreateSession,
    Heartbeat,
    Publish,
    ReadLock,
    Release,
    Take,
    TakeKind,
)
from kuutamod.core.claim import Claim
from kuutamod.core.lease import LeaseLaw
from kuutamod.core.model import LockView
from kuutamod.core.protocol import LockRecord, MemberRecord

LAW = LeaseLaw(request_deadline=10.0)
"""Patient, so that on a busy machine no answer is unknown; what is about the deadline itself takes the daemon's."""

_beats = itertools.count(1)
_terms = itertools.count(1)


class Node:
    """One node's adapter, driven from outside a loop."""

    made: ClassVar[list[Node]] = []

    def __init__(
        self,
        settings: ConsulSettings,
        account: str,
        node_id: str = "n1",
        *,
        life: str = "life-1",
        hostname: str = "host-a",
        law: LeaseLaw = LAW,
    ) -> None:
        self.account, self.node_id, self.life, self.hostname = account, node_id, life, hostname
        self.home = "/srv/near"
        self.adapter = ConsulAdapter(settings, account, node_id, life, hostname, self.home, law, BootClock(), self._observe)
        self.calls: list[tuple[str, str]] = []
        self.made.append(self)

    def _observe(self, operation: str, outcome: str, _seconds: float) -> None:
        self.calls.append((operation, outcome))

    def do(self, action: ConsulAction) -> ev.Event:
        return asyncio.run(self.adapter.execute(action))

    def session(self) -> str:
        event = self.do(CreateSession())
        assert isinstance(event, ev.SessionCreated), event
        return event.session

    def record(self, **fields: object) -> LockRecord:
        base = LockRecord(hostname=self.hostname, node_id=self.node_id, term=1, heartbeat=next(_beats), guard_time=9.0)
        return replace(base, **fields)  # type: ignore[arg-type]

    def member(self, **fields: object) -> MemberRecord:
        base = MemberRecord(node_id=self.node_id, hostname=self.hostname, life=self.life, home=self.home)
        return replace(base, **fields)  # type: ignore[arg-type]

    def view(self) -> LockView:
        event = self.do(ReadLock())
        assert isinstance(event, ev.LockSeen), event
        return event.view

    def take(self, session: str, kind: TakeKind, view: LockView | None = None, term: int = 0) -> ev.TakeAnswered:
        record = self.record(term=term or next(_terms))
        event = self.do(Take(session, self.view() if view is None else view, kind, record, Claim()))
        assert isinstance(event, ev.TakeAnswered)
        assert event.sent <= event.at
        return event

    def create(self) -> ev.KeyCreated:
        event = self.do(CreateKey(self.record()))
        assert isinstance(event, ev.KeyCreated)
        return event

    def beat(self, session: str, **fields: object) -> ev.HeartbeatAnswered:
        event = self.do(Heartbeat(session, self.record(**fields)))
        assert isinstance(event, ev.HeartbeatAnswered)
        return event

    def release(self, session: str) -> ev.ReleaseAnswered:
        event = self.do(Release(session, self.record(released=True)))
        assert isinstance(event, ev.ReleaseAnswered)
        return event

    def publish(self, session: str) -> ev.Event:
        return self.do(Publish(session, self.member()))


def holder(node: Node) -> str:
    """Let the node write the missing key and take the lock; its session."""
    session = node.session()
    assert node.create().outcome is ev.Outcome.APPLIED
    assert node.take(session, TakeKind.FREE).outcome is ev.Outcome.APPLIED
    return session


def settings_of(server: ConsulServer, token: str | None = None) -> ConsulSettings:
    return ConsulSettings(urls=(server.url,), token=token)


def entry_of(server: ConsulServer, key: str) -> KvEntry:
    entry = server.client().kv_get(key)
    assert entry is not None
    return entry
