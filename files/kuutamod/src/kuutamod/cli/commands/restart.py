# SPDX-License-Identifier: Apache-2.0
"""``kuutamoctl restart``: start the neard of one node anew; a holder hands over first."""

from __future__ import annotations

import argparse

from kuutamod.cli.asking import Refusal, holder_of
from kuutamod.cli.command import DEADLINE, Command, Context, complain, option
from kuutamod.cli.commands.handover import FOLLOWING, ask
from kuutamod.cli.follow import EXIT_CODES, Exit, new_id, operator
from kuutamod.cli.screen import say
from kuutamod.cli.text import visible
from kuutamod.cli.verdict import members
from kuutamod.consul.overview import read_overview
from kuutamod.core.protocol import Ask, Request


def run(context: Context, options: argparse.Namespace) -> int:
    """Ask for the restart, tell how it goes; see ``Command`` for what is raised."""
    to = context.connection()
    overview = read_overview(to.consul, to.account_id, 1, DEADLINE)
    held = holder_of(overview, "")
    live = {member.record.node_id for member in members(overview) if member.session is not None}
    if options.node not in live:
        complain(f"refused: there is no live node {options.node}; live are {', '.join(sorted(live)) or 'none'}")
        return Exit.REFUSED
    if isinstance(held, Refusal):
        complain(f"refused: {held.why}: while nobody validates, a restart is the service manager's")
        return Exit.REFUSED
    holder, lock = held
    if not options.json:
        what = "it holds the lock and hands over first" if holder.record.node_id == options.node else "it is a standby"
        say(visible(f"Restart of neard on {options.node}: {what}."))
    wall = context.wall()
    request = Request(
        id=new_id(),
        ask=Ask.RESTART,
        holder=holder.record.node_id,
        term=lock.term,
        issued=wall,
        expires=wall + options.timeout,
        node=options.node,
        when=options.at,
        min_window=options.min_window,
        allow_restart=options.allow_restart,
        by=operator(context.env),
        reason=options.reason,
    )
    return ask(to, context, request, options)


COMMAND = Command(
    name="restart",
    about="restart the neard of one node; if it holds the lock, it hands over to the best standby first",
    exit_codes=EXIT_CODES,
    run=run,
    options=(option("node", metavar="NODE", help="the node"), *FOLLOWING),
)
