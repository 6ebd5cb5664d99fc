# SPDX-License-Identifier: Apache-2.0
"""``kuutamoctl handover``: give the lock to another node, in order."""

from __future__ import annotations

import argparse

from kuutamod.cli import status_json
from kuutamod.cli.asking import Aim, Refusal, Wish, aim
from kuutamod.cli.command import DEADLINE, Command, Connection, Context, complain, option
from kuutamod.cli.follow import EXIT_CODES, Exit, Follower, new_id, operator
from kuutamod.cli.moments import duration
from kuutamod.cli.screen import say
from kuutamod.cli.text import visible
from kuutamod.consul import orders
from kuutamod.consul.overview import read_overview
from kuutamod.core.protocol import Ask, Request

TIMEOUT, MIN_WINDOW = 60.0, 5
_WINDOWS = (
    "neard's windows tell of blocks and chunks only: endorsements are due in nearly every block, so some are missed "
    "all the same"
)


def seconds(text: str) -> float:
    """The value of ``--timeout``; raises what argparse makes a fault of."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 1.0 <= value <= 86400.0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds from 1 to 86400")
    return value


def moment(text: str) -> str:
    """The value of ``--at``; raises what argparse makes a fault of."""
    if text in ("now", "window") or (text.isascii() and text.isdecimal() and 0 < int(text) < 10**12):
        return text
    raise argparse.ArgumentTypeError(f"{text!r} is neither now nor window nor a block height")


def blocks(text: str) -> int:
    """The value of ``--min-window``; raises what argparse makes a fault of."""
    if not (text.isascii() and text.isdecimal() and 0 < int(text) < 10**6):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of blocks")
    return int(text)


FOLLOWING = (
    option("--at", type=moment, default="now", metavar="now|window|HEIGHT", help="when to begin (default: now)"),
    option(
        "--min-window",
        type=blocks,
        default=MIN_WINDOW,
        metavar="BLOCKS",
        help=f"the shortest window for --at window (default: {MIN_WINDOW})",
    ),
    option(
        "--timeout",
        type=seconds,
        default=TIMEOUT,
        metavar="SECONDS",
        help=f"give up when it has not begun by then (default: {TIMEOUT:g})",
    ),
    option("--wait", dest="wait", action="store_true", default=True, help="wait for the end (default)"),
    option("--no-wait", dest="wait", action="store_false", help="don't wait for the end"),
    option("--reason", default="", metavar="TEXT", help="why, for logs and history"),
    option("--allow-restart", action="store_true", help="accept a candidate that must restart its neard to get the key"),
    option("--json", action="store_true", help="print one JSON object"),
)


def run(context: Context, options: argparse.Namespace) -> int:
    """Name the candidate, ask for the handover, tell how it goes; see ``Command`` for what is raised."""
    to = context.connection()
    overview = read_overview(to.consul, to.account_id, 1, DEADLINE)
    found = aim(overview, Wish(options.to, options.expect_holder, options.allow_restart))
    if isinstance(found, Refusal):
        complain(f"refused: {found.why}")
        return Exit.REFUSED
    if not options.json:
        say(visible(_plan(to.account_id, found, options)))
    if options.dry_run:
        if options.json:
            say(status_json.text({"holder": found.holder.node_id, "term": found.term, "to": found.node, "why": found.why}))
        return Exit.DONE
    wall = context.wall()
    request = Request(
        id=new_id(),
        ask=Ask.HANDOVER,
        holder=found.holder.node_id,
        term=found.term,
        issued=wall,
        expires=wall + options.timeout,
        node=found.node,
        when=options.at,
        min_window=options.min_window,
        allow_restart=options.allow_restart,
        by=operator(context.env),
        reason=options.reason,
    )
    return ask(to, context, request, options)


def ask(to: Connection, context: Context, request: Request, options: argparse.Namespace) -> int:
    """Place the request and, unless told otherwise, follow it to its end."""
    orders.place(to.consul, to.account_id, request, DEADLINE)
    if not options.wait:
        say(status_json.text(status_json.request(request) or {}) if options.json else f"asked for, request {request.id}")
        return Exit.DONE
    follower = Follower(to, context.wall, complain if options.json else say)
    try:
        told = follower.follow(request)
    except KeyboardInterrupt:
        complain(f"request {request.id} goes on without this command; `kuutamoctl status` shows it")
        raise
    if options.json:
        say(status_json.text({**(status_json.request(told.request) or {}), "code": told.code.value}))
    return told.code


def _plan(account: str, found: Aim, options: argparse.Namespace) -> str:
    at = {"now": "now", "window": f"in the next window of {options.min_window} blocks or more"}.get(
        options.at, f"at height {options.at}"
    )
    lines = [
        f"Handover of {account} from {found.holder.node_id} (term {found.term}) to {found.node}, {found.why}; {at}, "
        f"within {duration(options.timeout)}.",
    ]
    if options.at == "window":
        lines.append(f"Note: {_WINDOWS}.")
    return "\n".join(lines)


COMMAND = Command(
    name="handover",
    about="hand the lock over to another node, in order and with one outcome",
    exit_codes=EXIT_CODES,
    run=run,
    options=(
        option("--to", default="", metavar="NODE", help="the candidate (default: the best standby)"),
        option("--expect-holder", default="", metavar="NODE", help="refuse if another node holds the lock"),
        option("--dry-run", action="store_true", help="say what would happen, and end"),
        *FOLLOWING,
    ),
)
