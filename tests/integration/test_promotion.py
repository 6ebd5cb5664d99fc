# SPDX-License-Identifier: Apache-2.0
"""How the key gets into neard: upstream's restart, hot swap, and what `auto` makes of config.json."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

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
)
from kuutamo_localnet.fleet_node import FleetNode, Part
from kuutamo_localnet.fleet_plan import FleetSpec
from kuutamo_localnet.wait import eventually
from kuutamod.core.holder import RELOAD_RETRY, VOTER_GRACE

pytestmark = pytest.mark.integration
SWAP = 6.0  # RELOAD_RETRY, and time for what follows it on a busy machine
RESTART = FleetSpec(nodes=2, promotion="restart", environment=SHORT_HOLD_OFF)
UPSTREAM = FleetSpec(nodes=2, promotion="auto", shadow=False, environment=SHORT_HOLD_OFF)


@pytest.fixture(scope="module")
def restarting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with single(tmp_path_factory.mktemp("restart"), RESTART) as made:
        yield made


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A config.json as the Rust kuutamod's users have it, and the default promotion."""
    with single(tmp_path_factory.mktemp("upstream"), UPSTREAM) as made:
        yield made


@pytest.fixture(scope="module")
def swapping(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    environment = {**SHORT_HOLD_OFF, "KUUTAMO_HOT_SWAP_TIMEOUT": f"{SWAP:g}", "KUUTAMO_NEARD_STOP_GRACE": "2"}
    with single(tmp_path_factory.mktemp("swap"), FleetSpec(nodes=2, environment=environment)) as made:
        yield made


@pytest.fixture
def stage(swapping: Stage) -> Iterator[Stage]:
    yield swapping
    heal(swapping)


def network_addr(node: FleetNode) -> str:
    """What config.json says."""
    return str(json.loads((node.plan.home / "config.json").read_text())["network"]["addr"])


def assert_voter_home(node: FleetNode) -> None:
    """No validator key, the voter's node key and address."""
    home = node.plan.home
    assert not os.path.lexists(home / "validator_key.json")
    assert (home / "node_key.json").resolve() == node.plan.voter_node_key.resolve()
    assert network_addr(node) == f"{node.plan.address}:{node.plan.voter_port}"


def assert_validator_home(stage: Stage, node: FleetNode) -> None:
    """The validator's key, node key and address: what the Rust kuutamod's users look for."""
    home, keys = node.plan.home, stage.fleet.keys
    assert (home / "validator_key.json").resolve() == keys.validator_key.resolve()
    assert (home / "node_key.json").resolve() == keys.validator_node_key.resolve()
    assert network_addr(node) == f"{node.plan.address}:{node.plan.validator_port}"


def other(stage: Stage, holder: FleetNode) -> FleetNode:
    """The standby of a fleet of two."""
    (standby,) = stage.fleet.standbys(holder)
    return standby


def test_a_promotion_by_restart_swaps_keys_and_address(restarting: Stage) -> None:
    promoted_by_restart(restarting, "promotion is set to restart")


def test_auto_restarts_as_upstream_does_where_config_json_does_not_track_the_account(upstream: Stage) -> None:
    promoted_by_restart(upstream, "auto: config.json does not track this account as ShadowValidator")


def promoted_by_restart(stage: Stage, why: str) -> None:
    """A takeover in which the standby's neard is restarted as validator, for a reason that the log tells."""
    holder = rested(stage)
    standby = other(stage, holder)
    assert_validator_home(stage, holder)
    assert_voter_home(standby)
    voter, start = standby.pid(Part.NEARD), mark(standby)
    restarts = standby.metrics().value("kuutamod_neard_restarts")
    bound = LAW.kill_budget + release_bound() + VOTER_GRACE
    at = boottime()
    holder.kill_neard()
    _unused, interval = stage.taken_over(holder, bound)
    assert interval.loaded_at - at <= bound
    told_since(standby, start, f"promoting by restart: {why}")
    told_since(standby, start, f"neard pid {voter} ended (exit code 0): restart as validator")
    told_since(standby, start, f"starting neard as validator: {why}")
    standby.wait_state("Validating", BUSY)
    assert standby.pid(Part.NEARD) == interval.pid != voter
    assert standby.metrics().value("kuutamod_neard_restarts") == restarts + 1
    assert_validator_home(stage, standby)
    rested(stage)
    assert_voter_home(holder)
    stage.safe()


def test_a_holder_stopped_by_restart_promotion_leaves_a_voter_home(restarting: Stage) -> None:
    stage = restarting
    holder = rested(stage)
    assert holder.stop() == 0
    stage.taken_over(holder, release_bound() + VOTER_GRACE)
    assert not os.path.lexists(holder.plan.home / "validator_key.json")
    holder.start()
    stage.healthy()
    assert_voter_home(holder)
    stage.safe()


def test_a_guard_that_is_stopped_while_it_should_end_the_voter_is_noticed(restarting: Stage) -> None:
    stage = restarting
    holder = rested(stage)
    standby = other(stage, holder)
    voter, start, term = standby.pid(Part.NEARD), mark(standby), stage.term()
    guard = standby.freeze(Part.GUARD)
    # The standby takes the lock before it can know of its guard, and must not keep it idle.
    holder.kill_neard()
    told_since(standby, start, f"killing neard pid {voter}: the guard of neard pid {voter} does not answer")
    eventually(lambda: stage.term() > term, BUSY, "the lock is taken")
    rested(stage)
    assert standby.pid(Part.GUARD) != guard
    stage.safe()


def test_auto_swaps_the_key_into_the_running_neard_of_a_shadow_validator(stage: Stage) -> None:
    holder = rested(stage)
    standby = other(stage, holder)
    pid, start, keys = standby.pid(Part.NEARD), mark(standby), stage.fleet.keys
    assert_voter_home(standby)
    at = boottime()
    holder.kill_neard()
    _unused, interval = stage.taken_over(holder, release_bound())
    assert interval.loaded_at - at <= release_bound()
    assert interval.pid == pid
    told_since(standby, start, "placing the key: auto: config.json tracks this account as ShadowValidator", "can hot swap")
    standby.wait_state("Validating", BUSY)
    assert (standby.plan.home / "validator_key.json").resolve() == keys.validator_key.resolve()
    # The network identity of a running neard can't change, so it stays the voter's.
    assert (standby.plan.home / "node_key.json").resolve() == standby.plan.voter_node_key.resolve()
    assert network_addr(standby) == f"{standby.plan.address}:{standby.plan.voter_port}"
    rested(stage)
    assert_voter_home(holder)
    stage.safe()


def test_a_lost_sighup_is_sent_again(stage: Stage) -> None:
    holder = rested(stage)
    standby = other(stage, holder)
    pid, start, term = standby.pid(Part.NEARD), mark(standby), stage.term()
    bound = RELOAD_RETRY + release_bound()
    standby.behaviour(lose_next_hup=True)
    at = boottime()
    holder.kill_neard()
    _unused, interval = stage.taken_over(holder, bound)
    assert interval.loaded_at - at <= bound
    # The first signal was lost indeed, the second one went to the same process and did it.
    assert interval.loaded_at - at >= RELOAD_RETRY
    assert interval.pid == pid
    told_since(standby, start, "waiting for neard to show the key")
    standby.wait_state("Validating", BUSY)
    assert "hot swap failed" not in standby.log_text()[start:]
    assert stage.term() == term + 1
    stage.safe()


def test_a_key_that_is_never_shown_leads_to_a_restart_under_the_same_lock(stage: Stage) -> None:
    holder = rested(stage)
    standby = other(stage, holder)
    pid, start, term = standby.pid(Part.NEARD), mark(standby), stage.term()
    bound = SWAP + LAW.kill_budget + release_bound()
    standby.behaviour(refuse_key=True)
    at = boottime()
    holder.kill_neard()
    _unused, interval = stage.taken_over(holder, bound)
    assert interval.loaded_at - at <= bound
    told_since(standby, start, "hot swap failed, restarting neard as validator while the lock is proven")
    told_since(standby, start, "starting neard as validator: the hot swap did not succeed in time")
    standby.wait_state("Validating", BUSY)
    assert interval.pid != pid
    assert stage.term() == term + 1
    assert_validator_home(stage, standby)
    standby.behaviour(refuse_key=False)
    stage.safe()


def test_a_stop_in_the_middle_of_a_promotion_hands_the_lock_back(stage: Stage) -> None:
    holder = rested(stage)
    standby = other(stage, holder)
    start = mark(standby)
    standby.behaviour(refuse_key=True)
    holder.kill_neard()
    told_since(standby, start, "waiting for neard to show the key")
    at = boottime()
    assert standby.stop() == 0
    told_since(standby, start, "released the lock: stopped: SIGTERM")
    assert not os.path.lexists(standby.plan.home / "validator_key.json")
    heal(stage)
    # The other one goes first after its failure if nobody else is there.
    # Registered anew it has to watch the lock for the guard time first.
    bound = (
        LAW.guard_time
        + float(SHORT_HOLD_OFF["KUUTAMO_HOLD_OFF"])
        + float(SHORT_HOLD_OFF["KUUTAMO_PATIENCE"])
        + release_bound()
    )
    again = eventually(lambda: stage.fleet.referee.current_holder(stage.account), bound, "a node has the key")
    assert again is not None
    assert again.home == str(holder.plan.home)
    assert again.loaded_at - at <= bound
    stage.healthy()
    stage.safe()


def test_a_config_broken_while_running_makes_the_node_give_the_lock_back(stage: Stage) -> None:
    holder = rested(stage)
    standby = other(stage, holder)
    start, term = mark(standby), stage.term()
    with broken_config(standby.plan.home):
        holder.kill_neard()
        told_since(standby, start, "hot swap failed, restarting neard as validator while the lock is proven")
        told_since(standby, start, "released the lock: neard can't be started", "config.json", "not JSON")
        eventually(lambda: stage.lock()[1] is None or stage.term() == term + 2, BUSY + POLICY.patience, "the lock moves on")
        back, interval = stage.taken_over(standby, release_bound() + BUSY)
        assert back is holder
        assert interval.home != str(standby.plan.home)
        told_since(standby, start, "pausing before the next start", "config.json")
        assert standby.state() == "Startup"
    stage.healthy()
    assert stage.holder() is holder
    assert_voter_home(standby)
    stage.safe()


@contextlib.contextmanager
def broken_config(home: Path) -> Iterator[None]:
    """A config.json that was cut off while it was written."""
    path = home / "config.json"
    whole = path.read_text()
    path.write_text(whole[: len(whole) // 2])
    try:
        yield
    finally:
        path.write_text(whole)


def test_a_demotion_never_relies_on_neard_dropping_its_key(stage: Stage) -> None:
    holder = rested(stage)
    pid, start = holder.pid(Part.NEARD), mark(holder)
    # Before nearcore 2.3 a key file that is gone changes nothing; and this one does not even end when asked.
    holder.behaviour(ignore_key_removal=True, ignore_term=True)
    at = boottime()
    assert holder.stop() == 0
    ended = stage.ended(holder, BUSY)
    assert (ended.pid, ended.how) == (pid, "died")
    _unused, interval = stage.taken_over(holder, release_bound())
    assert interval.loaded_at - at <= 2.0 + LAW.kill_budget + release_bound()
    told_since(holder, start, f"neard pid {pid} ended (killed by SIGKILL): stopped: SIGTERM")
    told_since(holder, start, "released the lock: stopped: SIGTERM")
    heal(stage)
    holder.start()
    stage.healthy()
    stage.safe()
