# SPDX-License-Identifier: Apache-2.0
"""The lock on real Consul: every way to take it, prove it and let it go, and every refusal."""

from __future__ import annotations

import asyncio
import uuid

import pytest

from integration.consul_adapter.rig import Node, entry_of, holder, settings_of
from kuutamo_localnet.consul import ConsulServer
from kuutamod.core import events as ev
from kuutamod.core.actions import (
    ReadFleet,
    RenewSession,
    Take,
    TakeKind,
)
from kuutamod.core.claim import Claim
from kuutamod.core.model import LockView
from kuutamod.core.protocol import TERMS_KEPT, history_key, lock_key

pytestmark = [
    pytest.mark.integration,
    # python-consul2 warns of parts of Consul that are not used here.
    pytest.mark.filterwarnings("ignore::DeprecationWarning:consul.base"),
]


def test_create_the_key_take_the_lock_beat_release_and_take_it_free(server: ConsulServer, account: str) -> None:
    one, two = Node(settings_of(server), account), Node(settings_of(server), account, "n2")
    first, second = one.session(), two.session()
    assert one.view() == LockView(0)
    assert one.create().outcome is ev.Outcome.APPLIED
    assert one.view().session is None
    assert not one.view().released
    assert two.create().outcome is ev.Outcome.REFUSED
    assert one.take(first, TakeKind.FREE).outcome is ev.Outcome.APPLIED
    before = one.view()
    assert before.session == first

    beat = one.beat(first, last_height=77)
    assert beat.outcome is ev.Outcome.APPLIED
    after = one.view()
    assert after.index > before.index
    assert after.record is not None
    assert after.record.last_height == 77

    assert one.release(first).outcome is ev.Outcome.APPLIED
    free = two.view()
    assert free.released
    assert two.take(second, TakeKind.FREE, free).outcome is ev.Outcome.APPLIED
    assert entry_of(server, lock_key(account)).session == second
    assert one.beat(first).outcome is ev.Outcome.REFUSED
    assert one.release(first).outcome is ev.Outcome.REFUSED


def test_a_late_heartbeat_does_not_take_the_lock_back(server: ConsulServer, account: str) -> None:
    node = Node(settings_of(server), account)
    session = holder(node)
    assert node.release(session).outcome is ev.Outcome.APPLIED
    free = node.view()
    late = node.beat(session)
    assert late.outcome is ev.Outcome.REFUSED
    assert "not held by this session" in late.why
    assert node.view() == free


def test_a_heartbeat_frustrates_a_steal_and_silence_allows_it(server: ConsulServer, account: str) -> None:
    one, two = Node(settings_of(server), account), Node(settings_of(server), account, "n2")
    first, second = holder(one), two.session()
    seen = two.view()
    assert one.beat(first).outcome is ev.Outcome.APPLIED
    refused = two.take(second, TakeKind.STEAL, seen)
    assert refused.outcome is ev.Outcome.REFUSED
    assert "index has moved" in refused.why
    assert one.beat(first).outcome is ev.Outcome.APPLIED

    assert two.take(second, TakeKind.STEAL).outcome is ev.Outcome.APPLIED
    lost = one.beat(first)
    assert lost.outcome is ev.Outcome.REFUSED
    assert entry_of(server, lock_key(account)).session == second
    # The former holder's session lives on: the steal needs no right on it and arms no lock delay.
    assert server.client().session_info(first) is not None
    assert isinstance(one.do(RenewSession(first)), ev.SessionRenewed)


def test_takes_that_do_not_fit_change_nothing(server: ConsulServer, account: str) -> None:
    one, two = Node(settings_of(server), account), Node(settings_of(server), account, "n2")
    first, second = holder(one), two.session()
    held = entry_of(server, lock_key(account))
    for kind, view, why in (
        (TakeKind.FREE, two.view(), "another session holds the key"),
        (TakeKind.STEAL, LockView(1, first), "index has moved"),
    ):
        event = two.take(second, kind, view)
        assert event.outcome is ev.Outcome.REFUSED
        assert why in event.why
    ended = two.take(str(uuid.uuid4()), TakeKind.STEAL)
    assert ended.outcome is ev.Outcome.REFUSED
    assert "does not know this session" in ended.why
    assert entry_of(server, lock_key(account)) == held


