# SPDX-License-Identifier: Apache-2.0
"""What `kuutamoctl drain` asks for, and what it says of the mark."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from kuutamod.cli import kuutamoctl
from kuutamod.cli.commands import drain
from kuutamod.cli.ordering import End, Exit
from kuutamod.consul import orders
from kuutamod.consul.faults import ConsulError, Fault
from kuutamod.consul.overview import Overview
from kuutamod.core.model import LockView
from kuutamod.core.protocol import Request
from unit.cli.fleets import DONE, RECORD, WELL, changed, silent

assert isinstance(WELL.members, tuple)
A, B, C = WELL.members
FIT = changed(WELL, 1, promotion="hot-swap")

UNSURE = orders.Unsure(
    Fault.TIMEOUT, "no answer; the change may have been written all the same: look with `kuutamoctl status`"
)
UNSURE_OF_MORE = orders.Unsure(Fault.CONFLICT, "it keeps changing; the change may have been written all the same")
REFUSED = ConsulError(Fault.CONFLICT, "the key is not a JSON object")
DENIED = ConsulError(Fault.FORBIDDEN, "permission denied")


class Asked:
    """The command against this fleet; ``error``: what comes of the mark. What it asked for and marked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, overview: Overview, error: ConsulError | None = None) -> None:
        self.asked: list[Request] = []
        self.marks = 0

        def ask(_to: object, _context: object, request: Request, _options: object) -> End:
            self.asked.append(request)
            return End(Exit.DONE, replace(DONE, id=request.id, node=request.node))

        def mark(_consul: object, _account: str, change: Callable[[Any], Any], _deadline: float) -> None:
            self.marks += 1
            if error is not None:
                raise error

        monkeypatch.setattr(drain, "look", lambda _to: overview)
        monkeypatch.setattr(drain, "ask", ask)
        monkeypatch.setattr(orders, "change_config", mark)

    def run(self, capsys: pytest.CaptureFixture[str], node: str) -> tuple[dict[str, Any], str]:
        """The object that is printed, with the exit code in it, and what is said beside it."""
        code = kuutamoctl.main(["drain", node, "--json"])
        printed = capsys.readouterr()
        told = json.loads(printed.out)
        assert told["code"] == code
        return told, printed.err


@pytest.mark.parametrize(
    ("overview", "why"),
    [
        (replace(FIT, members=(silent(A), B, C)), "it has no live member record"),
        (replace(FIT, lock=LockView(9, "session-a0", RECORD)), "it has no live member record"),
        (
            replace(FIT, lock=LockView(9, "session-a", replace(RECORD, node_id="node-b"))),
            "node-a has taken the lock just now; look again",
        ),
    ],
    ids=["silent", "another session of its", "a moment after its take"],
)
def test_a_holder_that_cannot_be_asked_is_refused_and_not_marked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], overview: Overview, why: str
) -> None:
    fleet = Asked(monkeypatch, overview)
    told, said = fleet.run(capsys, "node-a")
    assert (told["code"], told["outcome"], told["drained"], told["id"]) == (1, "refused", False, None)
    assert f"refused: nothing has changed: node-a holds the lock, and {why}" in said
    assert (fleet.asked, fleet.marks) == ([], 0)


@pytest.mark.parametrize("error", [UNSURE, UNSURE_OF_MORE])
def test_a_mark_whose_answer_was_lost_is_neither_there_nor_not(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: ConsulError
) -> None:
    unknown = "it is not known whether node-{} is drained: "
    told, said = Asked(monkeypatch, FIT, error).run(capsys, "node-c")
    assert (told["code"], told["outcome"], told["drained"]) == (6, None, None)
    assert told["why"] == f"{unknown.format('c')}{error}"
    assert f"kuutamoctl: {unknown.format('c')}" in said
    told, said = Asked(monkeypatch, FIT, error).run(capsys, "node-a")
    text = f"the lock was handed over to node-b, but {unknown.format('a')}"
    assert (told["code"], told["outcome"], told["drained"]) == (6, "done", None)
    assert told["why"] == f"{text}{error}"
    assert f"kuutamoctl: {text}" in said


@pytest.mark.parametrize(("error", "code"), [(REFUSED, 1), (DENIED, 3)])
def test_a_mark_that_was_not_made_says_whether_the_handover_was(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: ConsulError, code: int
) -> None:
    told, _said = Asked(monkeypatch, FIT, error).run(capsys, "node-a")
    assert (told["code"], told["outcome"], told["drained"]) == (code, "done", False)
    assert told["why"] == f"the lock was handed over to node-b, but node-a is not drained: {error}"
    told, _said = Asked(monkeypatch, FIT, error).run(capsys, "node-c")
    assert (told["code"], told["outcome"], told["drained"]) == (code, "refused" if code == 1 else None, False)


def test_the_holder_hands_over_first_and_a_standby_is_marked_at_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fleet = Asked(monkeypatch, FIT)
    told, _said = fleet.run(capsys, "node-a")
    assert [(request.holder, request.node) for request in fleet.asked] == [("node-a", "node-b")]
    assert (told["code"], told["outcome"], told["drained"], fleet.marks) == (0, "done", True, 1)
    told, _said = fleet.run(capsys, "node-b")
    assert (told["code"], told["outcome"], told["drained"], fleet.marks) == (0, "done", True, 2)
    assert len(fleet.asked) == 1
