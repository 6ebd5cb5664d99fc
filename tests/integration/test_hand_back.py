# SPDX-License-Identifier: Apache-2.0
"""`kuutamod --hand-back`: what a service manager runs after the supervisor has ended."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator

import pytest

from integration.scenario import SHORT_HOLD_OFF, Stage, release_bound, single
from kuutamo_localnet.fleet_node import FleetNode, Part
from kuutamo_localnet.fleet_plan import FleetSpec, environment

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with single(tmp_path_factory.mktemp("hand-back"), FleetSpec(environment=SHORT_HOLD_OFF)) as made:
        yield made


def hand_back(node: FleetNode) -> subprocess.CompletedProcess[str]:
    argv = [str(word) for word in [*node._argv, "--hand-back"]]
    env = environment(node.plan, node.spec)
    return subprocess.run(argv, env=env, capture_output=True, text=True, timeout=120, check=False)


def test_a_lock_that_supervisor_and_guard_left_behind_is_released_after_the_proof(stage: Stage) -> None:
    holder = stage.healthy()
    guard, supervisor = holder.find(Part.GUARD), holder.find(Part.SUPERVISOR)
    holder.freeze(Part.SUPERVISOR)
    holder.kill(Part.GUARD)
    holder.kill(Part.SUPERVISOR, signal.SIGKILL)
    assert guard != supervisor
    stage.ended(holder, 20)
    done = hand_back(holder)
    assert done.returncode == 0, done.stderr
    assert "release applied" in done.stderr
    _unused, interval = stage.taken_over(holder, release_bound())
    ended = stage.last_interval(holder).ended_at
    assert ended is not None
    assert interval.loaded_at - ended < release_bound()
    stage.safe()


def test_beside_a_living_supervisor_it_refuses(stage: Stage) -> None:
    holder = stage.healthy()
    done = hand_back(holder)
    assert done.returncode == 1
    assert f"pid {holder.pid(Part.SUPERVISOR)}" in done.stderr
    assert stage.holder() is holder
    stage.safe()


def test_with_nothing_left_it_changes_nothing(stage: Stage) -> None:
    holder = stage.healthy()
    standby = stage.fleet.standbys(holder)[0]
    term = stage.term()
    assert standby.stop() == 0
    done = hand_back(standby)
    assert done.returncode == 0, done.stderr
    assert "nothing to hand back" in done.stderr
    assert stage.term() == term
    assert stage.holder() is holder
