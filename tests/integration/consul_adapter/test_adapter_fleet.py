# SPDX-License-Identifier: Apache-2.0
"""Sessions and member records on real Consul."""

from __future__ import annotations

import uuid
from dataclasses import replace

import pytest

from integration.consul_adapter.rig import LAW, Node, entry_of, holder, settings_of
from kuutamo_localnet.consul import ConsulServer
from kuutamo_localnet.wait import eventually
from kuutamod.core import events as ev
from kuutamod.core.actions import (
    CreateSession,
    DestroySession,
    ReadFleet,
    RenewSession,
    TakeKind,
)
from kuutamod.core.protocol import FleetConfig, config_key, member_key

pytestmark = [
    pytest.mark.integration,
    # python-consul2 warns of parts of Consul that are not used here.
    pytest.mark.filterwarnings("ignore::DeprecationWarning:consul.base"),
]


def test_session_is_created_as_asked_for(server: ConsulServer, account: str) -> None:
    node = Node(settings_of(server), account, law=replace(LAW, guard_time=9.5, session_ttl=20.0))
    info = server.client().session_info(node.session())
    assert info is not None
    assert (info["Name"], info["TTL"], info["LockDelay"], info["Behavior"]) == ("n1", "20s", 9_500_000_000, "release")
    assert not info.get("NodeChecks")
    assert not info.get("ServiceChecks")


def test_a_ttl_that_consul_refuses_is_told(server: ConsulServer, account: str) -> None:
    event = Node(settings_of(server), account, law=replace(LAW, session_ttl=90000.0)).do(CreateSession())
    assert isinstance(event, ev.SessionFailed)


def test_an_ended_session_is_gone_and_its_lock_delayed(server: ConsulServer, account: str) -> None:
    node, other = Node(settings_of(server), account), Node(settings_of(server), account, "n2")
    session, second = holder(node), other.session()
    assert isinstance(node.do(RenewSession(session)), ev.SessionRenewed)
    server.client().session_destroy(session)
    assert node.do(RenewSession(session)) == ev.SessionGone(session)
    # A heartbeat that locked again would only be told of the lock delay, which refuses a rightful holder as well.
    beat = node.beat(session)
    assert beat.outcome is ev.Outcome.REFUSED
    assert "not held by this session" in beat.why
    assert node.release(session).outcome is ev.Outcome.REFUSED
    for kind in (TakeKind.FREE, TakeKind.STEAL):
        refused = other.take(second, kind)
        assert refused.outcome is ev.Outcome.REFUSED
        assert "lock delay" in refused.why


def test_an_ended_session_without_delay_is_a_lost_lock(server: ConsulServer, account: str) -> None:
    node = Node(settings_of(server), account)
    session = server.client().session_create("n1", TTL="10s", LockDelay="0s", Checks=[])
    assert node.create().outcome is ev.Outcome.APPLIED
    assert node.take(session, TakeKind.FREE).outcome is ev.Outcome.APPLIED
    server.client().session_destroy(session)
    assert node.beat(session).outcome is ev.Outcome.REFUSED


def test_destroying_the_session_withdraws_the_member(server: ConsulServer, account: str) -> None:
    node = Node(settings_of(server), account)
    session = node.session()
    assert isinstance(node.publish(session), ev.MemberPublished)
    assert node.do(DestroySession(session)) == ev.SessionGone(session)
    client = server.client()
    assert client.kv_get(member_key(account, "n1")) is None
    assert client.session_info(session) is None
    assert node.do(DestroySession(session)) == ev.SessionGone(session)
    # No lock delay holds the node back when it returns.
    assert isinstance(node.publish(node.session()), ev.MemberPublished)


