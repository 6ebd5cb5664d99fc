# SPDX-License-Identifier: Apache-2.0
"""The holder's supervisor, its guard or both are killed, stopped or asked to end: neard is dead before the lock moves."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from integration.scenario import (
    BUSY,
    LAW,
    POLICY,
    SHORT_HOLD_OFF,
    Stage,
    boottime,
    fence_bound,
    heal,
    mark,
    release_bound,
    rested,
    single,
    steal_bound,
    told_since,
)
from kuutamo_localnet.fleet_node import FleetNode, Part
from kuutamo_localnet.fleet_plan import FleetSpec
from kuutamo_localnet.process import send_signal
from kuutamo_localnet.reaper import ProcessInfo
from kuutamo_localnet.wait import eventually
from kuutamod.guard.release import PATIENCE as GUARD_PATIENCE
from kuutamod.neard.process import REAP_DEADLINE
from kuutamod.neard.procfs import running

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with single(tmp_path_factory.mktemp("supervisor"), FleetSpec(environment=SHORT_HOLD_OFF)) as made:
        yield made


@pytest.fixture
def stage(network: Stage) -> Iterator[Stage]:
    yield network
    heal(network)


def parts(node: FleetNode) -> dict[Part, ProcessInfo]:
    """The node's processes, found while they can be told apart."""
    return {part: node.find(part) for part in (Part.NEARD, Part.GUARD, Part.SUPERVISOR)}


def key_in_home(node: FleetNode) -> bool:
    """Would a neard started in this home have the key?"""
    return os.path.lexists(node.plan.home / "validator_key.json")


def no_process_left(node: FleetNode) -> None:
    """Supervisor, guard and neard end by themselves."""
    eventually(lambda: not node.tree(), GUARD_PATIENCE + BUSY, f"no process of {node.name} is left")


def comes_back(stage: Stage, node: FleetNode) -> None:
    """Started again the node is a healthy standby without the key, and the lock stays where it is."""
    holder, term = stage.holder(), stage.term()
    node.start()
    stage.healthy()
    assert (stage.holder().name, stage.term()) == (holder.name, term)
    assert not key_in_home(node)


def test_a_killed_supervisor_leaves_the_release_to_its_guard(stage: Stage) -> None:
    holder = rested(stage)
    term = stage.term()
    at = boottime()
    holder.kill_supervisor()
    new, interval = stage.taken_over(holder, LAW.kill_budget + release_bound())
    assert interval.loaded_at - at <= LAW.kill_budget + release_bound()
    told_since(new, 0, f"taking the lock for term {term + 1}: it is released with proof")
    no_process_left(holder)
    assert not key_in_home(holder)
    comes_back(stage, holder)
    stage.safe()


def test_a_killed_guard_takes_neard_with_it_and_the_supervisor_hands_over(stage: Stage) -> None:
    holder = rested(stage)
    pid, start = holder.pid(Part.NEARD), mark(holder)
    at = boottime()
    holder.kill_guard()
    new, interval = stage.taken_over(holder, LAW.kill_budget + release_bound())
    assert interval.loaded_at - at <= LAW.kill_budget + release_bound()
    told_since(holder, start, f"released the lock: neard pid {pid} was killed because its guard died")
    new.wait_state("Validating", BUSY)
    stage.safe()


def test_a_stopped_guard_is_noticed_and_replaced(stage: Stage) -> None:
    holder = rested(stage)
    pid, start = holder.pid(Part.NEARD), mark(holder)
    bound = POLICY.guard_patience + LAW.heartbeat_interval + REAP_DEADLINE + LAW.kill_budget + release_bound()
    at = boottime()
    guard = holder.freeze(Part.GUARD)
    _unused, interval = stage.taken_over(holder, bound)
    assert interval.loaded_at - at <= bound
    told_since(holder, start, f"killing neard pid {pid}: the guard of neard pid {pid} does not answer")
    told_since(holder, start, f"released the lock: the guard of neard pid {pid} does not answer")
    stage.healthy()
    assert holder.pid(Part.GUARD) != guard
    stage.safe()


def test_guard_and_supervisor_killed_at_once_leave_a_lock_that_is_taken_after_the_guard_time(stage: Stage) -> None:
    holder = rested(stage)
    term = stage.term()
    marks = {node.name: mark(node) for node in stage.fleet.standbys(holder)}
    found = parts(holder)
    # Stopped first, the guard can't release the lock between the two kills.
    holder.freeze(Part.GUARD)
    at = boottime()
    send_signal(found[Part.SUPERVISOR], signal.SIGKILL)
    send_signal(found[Part.GUARD], signal.SIGKILL)
    ended = stage.ended(holder, fence_bound())
    assert ended.ended_at is not None
    assert ended.alive_at - at <= LAW.kill_budget
    new, interval = stage.taken_over(holder, steal_bound())
    assert interval.loaded_at - at <= steal_bound()
    told_since(new, marks[new.name], f"taking the lock for term {term + 1}", "has not")
    no_process_left(holder)
    comes_back(stage, holder)
    stage.safe()


