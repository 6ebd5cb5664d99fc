# SPDX-License-Identifier: Apache-2.0
"""``kuutamoctl active-validator``: who holds the lock. Output and exit codes as the Rust kuutamoctl's."""

from __future__ import annotations

import argparse
import json
import sys

from ...cli.command import DONE, Command, Context, complain, option
from ...cli.screen import say
from ...cli.text import visible
from ...consul import leader

NO_LEADER = 1
SESSION_EXPIRED = 2


def run(context: Context, options: argparse.Namespace) -> int:
    """Print the holder's name, or its session; see ``Command`` for what is raised."""
    to = context.connection()
    found = leader.active_validator(to.consul, to.account_id, to.deadline)
    if found.session is None:
        if found.had_key:
            complain("the last session expired")
            return SESSION_EXPIRED
        print("No leader found", file=sys.stderr)
        return NO_LEADER
    say(json.dumps(found.session) if options.json else visible(f"Name: {found.session.get('Name', '')}"))
    return DONE


COMMAND = Command(
    name="active-validator",
    about="print the name of the node that holds the lock",
    exit_codes="Exit codes: 0 done, 1 no leader found, 2 the last session expired, or faulty options, 3 Consul can't be "
    "asked or refuses.",
    run=run,
    options=(option("--json", action="store_true", help="print Consul's session object"),),
)
