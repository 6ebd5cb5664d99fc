# SPDX-License-Identifier: Apache-2.0
"""A standby that an operator asks to restart its neard: once, in time, and with one outcome."""

from __future__ import annotations

from dataclasses import replace

from kuutamod.core import actions as ac
from kuutamod.core import events as ev
from kuutamod.core.model import LockView
from kuutamod.core.protocol import Ask, LockRecord, Mark, Outcome, Request, Step
from unit.core.rig import Rig

REQUEST = Request("r2", Ask.RESTART, "b", 4, issued=1000.0, expires=1060.0, node="a", by="eve@desk")
HELD = LockView(7, "sb", LockRecord("host-b", "b", 4, guard_time=9))


class Asked(Rig):
    """A standby with an operator's request on its desk. The wall clock shows boottime."""

    index = 100

    def __init__(self, request: Request = REQUEST) -> None:
        super().__init__()
        self.registered()
        self.read_fleet()
        self.lock(HELD)
        self.now += 1.0
        self.ask(request)

    def read_fleet(self, ahead: float = 0.0) -> None:
        config = self.state.fleet
        assert config is not None
        self.tell(ev.FleetSeen((), config, self.now, self.now, self.now + ahead))

    def ask(self, request: Request) -> None:
        self.index += 1
        self.tell(ev.RequestSeen(request, self.index, self.now))

    def write(self) -> Request:
        """Consul takes what the node has to say, as often as it has more to say."""
        for _unused in range(9):
            self.step()
            if self.has(ac.AnswerRequest):
                answer = self.take(ac.AnswerRequest)
                self.index += 1
                self.tell(ev.RequestAnswered(ev.Outcome.APPLIED, answer.request, self.index, self.now))
        assert self.state.desk.request is not None
        return self.state.desk.request


def test_it_acts_only_once_its_confirmation_is_written() -> None:
    rig = Asked()
    for _unused in range(5):
        rig.step()
    answer = rig.take(ac.AnswerRequest)
    assert answer.request.marked(Step.CONFIRMED) is not None
    rig.tell(ev.RequestAnswered(ev.Outcome.REFUSED, answer.request, answer.index, rig.now))
    rig.ask(replace(REQUEST, outcome=Outcome.EXPIRED, why="withdrawn"))
    rig.run(3.0)
    assert not rig.has(ac.StopChild)


def test_it_stands_by_while_its_word_is_not_taken() -> None:
    """A token that may not write requests, say: the lock must not wait for that."""
    rig = Asked(replace(REQUEST, expires=REQUEST.issued + 86400))
    for _unused in range(5):
        rig.step()
    answer = rig.take(ac.AnswerRequest)
    rig.tell(ev.RequestAnswered(ev.Outcome.REFUSED, answer.request, answer.index, rig.now, "permission denied"))
    assert not rig.has(ac.AnswerRequest), "the same answer to the same request is not sent again at once"
    assert "standby: b holds the lock" in rig.why
    rig.run(1.5)
    assert rig.has(ac.AnswerRequest)


def test_an_expired_request_is_not_begun_though_it_was_confirmed_in_time() -> None:
    rig = Asked(replace(REQUEST, expires=REQUEST.issued + 1.5))
    for _unused in range(5):
        rig.step()
    rig.now += 1.0
    assert rig.write().outcome is Outcome.EXPIRED
    assert not rig.has(ac.StopChild)


def test_without_the_time_of_day_it_does_nothing() -> None:
    rig = Asked(replace(REQUEST, id="r1", outcome=Outcome.DONE))
    rig.state = replace(rig.state, fleet_read=None)
    rig.ask(REQUEST)
    for _unused in range(5):
        rig.step()
    assert not rig.state.desk.knows(Step.PLANNED)


def test_a_wall_clock_that_goes_back_makes_no_second_restart() -> None:
    rig = Asked()
    rig.write()
    rig.take(ac.StopChild)
    rig.died("exit code 0")
    rig.read_fleet(ahead=-3600.0)
    rig.started(78)
    rig.status()
    rig.run(1.0)
    assert not rig.has(ac.StopChild)
    assert rig.write().outcome is Outcome.DONE


def test_a_supervisor_that_finds_its_own_confirmation_has_restarted_with_its_neard() -> None:
    confirmed = replace(REQUEST, marks=(Mark(Step.PLANNED, 1000.5), Mark(Step.CONFIRMED, 1000.5)))
    rig = Asked(confirmed)
    rig.run(0.5)
    assert not rig.has(ac.StopChild)
    assert rig.write().outcome is Outcome.DONE


def test_a_node_that_takes_the_lock_before_it_begins_refuses_the_restart() -> None:
    rig = Asked()
    rig.step()
    released = LockRecord("host-b", "b", 4, guard_time=9, released=True, reason="stopped")
    rig.lock(LockView(8, None, released))
    rig.now += 30.0
    rig.lock(LockView(8, None, released))
    take = rig.take(ac.Take)
    rig.tell(ev.TakeAnswered("s1", ev.Outcome.APPLIED, take.record, take.claim, rig.now, rig.now))
    for _unused in range(5):
        rig.step()
    assert not rig.has(ac.StopChild)
    said = rig.write()
    assert said.outcome is Outcome.REFUSED
    assert "never begun: a holds the lock" in said.why
