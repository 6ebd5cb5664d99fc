# SPDX-License-Identifier: Apache-2.0
"""What makes every neard crash (a poison block, a bad release) must not send the key round the fleet: default hold-off."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from integration.scenario import BUSY, POLICY, Stage, heal, mark, release_bound, single, told_since
from kuutamo_localnet.fleet_node import FleetNode, Part
from kuutamo_localnet.fleet_plan import FleetSpec
from kuutamo_localnet.wait import eventually
from neard_standin.verdict import KeyInterval

pytestmark = pytest.mark.integration
CRASHES = 4


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with single(tmp_path_factory.mktemp("loop"), FleetSpec()) as made:
        yield made


@pytest.fixture(scope="module")
def restarting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with single(tmp_path_factory.mktemp("start-loop"), FleetSpec(promotion="restart")) as made:
        yield made


@pytest.fixture
def stage(network: Stage) -> Iterator[Stage]:
    yield network
    heal(network)


def test_a_standby_whose_neard_crashes_at_every_start_backs_off_alone(stage: Stage) -> None:
    holder = stage.healthy()
    term = stage.term()
    standby = stage.fleet.standbys(holder)[0]
    start = mark(standby)
    standby.behaviour(crash="exit:1", crash_at="start")
    standby.kill_neard()
    told_since(standby, start, "neard failed 2 times in a row, pausing before the next start", "exit code 1")
    assert (stage.holder().name, stage.term()) == (holder.name, term)
    assert standby.metrics().value("kuutamod_eligible") == 0.0
    standby.behaviour(crash=None, crash_at="now")
    stage.healthy()
    assert stage.term() == term
    stage.safe()


def next_key(stage: Stage, after: float) -> KeyInterval:
    """The next process to get the key after a moment (boottime seconds)."""

    def found() -> KeyInterval | None:
        later = [i for i in stage.fleet.referee.intervals(stage.account) if i.loaded_at > after]
        return later[0] if later else None

    # The longest pause between two local restarts is as long as all shorter ones together.
    interval = eventually(found, 2.0**CRASHES + release_bound(), "a neard has the key")
    assert interval is not None
    return interval


def at_home(stage: Stage, interval: KeyInterval) -> FleetNode:
    """The node of an interval."""
    return next(node for node in stage.fleet.nodes if str(node.plan.home) == interval.home)


def test_a_key_that_kills_every_neard_moves_once_within_the_hold_off(stage: Stage) -> None:
    first = stage.healthy()
    marks = {node.name: mark(node) for node in stage.fleet.nodes}
    term = stage.term()
    interval = stage.last_interval(first)
    homes = [interval.home]
    for _unused in range(CRASHES):
        node = at_home(stage, interval)
        # As soon as it has the key it is gone.
        node.kill_neard()
        interval = next_key(stage, interval.loaded_at)
        homes.append(interval.home)
    second = at_home(stage, interval)
    assert homes == [homes[0]] + [interval.home] * CRASHES, "the key moved more than once"
    assert second is not first
    assert stage.term() == term + 1
    told_since(first, marks[first.name], "released the lock", "killed by SIGKILL")
    told_since(second, marks[second.name], "times in a row, pausing before the next start", "killed by SIGKILL")
    told_since(first, marks[first.name], "its neard failed while validating; others go first")
    # When it stops crashing, the node that kept the lock signs.
    second.wait_state("Validating", BUSY)
    assert second.pid(Part.NEARD) == interval.pid

    def reasons() -> set[str]:
        return first.metrics().reasons()

    # It has let go of the lock a moment ago: for the guard time it is new to watching it.
    eventually(lambda: reasons() == {"hold-off"}, POLICY.law.guard_time + BUSY, "only the hold-off is left")
    # Hold-off is a preference: when nobody else is left, the first one goes all the same.
    for node in stage.fleet.nodes:
        if node is not first:
            assert node.stop() == 0
    bound = POLICY.patience + release_bound()
    assert stage.taken_over(second, bound)[0] is first
    first.wait_state("Validating", BUSY)
    stage.safe()


def test_a_neard_that_crashes_at_every_start_as_validator_keeps_the_lock_on_one_node(restarting: Stage) -> None:
    stage = restarting
    first = stage.healthy()
    term = stage.term()
    marks = {node.name: mark(node) for node in stage.fleet.nodes}
    # The voters that run do not notice; every start from now on ends at once.
    for node in stage.fleet.nodes:
        node.behaviour(crash="abort", crash_at="start")
    first.kill_neard()
    eventually(lambda: stage.term() == term + 1, release_bound(), "a standby takes the lock")
    record = stage.lock()[1]
    assert record is not None
    second = next(node for node in stage.fleet.nodes if node.name == record.node_id)
    told_since(
        second, marks[second.name], f"neard failed {CRASHES - 1} times in a row", "SIGABRT", deadline=2.0**CRASHES + BUSY
    )
    assert stage.term() == term + 1
    third = next(node for node in stage.fleet.nodes if node not in (first, second))
    assert third.state() == "Voting"
    heal(stage)
    second.wait_state("Validating", BUSY + 2.0**CRASHES)
    assert stage.holder() is second
    assert stage.term() == term + 1
    stage.safe()
