# SPDX-License-Identifier: Apache-2.0
"""Several Consul URLs: losing the first costs nothing, and what got stuck on the way there does no harm when it arrives."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from integration.consul_stages import ProxiedStage, proxied, rejoins, spec, undisturbed
from integration.scenario import (
    BUSY,
    LAW,
    SHORT_HOLD_OFF,
    boottime,
    mark,
    release_bound,
    steal_bound,
    told_since,
)
from kuutamo_localnet.wait import eventually
from kuutamod.consul import transactions
from kuutamod.core.protocol import lock_key

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProxiedStage]:
    with proxied(tmp_path_factory.mktemp("urls"), spec(nodes=2), direct_too=True) as stage:
        yield stage


def test_the_first_url_refuses_connections(stage: ProxiedStage) -> None:
    holder = stage.healthy()
    before, term, start = stage.last_interval(holder), stage.term(), mark(holder)
    try:
        stage.proxy(holder).refuse()
        refused_at = boottime()
        # By whatever was asked for first: after that everything goes to the other URL.
        told_since(holder, start, f"{stage.proxy(holder).url}: Connection re")
        outlast(refused_at)
        undisturbed(stage, holder, before, term)
    finally:
        stage.heal()


def test_the_first_url_accepts_and_never_answers(stage: ProxiedStage) -> None:
    holder = stage.healthy()
    before, term = stage.last_interval(holder), stage.term()
    try:
        stage.proxy(holder).blackhole()
        silent_at = boottime()
        outlast(silent_at)
        undisturbed(stage, holder, before, term)
    finally:
        stage.heal()
    undisturbed(stage, holder, before, term)


def outlast(since: float) -> None:
    """Wait until a lease whose last proof is from then would have been fenced."""
    eventually(lambda: boottime() > since + LAW.fence_deadline, 2 * LAW.fence_deadline, "a fence deadline has passed")


def test_a_heartbeat_of_a_lease_that_was_released_changes_nothing(stage: ProxiedStage) -> None:
    holder = stage.healthy()
    term, (session, record) = stage.term(), stage.lock()
    assert record is not None
    late = transactions.heartbeat(lock_key(stage.account), session, record.to_json())
    holder.stop()
    successor, interval = stage.taken_over(holder, release_bound() + BUSY)
    gone_at = stage.last_interval(holder).ended_at
    assert gone_at is not None
    assert interval.loaded_at <= gone_at + release_bound()
    successor.wait_state("Validating", BUSY)
    booked = stage.lock()[0]
    answer = stage.client().request("PUT", "txn", body=late)
    assert answer.status_code in (409, 500), answer.text
    assert (stage.lock()[0], stage.term()) == (booked, term + 1)
    undisturbed(stage, successor, interval, term + 1)


def test_a_release_that_arrives_when_its_writer_holds_the_lock_again_frees_nothing(stage: ProxiedStage) -> None:
    holder = stage.healthy()
    (standby,) = stage.fleet.standbys(holder)
    standby.stop()
    term, proxy = stage.term(), stage.proxy(holder)
    try:
        # The release goes the first way and gets stuck; its repetition, by the second, succeeds.
        proxy.blackhole()
        since = mark(holder)
        holder.kill_neard()
        told_since(holder, since, "release unknown", proxy.url)
        told_since(holder, since, "released the lock")
        patience = float(SHORT_HOLD_OFF["KUUTAMO_PATIENCE"])
        eventually(lambda: stage.term() == term + 1, patience + steal_bound() + BUSY, f"{holder.name} takes the lock again")
        assert stage.holder() is holder
        again = stage.last_interval(holder)
        standby.start()
        rejoins(stage, standby, holder, term + 1)
        proxy.pass_through()
        undisturbed(stage, holder, again, term + 1)
    finally:
        stage.heal()
