# SPDX-License-Identifier: Apache-2.0
"""``kuutamoctl history``: which node validated when, and why that changed."""

from __future__ import annotations

import argparse

from ...cli.command import CONSUL_FAILED, DONE, Command, Context, complain, option
from ...cli.history_view import render, to_json
from ...cli.screen import has_colour, say, size
from ...consul.overview import Unread, read_overview
from ...fleet import status_json

TERMS = 20
"""How many are shown if nobody says otherwise."""


def count(text: str) -> int:
    """The value of ``-n``; raises what argparse makes a fault of."""
    if not (text.isascii() and text.isdecimal() and 1 <= int(text[:9]) <= 100_000):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 to 100000")
    return int(text)


def run(context: Context, options: argparse.Namespace) -> int:
    """Print the newest terms; see ``Command`` for what is raised."""
    to = context.connection()
    overview = read_overview(to.consul, to.account_id, options.n, to.deadline)
    if isinstance(overview.history, Unread):
        complain(f"the history can't be read: {overview.history.why}")
        return CONSUL_FAILED
    if options.json:
        say(status_json.text(to_json(overview, context.wall())))
    else:
        say(render(overview, context.wall(), size().columns, has_colour(context.env)))
    return DONE


COMMAND = Command(
    name="history",
    about="show the past terms, the newest first: who validated, since when, why it began and ended",
    exit_codes="Exit codes: 0 done, 2 faulty options, 3 Consul can't be asked or refuses.",
    run=run,
    options=(
        option("-n", type=count, default=TERMS, metavar="N", help=f"how many terms (default: {TERMS})"),
        option("--json", action="store_true", help="print one JSON object"),
    ),
)
