# SPDX-License-Identifier: Apache-2.0
"""A command that gives the fleet an order: place the request, follow it, and say once how the command ended."""

from __future__ import annotations

import argparse
import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from ..consul.faults import ConsulError
from ..core.protocol import Outcome, Request
from ..fleet import status_json
from ..fleet.follow import Follower
from ..fleet.order import WINDOWS, Connection, Manner, operator, place
from .command import DONE, Context, complain, failure
from .screen import say
from .text import visible


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
    None: Exit.UNKNOWN,
}


@dataclass(frozen=True)
class End:
    """How a command ended: its exit code, and the request, if one was placed. Without one, ``outcome`` and ``why`` tell;
    with one, ``why`` tells what went wrong after it.

    ``more``: further fields of the JSON object; ``whole``: the object in place of the request.
    """

    code: int
    request: Request | None = None
    outcome: Outcome | None = None
    why: str = ""
    more: Mapping[str, object] = field(default_factory=dict)
    whole: status_json.Json | None = None


def ordered(run: Callable[[Context, argparse.Namespace], End]) -> Callable[[Context, argparse.Namespace], int]:
    """The ``run`` of a command: with ``--json`` it prints one object, however it ends but by Ctrl-C or faulty options."""

    def whole(context: Context, options: argparse.Namespace) -> int:
        try:
            end = run(context, options)
        except ConsulError as error:
            end = failed(error)
        if options.json:
            say(status_json.text(end.whole if end.whole is not None else _object(end, context.wall())))
        return end.code

    return whole


def _object(end: End, now: float) -> status_json.Json:
    if end.request is not None:
        about = {**(status_json.request(end.request, now) or {}), **({"why": end.why} if end.why else {})}
    else:
        about = {
            **status_json.NO_REQUEST,
            "outcome": end.outcome.value if end.outcome is not None else None,
            "why": end.why,
        }
    return {**about, **end.more, "code": int(end.code)}


def refuse(why: str) -> End:
    """Nothing was asked for; says why."""
    complain(f"refused: {why}")
    return End(Exit.REFUSED, outcome=Outcome.REFUSED, why=why)


def failed(error: ConsulError, before: str = "") -> End:
    """Consul could not be asked, or refused; says so, behind what has happened before."""
    text, code = failure(error)
    complain(before + text)
    return End(code, outcome=Outcome.REFUSED if code == Exit.REFUSED else None, why=before + str(error))


def announce(options: argparse.Namespace, *lines: str) -> None:
    """Say before it happens what will; empty lines are left out. With ``--json`` the object says it."""
    if not options.json:
        for line in filter(None, lines):
            say(visible(line))


def note(options: argparse.Namespace) -> str:
    """What an operator must know of a handover at this moment; empty when there is nothing."""
    return f"Note: {WINDOWS}." if options.at == "window" else ""


def manner(context: Context, options: argparse.Namespace, reason: str = "") -> Manner:
    """How these options want it done. ``reason``: where the operator gives none."""
    return Manner(
        by=operator(context.env),
        reason=options.reason or reason,
        at=options.at,
        min_window=options.min_window,
        timeout=options.timeout,
        allow_restart=options.allow_restart,
    )


def ask(to: Connection, context: Context, request: Request, options: argparse.Namespace, wait: bool = True) -> End:
    """Place the request and, unless told otherwise, follow it to its end. Raises ConsulError if Consul doesn't have it."""
    try:
        unsure = place(to, request)
        if unsure:
            complain(unsure)
        if wait:
            tell = complain if options.json else lambda line: say(visible(line))
            told = Follower(to, context.wall, tell, complain).follow(request, not unsure)
            return End(_EXITS[told.outcome], told.request)
    except KeyboardInterrupt:
        complain(f"request {request.id} goes on without this command; `kuutamoctl status` shows it")
        raise
    if unsure:
        announce(options, f"unknown: request {request.id}. Look with `kuutamoctl status` before anything else")
        return End(Exit.UNKNOWN, request)
    announce(options, f"asked for, request {request.id}")
    return End(DONE, request)