def test_a_restarted_supervisor_hands_back_what_its_killed_life_and_guard_left(stage: Stage) -> None:
    holder = rested(stage)
    found, start, term = parts(holder), mark(holder), stage.term()
    holder.freeze(Part.GUARD)
    at = boottime()
    send_signal(found[Part.SUPERVISOR], signal.SIGKILL)
    send_signal(found[Part.GUARD], signal.SIGKILL)
    eventually(lambda: not holder.tree(), BUSY, f"no process of {holder.name} is left")
    holder.start()
    told_since(holder, start, "released the lock: left over from an earlier life of this supervisor")
    eventually(lambda: stage.term() == term + 1, steal_bound(), "the lock is taken in the next term")
    now = stage.holder()
    assert stage.last_interval(now).loaded_at - at <= steal_bound()
    stage.healthy()
    stage.safe()


def test_a_stopped_supervisor_is_fenced_by_its_guard_and_demotes_itself_on_waking(stage: Stage) -> None:
    holder = rested(stage)
    pid, start, term = holder.pid(Part.NEARD), mark(holder), stage.term()
    at = boottime()
    holder.freeze(Part.SUPERVISOR)
    ended = stage.ended(holder, fence_bound())
    assert ended.pid == pid
    assert ended.ended_at is not None
    assert ended.ended_at - at <= fence_bound()
    new, interval = stage.taken_over(holder, release_bound())
    assert interval.loaded_at - ended.ended_at <= release_bound()
    holder.thaw(Part.SUPERVISOR)
    told_since(
        holder, start, f"neard pid {pid} ended (killed by SIGKILL): the lease's deadline passed without a newer proof"
    )
    told_since(holder, start, f"the guard of neard pid {pid} released the lock")
    stage.healthy()
    assert (stage.holder().name, stage.term()) == (new.name, term + 1)
    assert stage.last_interval(holder).pid == pid
    stage.safe()


def test_a_standby_that_was_asleep_during_a_takeover_stays_a_standby(stage: Stage) -> None:
    holder = rested(stage)
    sleeper, waker = stage.fleet.standbys(holder)
    sleeper.freeze(Part.SUPERVISOR)
    holder.kill_neard()
    assert stage.taken_over(holder, release_bound())[0] is waker
    term = stage.term()
    sleeper.thaw(Part.SUPERVISOR)
    stage.healthy()
    assert (stage.holder().name, stage.term()) == (waker.name, term)
    stage.safe()


def test_a_supervisor_restarted_at_once_waits_for_the_guard_of_its_killed_life(stage: Stage) -> None:
    node = stage.fleet.standbys(rested(stage))[0]
    start, term = mark(node), stage.term()
    neard = node.find(Part.NEARD)
    node.freeze(Part.GUARD)
    node.kill_supervisor()
    node.process.wait(BUSY)
    node.start()
    told_since(node, start, f"waiting: the guard of an earlier kuutamod on {node.plan.home} is still ending its neard")
    assert running(neard.pid)
    heal(stage)
    stage.healthy()
    assert node.process.returncode is None
    assert stage.term() == term
    assert "neard failed" not in node.log_text()[start:]
    stage.safe()


def test_a_clean_stop_of_the_holder_hands_over_at_once(stage: Stage) -> None:
    holder = rested(stage)
    pid, start, term = holder.pid(Part.NEARD), mark(holder), stage.term()
    at = boottime()
    assert holder.stop() == 0
    new, interval = stage.taken_over(holder, release_bound())
    assert interval.loaded_at - at <= POLICY.stop_grace + release_bound()
    told_since(holder, start, f"neard pid {pid} ended (exit code 0): stopped: SIGTERM")
    told_since(holder, start, "released the lock: stopped: SIGTERM")
    told_since(new, 0, f"taking the lock for term {term + 1}: it is released with proof")
    no_process_left(holder)
    assert not key_in_home(holder)
    comes_back(stage, holder)
    stage.safe()


def test_a_second_sigterm_does_not_shorten_the_stop(stage: Stage) -> None:
    holder = rested(stage)
    pid, start = holder.pid(Part.NEARD), mark(holder)
    holder.behaviour(close_delay="never")
    holder.process.terminate()
    told_since(holder, start, "waiting for rocksdb to gracefully shutdown")
    term = stage.term()
    for sig in (signal.SIGTERM, signal.SIGINT, signal.SIGTERM):
        holder.process.kill(sig)
    # The database is still being closed, so neard lives and its lock is proven, heartbeat by heartbeat.
    before = stage.lock()[1]
    assert before is not None

    def proven_again() -> bool:
        record = stage.lock()[1]
        return record is not None and record.heartbeat >= before.heartbeat + 3

    eventually(proven_again, BUSY, "three more heartbeats")
    assert stage.term() == term
    assert holder.pid(Part.NEARD) == pid
    holder.behaviour(close_delay=0)
    assert holder.process.wait(BUSY) == 0
    told_since(holder, start, f"neard pid {pid} ended (exit code 0): stopped: SIGTERM")
    stage.taken_over(holder, release_bound())
    comes_back(stage, holder)
    stage.safe()


def test_sighup_to_supervisor_guard_and_neard_is_a_clean_stop(stage: Stage) -> None:
    holder = rested(stage)
    start = mark(holder)
    at = boottime()
    for process in parts(holder).values():
        send_signal(process, signal.SIGHUP)
    assert holder.process.wait(POLICY.stop_grace + BUSY) == 0
    _unused, interval = stage.taken_over(holder, release_bound())
    assert interval.loaded_at - at <= POLICY.stop_grace + release_bound()
    told_since(holder, start, "released the lock: stopped: SIGHUP")
    no_process_left(holder)
    assert not key_in_home(holder)
    comes_back(stage, holder)
    stage.safe()
