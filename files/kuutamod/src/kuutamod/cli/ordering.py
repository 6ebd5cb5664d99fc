# SPDX-License-Identifier: Apache-2.0
"""Giving the fleet an order: look at it, refuse or place the request, follow it, and say once how the command ended."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from ..consul import orders
from ..consul.faults import ConsulError, Fault
from ..consul.overview import Overview, read_overview
from ..core.protocol import Ask, Outcome, Request
from . import status_json
from .command import DEADLINE, DONE, Connection, Context, complain, failure
from .follow import Exit, Follower, new_id, operator
from .screen import say
from .text import visible
from .verdict import unseen

_WINDOWS = (
    "neard's windows tell of blocks and chunks only: endorsements are due in nearly every block, so some are missed "
    "all the same"
)


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
            say(status_json.text(end.whole if end.whole is not None else _object(end)))
        return end.code

    return whole


def _object(end: End) -> status_json.Json:
    if end.request is not None:
        about = {**(status_json.request(end.request) or {}), **({"why": end.why} if end.why else {})}
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


def look(to: Connection) -> Overview:
    """The fleet, with lock and members readable, for nothing can be decided without them. Raises ConsulError."""
    overview = read_overview(to.consul, to.account_id, 1, DEADLINE)
    if why := unseen(overview):
        raise ConsulError(Fault.FORBIDDEN, why)
    return overview


def announce(options: argparse.Namespace, *lines: str) -> None:
    """Say before it happens what will; empty lines are left out. With ``--json`` the object says it."""
    if not options.json:
        for line in filter(None, lines):
            say(visible(line))


def note(options: argparse.Namespace) -> str:
    """What an operator must know of a handover at this moment; empty when there is nothing."""
    return f"Note: {_WINDOWS}." if options.at == "window" else ""


def new_request(
    context: Context, options: argparse.Namespace, what: Ask, *, holder: str, term: int, node: str, reason: str = ""
) -> Request:
    """What these options ask for. ``reason``: where the operator gives none."""
    wall = context.wall()
    return Request(
        id=new_id(),
        ask=what,
        holder=holder,
        term=term,
        issued=wall,
        expires=wall + options.timeout,
        node=node,
        when=options.at,
        min_window=options.min_window,
        allow_restart=options.allow_restart,
        by=operator(context.env),
        reason=options.reason or reason,
    )


def ask(to: Connection, context: Context, request: Request, options: argparse.Namespace, wait: bool = True) -> End:
    """Place the request and, unless told otherwise, follow it to its end. Raises ConsulError if Consul doesn't have it."""
    sure = True
    try:
        try:
            orders.place(to.consul, to.account_id, request, DEADLINE)
        except orders.Unsure as error:
            sure = False
            complain(f"it is not known whether Consul has request {request.id}: {error}")
        if wait:
            told = Follower(to, context.wall, complain if options.json else say).follow(request, sure)
            return End(told.code, told.request)
    except KeyboardInterrupt:
        complain(f"request {request.id} goes on without this command; `kuutamoctl status` shows it")
        raise
    if not sure:
        announce(options, f"unknown: request {request.id}. Look with `kuutamoctl status` before anything else")
        return End(Exit.UNKNOWN, request)
    announce(options, f"asked for, request {request.id}")
    return End(DONE, request)
