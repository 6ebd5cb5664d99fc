# SPDX-License-Identifier: Apache-2.0
"""An operator's request, from the first look at it to its one outcome."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kuutamod.core import actions as ac
from kuutamod.core import events as ev
from kuutamod.core.desk import Windows
from kuutamod.core.holder import UNLOAD_PATIENCE
from kuutamod.core.model import LockView, Peer
from kuutamod.core.protocol import (
    LONGEST_WORD,
    Ask,
    FleetConfig,
    LockRecord,
    Mark,
    MemberRecord,
    Outcome,
    Pause,
    Request,
    Step,
)
from unit.core.rig import KEY, RELEASED, Rig

REQUEST = Request("r1", Ask.HANDOVER, "a", 5, issued=1000.0, expires=1060.0, node="b", by="eve@desk", reason="new disk")
CANDIDATE = MemberRecord(
    "b", "host-b", "life-b", state="Voting", height=101, peers=8, eligible=True, fingerprint=KEY, promotion="hot-swap"
)


def ready(request: Request = REQUEST, **changes: object) -> MemberRecord:
    return replace(CANDIDATE, ready_for=request.id, **changes)  # type: ignore[arg-type]


class Desk(Rig):
    """A rig with an operator. The wall clock shows boottime."""

    index = 100

    def validates(self, *members: MemberRecord) -> None:
        self.validating()
        self.fleet(*members)

    def fleet(
        self, *members: MemberRecord, config: FleetConfig | None = None, step: bool = True, sent: float | None = None
    ) -> None:
        seen = tuple(ev.SeenMember(member, f"s-{member.node_id}", self.index) for member in members)
        self.index += 1
        asked = self.now if sent is None else sent
        self.tell(ev.FleetSeen(seen, config or FleetConfig(), asked, self.now, self.now), step)

    def asked(self, request: Request = REQUEST) -> None:
        self.index += 1
        self.tell(ev.RequestSeen(request, self.index, self.now))

    def published(self) -> MemberRecord:
        """What the node says of itself is written, as often as it has news."""
        self.settle()
        while self.has(ac.Publish):
            record = self.take(ac.Publish).record
            self.tell(ev.MemberPublished("s1", record, self.now))
        return record

    def written(self) -> Request:
        """What the node has to say is written, as often as it has more to say."""
        while self.has(ac.AnswerRequest):
            answer = self.take(ac.AnswerRequest)
            self.index += 1
            self.tell(ev.RequestAnswered(ev.Outcome.APPLIED, answer.request, self.index, self.now))
            self.now += 0.2
            self.settle()
        assert self.state.desk.request is not None
        return self.state.desk.request

    def settle(self) -> None:
        """Decide until nothing changes by itself any more."""
        for _unused in range(9):
            before = self.state
            self.step()
            if self.state == before:
                return

    def steps(self) -> list[Step]:
        return [mark.step for mark in self.written().marks]


def asked(request: Request = REQUEST, *members: MemberRecord) -> Desk:
    desk = Desk()
    desk.validates(*(members or (CANDIDATE,)))
    desk.asked(request)
    desk.settle()
    return desk


# --- the holder ---


@pytest.mark.parametrize("well", [True, False])
def test_only_what_was_read_after_the_request_refuses_it(well: bool) -> None:
    """A node that could not take the lock seconds ago may be well by now; `kuutamoctl` has just seen that it is."""
    sick = replace(CANDIDATE, eligible=False, ineligible=("no-answer",))
    desk = Desk()
    desk.validates(sick)
    desk.run(3.0)
    desk.asked()
    desk.settle()
    assert desk.steps() == [Step.PLANNED]
    assert "reading the nodes' records anew: b is not eligible: no-answer" in desk.why
    desk.step(1.0)
    assert desk.has(ac.ReadFleet)
    desk.fleet(ready() if well else sick)
    desk.settle()
    request = desk.written()
    assert (request.outcome, request.marked(Step.CONFIRMED) is not None) == (None if well else Outcome.REFUSED, well)


def test_a_read_that_was_under_way_when_the_request_came_does_not_refuse_it() -> None:
    """Its answer comes after the request, what it tells may be from before."""
    sick = replace(CANDIDATE, eligible=False, ineligible=("no-answer",))
    desk = Desk()
    desk.validates(sick)
    desk.run(3.0)
    sent = desk.now
    desk.now += 0.1
    desk.asked()
    asked = desk.now
    desk.now += 0.3
    desk.fleet(sick, sent=sent)
    desk.settle()
    assert desk.written().outcome is None
    assert "reading the nodes' records anew: b is not eligible: no-answer" in desk.why
    desk.fleet(sick, sent=asked)
    desk.settle()
    assert desk.written().outcome is Outcome.REFUSED


def test_the_holder_plans_waits_for_the_candidates_word_and_then_takes_the_key_from_neard() -> None:
    desk = asked()
    assert desk.steps() == [Step.PLANNED]
    assert not desk.has(ac.UnloadKey)
    assert "b has not said yet that it is ready" in desk.why
    desk.fleet(ready())
    desk.settle()
    assert not desk.has(ac.UnloadKey), "not before Consul has it"
    assert desk.steps() == [Step.PLANNED, Step.CONFIRMED, Step.UNLOADING]
    desk.unloaded(height=130)
    assert desk.has(ac.StopChild)
    desk.died("exit code 0")
    record = desk.take(ac.Release).record
    assert (record.successor, record.request, record.final, record.last_height) == ("b", "r1", True, 130)
    assert not record.fault
    assert "eve@desk" in record.reason
    assert "new disk" in record.reason
    desk.settle()
    assert desk.steps()[-1] is Step.STOPPED
    desk.tell(ev.ReleaseAnswered("s1", ev.Outcome.APPLIED))
    desk.settle()
    assert desk.steps()[-1] is Step.RELEASED
    assert desk.written().outcome is None, "the outcome is the next holder's to tell"


def test_a_request_that_somebody_withdrew_meanwhile_is_not_acted_on() -> None:
    desk = asked(REQUEST, ready())
    answer = desk.take(ac.AnswerRequest)
    assert not desk.has(ac.UnloadKey)
    desk.tell(ev.RequestAnswered(ev.Outcome.REFUSED, answer.request, answer.index, desk.now))
    desk.asked(replace(REQUEST, outcome=Outcome.EXPIRED, why="withdrawn"))
    desk.run(5.0)
    assert not desk.has(ac.UnloadKey)
    assert not desk.has(ac.AnswerRequest)


@pytest.mark.parametrize(
    ("member", "why"),
    [
        (replace(CANDIDATE, eligible=False, ineligible=("syncing",)), "not eligible: syncing"),
        (replace(CANDIDATE, fingerprint="ed25519:other"), "another validator key"),
        (replace(CANDIDATE, promotion="restart"), "--allow-restart"),
        (replace(CANDIDATE, latest_protocol=82), "can't follow protocol version 83"),
        (replace(CANDIDATE, node_id="c"), "there is no node b"),
    ],
)
def test_a_request_for_an_unfit_candidate_is_refused_and_nothing_changes(member: MemberRecord, why: str) -> None:
    desk = Desk()
    desk.validates(member)
    desk.status(102, validator_key=KEY, validator_account="acct", protocol=83)
    desk.asked()
    desk.settle()
    request = desk.written()
    assert request.outcome is Outcome.REFUSED
    assert why in request.why
    desk.run(3.0)
    assert not desk.has(ac.UnloadKey)
    assert not desk.has(ac.StopChild)


def test_a_request_that_has_its_outcome_is_left_alone() -> None:
    desk = asked(replace(REQUEST, outcome=Outcome.DONE), ready())
    desk.run(3.0)
    assert not desk.has(ac.UnloadKey)
    assert not desk.has(ac.AnswerRequest)


@pytest.mark.parametrize("changes", [{"term": 4}, {"holder": "c"}])
def test_a_request_for_another_term_or_holder_is_refused(changes: dict[str, object]) -> None:
    desk = asked(replace(REQUEST, **changes), ready())  # type: ignore[arg-type]
    desk.status(103, validator_key=KEY, validator_account="acct")
    desk.settle()
    assert desk.written().outcome is Outcome.REFUSED
    assert not desk.has(ac.UnloadKey)


def test_an_old_request_never_fires() -> None:
    """Neither one whose moment has passed, nor one that came early by a clock that is wrong."""
    for request in (replace(REQUEST, issued=900.0, expires=960.0), replace(REQUEST, issued=5000.0, expires=5020.0)):
        desk = asked(request)
        desk.run(25.0)
        desk.fleet(ready())
        desk.settle()
        assert desk.written().outcome is Outcome.EXPIRED
        assert not desk.has(ac.UnloadKey)


def test_the_height_is_waited_for() -> None:
    desk = asked(replace(REQUEST, when="110"), ready())
    assert "waiting for height 110" in desk.why
    assert desk.steps() == [Step.PLANNED, Step.WAITING]
    desk.status(110, validator_key=KEY, validator_account="acct")
    desk.settle()
    assert Step.CONFIRMED in desk.steps()
    assert desk.has(ac.UnloadKey)


@pytest.mark.parametrize(
    ("windows", "goes", "why"),
    [
        (Windows(((102, 110),)), True, ""),
        (Windows(((90, 110),)), True, ""),
        (Windows(((90, 104), (120, 140))), False, "waiting for the window 120 to 139"),
        (Windows(((90, 104),)), False, "no window of 5 blocks"),
        (Windows((), "connection refused"), False, "does not tell its maintenance windows: connection refused"),
    ],
)
def test_the_first_window_that_is_long_enough_is_waited_for(windows: Windows, goes: bool, why: str) -> None:
    desk = asked(replace(REQUEST, when="window", min_window=5), ready())
    desk.take(ac.AskWindows)
    desk.tell(ev.WindowsSeen(windows, desk.now))
    desk.settle()
    desk.written()
    assert desk.has(ac.UnloadKey) == goes
    assert why in desk.why


def test_a_missed_window_is_planned_anew_and_one_that_never_comes_times_out_with_the_reason() -> None:
    desk = asked(replace(REQUEST, when="window", min_window=5), ready())
    desk.take(ac.AskWindows)
    desk.tell(ev.WindowsSeen(Windows(((110, 116),)), desk.now))
    desk.status(114, validator_key=KEY, validator_account="acct")
    desk.settle()
    assert "no window of 5 blocks" in desk.why
    while desk.now < 1062.0:
        desk.run(4.0)
        desk.fleet(ready(), step=False)
        desk.written()
    request = desk.written()
    assert request.outcome is Outcome.EXPIRED
    assert "no window of 5 blocks" in request.why
    assert not desk.has(ac.UnloadKey)


def test_a_neard_that_keeps_the_key_is_stopped_all_the_same_and_the_height_is_not_called_final() -> None:
    desk = asked(REQUEST, ready())
    desk.written()
    desk.tell(ev.KeyUnloaded(desk.take(ac.UnloadKey).serial, desk.now))
    desk.run(UNLOAD_PATIENCE - 0.5)
    assert not desk.has(ac.StopChild)
    desk.run(1.0)
    assert desk.has(ac.StopChild)
    desk.died("exit code 0")
    assert not desk.take(ac.Release).record.final


def test_a_key_that_cannot_be_taken_away_does_not_hold_the_handover_up() -> None:
    desk = asked(REQUEST, ready())
    desk.written()
    desk.tell(ev.KeyUnloaded(desk.take(ac.UnloadKey).serial, desk.now, "read-only file system"))
    assert desk.has(ac.StopChild)


def test_a_crash_while_the_key_is_taken_away_ends_in_the_same_release() -> None:
    desk = asked(REQUEST, ready())
    desk.written()
    desk.take(ac.UnloadKey)
    desk.died("killed by SIGSEGV")
    record = desk.take(ac.Release).record
    assert (record.successor, record.request, record.fault, record.final) == ("b", "r1", False, False)


def test_a_lock_lost_meanwhile_is_fenced_at_once() -> None:
    desk = asked(REQUEST, ready())
    desk.written()
    desk.take(ac.UnloadKey)
    desk.tell(ev.SessionGone("s1"))
    assert desk.has(ac.KillChild)


def test_a_pause_stops_no_handover_that_is_asked_for_by_name() -> None:
    desk = Desk()
    desk.validating()
    member = ready(eligible=False, ineligible=("paused",))
    desk.fleet(member, config=FleetConfig(pauses=(Pause(desk.now + 600),)))
    desk.asked()
    desk.settle()
    desk.written()
    assert desk.has(ac.UnloadKey)


# --- the candidate, and the others ---


def standby(released: LockRecord, node: str = "a", *members: MemberRecord) -> Desk:
    desk = Desk()
    desk.registered()
    desk.fleet(*members)
    desk.asked(replace(REQUEST, holder="b", term=4, node=node))
    desk.lock(LockView(7, None, released))
    desk.settle()
    return desk


HANDED = replace(RELEASED, successor="a", request="r1", final=True, last_height=99)


def test_the_candidate_says_that_it_is_ready_and_only_when_it_is() -> None:
    desk = Desk()
    desk.registered()
    desk.fleet()
    desk.asked(replace(REQUEST, holder="b", term=4, node="a"))
    desk.lock(LockView(7, "sb", LockRecord("host-b", "b", 4, guard_time=9)))
    assert desk.published().ready_for == "r1"
    desk.status(103, syncing=True)
    desk.now += 11.0
    desk.status(103, syncing=True)
    assert desk.published().ready_for == ""


def test_the_candidate_takes_the_lock_at_once_and_gets_the_key_without_two_more_blocks() -> None:
    desk = standby(HANDED)
    take = desk.take(ac.Take)
    assert (take.claim.request, take.claim.final) == ("r1", True)
    desk.tell(ev.TakeAnswered("s1", ev.Outcome.APPLIED, take.record, take.claim, desk.now, desk.now))
    place = desk.take(ac.PlaceKey)
    desk.settle()
    assert desk.steps() == [Step.ACQUIRED]
    desk.tell(ev.KeyPlaced(place.serial, desk.now))
    desk.status(101, validator_key=KEY, validator_account="acct")
    desk.settle()
    assert desk.steps() == [Step.ACQUIRED, Step.LOADED]
    desk.now += 0.5
    desk.status(102, validator_key=KEY, validator_account="acct")
    desk.settle()
    request = desk.written()
    assert [mark.step for mark in request.marks] == [Step.ACQUIRED, Step.LOADED, Step.PRODUCING, Step.DONE]
    assert request.outcome is Outcome.DONE
    assert "a validates in term 5" in request.why


def test_the_key_waits_until_the_chain_has_passed_the_last_height_that_the_other_can_have_signed_after() -> None:
    desk = standby(replace(HANDED, last_height=100))
    assert not desk.has(ac.Take)
    desk.status(101)
    assert desk.has(ac.Take)


def test_the_others_leave_a_released_lock_to_its_successor_for_a_moment() -> None:
    desk = standby(replace(HANDED, successor="b"), "b", CANDIDATE)
    assert not desk.has(ac.Take)
    assert "it was released for b" in desk.why
    desk.run(desk.state.policy.successor_patience + 1.0)
    desk.lock(LockView(7, None, replace(HANDED, successor="b")))
    assert desk.has(ac.Take)


def test_nobody_waits_for_a_successor_that_is_gone() -> None:
    desk = standby(replace(HANDED, successor="b"), "b")
    assert desk.has(ac.Take)


def test_who_takes_the_lock_in_the_candidates_place_tells_that_it_was_rolled_back() -> None:
    desk = standby(replace(HANDED, successor="b"), "b")
    take = desk.take(ac.Take)
    desk.tell(ev.TakeAnswered("s1", ev.Outcome.APPLIED, take.record, take.claim, desk.now, desk.now))
    desk.tell(ev.KeyPlaced(desk.take(ac.PlaceKey).serial, desk.now))
    desk.status(101, validator_key=KEY, validator_account="acct")
    desk.now += 0.5
    desk.status(102, validator_key=KEY, validator_account="acct")
    desk.settle()
    request = desk.written()
    assert request.outcome is Outcome.ROLLED_BACK
    assert "b did not take the lock; a validates in term 5" in request.why


def test_a_request_that_a_takeover_has_overtaken_is_refused_by_the_next_holder() -> None:
    desk = standby(replace(RELEASED, fault=True, reason="crashed"), "c")
    take = desk.take(ac.Take)
    desk.tell(ev.TakeAnswered("s1", ev.Outcome.APPLIED, take.record, take.claim, desk.now, desk.now))
    desk.chain_moves_on()
    desk.tell(ev.KeyPlaced(desk.take(ac.PlaceKey).serial, desk.now))
    desk.status(101, validator_key=KEY, validator_account="acct")
    desk.now += 0.5
    desk.status(102, validator_key=KEY, validator_account="acct")
    desk.settle()
    request = desk.written()
    assert request.outcome is Outcome.REFUSED
    assert "crashed" in request.why


# --- restart ---


def test_a_standby_restarts_its_neard_once_and_says_when_it_is_back() -> None:
    request = Request("r2", Ask.RESTART, "b", 4, issued=1000.0, expires=1060.0, node="a", by="eve@desk")
    desk = Desk()
    desk.registered()
    desk.fleet()
    desk.lock(LockView(7, "sb", LockRecord("host-b", "b", 4, guard_time=9)))
    desk.now += 1.0
    desk.asked(request)
    desk.settle()
    assert not desk.has(ac.StopChild)
    assert desk.steps() == [Step.PLANNED, Step.CONFIRMED], "from now on nobody withdraws it"
    assert "eve@desk" in desk.take(ac.StopChild).why
    desk.now += 1.0
    desk.died("exit code 0")
    desk.settle()
    assert desk.steps()[-1] is Step.STOPPED
    desk.now += 1.0
    desk.started(78)
    desk.status()
    desk.settle()
    request = desk.written()
    assert request.outcome is Outcome.DONE
    assert "pid 78" in request.why
    desk.run(3.0)
    assert not desk.has(ac.StopChild)


def test_a_restarted_holder_says_when_it_is_back() -> None:
    request = Request("r2", Ask.RESTART, "a", 5, issued=1000.0, expires=1060.0, node="a")
    desk = asked(request, CANDIDATE)
    desk.written()
    desk.unloaded()
    desk.died("exit code 0")
    desk.tell(ev.ReleaseAnswered("s1", ev.Outcome.APPLIED))
    desk.settle()
    assert desk.steps() == [Step.PLANNED, Step.CONFIRMED, Step.UNLOADING, Step.STOPPED, Step.RELEASED]
    desk.now += 1.0
    desk.started(78)
    desk.status()
    desk.settle()
    assert desk.written().outcome is Outcome.DONE


def test_a_holder_that_is_to_restart_hands_over_to_the_best_standby_first() -> None:
    request = Request("r2", Ask.RESTART, "a", 5, issued=1000.0, expires=1060.0, node="a")
    desk = asked(request, CANDIDATE, replace(CANDIDATE, node_id="c", priority=7))
    desk.written()
    assert desk.take(ac.UnloadKey).giveup.successor == "c"


def test_without_any_standby_it_lets_go_and_comes_back_by_acquiring() -> None:
    request = Request("r2", Ask.RESTART, "a", 5, issued=1000.0, expires=1060.0, node="a")
    desk = asked(request, replace(CANDIDATE, eligible=False, ineligible=("syncing",)))
    desk.written()
    assert desk.take(ac.UnloadKey).giveup.successor == ""


def test_a_peer_is_asked_for_by_what_it_said_last() -> None:
    desk = asked(REQUEST, ready())
    assert desk.state.peers == (Peer(ready(), "s-b", 100, desk.state.peers[0].seen),)


def test_a_restart_of_a_holder_that_has_lost_the_lock_meanwhile_is_refused() -> None:
    request = Request("r2", Ask.RESTART, "a", 4, issued=1000.0, expires=1060.0, node="a")
    desk = Desk()
    desk.registered()
    desk.fleet()
    desk.lock(LockView(7, "sb", LockRecord("host-b", "b", 5, guard_time=9)))
    desk.asked(request)
    desk.settle()
    assert desk.written().outcome is Outcome.REFUSED
    assert not desk.has(ac.StopChild)


def test_a_blip_of_the_candidate_does_not_end_a_long_wait() -> None:
    request = replace(REQUEST, when="200", expires=1600.0)
    desk = asked(request, ready(request, eligible=False, ineligible=("no-answer",)))
    desk.run(3.0)
    assert "waiting for height 200" in desk.why
    assert desk.written().outcome is None
    desk.status(200, validator_key=KEY, validator_account="acct")
    desk.settle()
    assert desk.written().outcome is Outcome.REFUSED, "when it is time the candidate has to be well"


def test_while_it_waits_no_sentence_runs_on() -> None:
    """The log tells a sentence once a minute at most as long as it stays the same."""
    request = replace(REQUEST, when="9000", expires=1600.0)
    desk = asked(request, ready(request))
    desk.run(2.0)
    sentences = set()
    for _unused in range(20):
        desk.run(0.5)
        sentences.add(desk.why)
    assert sentences == {"handover r1: waiting for height 9000"}


def test_a_candidate_that_is_not_heard_of_is_waited_for() -> None:
    desk = asked(REQUEST)
    desk.fleet(ready(), step=False)
    desk.state = replace(desk.state, peers=(replace(desk.state.peers[0], seen=desk.now - 4.0),))
    desk.settle()
    assert "b has not been heard of for a while" in desk.why
    assert desk.written().marked(Step.CONFIRMED) is None


def test_a_request_that_waits_does_not_keep_a_holder_that_is_of_no_use() -> None:
    request = replace(REQUEST, when="9000", expires=90000.0)
    desk = asked(request, ready(request))
    desk.run(16.0, height=None)
    assert desk.state.child is not None
    assert desk.state.child.status is not None
    ahead = desk.state.child.status.height + desk.state.policy.freeze_blocks
    desk.fleet(ready(request, height=ahead))
    stop = desk.take(ac.StopChild)
    assert "while b is better off" in stop.why
    desk.died("exit code 0")
    release = desk.take(ac.Release)
    assert (release.record.successor, release.record.fault, release.record.request) == ("b", True, "")


def test_a_restart_of_the_holder_takes_no_restarting_standby_without_leave() -> None:
    request = Request("r2", Ask.RESTART, "a", 5, issued=1000.0, expires=1060.0, node="a")
    restarting = replace(CANDIDATE, node_id="c", priority=7, promotion="restart")
    desk = asked(request, restarting)
    assert desk.written().outcome is Outcome.REFUSED
    desk = asked(request, restarting, CANDIDATE)
    desk.written()
    assert desk.take(ac.UnloadKey).giveup.successor == "b"
    desk = asked(replace(request, allow_restart=True), restarting, CANDIDATE)
    desk.written()
    assert desk.take(ac.UnloadKey).giveup.successor == "c"


def test_a_handover_that_was_confirmed_is_not_called_never_begun() -> None:
    """The old holder died between its word and its first step: the lock has moved all the same."""
    desk = Desk()
    desk.registered()
    desk.fleet()
    confirmed = replace(REQUEST, node="a", holder="b", term=4, marks=(Mark(Step.CONFIRMED, 1000.5),))
    desk.asked(confirmed)
    released = LockRecord("host-b", "b", 4, guard_time=9, released=True, reason="the guard stopped neard")
    desk.lock(LockView(8, None, released))
    desk.run(10.0)
    desk.lock(LockView(8, None, released), step=False)
    desk.lock(LockView(9, None, released))
    take = desk.take(ac.Take)
    desk.tell(ev.TakeAnswered("s1", ev.Outcome.APPLIED, take.record, take.claim, desk.now, desk.now))
    desk.settle()
    said = desk.written()
    assert said.outcome is None
    assert said.marked(Step.ACQUIRED) is not None


@pytest.mark.parametrize("when", ["tonight", "-5", "1e3", "9999999999999", "٣"])
def test_a_moment_that_is_none_makes_no_request(when: str) -> None:
    assert Request.from_json(replace(REQUEST, when=when).to_json()) is None


def test_what_people_say_is_cut() -> None:
    read = Request.from_json(replace(REQUEST, reason="я" * 40000, by="b" * 40000).to_json())
    assert read is not None
    assert (len(read.reason), len(read.by)) == (LONGEST_WORD, LONGEST_WORD)


def test_a_slow_answer_does_not_bring_back_an_older_request() -> None:
    """The watch waits for what comes after the newest it has shown; it would never show that again."""
    desk = asked(REQUEST, ready())
    answer = desk.take(ac.AnswerRequest)
    ended = replace(REQUEST, outcome=Outcome.DONE, why="b validates")
    desk.tell(ev.RequestSeen(ended, answer.index + 5, desk.now))
    desk.tell(ev.RequestAnswered(ev.Outcome.APPLIED, answer.request, answer.index + 1, desk.now))
    assert (desk.state.desk.request, desk.state.desk.index) == (ended, answer.index + 5)
    assert desk.state.desk.pending is None
