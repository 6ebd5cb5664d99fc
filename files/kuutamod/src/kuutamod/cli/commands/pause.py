# SPDX-License-Identifier: Apache-2.0
"""``kuutamoctl pause`` and ``resume``: no automatic takeover or handover for a while."""

from __future__ import annotations

import argparse
import re
from dataclasses import replace

from kuutamod.cli.command import DEADLINE, DONE, Command, Context, option
from kuutamod.cli.follow import operator
from kuutamod.cli.moments import date, duration
from kuutamod.cli.screen import say
from kuutamod.cli.text import visible
from kuutamod.consul import orders
from kuutamod.core.protocol import FleetConfig, Pause

DEFAULT, LONGEST = 1800.0, 86400.0
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}
_EXIT_CODES = "Exit codes: 0 done, 2 faulty options, 3 Consul can't be asked or refuses."


def span(text: str) -> float:
    """The value of ``--for``, in seconds; raises what argparse makes a fault of."""
    found = re.fullmatch(r"(\d{1,6})([smh])", text)
    seconds = int(found[1]) * _UNITS[found[2]] if found else 0.0
    if not 1.0 <= seconds <= LONGEST:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time like 90s, 30m or 2h, of 24h at most")
    return seconds


def pause(context: Context, options: argparse.Namespace) -> int:
    """Pause; see ``Command`` for what is raised."""
    to, now = context.connection(), context.wall()
    new = Pause(now + options.length, options.node, operator(context.env), options.reason)

    def change(config: FleetConfig) -> FleetConfig:
        others = tuple(old for old in config.pauses if old.node != new.node and old.until > now)
        return replace(config, pauses=(*others, new))

    orders.change_config(to.consul, to.account_id, change, DEADLINE)
    whom = f"node {new.node} of {to.account_id}" if new.node else to.account_id
    say(
        visible(
            f"Paused: no automatic takeover or handover of {whom} until {date(new.until)} UTC "
            f"({duration(options.length)}). The lease and its fence go on; `kuutamoctl resume` ends the pause."
        )
    )
    return DONE


def resume(context: Context, options: argparse.Namespace) -> int:
    """End pauses; see ``Command`` for what is raised."""
    to, now = context.connection(), context.wall()
    ended: list[Pause] = []

    def change(config: FleetConfig) -> FleetConfig:
        going = [old for old in config.pauses if old.until > now]
        ended[:] = [old for old in going if options.node in ("", old.node)]
        return replace(config, pauses=tuple(old for old in going if old not in ended))

    orders.change_config(to.consul, to.account_id, change, DEADLINE)
    for old in ended:
        whom = f"of node {old.node}" if old.node else "of the whole fleet"
        say(visible(f"Ended the pause {whom} that {old.by or 'somebody'} had set: {old.reason or 'no reason given'}."))
    if not ended:
        say("Nothing was paused.")
    return DONE


_NODE = option("--node", default="", metavar="NODE", help="that node alone (default: the whole fleet)")
PAUSE = Command(
    name="pause",
    about="stop automatic takeovers and handovers for a while; it ends by itself",
    exit_codes=_EXIT_CODES,
    run=pause,
    options=(
        option(
            "--for",
            dest="length",
            type=span,
            default=DEFAULT,
            metavar="TIME",
            help="how long: 90s, 30m, 2h (default: 30m, at most 24h)",
        ),
        _NODE,
        option("--reason", default="", metavar="TEXT", help="why, for logs and history"),
    ),
)
RESUME = Command(name="resume", about="end a pause", exit_codes=_EXIT_CODES, run=resume, options=(_NODE,))