def test_fleet_as_read(server: ConsulServer, account: str) -> None:
    one, two = Node(settings_of(server), account), Node(settings_of(server), account, "n2")
    empty = one.do(ReadFleet())
    assert isinstance(empty, ev.FleetSeen)
    assert empty.sent < empty.at
    assert (empty.members, empty.config) == ((), FleetConfig())

    first, second = one.session(), two.session()
    one.publish(first)
    two.publish(second)
    one.publish(first)
    client = server.client()
    client.kv_put(config_key(account), FleetConfig(fingerprint="ed25519:x", extra={"later": 1}).to_json())
    client.kv_put(member_key(account, "scribble"), "not json")
    client.kv_put(member_key(account, "alias"), one.member().to_json())
    fleet = one.do(ReadFleet())
    assert isinstance(fleet, ev.FleetSeen)
    assert [(m.record, m.session) for m in fleet.members] == [(one.member(), first), (two.member(), second)]
    assert fleet.members[0].index == entry_of(server, member_key(account, "n1")).modify_index
    assert fleet.config is not None
    assert fleet.config.fingerprint == "ed25519:x"

    client.kv_put(config_key(account), "not json")
    client.session_destroy(second)
    fleet = one.do(ReadFleet())
    assert isinstance(fleet, ev.FleetSeen)
    assert fleet.config is None
    assert [m.session for m in fleet.members] == [first, None]


def test_a_restarted_node_takes_its_record_over_at_once(server: ConsulServer, account: str) -> None:
    old = Node(settings_of(server), account)
    old_session = holder(old)
    assert isinstance(old.publish(old_session), ev.MemberPublished)
    locked = old.view()

    new = Node(settings_of(server), account, life="life-2")
    session = new.session()
    assert isinstance(new.publish(session), ev.MemberPublished)
    entry = entry_of(server, member_key(account, "n1"))
    assert entry.session == session
    assert entry.json()["life"] == "life-2"
    # The lock of the dead life is left alone: touching it would start every contender's count anew.
    assert new.view() == locked


def test_a_node_with_a_new_session_takes_its_record_over(server: ConsulServer, account: str) -> None:
    node = Node(settings_of(server), account)
    assert isinstance(node.publish(node.session()), ev.MemberPublished)
    assert isinstance(node.publish(node.session()), ev.MemberPublished)


def test_a_second_host_with_the_same_node_id_is_refused(server: ConsulServer, account: str) -> None:
    one = Node(settings_of(server), account)
    two = Node(settings_of(server), account, life="life-2", hostname="host-b")
    assert isinstance(one.publish(one.session()), ev.MemberPublished)
    refused = two.publish(two.session())
    assert isinstance(refused, ev.MemberRefused)
    assert refused.duplicate
    for words in ("node id n1", "host-a", "host-b", "/srv/near", "of its own"):
        assert words in refused.why


def test_two_hosts_that_look_alike_are_told_apart(server: ConsulServer, account: str) -> None:
    """Cloned machines: same node id, same hostname, same home. The older one learns of it and they do not alternate."""
    one, two = Node(settings_of(server), account), Node(settings_of(server), account, life="life-2")
    first, second = one.session(), two.session()
    assert isinstance(one.publish(first), ev.MemberPublished)
    assert isinstance(two.publish(second), ev.MemberPublished)
    refused = one.publish(first)
    assert isinstance(refused, ev.MemberRefused)
    assert refused.duplicate
    assert isinstance(two.publish(second), ev.MemberPublished)


def test_an_unreadable_member_record_is_not_overwritten(server: ConsulServer, account: str) -> None:
    node = Node(settings_of(server), account)
    foreign = server.client().session_create("foreign", TTL="10s", Checks=[])
    server.client().kv_put(member_key(account, "n1"), "scribble", acquire=foreign)
    refused = node.publish(node.session())
    assert isinstance(refused, ev.MemberRefused)
    assert refused.duplicate
    assert "cannot be read" in refused.why


def test_lock_delay_on_a_member_record_is_told_and_passes(server: ConsulServer, account: str) -> None:
    node = Node(settings_of(server), account)
    old = server.client().session_create("n1", TTL="10s", LockDelay="4s", Checks=[])
    assert isinstance(node.publish(old), ev.MemberPublished)
    session = node.session()
    server.client().session_destroy(old)
    refused = node.publish(session)
    assert isinstance(refused, ev.MemberRefused)
    assert not refused.duplicate
    assert "lock delay" in refused.why
    eventually(lambda: isinstance(node.publish(session), ev.MemberPublished), 20, "the lock delay passes", 0.1)


def test_publishing_with_an_ended_session_fails(server: ConsulServer, account: str) -> None:
    refused = Node(settings_of(server), account).publish(str(uuid.uuid4()))
    assert isinstance(refused, ev.MemberRefused)
    assert not refused.duplicate
    assert "does not know this session" in refused.why
