# SPDX-License-Identifier: Apache-2.0
"""What is told of decisions, and of an answer that Consul does not take: nothing once, for that is how two nodes write."""

from __future__ import annotations

import io
import json
from types import SimpleNamespace
from typing import Any, cast

import pytest

from kuutamod.core import actions as ac
from kuutamod.core import events as ev
from kuutamod.core.model import LockView
from kuutamod.core.protocol import Ask, LockRecord, Request
from kuutamod.log import REPEAT_WINDOW, Format, Level, Log
from kuutamod.telling import Teller
from unit.core.rig import Rig

REQUEST = Request("r2", Ask.RESTART, "b", 4, issued=1000.0, expires=1600.0, node="a")


def refuse(rig: Rig) -> list[str]:
    """The next answer of the node is refused; what is told of it."""
    rig.run(2.0)
    answer = rig.take(ac.AnswerRequest)
    refused = ev.RequestAnswered(ev.Outcome.REFUSED, answer.request, answer.index, rig.now, "permission denied")
    before = rig.state
    rig.tell(refused, step=False)
    lines: list[str] = []
    log = SimpleNamespace(warning=lambda text, **_fields: lines.append(text))
    Teller(cast(Any, log), cast(Any, None)).heard(before, refused, rig.state)
    return lines


def test_an_answer_that_is_refused_again_is_told() -> None:
    rig = Rig()
    rig.registered()
    rig.lock(LockView(7, "sb", LockRecord("host-b", "b", 4, guard_time=9)))
    rig.tell(ev.RequestSeen(REQUEST, 100, rig.now))
    assert refuse(rig) == []
    assert refuse(rig) == ["the answer to request r2 is not taken: permission denied"]


class Diary:
    """A teller with a real log; time by hand."""

    def __init__(self) -> None:
        self.stream = io.StringIO()
        self.now = 1000.0
        clock = SimpleNamespace(now=lambda: self.now, wall=lambda: self.now)
        self.log = Log(Format.JSON, Level.INFO, self.stream, node="a", clock=cast(Any, clock), wall=lambda: 0.0)
        self.teller = Teller(self.log, cast(Any, SimpleNamespace(status=lambda _text: None)))
        self.rig = Rig()

    def decide(self, why: str, *actions: ac.Action) -> None:
        """The node decides this."""
        self.teller.decided(self.rig.state, ac.Decision(actions, why, self.now), self.now)

    def lines(self) -> list[str]:
        """What was told: level and sentence, and how often it was held back before."""
        assert self.log.flush(30.0)
        lines = [json.loads(line) for line in self.stream.getvalue().splitlines()]
        return [f"{line['level']}: {line['msg']}" + (" (again)" if "repeated" in line else "") for line in lines]


@pytest.mark.parametrize("actions", [(), (ac.KillChild(1, "why"),)])
def test_what_the_node_has_come_back_to_is_told_after_a_minute_at_the_latest(actions: tuple[ac.Action, ...]) -> None:
    diary = Diary()
    level = "warning" if actions else "info"
    diary.decide("b holds the lock", *actions)
    diary.now += 5
    diary.decide("paused")
    diary.now += 5
    diary.decide("b holds the lock", *actions)
    for _second in range(int(REPEAT_WINDOW) - 1):
        diary.now += 1
        diary.decide("b holds the lock")
    assert diary.lines() == [f"{level}: b holds the lock", "info: paused"], "the same line at most once a minute"
    for _second in range(int(3 * REPEAT_WINDOW)):
        diary.now += 1
        diary.decide("b holds the lock")
    assert diary.lines()[2:] == [f"{level}: b holds the lock (again)"], "but it is told, once"


def test_what_was_held_back_and_is_over_is_not_told() -> None:
    diary = Diary()
    for why in ("one", "two", "one", "three"):
        diary.decide(why)
    for _second in range(int(2 * REPEAT_WINDOW)):
        diary.now += 1
        diary.decide("three")
    assert diary.lines() == ["info: one", "info: two", "info: three"]
