# SPDX-License-Identifier: Apache-2.0
"""Asking the fleet for something, and telling how it goes, until it has ended in one outcome.

The request lives in Consul; this only looks. It may be killed at any moment, and the fleet goes on.
"""

from __future__ import annotations

import enum
import getpass
import os
import socket
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from kuutamod.cli.asking import settled
from kuutamod.cli.command import Connection, complain
from kuutamod.cli.moments import clock, duration
from kuutamod.cli.screen import say
from kuutamod.cli.text import visible
from kuutamod.consul import orders
from kuutamod.consul.faults import ConsulError
from kuutamod.consul.overview import read_overview
from kuutamod.core.protocol import Mark, Outcome, Request, Step

LOOK = 0.3
"""Seconds between two looks at the request."""
ANSWER = 5.0
"""Seconds for Consul to answer one look."""
GRACE = 3.0
"""Seconds after its end that the holder gets to say that a request has expired, before it is withdrawn from here."""
FINISH = 120.0
"""Seconds that a request which was begun gets to end, after its own end."""


class Exit(enum.IntEnum):
    """How a request ended, as exit code; 2 is faulty options, 3 Consul."""

    DONE = 0
    REFUSED = 1
    ROLLED_BACK = 4
    EXPIRED = 5
    UNKNOWN = 6


EXIT_CODES = (
    "Exit codes: 0 done (or only planned, or not waited for), 1 refused, nothing has changed, 2 faulty options, 3 Consul "
    "can't be asked or refuses, 4 rolled back: another node validates, 5 expired before it began, nothing has changed, 6 "
    "unknown: look with `kuutamoctl status` before anything else."
)
_EXITS = {
    Outcome.DONE: Exit.DONE,
    Outcome.REFUSED: Exit.REFUSED,
    Outcome.ROLLED_BACK: Exit.ROLLED_BACK,
    Outcome.EXPIRED: Exit.EXPIRED,
}


def operator(env: Mapping[str, str]) -> str:
    """Who asks, for the history: the user behind sudo, and this host."""
    try:
        user = env.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):  # a user id without a name
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"


def new_id() -> str:
    """An id that no other request has."""
    return uuid.uuid4().hex[:8]


@dataclass(frozen=True)
class Told:
    """How it ended: the exit code, and the request as it was seen last."""

    code: Exit
    request: Request


class Follower:
    """Looks at one request until it has its outcome. ``say``: one line for people."""

    def __init__(self, to: Connection, wall: Callable[[], float], tell: Callable[[str], None] = say) -> None:
        self._to = to
        self._wall = wall
        self._tell = tell
        self._told: set[Step] = set()
        self._fault = ""
        self._replaced = False

    def follow(self, request: Request) -> Told:
        """Tell each phase as it is reached. Raises nothing: what Consul refuses is told, and tried again."""
        while True:
            seen = self._look(request)
            request = seen if seen is not None else request
            for mark in request.marks:
                self._mark(mark)
            if request.outcome is not None:
                return self._ended(request)
            if self._replaced and (told := self._shown(request)) is not None:
                return told
            now = self._wall()
            if now > request.expires + FINISH:
                return self._unknown(request)
            if now > request.expires + GRACE and not orders.begun(request):
                request = self._withdraw(request)
            if request.outcome is None:
                time.sleep(LOOK)

    def _look(self, request: Request) -> Request | None:
        """The request as it is; None when it can't be read, or another one has taken its place.

        Another one is asked for only when this one has ended: then the lock is all that still shows how.
        """
        try:
            seen = orders.read(self._to.consul, self._to.account_id, ANSWER)
        except ConsulError as error:
            if str(error) != self._fault:
                self._fault = str(error)
                complain(f"Consul can't be asked, trying on: {error}")
            return None
        self._fault = ""
        self._replaced = seen is not None and seen.id != request.id
        return None if self._replaced else seen

    def _withdraw(self, request: Request) -> Request:
        why = "not begun in time, withdrawn"
        try:
            return orders.withdraw(self._to.consul, self._to.account_id, request.id, why, ANSWER) or request
        except ConsulError:
            return request

    def _mark(self, mark: Mark) -> None:
        if mark.step not in self._told:
            self._told.add(mark.step)
            self._tell(visible(f"{clock(mark.at)}  {mark.step.value}{f': {mark.note}' if mark.note else ''}"))

    def _ended(self, request: Request) -> Told:
        assert request.outcome is not None
        self._tell(visible(f"{request.outcome.value}: {request.why}{_gap(request)}"))
        return Told(_EXITS[request.outcome], request)

    def _unknown(self, request: Request) -> Told:
        """Nobody has told the end. The lock may show it all the same."""
        if (told := self._shown(request)) is not None:
            return told
        newest = max(request.marks, key=lambda mark: mark.at, default=None)
        phase = newest.step.value if newest is not None else "nothing"
        self._tell(
            f"unknown: {phase} is the last that was seen of request {request.id}. Nothing is rolled back. Look with "
            "`kuutamoctl status`; don't start a neard with the key by hand"
        )
        return Told(Exit.UNKNOWN, request)

    def _shown(self, request: Request) -> Told | None:
        """How it has ended by what the lock shows; None when it doesn't."""
        try:
            found = settled(read_overview(self._to.consul, self._to.account_id, 0, ANSWER), request)
        except ConsulError:
            return None
        if found is None:
            return None
        self._tell(visible(f"{found[0].value}: {found[1]} (the lock shows it, nobody told it)"))
        return Told(_EXITS[found[0]], request)


def _gap(request: Request) -> str:
    """How long nobody signed, as the marks tell."""
    gone, back = request.marked(Step.UNLOADING), request.marked(Step.LOADED)
    return f" (no signer for {duration(back.at - gone.at)})" if gone is not None and back is not None else ""
