# SPDX-License-Identifier: Apache-2.0
"""The holder's neard dies, hangs, freezes or loses its peers: the lock goes to a node that can sign, and only then."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from integration.scenario import (
    BUSY,
    LAW,
    POLICY,
    SHORT_HOLD_OFF,
    Stage,
    boottime,
    heal,
    mark,
    release_bound,
    rested,
    single,
    told_since,
    unmoved,
)
from kuutamo_localnet.fleet_node import Part
from kuutamo_localnet.fleet_plan import FleetSpec
from kuutamo_localnet.wait import eventually

pytestmark = pytest.mark.integration
HANG, FREEZE, BLOCKS = 3.0, 4.0, 3
PATIENCES = {
    "KUUTAMO_NEARD_HANG_TIMEOUT": f"{HANG:g}",
    "KUUTAMO_NEARD_FREEZE_TIMEOUT": f"{FREEZE:g}",
    "KUUTAMO_NEARD_FREEZE_BLOCKS": f"{BLOCKS}",
}


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with single(tmp_path_factory.mktemp("neard"), FleetSpec(environment={**SHORT_HOLD_OFF, **PATIENCES})) as made:
        yield made


@pytest.fixture
def stage(network: Stage) -> Iterator[Stage]:
    yield network
    heal(network)


def hang_bound() -> float:
    """Seconds from the last answer of a hung neard until a standby has the key."""
    return HANG + POLICY.status_interval + LAW.kill_budget + release_bound()


def freeze_bound() -> float:
    """Seconds from the last new block of a frozen neard until a standby has the key.

    That a standby is ahead is read from its member record: written every member_interval, read as often.
    """
    return FREEZE + 2 * POLICY.member_interval + LAW.kill_budget + release_bound()


def test_a_killed_neard_is_released_after_proof_of_its_death(stage: Stage) -> None:
    holder = rested(stage)
    restarts = holder.metrics().value("kuutamod_neard_restarts")
    term, start = stage.term(), mark(holder)
    at = boottime()
    pid = holder.kill_neard()
    new, interval = stage.taken_over(holder, release_bound())
    assert interval.loaded_at - at <= release_bound()
    assert stage.ended(holder, LAW.kill_budget).pid == pid
    told_since(holder, start, f"released the lock: neard pid {pid} ended (killed by SIGKILL)")
    new.wait_state("Validating", release_bound())
    assert stage.term() == term + 1
    rested(stage)
    assert holder.metrics().value("kuutamod_neard_restarts") == restarts + 1
    stage.safe()


@pytest.mark.parametrize(("crash", "status"), [("exit:0", "exit code 0"), ("exit:1", "exit code 1"), ("abort", "SIGABRT")])
def test_a_neard_that_ends_by_itself_costs_one_handover(stage: Stage, crash: str, status: str) -> None:
    holder = rested(stage)
    term, start = stage.term(), mark(holder)
    at = boottime()
    holder.behaviour(crash=crash)
    _unused, interval = stage.taken_over(holder, release_bound())
    assert interval.loaded_at - at <= release_bound()
    told_since(holder, start, "released the lock", status)
    holder.behaviour(crash=None)
    # Its neard is started again, without the key: it comes back as a standby and the lock stays where it is.
    rested(stage)
    assert stage.term() == term + 1
    stage.safe()


def test_a_stopped_neard_is_killed_before_the_lock_moves(stage: Stage) -> None:
    holder = rested(stage)
    start = mark(holder)
    at = boottime()
    pid = holder.freeze(Part.NEARD)
    new, interval = stage.taken_over(holder, hang_bound())
    assert interval.loaded_at - at <= hang_bound()
    told_since(holder, start, f"killing: neard pid {pid} hangs: no answer for {HANG:g} s")
    told_since(holder, start, f"released the lock: neard pid {pid} hangs")
    new.wait_state("Validating", release_bound())
    stage.safe()


def test_a_neard_that_accepts_and_never_answers_is_killed_though_it_signs(stage: Stage) -> None:
    holder = rested(stage)
    pid, start = holder.pid(Part.NEARD), mark(holder)
    at = boottime()
    holder.behaviour(hang=True, hang_signs=True)
    new, interval = stage.taken_over(holder, hang_bound())
    assert interval.loaded_at - at <= hang_bound()
    told_since(holder, start, f"killing: neard pid {pid} hangs")
    holder.behaviour(hang=False, hang_signs=False)
    new.wait_state("Validating", release_bound())
    stage.safe()


@pytest.mark.parametrize("fault", ["freeze", "isolated"])
def test_a_head_that_stands_still_moves_the_lock_to_a_fresher_node(stage: Stage, fault: str) -> None:
    holder = rested(stage)
    start = mark(holder)
    at = boottime()
    holder.behaviour(**{fault: True})
    new, interval = stage.taken_over(holder, freeze_bound())
    assert interval.loaded_at - at <= freeze_bound()
    # That it has no peers is known as soon as that its head stands still, or later: either is the trouble then.
    told_since(holder, start, "handing over: ", f"while {new.name} is better off")
    told_since(holder, start, "released the lock: ", f"while {new.name} is better off")
    new.wait_state("Validating", release_bound())
    # As long as its head stands still it is the last in the row.
    eventually(lambda: "frozen" in holder.metrics().reasons(), BUSY, "frozen")
    heal(stage)
    stage.healthy()
    stage.safe()


def test_nobody_moves_when_every_node_has_lost_its_peers(stage: Stage) -> None:
    holder = rested(stage)
    term, start = stage.term(), mark(holder)
    for node in [*stage.fleet.standbys(holder), holder]:
        node.behaviour(isolated=True)
    told_since(holder, start, "the head stands at", "no standby is better off", deadline=freeze_bound())
    # Long enough for every standby to have told its height anew.
    unmoved(stage, round(2 * POLICY.member_interval / LAW.heartbeat_interval))
    assert stage.term() == term
    assert holder.state() == "Validating"
    stage.safe()
