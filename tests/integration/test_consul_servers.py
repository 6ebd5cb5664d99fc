# SPDX-License-Identifier: Apache-2.0
"""Consul's servers fail over, or lose their quorum for a short and for a long time."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest
import requests

from integration.consul_stages import (
    RELEASE_RETRY,
    bearable,
    cluster_of,
    fenced,
    no_ghost,
    spec,
    undisturbed,
    with_agents,
)
from integration.scenario import BUSY, LAW, Stage, boottime, mark, ready, release_bound, told_since
from kuutamo_localnet.consul_agent import ConsulAgent
from kuutamo_localnet.consul_client import ConsulAnswerError
from kuutamo_localnet.wait import eventually
from kuutamod.core.lease import LEADER_LOSS

pytestmark = pytest.mark.integration

QUORUM_BACK = 60.0
"""Seconds for autopilot to make a returned server a voter again."""


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with with_agents(tmp_path_factory.mktemp("servers"), spec()) as stage:
        yield stage


def whole(stage: Stage) -> None:
    """Every server lives and votes."""
    cluster = cluster_of(stage)
    for server in cluster.servers:
        server.thaw()
        if not server.alive():
            server.restart()
    cluster.wait_ready(QUORUM_BACK)


def followers(stage: Stage) -> list[ConsulAgent]:
    leader = cluster_of(stage).leader()
    return [server for server in cluster_of(stage).servers if server is not leader]


def writes(server: ConsulAgent) -> bool:
    """Does this server take a write, that is, is there a leader with a quorum?"""
    with contextlib.suppress(requests.RequestException, ConsulAnswerError):
        return server.client(timeout=0.5).kv_put("kuutamo-localnet/probe", "x")
    return False


def test_leader_killed_costs_nothing(stage: Stage) -> None:
    holder = stage.healthy()
    before, term = stage.last_interval(holder), stage.term()
    try:
        other, lost_at = followers(stage)[0], boottime()
        cluster_of(stage).leader().kill()
        eventually(lambda: writes(other), BUSY, "Consul takes writes again", 0.02)
        bearable(lost_at, "Consul had no leader")
        undisturbed(stage, holder, before, term)
    finally:
        whole(stage)
    undisturbed(stage, holder, before, term)


def test_quorum_lost_for_a_short_time_costs_nothing(stage: Stage) -> None:
    holder = stage.healthy()
    before, term = stage.last_interval(holder), stage.term()
    frozen = followers(stage)
    try:
        lost_at = boottime()
        for server in frozen:
            server.freeze()
        short = LAW.fence_deadline - LEADER_LOSS
        eventually(lambda: boottime() > lost_at + short, 2 * short, f"{short:g} s have passed")
        for server in frozen:
            server.thaw()
        eventually(lambda: writes(frozen[0]), BUSY, "Consul takes writes again", 0.02)
        bearable(lost_at, "Consul had no leader")
        undisturbed(stage, holder, before, term)
    finally:
        whole(stage)


def test_quorum_lost_for_longer_than_the_lease(stage: Stage) -> None:
    holder = stage.healthy()
    term, since, frozen = stage.term(), mark(holder), followers(stage)
    try:
        for server in frozen:
            server.freeze()
        lost_at = boottime()
        fenced(stage, holder, lost_at)
        told_since(holder, since, "fence: killing neard", "no proof of holding the lock for")
        eventually(
            lambda: boottime() > lost_at + LAW.guard_time + LAW.heartbeat_interval,
            2 * LAW.guard_time,
            "the guard time has passed",
        )
        assert stage.fleet.referee.current_holder(stage.account) is None, "somebody took a lock that cannot be written"
        for server in frozen:
            server.thaw()
        eventually(lambda: writes(frozen[0]), BUSY, "Consul takes writes again", 0.02)
        back_at = boottime()
        successor = stage.holder(LEADER_LOSS + RELEASE_RETRY + release_bound() + BUSY)
        taken_at = stage.last_interval(successor).loaded_at
        assert taken_at <= back_at + RELEASE_RETRY + LEADER_LOSS + release_bound()
        assert stage.term() == term + 1
        no_ghost(stage, successor)
        stage.safe()
    finally:
        whole(stage)
    for node in stage.fleet.standbys(successor):
        eventually(lambda node=node: ready(node), 60, f"{node.name} is a ready standby")  # type: ignore[misc]
    no_ghost(stage, successor)