def test_no_two_takes_have_the_same_term_though_the_key_was_deleted(server: ConsulServer, account: str) -> None:
    first, second = Node(settings_of(server), account, "n1"), Node(settings_of(server), account, "n2")
    assert first.create().outcome is ev.Outcome.APPLIED
    assert first.take(first.session(), TakeKind.FREE, term=7).outcome is ev.Outcome.APPLIED
    server.client().kv_delete(lock_key(account))
    assert second.create().outcome is ev.Outcome.APPLIED
    refused = second.take(second.session(), TakeKind.FREE, term=7)
    assert (refused.outcome, refused.term_taken) == (ev.Outcome.REFUSED, True)
    fleet = second.do(ReadFleet())
    assert isinstance(fleet, ev.FleetSeen)
    assert fleet.newest_term == 7
    assert not entry_of(server, lock_key(account)).session


def test_who_comes_too_late_is_not_told_that_the_term_is_taken(server: ConsulServer, account: str) -> None:
    first, second = Node(settings_of(server), account, "n1"), Node(settings_of(server), account, "n2")
    assert first.create().outcome is ev.Outcome.APPLIED
    seen = second.view()
    assert first.take(first.session(), TakeKind.FREE, term=7).outcome is ev.Outcome.APPLIED
    late = second.take(second.session(), TakeKind.FREE, seen, term=7)
    assert (late.outcome, late.term_taken) == (ev.Outcome.REFUSED, False)


def test_the_records_of_terms_are_bounded(server: ConsulServer, account: str) -> None:
    node, client = Node(settings_of(server), account, "n1"), server.client()
    assert node.create().outcome is ev.Outcome.APPLIED
    for term in (1, 2):
        client.kv_put(history_key(account, term), "{}")
    record = node.record(term=TERMS_KEPT + 1)
    taken = node.do(Take(node.session(), node.view(), TakeKind.FREE, record, Claim()))
    assert isinstance(taken, ev.TakeAnswered)
    assert taken.outcome is ev.Outcome.APPLIED
    assert client.kv_get(history_key(account, 1)) is None
    assert client.kv_get(history_key(account, 2)) is not None


def test_only_one_of_many_gets_a_free_lock(server: ConsulServer, account: str) -> None:
    nodes = [Node(settings_of(server), account, f"n{number}") for number in range(4)]
    sessions = [node.session() for node in nodes]
    assert nodes[0].create().outcome is ev.Outcome.APPLIED
    seen = nodes[0].view()

    async def all_at_once() -> list[ev.Event]:
        takes = [
            node.adapter.execute(Take(session, seen, TakeKind.FREE, node.record(), Claim()))
            for node, session in zip(nodes, sessions, strict=True)
        ]
        return list(await asyncio.gather(*takes))

    outcomes = [event.outcome for event in asyncio.run(all_at_once()) if isinstance(event, ev.TakeAnswered)]
    assert sorted(outcome.value for outcome in outcomes) == ["applied", "refused", "refused", "refused"]


@pytest.mark.parametrize("value", ["", "not json", '{"Hostname": "rust", "NodeId": "rust"}'])
def test_an_unreadable_value_can_be_stolen(server: ConsulServer, account: str, value: str) -> None:
    node = Node(settings_of(server), account)
    session = node.session()
    foreign = server.client().session_create("foreign", TTL="10s", LockDelay="0s", Checks=[])
    assert server.client().kv_put(lock_key(account), value, acquire=foreign)
    view = node.view()
    assert (view.session, view.record) == (foreign, None)
    assert node.take(session, TakeKind.STEAL, view).outcome is ev.Outcome.APPLIED


def test_a_deleted_lock_key_is_a_lost_lock(server: ConsulServer, account: str) -> None:
    node = Node(settings_of(server), account)
    session = holder(node)
    server.client().kv_delete(lock_key(account))
    lost = node.beat(session)
    assert lost.outcome is ev.Outcome.REFUSED
    assert "the key does not exist" in lost.why
    assert node.release(session).outcome is ev.Outcome.REFUSED
    assert node.view() == LockView(0)


def test_an_overwritten_lock_key_is_still_held(server: ConsulServer, account: str) -> None:
    node = Node(settings_of(server), account)
    session = holder(node)
    server.client().kv_put(lock_key(account), "scribble")
    assert node.view().record is None
    assert node.beat(session).outcome is ev.Outcome.APPLIED
    assert node.view().record is not None
