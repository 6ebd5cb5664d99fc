# SPDX-License-Identifier: Apache-2.0
"""What kuutamoctl asks of real Consul."""

from __future__ import annotations

import json
import uuid

import pytest

from integration.consul_adapter.rig import Node, entry_of, holder, settings_of
from kuutamo_localnet.consul import ConsulServer
from kuutamo_localnet.consul_client import ConsulClient
from kuutamod.consul import leader
from kuutamod.consul.faults import ConsulError, Fault
from kuutamod.consul.settings import ConsulSettings
from kuutamod.core.protocol import LockRecord, MemberRecord, config_key, lock_key, member_key

pytestmark = [
    pytest.mark.integration,
    # python-consul2 warns of parts of Consul that are not used here.
    pytest.mark.filterwarnings("ignore::DeprecationWarning:consul.base"),
]


def test_active_validator(server: ConsulServer, account: str) -> None:
    settings, node = settings_of(server), Node(settings_of(server), account)
    assert leader.active_validator(settings, account, 5.0) == leader.LeaderInfo(None, had_key=False)
    session = holder(node)
    found = leader.active_validator(settings, account, 5.0)
    assert found.session is not None
    assert (found.session["ID"], found.session["Name"], found.had_key) == (session, "n1", True)
    node.release(session)
    assert leader.active_validator(settings, account, 5.0) == leader.LeaderInfo(None, had_key=False)


def test_active_validator_passes_over_a_dead_url(server: ConsulServer, account: str) -> None:
    session = holder(Node(settings_of(server), account))
    found = leader.active_validator(ConsulSettings(urls=("http://127.0.0.1:1", server.url)), account, 10.0)
    assert found.session is not None
    assert found.session["ID"] == session
    with pytest.raises(ConsulError, match="Connection refused"):
        leader.active_validator(ConsulSettings(urls=("http://127.0.0.1:1",)), account, 5.0)


def test_active_validator_without_the_right_to_read_sessions(guarded: ConsulServer, account: str) -> None:
    holder(Node(settings_of(guarded, guarded.token), account))
    admin = guarded.acl()
    rules = f'key "{lock_key(account)}" {{ policy = "read" }}'
    token = admin.token(admin.policy(f"key-only-{uuid.uuid4().hex}", rules)).secret
    with pytest.raises(ConsulError, match="session:read") as caught:
        leader.active_validator(settings_of(guarded, token), account, 5.0)
    assert caught.value.fault is Fault.FORBIDDEN


def test_confirm(server: ConsulServer, account: str) -> None:
    settings, node = settings_of(server), Node(settings_of(server), account)
    with pytest.raises(ConsulError, match="nothing to confirm"):
        leader.confirm(settings, account, 5.0)
    session = holder(node)
    node.beat(session, term=4, last_height=900)
    done = leader.confirm(settings, account, 5.0)
    assert (done.config.confirmed_term, done.config.confirmed_seen, done.record.node_id) == (4, 4, "n1")

    client = server.client()
    client.kv_put(config_key(account), json.dumps({"fingerprint": "ed25519:x", "later": 1}))
    client.kv_put(member_key(account, "n7"), MemberRecord("n7", "host-c", "life-7", term_seen=17).to_json())
    node.beat(session, term=5, last_height=901)
    leader.confirm(settings, account, 5.0)
    written = entry_of(server, config_key(account)).json()
    record = LockRecord.from_json(entry_of(server, lock_key(account)).value)
    assert record is not None
    digest = {"confirmed_record": record.digest}
    assert written == {"fingerprint": "ed25519:x", "later": 1, "confirmed_term": 5, "confirmed_seen": 17, **digest}

    client.kv_put(config_key(account), "not json")
    with pytest.raises(ConsulError, match="repair or delete"):
        leader.confirm(settings, account, 5.0)
    client.kv_put(lock_key(account), "scribble")
    with pytest.raises(ConsulError, match="nothing to confirm"):
        leader.confirm(settings, account, 5.0)


def test_confirm_needs_the_right_to_write(guarded: ConsulServer, account: str) -> None:
    holder(Node(settings_of(guarded, guarded.token), account))
    with pytest.raises(ConsulError, match="permission denied"):
        leader.confirm(settings_of(guarded), account, 5.0)


def test_an_onlooker_reads_the_value_as_the_rust_product_does(server: ConsulServer, account: str) -> None:
    holder(Node(settings_of(server), account))
    client: ConsulClient = server.client()
    entry = client.kv_get(lock_key(account))
    assert entry is not None
    assert {"Hostname": "host-a", "NodeId": "n1"}.items() <= entry.json().items()
