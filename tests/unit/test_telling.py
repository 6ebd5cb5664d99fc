# SPDX-License-Identifier: Apache-2.0
"""What is told of an answer that Consul does not take: nothing once, for that is how two nodes write; then why."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from kuutamod.core import actions as ac
from kuutamod.core import events as ev
from kuutamod.core.model import LockView
from kuutamod.core.protocol import Ask, LockRecord, Request
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
