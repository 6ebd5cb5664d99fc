# SPDX-License-Identifier: Apache-2.0
"""Servers that freeze, vanish, or lose their leader: nothing of that is a proof, in either direction."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from integration.consul_adapter.rig import Node, holder, settings_of
from kuutamo_localnet.consul import ConsulCluster, ConsulServer
from kuutamo_localnet.wait import eventually
from kuutamod.consul.settings import ConsulSettings
from kuutamod.core import events as ev
from kuutamod.core.actions import (
    CreateSession,
    DestroySession,
    ReadFleet,
    ReadLock,
    RenewSession,
    TakeKind,
)
from kuutamod.core.lease import LeaseLaw

DAEMONS = LeaseLaw()

pytestmark = [
    pytest.mark.integration,
    # python-consul2 warns of parts of Consul that are not used here.
    pytest.mark.filterwarnings("ignore::DeprecationWarning:consul.base"),
]


def test_a_frozen_server_costs_one_deadline_and_the_next_url_is_used(server: ConsulServer, account: str) -> None:
    with ConsulServer() as frozen:
        node = Node(ConsulSettings(urls=(frozen.url, server.url)), account, law=DAEMONS)
        other = Node(settings_of(server), account)
        session = other.session()
        assert other.create().outcome is ev.Outcome.APPLIED
        seen = other.view()
        assert isinstance(node.do(ReadLock()), ev.LockSeen)
        frozen.freeze()
        try:
            begun = time.monotonic()
            event = node.take(session, TakeKind.FREE, seen)
            took = time.monotonic() - begun
            assert event.outcome is ev.Outcome.UNKNOWN
            assert frozen.url in event.why
            assert DAEMONS.request_deadline * 0.5 < took < 6.5, (
                "Consul itself would have answered after 7 s at the earliest"
            )
            assert node.take(session, TakeKind.FREE, seen).outcome is ev.Outcome.APPLIED
        finally:
            frozen.thaw()


def test_a_server_that_is_gone(account: str) -> None:
    with ConsulServer() as server:
        node = Node(settings_of(server), account)
        session = holder(node)
        server.kill()
        assert node.beat(session).outcome is ev.Outcome.UNKNOWN
        assert node.release(session).outcome is ev.Outcome.UNKNOWN
        assert isinstance(node.do(ReadLock()), ev.LockReadFailed)
        assert isinstance(node.do(ReadFleet()), ev.FleetFailed)
        assert isinstance(node.do(RenewSession(session)), ev.SessionFailed)
        assert isinstance(node.do(DestroySession(session)), ev.SessionFailed)
        assert isinstance(node.do(CreateSession()), ev.SessionFailed)
        assert isinstance(node.publish(session), ev.MemberRefused)
    assert {outcome for _unused, outcome in node.calls[-7:]} == {"unreachable"}


def test_cluster_leader_loss_is_unknown_until_it_is_over(tmp_path: Path, account: str) -> None:
    with ConsulCluster(tmp_path, n_clients=0) as cluster:
        lost = cluster.leader()
        others = [agent for agent in cluster.servers if agent is not lost]
        node = Node(ConsulSettings(urls=tuple(agent.url for agent in (lost, *others))), account)
        session = holder(node)
        assert node.beat(session).outcome is ev.Outcome.APPLIED
        lost.freeze()
        outcomes: list[ev.Outcome] = []

        def proved() -> bool:
            outcomes.append(node.beat(session).outcome)
            return outcomes[-1] is ev.Outcome.APPLIED

        eventually(proved, 60, "a heartbeat is applied by the next leader", 0.1)
        lost.thaw()
        assert ev.Outcome.REFUSED not in outcomes
        assert outcomes[0] is ev.Outcome.UNKNOWN
        assert node.beat(session).outcome is ev.Outcome.APPLIED


def test_cluster_without_a_majority_gives_no_proof(tmp_path: Path, account: str) -> None:
    with ConsulCluster(tmp_path, n_clients=0) as cluster:
        kept, *rest = cluster.servers
        node = Node(ConsulSettings(urls=(kept.url,)), account, law=DAEMONS)
        session = holder(Node(ConsulSettings(urls=(kept.url,)), account))
        for agent in rest:
            agent.kill()
        eventually(lambda: node.beat(session).outcome is ev.Outcome.UNKNOWN, 10, "heartbeats are not applied", 0.1)
        # A server without a majority may still answer a renewal; a heartbeat and a consistent read it may not.
        for _unused in range(3):
            assert node.beat(session).outcome is ev.Outcome.UNKNOWN
            assert isinstance(node.do(ReadLock()), ev.LockReadFailed)
