# SPDX-License-Identifier: Apache-2.0
"""``kuutamoctl status``: the fleet at a glance, once or again and again."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ...cli.command import CONSUL_FAILED, Command, Context, complain, failure, option
from ...cli.screen import Screen, has_colour, is_terminal, say, size
from ...cli.status_view import render
from ...cli.text import Span, Style, flow, paint
from ...consul.faults import ConsulError
from ...consul.overview import Overview, read_overview
from ...fleet import status_json
from ...fleet.moments import clock, duration
from ...fleet.order import Connection
from ...fleet.verdict import Health, Verdict, verdict
from ...settings import ConfigFaults, Fault, Subject

TERMS = 3
"""Records of the history that are read: the newest is told, and the present term's has the lock's age."""

WATCH = 2.0
"""Seconds between two looks."""

WATCH_DEADLINE = 5.0
"""Seconds for Consul to answer while somebody watches the screen."""

_LEAST, _MOST = 0.5, 3600.0


def seconds(text: str) -> float:
    """The value of ``--watch``; raises what argparse makes a fault of."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not _LEAST <= value <= _MOST:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds from {_LEAST:g} to {_MOST:g}")
    return value


def run(context: Context, options: argparse.Namespace) -> int:
    """Draw the fleet; the exit code is its health. See ``Command`` for what is raised."""
    to = context.connection()
    if options.watch is not None and options.json:
        subjects = (Subject("--watch", None, "flag"), Subject("--json", None, "flag"))
        raise ConfigFaults((Fault(subjects, "they don't go together", "leave one out; ask for --json again and again"),))
    if options.watch is not None:
        return watch(lambda: _read(to, WATCH_DEADLINE), context.wall, context.env, options.watch)
    if options.json:
        return _json(to, context.wall)
    overview = _read(to, to.deadline)
    say(render(overview, context.wall(), size().columns, has_colour(context.env)))
    return verdict(overview).health.code


def _read(to: Connection, deadline: float) -> Overview:
    return read_overview(to.consul, to.account_id, TERMS, deadline)


def _json(to: Connection, wall: Callable[[], float]) -> int:
    try:
        overview = _read(to, to.deadline)
    except ConsulError as error:
        word = Verdict(Health.UNKNOWN, failure(error)[0])
        complain(word.text)
        say(status_json.text(status_json.unreachable(to.account_id, wall(), word)))
        return CONSUL_FAILED
    say(status_json.text(status_json.status(overview, wall())))
    return verdict(overview).health.code


@dataclass(frozen=True)
class Seen:
    """The fleet as it was read last, and when, in Unix seconds."""

    overview: Overview
    at: float


def watch(read: Callable[[], Overview], wall: Callable[[], float], env: Mapping[str, str], interval: float) -> int:
    """Draw the fleet every ``interval`` seconds until Ctrl-C; the exit code is the last health."""
    health = Health.UNKNOWN
    last: Seen | None = None
    with Screen(is_terminal(env)) as screen:
        try:
            while True:
                fault = ""
                try:
                    last = Seen(read(), wall())
                    health = verdict(last.overview).health
                except ConsulError as error:
                    fault, health = failure(error)[0], Health.UNKNOWN
                screen.draw(picture(last, fault, wall(), interval, size().columns, has_colour(env)))
                screen.wait(interval)
        except KeyboardInterrupt:
            return health.code


def picture(last: Seen | None, fault: str, now: float, interval: float, width: int, colour: bool) -> list[str]:
    """The lines on the screen: the last that was seen of the fleet, and ``fault``, why it is not newer."""
    spans = [Span(f"{clock(now)} UTC, every {interval:g} s; Ctrl-C ends", Style.DIM)]
    if fault:
        age = f" The table is {duration(now - last.at)} old." if last is not None else ""
        spans.append(Span(f"{fault}.{age}", Style.ALARM))
    head = [paint(line, colour) for span in spans for line in flow([span], width, indent=2)]
    return [*head, *(render(last.overview, now, width, colour).split("\n") if last is not None else ())]


COMMAND = Command(
    name="status",
    about="show the fleet: who holds the lock, who could take it, and what is going on",
    exit_codes="Exit codes: 0 a healthy holder and an eligible standby, 1 a holder that is not well, or no eligible "
    "standby, 2 no holder or none with a live member record, or faulty options, 3 Consul can't be asked or refuses.",
    run=run,
    options=(
        option(
            "--watch",
            nargs="?",
            const=f"{WATCH:g}",
            type=seconds,
            metavar="SECONDS",
            help=f"look again and again until Ctrl-C, every {WATCH:g} s unless --watch=SECONDS says otherwise; the exit "
            "code is that of the last look",
        ),
        option("--json", action="store_true", help="print one JSON object"),
    ),
)
