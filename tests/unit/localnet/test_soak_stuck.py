# SPDX-License-Identifier: Apache-2.0
"""When a term counts as stuck, and how the bounds follow from the configuration."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kuutamo_localnet.observe import NodeFacts
from kuutamo_localnet.soak_bounds import Bounds, bounds
from kuutamo_localnet.soak_stuck import Look, StuckTerms, could_take
from kuutamod.core.lease import LeaseLaw
from kuutamod.core.model import Policy

POLICY = Policy(hold_off=10.0, patience=3.0)
BOUNDS = Bounds(vacant=40.0, booked=100.0, healed=200.0)
VACANT = Look(now=0.0, signer=False, term=3, proved=False, holder_calm=None, able=0.0)


def watched(*looks: Look) -> StuckTerms:
    terms = StuckTerms(BOUNDS)
    for look in looks:
        terms.look(look)
    return terms


def test_a_term_that_nobody_takes_for_too_long_is_stuck_once() -> None:
    looks = [replace(VACANT, now=float(now)) for now in range(60)]
    (stuck,) = watched(*looks).found
    assert (stuck.term, stuck.at, stuck.seconds, stuck.bound) == (3, 41.0, 41.0, 40.0)
    assert "nobody living" in stuck.why


def test_the_count_begins_anew_with_a_signer_a_new_term_and_a_living_holder() -> None:
    for between in (replace(VACANT, signer=True), replace(VACANT, term=4), replace(VACANT, proved=True)):
        assert not watched(VACANT, replace(between, now=30.0), replace(VACANT, now=31.0), replace(VACANT, now=70.0)).found


def test_only_the_time_counts_in_which_somebody_could_have_taken_it() -> None:
    assert not watched(VACANT, replace(VACANT, now=60.0, able=None)).found
    assert not watched(VACANT, replace(VACANT, now=60.0, able=20.0)).found
    assert watched(VACANT, replace(VACANT, now=60.1, able=20.0)).found


def test_a_living_holder_that_does_not_sign_has_a_bound_of_its_own() -> None:
    holding = replace(VACANT, proved=True, holder_calm=0.0)
    assert not watched(holding, replace(holding, now=100.0)).found
    assert not watched(holding, replace(holding, now=150.0, holder_calm=60.0)).found
    assert not watched(holding, replace(holding, now=150.0, holder_calm=None)).found
    (stuck,) = watched(holding, replace(holding, now=100.5)).found
    assert "its holder lives" in stuck.why


def test_who_could_take_the_lock() -> None:
    assert could_take(NodeFacts("a", "Voting"))
    assert could_take(NodeFacts("a", "Voting", reasons=("hold-off",)))
    assert not could_take(NodeFacts("a", "Voting", reasons=("hold-off", "term-regress")))
    assert not could_take(NodeFacts("a", "Registering"))


def test_the_bounds_follow_the_configuration() -> None:
    usual = bounds(POLICY)
    law = POLICY.law
    # No takeover may be judged before the law lets anybody take the lock.
    assert law.stopped_after() + law.guard_time < usual.vacant < usual.booked < usual.healed
    longer = bounds(replace(POLICY, law=LeaseLaw(guard_time=19.0, fence_deadline=16.0)))
    assert longer.vacant > usual.vacant + 10 + 9
    assert bounds(replace(POLICY, patience=POLICY.patience + 20)).vacant == pytest.approx(usual.vacant + 20)
    assert bounds(replace(POLICY, hold_off=POLICY.hold_off + 10)).booked == pytest.approx(usual.booked + 20)
    assert bounds(replace(POLICY, hot_swap_timeout=20.0)).healed == pytest.approx(usual.healed + 10)
