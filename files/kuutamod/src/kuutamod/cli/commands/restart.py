# SPDX-License-Identifier: Apache-2.0
"""``kuutamoctl restart``: start the neard of one node anew; a holder hands over first."""

from __future__ import annotations

import argparse

from ...cli.command import Command, Context
from ...cli.order_options import FOLLOWED, NODE, WAITING
from ...cli.ordering import EXIT_CODES, End, announce, ask, manner, note, ordered, refuse
from ...core.protocol import Ask
from ...fleet.asking import Refusal, holder_of
from ...fleet.order import look, new_request
from ...fleet.verdict import members


def run(context: Context, options: argparse.Namespace) -> End:
    """Ask for the restart, tell how it goes; see ``Command`` for what is raised."""
    to, node = context.connection(), options.node
    overview = look(to)
    held = holder_of(overview, "")
    live = {member.record.node_id for member in members(overview) if member.session is not None}
    if node not in live:
        return refuse(f"there is no live node {node}; live are {', '.join(sorted(live)) or 'none'}")
    if isinstance(held, Refusal):
        return refuse(f"{held.why}: while nobody validates, a restart is the service manager's")
    holder, lock = held[0].record.node_id, held[1]
    if holder == node:
        announce(options, f"Restart of neard on {node}: it holds the lock and hands over first.", note(options))
    elif options.at != "now":
        return refuse(f"{node} does not hold the lock, so its neard restarts at once: leave out --at {options.at}")
    else:
        announce(options, f"Restart of neard on {node}: it is a standby.")
    request = new_request(context.wall(), Ask.RESTART, manner(context, options), holder=holder, term=lock.term, node=node)
    return ask(to, context, request, options, options.wait)


COMMAND = Command(
    name="restart",
    about="restart the neard of one node; if it holds the lock, it hands over to the best standby first",
    exit_codes=EXIT_CODES,
    run=ordered(run),
    options=(NODE, *FOLLOWED, *WAITING),
)
