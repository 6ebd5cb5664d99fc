# SPDX-License-Identifier: Apache-2.0
"""Telling how a request goes on, until it has ended in one outcome.

The request lives in Consul; this only looks. It may be killed at any moment, and the fleet goes on.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from ..consul import orders
from ..consul.faults import ConsulError, Fault
from ..consul.overview import read_overview
from ..core.protocol import Ask, Mark, Outcome, Request, Step
from .asking import settled
from .moments import clock, duration
from .order import Connection

LOOK = 0.3
"""Seconds between two looks at the request."""
ANSWER = 5.0
"""Seconds for Consul to answer one look."""
GRACE = 3.0
"""Seconds after its end that the holder gets to say that a request has expired, before it is withdrawn from here."""
FINISH = 120.0
"""Seconds that a request which was begun gets to end, after its own end; a neard that has to start gets its time on top."""


def in_words(error: ConsulError) -> str:
    """What a failed question to Consul means, for people."""
    if error.fault is Fault.CONFLICT:
        return f"refused: {error}"
    if error.fault is Fault.FORBIDDEN:
        return f"Consul refuses: {error}"
    return f"Consul can't be asked: {error}"


@dataclass(frozen=True)
class Told:
    """How it ended: the outcome (None: nobody knows), why, and the request as it was seen last."""

    outcome: Outcome | None
    why: str
    request: Request


class Follower:
    """Looks at one request until it has its outcome.

    ``tell``: a line for people; ``complain``: what goes wrong meanwhile. Both may have any character in them.
    """

    def __init__(
        self, to: Connection, wall: Callable[[], float], tell: Callable[[str], None], complain: Callable[[str], None]
    ) -> None:
        self._to = to
        self._wall = wall
        self._tell = tell
        self._complain = complain
        self._told: set[Step] = set()
        self._fault = ""
        self._replaced = False
        self._arrived = True

    def follow(self, request: Request, sure: bool = True) -> Told:
        """Tell each phase as it is reached. Raises nothing: what Consul refuses is told, and tried again.

        ``sure``: Consul has said that it has the request.
        """
        self._arrived = sure
        while True:
            seen = self._look(request)
            request = seen if seen is not None else request
            for mark in request.marks:
                self._mark(mark)
            if request.outcome is not None:
                return self._ended(request)
            if self._replaced and (told := self._shown(request)) is not None:
                return told
            if self._replaced and request.ask is Ask.RESTART:
                return self._unknown(request)  # the lock shows nothing of it, however long one looks
            now = self._wall()
            if now > request.expires + orders.finish(request, FINISH):
                return self._unknown(request)
            if now > request.expires + GRACE and not orders.begun(request):
                request = self._withdraw(request)
            if request.outcome is None:
                time.sleep(LOOK)

    def _look(self, request: Request) -> Request | None:
        """The request as it is; None when it can't be read, or another one has taken its place.

        Another one is asked for only when this one has ended: then the lock is all that still shows how. One that is older
        has not taken the place of one that perhaps never arrived.
        """
        try:
            seen = orders.read(self._to.consul, self._to.account_id, ANSWER)
        except ConsulError as error:
            if str(error) != self._fault:
                self._fault = str(error)
                self._complain(f"{in_words(error)}; trying on")
            return None
        self._fault = ""
        if seen is None or seen.id != request.id:
            self._replaced = seen is not None and (self._arrived or seen.issued >= request.issued)
            return None
        self._arrived, self._replaced = True, False
        return seen

    def _withdraw(self, request: Request) -> Request:
        why = "not begun in time, withdrawn"
        try:
            found = orders.withdraw(self._to.consul, self._to.account_id, request.id, why, ANSWER)
        except ConsulError:
            return request
        if found is None and not self._arrived and not self._replaced:
            return replace(request, outcome=Outcome.EXPIRED, why="it never arrived in Consul")
        return found or request

    def _mark(self, mark: Mark) -> None:
        if mark.step not in self._told:
            self._told.add(mark.step)
            self._tell(f"{clock(mark.at)}  {mark.step.value}{f': {mark.note}' if mark.note else ''}")

    def _ended(self, request: Request) -> Told:
        assert request.outcome is not None
        gone = gap(request)
        without = f" (no signer for {duration(gone)})" if gone is not None else ""
        self._tell(f"{request.outcome.value}: {request.why}{without}")
        return Told(request.outcome, request.why, request)

    def _unknown(self, request: Request) -> Told:
        """Nobody has told the end. The lock may show it all the same."""
        if (told := self._shown(request)) is not None:
            return told
        newest = max(request.marks, key=lambda mark: mark.at, default=None)
        phase = newest.step.value if newest is not None else "nothing"
        text = f"{phase} is the last that was seen of request {request.id}"
        if request.ask is Ask.RESTART and self._replaced:
            text += ". Another one has taken its place, so it has ended, but nothing shows how"
        elif request.ask is Ask.RESTART and orders.begun(request):
            text += f". {request.node} has not said that its neard runs again; its log tells why"
        text += ". Nothing is rolled back. Look with `kuutamoctl status`; don't start a neard with the key by hand"
        self._tell(f"unknown: {text}")
        return Told(None, text, request)

    def _shown(self, request: Request) -> Told | None:
        """How it has ended by what the lock shows; None when it doesn't."""
        try:
            found = settled(read_overview(self._to.consul, self._to.account_id, 0, ANSWER), request)
        except ConsulError:
            return None
        if found is None:
            return None
        outcome, text = found[0], f"{found[1]} (the lock shows it, nobody told it)"
        self._tell(f"{outcome.value}: {text}")
        return Told(outcome, text, request)


def gap(request: Request) -> float | None:
    """Seconds for which nobody signed, as the marks tell; None when they don't."""
    gone, back = request.marked(Step.UNLOADING), request.marked(Step.LOADED)
    return max(0.0, back.at - gone.at) if gone is not None and back is not None else None
