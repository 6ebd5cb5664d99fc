# SPDX-License-Identifier: Apache-2.0
"""The holder's only Consul agent answers, but not as it should: with errors, late, or into the void."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from integration.consul_stages import ProxiedStage, fenced, no_ghost, proxied, rejoins, spec, undisturbed
from integration.scenario import BUSY, LAW, boottime, mark, steal_bound, told_since
from kuutamo_localnet.proxy import RefusingProxy
from kuutamo_localnet.wait import eventually

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProxiedStage]:
    with proxied(tmp_path_factory.mktemp("answers"), spec()) as stage:
        yield stage


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        pytest.param(lambda proxy: proxy.error(403, "Permission denied"), "permission denied", id="403"),
        pytest.param(lambda proxy: proxy.error(500, "rpc error making call: EOF"), "HTTP 500", id="500"),
        pytest.param(lambda proxy: proxy.error(500, "No cluster leader"), "No cluster leader", id="500-no-leader"),
    ],
)
def test_agent_answers_only_errors(stage: ProxiedStage, fault: Callable[[RefusingProxy], None], reason: str) -> None:
    holder = stage.healthy()
    term, since = stage.term(), mark(holder)
    try:
        fault(stage.proxy(holder))
        broken_at = boottime()
        fenced(stage, holder, broken_at)
        told_since(holder, since, "heartbeat without an answer, the fence deadline runs", reason)
        told_since(holder, since, "fence: killing neard", "no proof of holding the lock for", reason)
        successor, interval = stage.taken_over(holder, steal_bound() + BUSY)
        assert interval.loaded_at <= broken_at + steal_bound()
        told_since(successor, 0, f"taking the lock for term {term + 1}", "has not proved itself for the guard time")
        successor.wait_state("Validating", BUSY)
    finally:
        stage.heal()
    rejoins(stage, holder, successor, term + 1)
    no_ghost(stage, successor)


def test_agent_answers_errors_for_half_the_fence_deadline(stage: ProxiedStage) -> None:
    holder = stage.healthy()
    before, term, since = stage.last_interval(holder), stage.term(), mark(holder)
    try:
        stage.proxy(holder).error(500, "rpc error making call: EOF")
        broken_at = boottime()
        half = LAW.fence_deadline / 2
        eventually(lambda: boottime() > broken_at + half, 2 * half, "half the fence deadline has passed")
    finally:
        stage.heal()
    told_since(holder, since, "heartbeat without an answer", "HTTP 500")
    undisturbed(stage, holder, before, term)


def test_agent_answers_slowly_but_within_the_request_deadline(stage: ProxiedStage) -> None:
    holder = stage.healthy()
    before, term = stage.last_interval(holder), stage.term()
    try:
        stage.proxy(holder).delay(LAW.request_deadline / 3)
        slow_at = boottime()
        eventually(lambda: boottime() > slow_at + LAW.fence_deadline, 2 * LAW.fence_deadline, "a fence deadline has passed")
        undisturbed(stage, holder, before, term)
    finally:
        stage.heal()


def test_agent_answers_later_than_the_request_deadline(stage: ProxiedStage) -> None:
    """Each heartbeat is applied and its answer ignored: the holder is fenced, the standbys count G from the last one."""
    holder = stage.healthy()
    term, since = stage.term(), mark(holder)
    try:
        stage.proxy(holder).delay(1.5 * LAW.request_deadline)
        slow_at = boottime()
        old = fenced(stage, holder, slow_at)
        told_since(holder, since, "fence: killing neard", "no proof of holding the lock for", "no answer")
        assert old.ended_at is not None
        successor, new = stage.taken_over(holder, steal_bound() + BUSY)
        assert new.loaded_at <= old.ended_at + steal_bound()
        successor.wait_state("Validating", BUSY)
    finally:
        stage.heal()
    rejoins(stage, holder, successor, term + 1)
    no_ghost(stage, successor)
