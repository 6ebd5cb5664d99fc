# SPDX-License-Identifier: Apache-2.0
"""Who may take the lock, who goes first, and what an operator has switched off."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kuutamod.core import actions as ac
from kuutamod.core import events as ev
from kuutamod.core.model import LockView, Policy
from kuutamod.core.protocol import FleetConfig, LockRecord, MemberRecord, Pause
from kuutamod.core.ranking import LAST_RANK, ordered, rank, turn
from kuutamod.core.readiness import ineligible
from unit.core.rig import KEY, RELEASED, Rig

HELD = LockRecord("host-b", "b", 4, heartbeat=3, guard_time=9, fingerprint=KEY, last_height=90)


def member(name: str, **changes: object) -> MemberRecord:
    base = MemberRecord(
        name, f"host-{name}", f"life-{name}", height=100, eligible=True, fingerprint=KEY, neard_version="2.11.0"
    )
    return replace(base, **changes)  # type: ignore[arg-type]


class Fleet(Rig):
    """A standby that knows others."""

    index = 50

    def __init__(self, policy: Policy | None = None, *, holder: bool = False) -> None:
        super().__init__(policy)
        if holder:
            self.validating()
        else:
            self.registered()

    def fleet(self, *members: MemberRecord, config: FleetConfig | None = None, wall: float | None = None) -> None:
        self.index += 1
        seen = tuple(ev.SeenMember(each, f"s-{each.node_id}", self.index) for each in members)
        self.tell(ev.FleetSeen(seen, config or FleetConfig(), self.now, self.now, self.now if wall is None else wall))

    def codes(self) -> list[str]:
        return [reason.code for reason in ineligible(self.state, self.now)]

    def published(self) -> None:
        for _unused in range(5):
            self.step()
            if self.has(ac.Publish):
                self.tell(ev.MemberPublished("s1", self.take(ac.Publish).record, self.now))


# --- the order ---


def test_priority_then_lag_then_version_then_name() -> None:
    fleet = [
        member("far", height=10),
        member("old", neard_version="2.10.2"),
        member("z"),
        member("b"),
        member("first", priority=5, height=10, neard_version="2.0.0"),
        member("strange", neard_version="trunk"),
    ]
    assert [each.node_id for each in ordered(fleet, 20)] == ["first", "b", "z", "old", "strange", "far"]


def test_records_that_are_seconds_old_do_not_reorder_the_fleet() -> None:
    fleet = [member("a", height=95), member("b", height=100)]
    assert [each.node_id for each in ordered(fleet, 20)] == ["a", "b"]


def test_every_node_has_a_turn_of_its_own_and_nobody_waits_for_long() -> None:
    rig = Fleet()
    rig.published()
    rig.lock(LockView(7, "sb", HELD))
    rig.published()
    rig.fleet(*(member(f"n{number}", priority=9) for number in range(9)))
    assert rank(rig.state, rig.now) == 9
    assert turn(rig.state, rig.now) == LAST_RANK * rig.state.policy.rank_step
    rig.fleet(*(member(f"n{number}") for number in range(9)))
    assert rank(rig.state, rig.now) == 0, "a sorts first by name"


@pytest.mark.parametrize("changes", [{"eligible": False}, {"node_id": "gone"}])
def test_who_is_not_able_or_not_there_is_not_waited_for(changes: dict[str, object]) -> None:
    rig = Fleet()
    rig.lock(LockView(7, "sb", HELD))
    rig.published()
    rig.fleet(member("c", priority=9))
    assert rank(rig.state, rig.now) == 1
    if "eligible" in changes:
        rig.fleet(member("c", priority=9, eligible=False))
    else:
        seen = (ev.SeenMember(member("c", priority=9), None, 99),)
        rig.tell(ev.FleetSeen(seen, FleetConfig(), rig.now, rig.now, rig.now))
    assert rank(rig.state, rig.now) == 0


def test_a_lower_rank_waits_its_turn_and_then_takes_the_lock_itself() -> None:
    rig = Fleet()
    rig.lock(LockView(7, "sb", HELD))
    rig.published()
    rig.fleet(member("c", priority=9))
    rig.lock(LockView(8, None, RELEASED))
    assert not rig.has(ac.Take)
    assert "others rank higher" in rig.why
    rig.step(rig.state.policy.rank_step + 0.01)
    assert rig.has(ac.Take)


def test_the_best_one_does_not_wait() -> None:
    rig = Fleet(Policy(promotion="hot-swap", priority=10))
    rig.lock(LockView(7, "sb", HELD))
    rig.published()
    rig.fleet(member("c", priority=9))
    rig.lock(LockView(8, None, RELEASED))
    assert rig.has(ac.Take)


# --- eligibility ---


@pytest.mark.parametrize(
    ("changes", "code", "soft"),
    [
        ({"peers": 0}, "few-peers", True),
        ({"head_age": 61.0}, "old-head", True),
        ({"height": 70}, "lag", True),
        ({"latest_protocol": 82, "protocol": 82}, "old-protocol", False),
    ],
)
def test_a_neard_that_is_of_no_use_has_a_reason(changes: dict[str, object], code: str, soft: bool) -> None:
    rig = Fleet()
    rig.fleet(member("c", protocol=83))
    assert code not in rig.codes()
    rig.state = replace(rig.state, child=replace(rig.state.child, status=None))  # type: ignore[type-var]
    rig.status(**{"height": 100, **changes})  # type: ignore[arg-type]
    found = [reason for reason in ineligible(rig.state, rig.now) if reason.code == code]
    assert [reason.soft for reason in found] == [soft]


def test_what_is_unknown_is_no_reason() -> None:
    rig = Fleet()
    rig.status(100, peers=None, head_age=None, protocol=0, latest_protocol=0)
    assert set(rig.codes()) <= {"unknown-fleet", "new-watch"}


def test_a_node_settles_before_it_counts_as_synced() -> None:
    rig = Fleet()
    rig.state = replace(rig.state, policy=replace(rig.state.policy, settle_time=5.0))
    rig.status(100)
    assert "settling" in rig.codes()
    rig.now += 5.0
    rig.status(101)
    assert "settling" not in rig.codes()


# --- pause and drain ---


def test_a_pause_stops_takeovers_and_ends_by_itself() -> None:
    rig = Fleet()
    rig.lock(LockView(7, None, RELEASED), step=False)
    rig.fleet(config=FleetConfig(pauses=(Pause(until=5060.0, by="eve", reason="new disks"),)), wall=5000.0)
    assert "paused" in rig.codes()
    assert not rig.has(ac.Take)
    assert "paused until 1970-01-01 01:24:20 UTC: new disks" in rig.why
    begun = rig.now
    while rig.now < begun + 59.0:
        rig.run(1.0)
        rig.lock(LockView(7, None, RELEASED))
    assert not rig.has(ac.Take)
    rig.run(2.0)
    assert rig.has(ac.Take)


def test_a_pause_of_another_node_is_none_of_ours_and_of_this_node_is() -> None:
    rig = Fleet()
    rig.fleet(config=FleetConfig(pauses=(Pause(until=5060.0, node="c"),)), wall=5000.0)
    assert "paused" not in rig.codes()
    rig.fleet(config=FleetConfig(pauses=(Pause(until=5060.0, node="a"),)), wall=5000.0)
    assert "paused" in rig.codes()


def test_the_last_holder_may_come_back_during_a_pause_for_that_moves_nothing() -> None:
    rig = Fleet()
    rig.lock(LockView(7, None, replace(RELEASED, node_id="a")), step=False)
    rig.fleet(config=FleetConfig(pauses=(Pause(until=5060.0),)), wall=5000.0)
    assert rig.has(ac.Take)


def test_a_drained_node_takes_nothing_however_long_it_waits() -> None:
    rig = Fleet()
    rig.lock(LockView(7, None, RELEASED), step=False)
    rig.fleet(config=FleetConfig(no_takeover=("a",)))
    rig.run(60.0)
    rig.lock(LockView(7, None, RELEASED))
    assert not rig.has(ac.Take)
    assert "kuutamoctl undrain a" in rig.why


def test_a_paused_holder_does_not_hand_over_by_itself() -> None:
    rig = Fleet(holder=True)
    seen = (ev.SeenMember(member("c", height=300), "s-c", 9),)
    config = FleetConfig(pauses=(Pause(until=rig.now + 600),))
    rig.tell(ev.FleetSeen(seen, config, rig.now, rig.now, rig.now))
    rig.run(16.0, height=None)
    rig.tell(ev.FleetSeen((replace(seen[0], index=10),), config, rig.now, rig.now, rig.now))
    assert "handovers are paused" in rig.why
    assert not rig.has(ac.StopChild)


def test_a_holder_without_peers_hands_over_only_to_a_standby_that_is_ahead() -> None:
    """A record may be older than the trouble: that it tells of peers is no sign that they are still there."""
    rig = Fleet(holder=True)
    rig.status(110, peers=0, validator_key=KEY, validator_account="acct")
    rig.run(16.0, height=None)
    seen = ev.SeenMember(member("c", height=110, peers=7), "s-c", 9)
    rig.tell(ev.FleetSeen((seen,), FleetConfig(), rig.now, rig.now, rig.now))
    assert not rig.has(ac.StopChild), "when all are equally blind nobody moves"
    assert "neard has no peers and no standby is better off" in rig.why
    ahead = replace(seen.record, height=110 + rig.state.policy.freeze_blocks)
    rig.tell(ev.FleetSeen((replace(seen, record=ahead, index=10),), FleetConfig(), rig.now, rig.now, rig.now))
    stop = rig.take(ac.StopChild)
    assert stop.why == "neard has no peers while c is better off"


def test_a_number_that_no_float_holds_is_no_number() -> None:
    """JSON has such integers, and Infinity and NaN are what Python's reader takes for numbers."""
    for number in ("1" + 400 * "0", "Infinity", "NaN"):
        assert LockRecord.from_json(f'{{"term": 1, "guard_time": {number}}}') is None
        record = LockRecord.from_json(f'{{"term": 1, "guard_time": 9, "idle": {number}}}')
        assert record is not None
        assert record.idle == 0.0


def test_a_node_whose_key_file_is_gone_takes_no_lock() -> None:
    rig = Fleet()
    rig.status(101, key_present=False)
    rig.lock(LockView(7, None, RELEASED))
    assert "no-key" in rig.codes()
    assert not rig.has(ac.Take)
    rig.status(102)
    assert rig.has(ac.Take)
