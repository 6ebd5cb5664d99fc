# SPDX-License-Identifier: Apache-2.0
"""The holder's host dies: its whole process tree at once, and the Consul agent or server that ran there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from integration.consul_stages import (
    beside_servers,
    cluster_of,
    fenced,
    move_to,
    no_ghost,
    rejoins,
    spec,
    with_agents,
)
from integration.scenario import BUSY, Stage, boottime, steal_bound, told
from kuutamod.core.lease import LEADER_LOSS

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def agents(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with with_agents(tmp_path_factory.mktemp("agents"), spec()) as stage:
        yield stage


@pytest.fixture(scope="module")
def colocated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with beside_servers(tmp_path_factory.mktemp("colocated"), spec()) as stage:
        yield stage


def test_loss_of_the_whole_process_tree_and_the_client_agent(agents: Stage, tmp_path: Path) -> None:
    holder = agents.healthy()
    term = agents.term()
    holder.lose_host()
    lost_at = boottime()
    fenced(agents, holder, lost_at)
    successor, interval = agents.taken_over(holder, steal_bound() + BUSY)
    assert interval.loaded_at <= lost_at + steal_bound()
    told(successor, f"taking the lock for term {term + 1}", "has not proved itself for the guard time")
    successor.wait_state("Validating", BUSY)
    holder.return_host()
    rejoins(agents, holder, successor, term + 1)
    no_ghost(agents, successor)


def test_loss_of_the_whole_process_tree_and_the_leading_consul_server(colocated: Stage) -> None:
    colocated.healthy()
    for _unused in range(3):  # on a busy machine there may be an election meanwhile
        leader = cluster_of(colocated).leader()
        holder = next(node for node in colocated.fleet.nodes if node.plan.site.agent is leader)
        move_to(colocated, holder)
        assert colocated.healthy() is holder
        if cluster_of(colocated).leader() is leader:
            break
    else:
        pytest.fail("Consul's leader changes all the time")
    term = colocated.term()
    holder.lose_host()
    lost_at = boottime()
    fenced(colocated, holder, lost_at)
    successor, interval = colocated.taken_over(holder, LEADER_LOSS + steal_bound() + BUSY)
    assert interval.loaded_at <= lost_at + LEADER_LOSS + steal_bound()
    told(successor, f"taking the lock for term {term + 1}", "has not proved itself for the guard time")
    successor.wait_state("Validating", BUSY)
    holder.return_host()
    rejoins(colocated, holder, successor, term + 1)
    no_ghost(colocated, successor)
