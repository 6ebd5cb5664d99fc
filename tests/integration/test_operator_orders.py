# SPDX-License-Identifier: Apache-2.0
"""Restart, drain, pause and ranking on real processes: what an operator switches off stays off, and nothing else."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from integration.operator_line import ctl, flagged, view
from integration.scenario import (
    BUSY,
    POLICY,
    SHORT_HOLD_OFF,
    Stage,
    boottime,
    heal,
    release_bound,
    rested,
    single,
    steal_bound,
    told,
)
from kuutamo_localnet.fleet_node import Part
from kuutamo_localnet.fleet_plan import FleetSpec
from kuutamo_localnet.wait import eventually

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with single(tmp_path_factory.mktemp("orders"), FleetSpec(environment=SHORT_HOLD_OFF)) as made:
        yield made


@pytest.fixture
def stage(fleet: Stage) -> Iterator[Stage]:
    heal(fleet)
    # What a test that failed has left behind must not fail the next one.
    ctl(fleet, "resume")
    for node in fleet.fleet.nodes:
        ctl(fleet, "undrain", node.name)
    yield fleet
    fleet.safe()


def test_restart_of_a_standby_and_of_the_holder(stage: Stage) -> None:
    holder = rested(stage)
    standby = stage.fleet.standbys(holder)[0]
    pid = standby.pid(Part.NEARD)
    done = ctl(stage, "restart", standby.name)
    assert done.returncode == 0, done.stdout + done.stderr
    assert standby.pid(Part.NEARD) != pid
    assert stage.holder() is holder
    stage.healthy()
    done = ctl(stage, "restart", holder.name)
    assert done.returncode == 0, done.stdout + done.stderr
    assert stage.holder() is not holder
    stage.healthy()


def test_drain_hands_over_marks_and_undrain_takes_it_back(stage: Stage) -> None:
    holder = rested(stage)
    done = ctl(stage, "drain", holder.name)
    assert done.returncode == 0, done.stdout + done.stderr
    assert stage.holder() is not holder
    eventually(lambda: flagged(stage, holder, "drained"), BUSY, "the node knows that it is drained")
    refused = ctl(stage, "handover", "--to", holder.name)
    assert refused.returncode == 1
    assert "drained" in refused.stderr
    assert ctl(stage, "undrain", holder.name).returncode == 0
    stage.healthy()


def test_a_pause_holds_a_crash_on_its_node_and_ends(stage: Stage) -> None:
    holder = rested(stage)
    before = stage.last_interval(holder)
    assert ctl(stage, "pause", "--for", "2m", "--reason", "maintenance").returncode == 0
    for node in stage.fleet.standbys(holder):
        eventually(lambda node=node: flagged(stage, node, "paused"), BUSY, f"{node.name} is paused")  # type: ignore[misc]
    assert "maintenance" in ctl(stage, "status").stdout
    holder.kill(Part.NEARD)
    eventually(
        lambda: stage.last_interval(holder).loaded_at > before.loaded_at and stage.holder() is holder,
        120,
        "the same node validates again",
    )
    assert ctl(stage, "resume").returncode == 0
    assert stage.healthy() is holder


def test_a_pause_of_one_node_leaves_the_lock_to_the_others(stage: Stage) -> None:
    holder = rested(stage)
    paused, free = sorted(stage.fleet.standbys(holder), key=lambda node: node.name)
    assert ctl(stage, "pause", "--node", paused.name, "--for", "5m").returncode == 0
    assert flagged(stage, paused, "paused")
    assert not flagged(stage, free, "paused")
    # The table shows what an operator has written, at once; the node reads it a moment later.
    eventually(lambda: "paused" in paused.metrics().reasons(), BUSY, f"{paused.name} knows that it is paused")
    holder.kill(Part.NEARD)
    new, _unused = stage.taken_over(holder, release_bound() + BUSY)
    assert new is free
    assert ctl(stage, "resume", "--node", paused.name).returncode == 0
    stage.healthy()


def test_a_pause_ends_by_itself_and_then_a_standby_takes_over(stage: Stage) -> None:
    """Nobody takes over before its end, however long the holder has been gone, and nobody has to end it."""
    holder = rested(stage)
    assert ctl(stage, "pause", "--for", "30s").returncode == 0
    over = boottime() + view(stage)["pauses"][0]["until"] - time.time()
    for node in stage.fleet.standbys(holder):
        eventually(lambda node=node: flagged(stage, node, "paused"), BUSY, f"{node.name} is paused")  # type: ignore[misc]
    holder.lose_host()
    _unused, interval = stage.taken_over(holder, 30 + steal_bound() + BUSY)
    assert interval.loaded_at > over - 0.5, "somebody took over during the pause"
    assert view(stage)["pauses"] == []
    holder.return_host()
    stage.healthy()


def test_when_every_candidate_is_drained_nobody_moves_and_the_metrics_say_why(stage: Stage) -> None:
    holder = rested(stage)
    standbys = stage.fleet.standbys(holder)
    for node in standbys:
        assert ctl(stage, "drain", node.name).returncode == 0
        eventually(lambda node=node: "drained" in node.metrics().reasons(), BUSY, f"{node.name} knows")  # type: ignore[misc]
    assert ctl(stage, "status").returncode == 1
    holder.lose_host()
    eventually(lambda: ctl(stage, "status").returncode == 2, 60, "nobody holds the lock, and status says so")
    bound = POLICY.law.guard_time + release_bound()
    with pytest.raises(AssertionError, match="not within"):
        stage.taken_over(holder, bound)
    for node in standbys:
        assert ctl(stage, "undrain", node.name).returncode == 0
    stage.taken_over(holder, bound + BUSY)
    holder.return_host()
    stage.healthy()


def test_the_node_with_the_fresher_head_goes_first_and_the_stale_one_when_it_is_alone(stage: Stage) -> None:
    holder = rested(stage)
    stale, fresh = sorted(stage.fleet.standbys(holder), key=lambda node: node.name)
    stale.behaviour(isolated=True)
    eventually(lambda: {"frozen", "lag"} & stale.metrics().reasons(), 90, f"{stale.name} has fallen behind")
    holder.kill(Part.NEARD)
    new, _unused = stage.taken_over(holder, release_bound() + BUSY)
    assert new is fresh
    for node in (holder, fresh):
        node.lose_host()
    # Alone it goes, but not below what the last holder may have signed.
    told(stale, "the chain has not passed height", f"the last of {fresh.name}", deadline=steal_bound() + BUSY)
    eventually(lambda: stage.lock()[0] == "", POLICY.law.session_ttl * 2 + BUSY, "the lock is free")
    record = stage.lock()[1]
    assert record is not None
    assert record.node_id == fresh.name
    stale.behaviour(isolated=False)
    new, _unused = stage.taken_over(fresh, steal_bound() + BUSY)
    assert new is stale
    for node in (holder, fresh):
        node.return_host()
    stage.healthy()
