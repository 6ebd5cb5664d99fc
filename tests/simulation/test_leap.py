# SPDX-License-Identifier: Apache-2.0
"""Skipping quiet time changes nothing that the rules can tell: they decide the same, that much later."""

from __future__ import annotations

import pytest

from kuutamod.core.decide import decide
from simulation.leap import later
from simulation.run import world_of
from unit.core.rig import Rig


@pytest.mark.parametrize("seconds", [0.5, 40.0, 200.0])
def test_the_rules_decide_the_same_later(seconds: float) -> None:
    rig = Rig()
    rig.validating()
    rig.run(20.0)
    now = decide(rig.state, rig.now)
    after = decide(later(rig.state, seconds, 0), rig.now + seconds)
    assert after.why == now.why
    assert [type(action) for action in after.actions] == [type(action) for action in now.actions]
    assert after.wake_at == pytest.approx(now.wake_at + seconds)


def test_what_grows_old_grows_older() -> None:
    rig = Rig()
    rig.validating()
    assert rig.state.lease is not None
    after = later(rig.state, 100.0, 50)
    assert after.lease is not None
    assert after.lease.since == rig.state.lease.since
    assert after.lease.proof == rig.state.lease.proof + 100.0
    assert after.child is not None
    assert rig.state.child is not None
    assert after.child.started == rig.state.child.started
    assert after.child.status is not None
    assert rig.state.child.status is not None
    assert after.child.status.height == rig.state.child.status.height + 50


def test_most_of_a_quiet_schedule_is_skipped() -> None:
    world = world_of(1, script=())
    world.run()
    assert world.timeline.now < 60
    worlds = [world_of(seed) for seed in range(5)]
    for each in worlds:
        each.run()
    assert sum(each.skipped for each in worlds) > 0.2 * sum(each.timeline.now for each in worlds)
