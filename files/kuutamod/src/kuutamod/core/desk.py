# SPDX-License-Identifier: Apache-2.0
"""The operator's request as this node knows it, and what the node has to say to it."""

from __future__ import annotations

from dataclasses import dataclass

from .change import replace
from .protocol import Mark, Outcome, Request, Step


@dataclass(frozen=True)
class Windows:
    """Heights [start, end) in which neard says the validator has no block or chunk to produce; ``why`` not, if unknown."""

    spans: tuple[tuple[int, int], ...]
    why: str = ""


@dataclass(frozen=True)
class Answer:
    """What this node has to say to one request: the phases it has seen, and the outcome if it is this node's to tell."""

    request: str
    marks: tuple[Mark, ...] = ()
    outcome: Outcome | None = None
    why: str = ""


@dataclass(frozen=True)
class Desk:
    """The request in Consul (``index``: its ModifyIndex), since when this node knows it, and this node's answer.

    ``first_seen`` in boottime seconds. ``windows`` None: not asked yet.
    """

    request: Request | None = None
    index: int = 0
    first_seen: float = 0.0
    answer: Answer | None = None
    windows: Windows | None = None

    @property
    def pending(self) -> Request | None:
        """The request, if it has no outcome yet, neither in Consul nor here."""
        request, answer = self.request, self.answer
        if request is None or request.outcome is not None:
            return None
        return None if answer is not None and answer.outcome is not None else request

    def knows(self, step: Step) -> bool:
        """Was this phase reached, as far as Consul or this node knows?"""
        said = self.answer is not None and any(mark.step is step for mark in self.answer.marks)
        return said or (self.request is not None and self.request.marked(step) is not None)


def received(desk: Desk, request: Request | None, index: int, at: float) -> Desk:
    """The desk after Consul showed this request; what was said to an earlier one is dropped."""
    if request is not None and desk.request is not None and request.id == desk.request.id:
        return replace(desk, request=request, index=index)
    return Desk(request, index, first_seen=at)


def noted(desk: Desk, mark: Mark, outcome: Outcome | None, why: str) -> Desk:
    """The desk after this node saw a phase reached, or found the outcome."""
    if desk.request is None:
        return desk
    old = desk.answer if desk.answer is not None else Answer(desk.request.id)
    reached = outcome in (None, Outcome.DONE) and not desk.knows(mark.step)
    marks = (*old.marks, mark) if reached else old.marks
    return replace(desk, answer=replace(old, marks=marks, outcome=old.outcome or outcome, why=old.why or why))


def unsaid(desk: Desk) -> Request | None:
    """The request with what this node has to add to it; None when Consul has it all, or somebody told the outcome."""
    request, answer = desk.request, desk.answer
    if request is None or answer is None or request.outcome is not None:
        return None
    new = [mark for mark in answer.marks if request.marked(mark.step) is None]
    if not new and answer.outcome is None:
        return None
    marks = tuple(sorted((*request.marks, *new), key=lambda mark: mark.at))
    return replace(request, marks=marks, outcome=answer.outcome, why=answer.why or request.why)
