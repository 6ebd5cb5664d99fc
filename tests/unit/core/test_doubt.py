# SPDX-License-Identifier: Apache-2.0
"""A fence for want of proof says what kept the proof away."""

from __future__ import annotations

from kuutamod.core import actions as ac
from kuutamod.core import events as ev
from unit.core.rig import Rig


def test_the_fence_tells_why_the_heartbeats_had_no_answer() -> None:
    rig = Rig()
    rig.validating()
    rig.step(1)
    rig.beat(ev.Outcome.UNKNOWN)
    rig.step(rig.state.policy.law.fence_deadline)
    assert rig.why.endswith("no proof of holding the lock for 7 s: because")
    assert rig.take(ac.KillChild).why == "no proof of holding the lock for 7 s: because"


def test_a_proof_ends_the_doubt() -> None:
    rig = Rig()
    rig.validating()
    rig.step(1)
    rig.beat(ev.Outcome.UNKNOWN)
    rig.step(1)
    rig.beat()
    rig.step(rig.state.policy.law.fence_deadline)
    assert rig.why.endswith("no proof of holding the lock for 7 s")
