# SPDX-License-Identifier: Apache-2.0
"""``kuutamoctl pause`` and ``resume``: no automatic takeover or handover for a while."""

from __future__ import annotations

import argparse

from ...cli.command import DONE, REFUSED, Command, Context, complain, option
from ...cli.order_options import node, reason, span
from ...cli.screen import say
from ...cli.text import visible
from ...consul import orders
from ...core.protocol import FleetConfig, Pause
from ...fleet import switches
from ...fleet.moments import date, duration
from ...fleet.order import look, operator
from ...fleet.verdict import members
from ...fleet.words import PAUSE as DEFAULT

_EXIT_CODES = "Exit codes: 0 done, 1 refused, 2 faulty options, 3 Consul can't be asked or refuses."


def pause(context: Context, options: argparse.Namespace) -> int:
    """Pause; see ``Command`` for what is raised."""
    to, now = context.connection(), context.wall()
    if options.node:
        names = sorted(member.record.node_id for member in members(look(to)))
        if options.node not in names:
            complain(f"refused: there is no node {options.node}; there are {', '.join(names) or 'none'}")
            return REFUSED
    new = Pause(now + options.length, options.node, operator(context.env), options.reason)
    replaced: list[Pause] = []

    def change(config: FleetConfig) -> FleetConfig:
        # A second look may follow a write whose answer was lost.
        replaced[:] = [old for old in switches.going(config, now) if old.node == new.node and old != new] or replaced
        return switches.paused(config, new, now)

    orders.change_config(to.consul, to.account_id, change, to.deadline)
    whom = f"node {new.node} of {to.account_id}" if new.node else to.account_id
    say(
        visible(
            f"Paused: no automatic takeover or handover of {whom} until {date(new.until)} UTC "
            f"({duration(options.length)}). The lease and its fence go on; `kuutamoctl resume` ends the pause."
        )
    )
    for old in replaced:
        say(visible(f"This replaces the pause {_told(old)}, which would have ended {date(old.until)} UTC."))
    return DONE


def resume(context: Context, options: argparse.Namespace) -> int:
    """End pauses; see ``Command`` for what is raised."""
    to, now = context.connection(), context.wall()
    ended: list[Pause] = []
    left: list[Pause] = []

    def change(config: FleetConfig) -> FleetConfig:
        new = switches.resumed(config, lambda old: options.node in ("", old.node), now)
        ended[:] = [old for old in switches.going(config, now) if old not in new.pauses] or ended
        left[:] = new.pauses
        return new

    orders.change_config(to.consul, to.account_id, change, to.deadline)
    for old in ended:
        whom = f"of node {old.node}" if old.node else "of the whole fleet"
        say(visible(f"Ended the pause {whom} {_told(old)}."))
    if not ended:
        say(visible(f"Node {options.node} had no pause of its own." if options.node else "Nothing was paused."))
    for old in left:
        if not old.node:
            say(visible(f"The pause of the whole fleet goes on until {date(old.until)} UTC, {_told(old)}."))
    return DONE


def _told(old: Pause) -> str:
    return f"that {old.by or 'somebody'} had set: {old.reason or 'no reason given'}"


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
            default=span(DEFAULT),
            metavar="TIME",
            help=f"how long: 90s, 30m, 2h (default: {DEFAULT}, at most 24h)",
        ),
        option("--node", type=node, default="", metavar="NODE", help="that node alone (default: the whole fleet)"),
        option("--reason", type=reason, default="", metavar="TEXT", help="why, for status, log and hooks"),
    ),
)
RESUME = Command(
    name="resume",
    about="end a pause",
    exit_codes=_EXIT_CODES,
    run=resume,
    options=(
        option("--node", type=node, default="", metavar="NODE", help="the pause of that node alone (default: all pauses)"),
    ),
)
