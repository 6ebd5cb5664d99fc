# SPDX-License-Identifier: Apache-2.0
"""``kuutamoctl handover``: give the lock to another node, in order."""

from __future__ import annotations

import argparse

from ...cli.command import DONE, Command, Context, option
from ...cli.order_options import FOLLOWED, WAITING, node
from ...cli.ordering import EXIT_CODES, End, announce, ask, manner, note, ordered, refuse
from ...core.protocol import Ask
from ...fleet.asking import Aim, Refusal, Wish, aim
from ...fleet.moments import duration
from ...fleet.order import look, new_request


def run(context: Context, options: argparse.Namespace) -> End:
    """Name the candidate, ask for the handover, tell how it goes; see ``Command`` for what is raised."""
    to = context.connection()
    found = aim(look(to), Wish(options.to, options.expect_holder, options.allow_restart))
    if isinstance(found, Refusal):
        return refuse(found.why)
    announce(options, _plan(to.account_id, found, options), note(options))
    holder = found.holder.node_id
    if options.dry_run:
        plan = {"holder": holder, "term": found.term, "to": found.node, "why": found.why, "note": note(options) or None}
        return End(DONE, whole=plan)
    how = manner(context, options)
    request = new_request(context.wall(), Ask.HANDOVER, how, holder=holder, term=found.term, node=found.node)
    return ask(to, context, request, options, options.wait)


def _plan(account: str, found: Aim, options: argparse.Namespace) -> str:
    at = {"now": "now", "window": f"in the next window of {options.min_window} blocks or more"}.get(
        options.at, f"at height {options.at}"
    )
    return (
        f"Handover of {account} from {found.holder.node_id} (term {found.term}) to {found.node}, {found.why}; {at}, "
        f"within {duration(options.timeout)}."
    )


COMMAND = Command(
    name="handover",
    about="hand the lock over to another node, in order and with one outcome",
    exit_codes=EXIT_CODES,
    run=ordered(run),
    options=(
        option("--to", type=node, default="", metavar="NODE", help="the candidate (default: the best standby)"),
        option("--expect-holder", type=node, default="", metavar="NODE", help="refuse if another node holds the lock"),
        option("--dry-run", action="store_true", help="say what would happen, and end"),
        *FOLLOWED,
        *WAITING,
    ),
)
