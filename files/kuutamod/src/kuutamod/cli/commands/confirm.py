# SPDX-License-Identifier: Apache-2.0
"""``kuutamoctl confirm``: an operator's word that nothing signs."""

from __future__ import annotations

import argparse
import sys

from ...cli.command import DONE, Command, Context, complain, option
from ...cli.screen import say
from ...cli.text import visible
from ...consul import leader
from ...core.protocol import lock_key

NOT_CONFIRMED = 1


def run(context: Context, options: argparse.Namespace) -> int:
    """Ask, unless ``--yes`` says so, and record it; see ``Command`` for what is raised."""
    to = context.connection()
    found = leader.active_validator(to.consul, to.account_id, to.deadline)
    holder = f"held by {found.session.get('Name', '')}" if found.session else "held by nobody"
    say(visible(f"{lock_key(to.account_id)} is {holder}."))
    if not options.yes and not _asked(to.account_id):
        complain("not confirmed")
        return NOT_CONFIRMED
    done = leader.confirm(to.consul, to.account_id, to.deadline)
    said = (
        f"Confirmed for {to.account_id}: nodes accept the lock as it is, in term {done.config.confirmed_term} (last "
        f"written by {done.record.node_id}), and don't wait for the chain to pass height {done.record.last_height}."
    )
    say(visible(said))
    return DONE


def _asked(account: str) -> bool:
    """Does an operator at a terminal say so?"""
    if not sys.stdin.isatty():
        complain("there is no terminal to ask at; --yes confirms without being asked")
        return False
    say(f"Confirm only if no neard anywhere runs with the validator key of {account}: two would sign against each other.")
    try:
        return input("Type 'nothing signs' to confirm: ").strip() == "nothing signs"
    except (EOFError, KeyboardInterrupt):
        return False


COMMAND = Command(
    name="confirm",
    about="record that nothing signs with the account's key anywhere, after a term went backwards",
    exit_codes="Exit codes: 0 done, 1 not confirmed, or nothing to confirm, 2 faulty options, 3 Consul can't be asked or "
    "refuses.",
    run=run,
    options=(option("--yes", action="store_true", help="confirm without being asked"),),
)
