# SPDX-License-Identifier: Apache-2.0
"""The Consul agent on the holder's host dies, leaves, returns soon or late. Each node asks only its own client agent."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from integration.consul_stages import agent_of, bearable, fenced, no_ghost, rejoins, spec, undisturbed, with_agents
from integration.scenario import BUSY, LAW, Stage, boottime, mark, steal_bound, told_since
from kuutamo_localnet.fleet_node import FleetNode
from kuutamo_localnet.wait import eventually

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with with_agents(tmp_path_factory.mktemp("agents"), spec()) as stage:
        yield stage


def returned(node: FleetNode) -> None:
    """The node's agent runs again, whatever the test did to it."""
    agent = agent_of(node)
    agent.thaw()
    if not agent.alive():
        agent.restart()
    agent.wait_ready(BUSY)


def test_agent_killed_and_back_within_a_second_costs_nothing(stage: Stage) -> None:
    holder = stage.healthy()
    before, term = stage.last_interval(holder), stage.term()
    try:
        killed_at = boottime()
        agent_of(holder).restart()
        agent_of(holder).wait_ready(BUSY)
        bearable(killed_at, "the agent was away")
        undisturbed(stage, holder, before, term)
    finally:
        returned(holder)


def test_agent_frozen_for_half_the_fence_deadline_costs_nothing(stage: Stage) -> None:
    """What was sent to the frozen agent arrives late, when it goes on: heartbeats whose answers nobody waits for."""
    holder = stage.healthy()
    before, term = stage.last_interval(holder), stage.term()
    try:
        agent_of(holder).freeze()
        frozen_at = boottime()
        half = LAW.fence_deadline / 2
        eventually(lambda: boottime() > frozen_at + half, 2 * half, "half the fence deadline has passed")
        agent_of(holder).thaw()
        undisturbed(stage, holder, before, term)
    finally:
        returned(holder)


def test_agent_killed_and_back_after_the_fence(stage: Stage) -> None:
    holder = stage.healthy()
    term, since = stage.term(), mark(holder)
    try:
        agent_of(holder).kill()
        killed_at = boottime()
        fenced(stage, holder, killed_at)
        told_since(holder, since, "fence: killing neard", "no proof of holding the lock for", "Connection refused")
        successor, interval = stage.taken_over(holder, steal_bound() + BUSY)
        assert interval.loaded_at <= killed_at + steal_bound()
        successor.wait_state("Validating", BUSY)
    finally:
        returned(holder)
    rejoins(stage, holder, successor, term + 1)
    no_ghost(stage, successor)


def test_agent_leaves_gracefully_and_takes_the_session_with_it(stage: Stage) -> None:
    """The leave ends the sessions of its node at once and frees the key without the marker: the standbys wait for G."""
    holder = stage.healthy()
    term, session = stage.term(), stage.lock()[0]
    try:
        agent_of(holder).terminate()
        left_at = boottime()
        assert stage.client().session_info(session) is None, "the leave did not end the session; this tests nothing"
        fenced(stage, holder, left_at)
        successor, interval = stage.taken_over(holder, steal_bound() + BUSY)
        assert interval.loaded_at <= left_at + steal_bound()
        told_since(successor, 0, f"taking the lock for term {term + 1}", "it is free without the marker")
        successor.wait_state("Validating", BUSY)
    finally:
        returned(holder)
    rejoins(stage, holder, successor, term + 1)
    no_ghost(stage, successor)
