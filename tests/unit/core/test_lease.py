# SPDX-License-Identifier: Apache-2.0
"""The lease arithmetic, attacked: no numbers that pass the law let two hosts hold the key at once."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from kuutamod.core.lease import Lease, LeaseLaw, fence_at, lose, may_sign, prove
from kuutamod.core.model import LockView
from kuutamod.core.protocol import LockRecord
from kuutamod.core.takeover import opening, watch_lock

seconds = st.floats(min_value=0.01, max_value=60, allow_nan=False)


@st.composite
def laws(draw: st.DrawFn) -> LeaseLaw:
    """Laws that hold."""
    law = LeaseLaw(
        heartbeat_interval=draw(st.floats(0.1, 3)),
        request_deadline=draw(st.floats(0.1, 3)),
        fence_deadline=draw(st.floats(4.2, 40)),
        kill_budget=draw(st.floats(0.1, 5)),
        scheduling_slack=draw(st.floats(0, 2)),
        guard_time=draw(st.floats(4.5, 60)),
        session_ttl=30,
        session_renewal=5,
    )
    assume(not law.violations())
    return law


def test_the_defaults_hold() -> None:
    assert LeaseLaw().violations() == ()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"guard_time": 8.5}, "guard_time 8.5"),
        ({"kill_budget": 2.0}, "kill_budget 2"),
        ({"fence_deadline": 5.9}, "fence_deadline 5.9"),
        ({"heartbeat_interval": 0.0}, "heartbeat_interval is 0"),
        ({"fence_deadline": math.nan}, "fence_deadline is nan"),
        ({"scheduling_slack": -1.0}, "scheduling_slack is -1"),
        ({"session_ttl": 9.0}, "session_ttl is 9"),
        ({"session_renewal": 5.0}, "session_renewal is 5"),
        ({"guard_time": 61.0}, "guard_time is 61"),
    ],
)
def test_numbers_that_break_the_law_are_named(change: dict[str, float], said: str) -> None:
    assert any(said in sentence for sentence in replace(LeaseLaw(), **change).violations())


@given(law=laws(), sent=st.floats(0, 1e6), moment=st.floats(0, 100), late=st.floats(0, 1))
def test_nobody_takes_the_lock_while_the_holder_may_live(law: LeaseLaw, sent: float, moment: float, late: float) -> None:
    """True time runs; the holder's clock is slow and the contender's fast by as much as the law allows."""
    rho = law.clock_rate_error
    # The holder sends its last good heartbeat at true time `sent`; it dies at the end of its budget, on a slow clock.
    dead_by = sent + (law.fence_deadline + law.kill_budget + law.scheduling_slack) / (1 - rho)
    # The contender sees that heartbeat's index some time after it was applied (after it was sent).
    seen = sent + moment * late
    own_clock_rate = 1 + rho
    watch = watch_lock(None, LockView(7, "s", LockRecord("h", "n", 1)), seen * own_clock_rate, law)
    chance = opening(watch, law)
    assert chance is not None
    taken = chance.at / own_clock_rate
    assert taken >= dead_by * (1 - 1e-9) - 1e-6


@given(law=laws(), proofs=st.lists(st.floats(0, 100), min_size=1, max_size=20), now=st.floats(0, 200))
def test_may_sign_only_within_the_deadline_of_the_newest_proof(law: LeaseLaw, proofs: list[float], now: float) -> None:
    lease = Lease("s", 1, proof=proofs[0], since=proofs[0])
    for sent in proofs[1:]:
        lease = prove(lease, sent)
    assert lease.proof == max(proofs)
    assert may_sign(lease, law, now) == (now < max(proofs) + law.fence_deadline)
    assert not may_sign(lease, law, fence_at(lease, law))


def test_a_lost_lease_stays_lost() -> None:
    lease = lose(Lease("s", 1, proof=10.0, since=10.0), "first")
    assert not may_sign(prove(lose(lease, "second"), 11.0), LeaseLaw(), 11.0)
    assert lose(lease, "second").lost == "first"


def test_no_lease_may_not_sign() -> None:
    assert not may_sign(None, LeaseLaw(), 0.0)
