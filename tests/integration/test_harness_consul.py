# SPDX-License-Identifier: Apache-2.0
"""The harness against real Consul: servers and clusters start, fail, return, and end without a trace."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from kuutamo_localnet.consul import ConsulCluster, ConsulServer, Placement
from kuutamo_localnet.consul_binary import find_consul
from kuutamo_localnet.consul_client import ConsulAnswerError
from kuutamo_localnet.netns import NetworkLab, available
from kuutamo_localnet.proxy import RefusingProxy
from kuutamo_localnet.reaper import read_process
from kuutamo_localnet.wait import eventually

pytestmark = pytest.mark.integration

ACCOUNT = "fleet.near"
LOCK = f"kuutamod-leader/{ACCOUNT}"


@pytest.fixture(scope="module")
def server() -> Iterator[ConsulServer]:
    with ConsulServer() as server:
        yield server


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConsulCluster]:
    with ConsulCluster(tmp_path_factory.mktemp("cluster"), acl=True, client_names=["node0", "node1", "node2"]) as cluster:
        yield cluster


def test_keys_sessions_and_transactions(server: ConsulServer) -> None:
    client = server.client()
    assert client.kv_get("lock") is None
    session = client.session_create("node0", TTL="10s", Behavior="release", Checks=[])
    assert client.kv_put("lock", b"mine", acquire=session)
    held = client.kv_get("lock")
    assert held is not None
    assert (held.value, held.session, held.lock_index) == (b"mine", session, 1)
    beat = [
        {"Verb": "check-session", "Key": "lock", "Session": session},
        {"Verb": "lock", "Key": "lock", "Session": session, "Value": '{"n": 2}'},
    ]
    assert client.txn(beat).ok
    entry = client.kv_get("lock")
    assert entry is not None
    assert entry.json() == {"n": 2}
    assert client.session_renew(session)
    assert session in {found["ID"] for found in client.session_list()}
    client.session_destroy(session)
    assert client.session_info(session) is None
    assert not client.session_renew(session)
    refused = client.txn(beat)
    assert not refused.ok
    assert refused.errors
    assert [entry.key for entry in client.kv_list("lo")] == ["lock"]
    client.kv_delete("lock")
    assert client.kv_get("lock") is None


def test_a_short_session_ttl_can_be_allowed(tmp_path: Path) -> None:
    with ConsulServer(tmp_path, session_ttl_min=1) as server:
        client = server.client()
        session = client.session_create("short", TTL="1s", Checks=[])
        eventually(lambda: client.session_info(session) is None, 30, "a session with a TTL of 1 s expires")


def test_a_persistent_server_keeps_its_data_and_restores_snapshots(tmp_path: Path) -> None:
    with ConsulServer(tmp_path / "consul", persistent=True) as server:
        server.client().kv_put("key", "old")
        server.snapshot_save(tmp_path / "snapshot")
        server.client().kv_put("key", "new")
        server.kill()
        with pytest.raises(requests.ConnectionError):
            server.client().kv_get("key")
        server.restart()
        server.wait_ready()
        kept = server.client().kv_get("key")
        assert kept is not None
        assert kept.value == b"new"
        server.snapshot_restore(tmp_path / "snapshot")
        restored = server.client().kv_get("key")
        assert restored is not None
        assert restored.value == b"old"


def test_a_frozen_server_hangs_until_it_is_thawed(server: ConsulServer) -> None:
    server.freeze()
    try:
        with pytest.raises(requests.ReadTimeout):
            server.client(timeout=0.3).kv_get("key")
    finally:
        server.thaw()
    assert server.client(timeout=20).kv_get("key") is None


def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    server = ConsulServer(tmp_path, extra={"no_such_setting": True})
    with pytest.raises(AssertionError, match="no_such_setting"):
        server.start().wait_ready(60)
    server.close()


def test_node_tokens_reach_their_own_node_and_account_only(cluster: ConsulCluster) -> None:
    admin = cluster.acl()
    token = admin.node_token(ACCOUNT, "node0")
    client = cluster.agent(0).client(token.secret)
    session = client.session_create("node0", TTL="10s", Node="node0", Checks=[])
    assert client.kv_put(LOCK, "mine", acquire=session)
    assert client.kv_put(f"kuutamod/{ACCOUNT}/members/node0", "{}")
    for forbidden in (
        lambda: client.session_create("node1", TTL="10s", Node="node1"),
        lambda: client.kv_put("kuutamod-leader/other.near", "mine"),
        lambda: client.kv_put(f"kuutamod/{ACCOUNT}2/members/node0", "{}"),
    ):
        with pytest.raises(ConsulAnswerError) as caught:
            forbidden()
        assert caught.value.status == 403
    operator = cluster.agent(1).client(admin.operator_token(ACCOUNT).secret)
    assert operator.kv_get(LOCK) is not None
    # It may make sessions, which hold the maintenance lock; the validator's lock is out of its reach.
    with pytest.raises(ConsulAnswerError, match="403"):
        operator.kv_put(LOCK, "mine", acquire=operator.session_create("node0", TTL="10s", Node="node0"))
    admin.revoke(token)
    with pytest.raises(ConsulAnswerError, match="403"):
        client.kv_put(LOCK, "mine")


def test_agents_of_a_cluster_have_addresses_of_their_own(cluster: ConsulCluster) -> None:
    everyone = [*cluster.servers, *cluster.agents]
    assert len({agent.spec.address for agent in everyone}) == 6
    assert all(agent.spec.address.startswith("127.") for agent in everyone)
    cluster.client().kv_put("seen-by-all", "yes")
    assert {agent.client().kv_get("seen-by-all") is not None for agent in everyone} == {True}


def test_another_server_leads_after_the_loss_of_the_leader(cluster: ConsulCluster) -> None:
    first = cluster.leader()
    first.kill()
    second = cluster.leader(deadline=60)
    assert second is not first
    eventually(lambda: cluster.client().kv_put("after-the-loss", "yes"), 60, "the new leader takes a write")
    # An agent may try the dead server first and answer with an error: it is served once it has given that one up.
    agent = cluster.agent(0).client(timeout=20)
    eventually(lambda: agent.kv_get("after-the-loss"), 60, "an agent is served by the new leader")
    first.restart()
    cluster.wait_ready()
    second.freeze()
    try:
        assert cluster.leader(deadline=60) is not second
    finally:
        second.thaw()
    cluster.wait_ready()


@pytest.mark.parametrize("leave", [None, False])
def test_sessions_of_a_client_that_is_asked_to_end_die_unless_it_may_not_leave(leave: bool | None, tmp_path: Path) -> None:
    extra = {"performance": {"leave_drain_time": "100ms"}}
    with ConsulCluster(tmp_path, n_servers=1, n_clients=1, leave_on_terminate=leave, extra=extra) as cluster:
        client = cluster.client()
        session = client.session_create("held", TTL="60s", Node="client0", Checks=[])
        cluster.agent(0).terminate()
        if leave is None:
            eventually(lambda: client.session_info(session) is None, 20, "the session dies with the leave")
        else:
            assert client.session_info(session) is not None


def test_a_proxy_cuts_an_agent_off_one_way(server: ConsulServer) -> None:
    spec = server.agent.spec
    with RefusingProxy(spec.address, spec.ports.http) as proxy:
        client = server.client()
        url = f"{proxy.url}/v1/kv/one-way"
        assert requests.put(url, data=b"1", timeout=20).json() is True
        proxy.drop_answers()
        with pytest.raises(requests.ReadTimeout):
            requests.put(url, data=b"2", timeout=(20, 0.5))

        def arrived() -> bool:
            entry = client.kv_get("one-way")
            return entry is not None and entry.value == b"2"

        eventually(arrived, 20, "the request arrives, though its answer does not")


@pytest.mark.root
@pytest.mark.skipif(not available(), reason="network namespaces need root, iproute2 and veth")
def test_a_host_of_a_lab_is_cut_off_from_the_cluster_but_not_from_its_own_agent(tmp_path: Path) -> None:
    with NetworkLab() as lab:
        hosts = [lab.host(name) for name in ("server", "validator")]
        placements = [Placement(host.address, host.popen_prefix(), host.expose) for host in hosts]
        with ConsulCluster(tmp_path, n_servers=1, n_clients=1, placements=placements) as cluster:
            client = cluster.agent(0).client(timeout=0.5)
            client.kv_put("key", "value")
            hosts[1].cut()
            begun = time.monotonic()
            with pytest.raises(requests.ReadTimeout):
                client.kv_get("key")
            assert time.monotonic() - begun >= 0.5
            assert client.call("GET", "agent/self")["Config"]["NodeName"] == "client0"
            assert cluster.client().kv_get("key") is not None
            hosts[1].heal()
            eventually(lambda: cluster.agent(0).client().kv_get("key"), 60, "the agent is back in the cluster")


def test_nothing_is_left_running(tmp_path: Path) -> None:
    with ConsulCluster(tmp_path, n_servers=1, n_clients=1) as cluster:
        pids = [agent.process.pid for agent in (*cluster.servers, *cluster.agents)]
        cluster.servers[0].freeze()
        assert None not in [read_process(pid) for pid in pids]
    assert [read_process(pid) for pid in pids] == [None, None]


def test_the_binary_is_found_again_in_the_same_place() -> None:
    assert find_consul().path == find_consul().path
