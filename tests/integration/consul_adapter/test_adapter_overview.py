# SPDX-License-Identifier: Apache-2.0
"""An operator's view, read from real Consul: all its parts, and what a token may not read of them."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from integration.consul_adapter.rig import settings_of
from integration.written_fleet import WrittenFleet
from kuutamo_localnet.consul import ConsulCluster, ConsulServer
from kuutamo_localnet.consul_agent import ConsulAgent
from kuutamo_localnet.wait import eventually
from kuutamod.consul.faults import ConsulError, Fault
from kuutamod.consul.health import ConsulHealth
from kuutamod.consul.overview import Overview, Unread, read_overview
from kuutamod.consul.settings import ConsulSettings
from kuutamod.core.model import LockView
from kuutamod.core.protocol import (
    Ask,
    FleetConfig,
    Pause,
    Request,
    TermRecord,
    config_key,
    history_prefix,
    lock_key,
    members_prefix,
    request_key,
)

pytestmark = [
    pytest.mark.integration,
    # python-consul2 warns of parts of Consul that are not used here.
    pytest.mark.filterwarnings("ignore::DeprecationWarning:consul.base"),
]

DEADLINE = 10.0
CONFIG = FleetConfig(fingerprint="ed25519:x", pauses=(Pause(4e9, by="alice"),), no_takeover=("n2",))
REQUEST = Request("r1", Ask.RESTART, "n1", 3, 1.0, 2.0, node="n2")


def written(server: ConsulServer, account: str) -> WrittenFleet:
    """Two nodes, one of which holds the lock, settings, a request and three terms."""
    fleet = WrittenFleet(server.client(), account)
    for term in (1, 2):
        fleet.record(TermRecord(term, "n2", 100.0, until=200.0))
    fleet.join("n1")
    fleet.join("n2", eligible=True)
    fleet.hold("n1", 3)
    fleet.client.kv_put(config_key(account), CONFIG.to_json())
    fleet.client.kv_put(request_key(account), REQUEST.to_json())
    return fleet


@pytest.fixture
def fleet(server: ConsulServer, account: str) -> Iterator[WrittenFleet]:
    """The written fleet on a Consul without ACLs."""
    fleet = written(server, account)
    yield fleet
    fleet.end()


@pytest.fixture
def fenced(guarded: ConsulServer, account: str) -> Iterator[WrittenFleet]:
    """The same on a Consul that denies by default."""
    fleet = written(guarded, account)
    yield fleet
    fleet.end()


def token(server: ConsulServer, *rules: str) -> ConsulSettings:
    """The connection of somebody who has only these rights."""
    admin = server.acl()
    secret = admin.token(admin.policy(f"view-{uuid.uuid4().hex}", "\n".join(rules))).secret
    return settings_of(server, secret)


def test_everything_is_read_at_once(server: ConsulServer, account: str, fleet: WrittenFleet) -> None:
    found = read_overview(settings_of(server), account, 2, DEADLINE)
    assert found.account_id == account
    assert isinstance(found.lock, LockView)
    assert found.lock.record is not None
    assert (found.lock.session, found.lock.record.node_id, found.lock.record.term) == (fleet.sessions["n1"], "n1", 3)
    assert isinstance(found.members, tuple)
    assert [(member.record.node_id, member.session) for member in found.members] == [
        ("n1", fleet.sessions["n1"]),
        ("n2", fleet.sessions["n2"]),
    ]
    assert (found.config, found.request) == (CONFIG, REQUEST)
    assert isinstance(found.history, tuple)
    assert [record.term for record in found.history] == [3, 2]
    assert isinstance(found.consul, ConsulHealth)
    leader = server.client().leader()
    assert (found.consul.leader, found.consul.servers, found.consul.tolerance) == (leader, 1, 0)


def test_a_node_without_a_session_is_seen_as_such(server: ConsulServer, account: str, fleet: WrittenFleet) -> None:
    fleet.silence("n2")
    members = read_overview(settings_of(server), account, 1, DEADLINE).members
    assert isinstance(members, tuple)
    assert [(member.record.node_id, member.session is None) for member in members] == [("n1", False), ("n2", True)]


def test_an_account_that_nobody_uses(server: ConsulServer, account: str) -> None:
    found = read_overview(settings_of(server), account, 5, DEADLINE)
    assert (found.lock, found.members, found.config) == (LockView(0), (), FleetConfig())
    assert (found.request, found.history) == (None, ())


def test_keys_of_others_below_ours_are_passed_over(server: ConsulServer, account: str, fleet: WrittenFleet) -> None:
    for key in (members_prefix(account), history_prefix(account)):
        for name in ("zzz", "0000000009", ""):
            fleet.client.kv_put(f"{key}{name}", '{"node_id": "n1", "term": 3}')
    found = read_overview(settings_of(server), account, 9, DEADLINE)
    assert isinstance(found.members, tuple)
    assert isinstance(found.history, tuple)
    assert [member.record.node_id for member in found.members] == ["n1", "n2"]
    assert [record.term for record in found.history] == [3, 2, 1]


def unread(overview: Overview) -> set[str]:
    """The names of the parts that could not be read; each has the reason."""
    found = {name for name, part in vars(overview).items() if isinstance(part, Unread)}
    for name in found:
        assert "permission denied" in getattr(overview, name).why
    return found


def test_what_a_token_may_not_read_spoils_nothing_else(guarded: ConsulServer, account: str, fenced: WrittenFleet) -> None:
    lock, tree = f'key "{lock_key(account)}" {{ policy = "read" }}', f"kuutamod/{account}/"

    def below(prefix: str) -> str:
        return f'key_prefix "{prefix}" {{ policy = "read" }}'

    def seen(*rules: str) -> Overview:
        return read_overview(token(guarded, *rules), account, 3, DEADLINE)

    def judged() -> Overview | None:
        found = seen(lock, below(tree), 'operator = "read"')
        assert unread(found) == set()
        return found if found.consul == ConsulHealth(guarded.client().leader(), 1, 1, 0) else None

    everything = eventually(judged, 60.0, "autopilot has judged its server, some seconds after its start")
    assert everything is not None

    no_operator = seen(lock, below(tree))
    assert unread(no_operator) == set()
    assert isinstance(no_operator.consul, ConsulHealth)
    assert "operator:read" in no_operator.consul.estimated
    assert (no_operator.consul.servers, no_operator.consul.voters, no_operator.consul.tolerance) == (1, None, 0)

    few = seen(lock, below(members_prefix(account)))
    assert unread(few) == {"config", "request", "history", "maintenance"}
    assert (few.lock, few.members) == (everything.lock, everything.members)

    assert unread(seen(lock, below(history_prefix(account)))) == {"config", "request", "members", "maintenance"}
    assert unread(seen()) == {"lock", "members", "config", "request", "history", "maintenance"}


def test_an_unknown_token_reads_nothing(guarded: ConsulServer, account: str) -> None:
    found = read_overview(settings_of(guarded, str(uuid.uuid4())), account, 3, DEADLINE)
    assert unread(found) >= {"lock", "members", "config", "request", "history"}


def test_another_url_is_asked_where_the_first_is_dead(server: ConsulServer, account: str, fleet: WrittenFleet) -> None:
    found = read_overview(ConsulSettings(("http://127.0.0.1:1", server.url)), account, 1, DEADLINE)
    assert isinstance(found.lock, LockView)
    assert found.lock.session == fleet.sessions["n1"]
    with pytest.raises(ConsulError, match="Connection refused") as caught:
        read_overview(ConsulSettings(("http://127.0.0.1:1",)), account, 1, DEADLINE)
    assert caught.value.fault is Fault.UNREACHABLE


def test_a_frozen_consul_costs_no_more_than_the_deadline(account: str) -> None:
    with ConsulServer() as server:
        server.freeze()
        try:
            begun = time.monotonic()
            with pytest.raises(ConsulError) as caught:
                read_overview(settings_of(server), account, 1, 1.0)
            # A busy machine may be late, but nothing waits for the library's own timeout of minutes.
            assert time.monotonic() - begun < 30.0
            assert caught.value.fault is Fault.TIMEOUT
        finally:
            server.thaw()


def test_cluster_health(tmp_path: Path) -> None:
    def health(url: str) -> ConsulHealth:
        found = read_overview(ConsulSettings((url,)), "a.near", 1, DEADLINE).consul
        assert isinstance(found, ConsulHealth)
        return found

    with ConsulCluster(tmp_path, n_servers=3, n_clients=0) as cluster:

        def well() -> ConsulAgent | None:
            found = cluster.leader()
            return found if health(found.url) == ConsulHealth(found.spec.rpc_address, 3, 3, 1) else None

        leader = eventually(well, 60.0, "autopilot finds three healthy voters")
        assert leader is not None
        followers = [server for server in cluster.servers if server is not leader]
        followers[0].kill()

        def weak() -> bool:
            found = health(leader.url)
            return (found.voters, found.tolerance, found.estimated) == (2, 0, "")

        eventually(weak, 60.0, "autopilot tells that no more server may be lost")
        followers[1].kill()

        def blind() -> bool:
            try:
                health(leader.url)
            except ConsulError as error:
                return error.fault in (Fault.NO_LEADER, Fault.SERVER, Fault.TIMEOUT)
            return False

        eventually(blind, 60.0, "without a quorum nothing is shown at all")
