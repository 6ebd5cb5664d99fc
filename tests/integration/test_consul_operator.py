# SPDX-License-Identifier: Apache-2.0
"""What an operator can do to the lock's key, its session and its value while a holder validates."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from integration.consul_stages import no_ghost, notice_bound, on_one_server, rejoins, retire, spec, undisturbed
from integration.scenario import BUSY, LAW, Stage, boottime, mark, steal_bound, told_since
from kuutamo_localnet.fleet_node import FleetNode
from kuutamo_localnet.wait import eventually
from kuutamod.core.protocol import lock_key

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with on_one_server(tmp_path_factory.mktemp("operator"), spec()) as stage:
        yield stage


def taken_away(stage: Stage, holder: FleetNode, since: int, term: int, at: float, why: str) -> FleetNode:
    """The holder is told so and fenced at once; a node takes over after G, never before.

    Its next heartbeat tells it, or the next renewal of its session if that comes first and the session is gone. It has
    done nothing wrong: where its neard has settled by then, it may be the best to take over.
    """
    old = stage.ended(holder, notice_bound() + BUSY)
    assert old.ended_at is not None
    assert old.ended_at <= at + notice_bound()
    told_since(holder, since, "fence: killing neard", ": Consul ")
    successor, new = stage.taken_over(holder, steal_bound() + BUSY, back=True)
    assert at + LAW.guard_time * (1 - LAW.clock_rate_error) <= new.loaded_at <= at + steal_bound()
    told_since(successor, 0, f"taking the lock for term {term + 1}", why)
    successor.wait_state("Validating", BUSY)
    for node in stage.fleet.standbys(successor):
        rejoins(stage, node, successor, term + 1)
    no_ghost(stage, successor)
    return successor


def test_lock_key_deleted(stage: Stage) -> None:
    holder = stage.healthy()
    term, since, client = stage.term(), mark(holder), stage.client()
    client.kv_delete(lock_key(stage.account))
    taken_away(stage, holder, since, term, boottime(), "it is free without the marker")
    told_since(holder, since, "heartbeat refused")
    assert any("writing it anew, held by nobody" in node.log_text() for node in stage.fleet.nodes)


def test_session_destroyed(stage: Stage) -> None:
    holder = stage.healthy()
    term, since, client = stage.term(), mark(holder), stage.client()
    client.session_destroy(stage.lock()[0])
    taken_away(stage, holder, since, term, boottime(), "it is free without the marker")


def test_lock_released_by_a_stranger_with_another_value(stage: Stage) -> None:
    holder = stage.healthy()
    term, since, client = stage.term(), mark(holder), stage.client()
    assert client.kv_put(lock_key(stage.account), b"not a record", release=stage.lock()[0])
    at = boottime()
    taken_away(stage, holder, since, term, at, "it is free without the marker")
    told_since(holder, since, "heartbeat refused")


def test_value_overwritten_under_the_lock_is_written_anew(stage: Stage) -> None:
    holder = stage.healthy()
    before, term, client = stage.last_interval(holder), stage.term(), stage.client()
    session = stage.lock()[0]
    client.kv_put(lock_key(stage.account), b"not a record")
    assert stage.lock()[0] == session
    eventually(
        lambda: stage.lock()[1] is not None, LAW.heartbeat_interval + BUSY, "the next heartbeat writes the value anew"
    )
    undisturbed(stage, holder, before, term)


def test_marker_forged_under_the_lock_is_overwritten_and_nobody_takes_it(stage: Stage) -> None:
    """A marker counts only in a free key."""
    holder = stage.healthy()
    before, term = stage.last_interval(holder), stage.term()
    retire(stage.client(), stage.account)
    undisturbed(stage, holder, before, term)
