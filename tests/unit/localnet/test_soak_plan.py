# SPDX-License-Identifier: Apache-2.0
"""Which faults a soak injects: a function of the seed alone, and never what the product says it can't stand."""

from __future__ import annotations

import itertools

import pytest

from kuutamo_localnet.soak_plan import TRAITS, Fault, Kind, Subject, boot_shift, forbidden, make_plan

SEEDS = range(20)
HALF_AN_HOUR = 1800.0


def faults_of(seed: int, seconds: float) -> list[Fault]:
    return [fault for wave in make_plan(seed, seconds, 3) for fault in wave]


@pytest.mark.parametrize("seconds", [10.0, 30.0, 180.0, HALF_AN_HOUR])
def test_the_same_seed_gives_the_same_plan_and_another_seed_another(seconds: float) -> None:
    plans = [make_plan(seed, seconds, 3) for seed in SEEDS]
    assert plans == [make_plan(seed, seconds, 3) for seed in SEEDS]
    assert len(set(plans)) == len(SEEDS)


def test_a_plan_does_not_change_with_the_version_of_python() -> None:
    assert [[fault.text() for fault in wave] for wave in make_plan(319, 36, 3)] == [
        [
            "    0.0 s  kill guard of the holder",
        ],
        [
            "   13.3 s  slow disk of Consul's leader for 3.0 s",
            "   19.2 s  kuutamoctl handover for 4.4 s",
        ],
    ]


def test_the_fixed_seed_of_the_pipeline_injects_every_kind() -> None:
    """The Makefile's soak-ci: two minutes with this seed."""
    assert {fault.kind for fault in faults_of(5912, 120)} == set(Kind)


@pytest.mark.parametrize("seed", SEEDS)
def test_faults_are_in_order_and_undone_before_the_end(seed: int) -> None:
    for seconds in (10.0, 60.0, 600.0):
        plan = faults_of(seed, seconds)
        assert plan
        assert all(make_plan(seed, seconds, 3))
        assert [fault.at for fault in plan] == sorted(fault.at for fault in plan)
        assert all(0 <= fault.at <= fault.until <= seconds + 0.1 for fault in plan)
        assert all(fault.node in range(3) and 0 <= fault.pick < 1 for fault in plan)


@pytest.mark.parametrize("seed", SEEDS)
def test_every_kind_comes_before_any_comes_too_often(seed: int) -> None:
    kinds = [fault.kind for fault in faults_of(seed, HALF_AN_HOUR)]
    once = sum(traits.weight for traits in TRAITS.values())
    rounds = len(kinds) // once
    assert rounds >= 4
    for kind, traits in TRAITS.items():
        # A burst is sorted by time, so the last faults of one round may stand behind the first of the next.
        assert traits.weight * rounds - 2 <= kinds.count(kind) <= traits.weight * (rounds + 1) + 2


def test_some_faults_overlap_and_between_two_waves_there_is_time_for_a_takeover() -> None:
    plan, waves = faults_of(1, HALF_AN_HOUR), make_plan(1, HALF_AN_HOUR, 3)
    overlapping = [(a, b) for a, b in itertools.pairwise(plan) if b.at < a.until]
    assert len(overlapping) > len(plan) / 5
    assert len(waves) > HALF_AN_HOUR / 60
    assert sum(len(wave) >= 5 for wave in waves) > len(waves) / 3
    for before, after in itertools.pairwise(waves):
        assert after[0].at - max(fault.until for fault in before) >= 11.9


def test_most_faults_meet_the_holder_but_each_node_has_its_share() -> None:
    plan = [fault for fault in faults_of(5, HALF_AN_HOUR) if TRAITS[fault.kind].subject is Subject.NODE]
    assert 0.5 < sum(fault.holder for fault in plan) / len(plan) < 0.8
    assert {fault.node for fault in plan if not fault.holder} == {0, 1, 2}


@pytest.mark.parametrize("seconds", [9.9, 0.0, -1.0, float("nan")])
def test_too_short_a_soak_is_refused(seconds: float) -> None:
    with pytest.raises(ValueError, match="the least is 10 s"):
        make_plan(1, seconds, 3)


def test_a_fault_in_words() -> None:
    to_holder = Fault(12.25, Kind.CUT, 1, True, 3.0, 0.5)
    assert to_holder.text() == "   12.2 s  partition of the holder for 3.0 s"
    assert Fault(1.0, Kind.KILL_NEARD, 1, False, 0.0, 0.5).text() == "    1.0 s  kill neard of node1"
    assert Fault(1.0, Kind.DELETE_KEY, 1, True, 0.0, 0.5).text() == "    1.0 s  delete the lock's key"


@pytest.mark.parametrize(
    ("kind", "present"),
    [
        (Kind.FREEZE_GUARD, Kind.FREEZE_SUPERVISOR),
        (Kind.FREEZE_SUPERVISOR, Kind.FREEZE_GUARD),
        (Kind.KILL_SUPERVISOR, Kind.FREEZE_GUARD),
    ],
)
def test_guard_and_supervisor_are_never_out_together_without_the_watchdog(kind: Kind, present: Kind) -> None:
    assert "documented limit" in forbidden(kind, [present])


@pytest.mark.parametrize("kind", [Kind.FREEZE_BOTH, Kind.FREEZE_HOST])
def test_nothing_happens_beside_a_host_that_cannot_fence(kind: Kind) -> None:
    others = [other for other in Kind if TRAITS[other].subject is Subject.NODE]
    assert all(forbidden(other, [kind]) for other in others)
    assert all(forbidden(kind, [other]) for other in others)


def test_what_makes_no_sense_together_is_refused_and_the_rest_is_not() -> None:
    assert forbidden(Kind.CUT, [Kind.CUT])
    assert forbidden(Kind.CUT, [Kind.CUT_ANSWERS])
    assert forbidden(Kind.FREEZE_NEARD, [Kind.SLOW_NEARD])
    assert forbidden(Kind.LEAVE_AGENT, [Kind.FREEZE_AGENT])
    assert forbidden(Kind.CRASH, [Kind.CRASH_LOOP])
    assert forbidden(Kind.KILL_NEARD, [Kind.LOSE_HOST])
    assert not forbidden(Kind.LOSE_HOST, [Kind.CUT, Kind.FREEZE_SUPERVISOR])
    assert not forbidden(Kind.KILL_GUARD, [Kind.FREEZE_SUPERVISOR, Kind.HANG])
    assert not forbidden(Kind.KILL_BOTH, [Kind.FREEZE_GUARD])
    assert not forbidden(Kind.KILL_SUPERVISOR, [])


def test_boot_clocks_are_days_apart_and_follow_from_the_seed() -> None:
    shifts = [boot_shift(7, node, boot) for node in range(3) for boot in range(4)]
    assert shifts == [boot_shift(7, node, boot) for node in range(3) for boot in range(4)]
    assert len(set(shifts)) == len(shifts)
    assert all(0 <= shift < 40 * 86400 for shift in shifts)
