# SPDX-License-Identifier: Apache-2.0
"""``kuutamoctl key``: which validator key the fleet has, and which one a node must have to take the lock."""

from __future__ import annotations

import argparse
import re
from dataclasses import replace

from ...cli.command import DONE, REFUSED, Command, Context, complain, option
from ...cli.screen import say
from ...cli.text import visible
from ...consul import orders
from ...consul.faults import ConsulError, Fault
from ...consul.overview import Overview, Unread
from ...core.protocol import FleetConfig
from ...fleet.order import look
from ...fleet.verdict import members

_PUBLIC_KEY = re.compile(r"(ed25519|secp256k1):[1-9A-HJ-NP-Za-km-z]{32,100}")


def _public_key(text: str) -> str:
    """For argparse."""
    if not _PUBLIC_KEY.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a public key; write ed25519: and base58, as neard prints it")
    return text


def run(context: Context, options: argparse.Namespace) -> int:
    """Show the keys, or record one; see ``Command`` for what is raised."""
    to = context.connection()
    overview = look(to)
    if options.record is None:
        if options.instead_of is not None:
            complain("refused: --instead-of is for --record")
            return REFUSED
        say("\n".join(map(visible, _shown(overview))))
        return DONE
    new, old = options.record, options.instead_of
    if not any(member.session and member.record.fingerprint == new for member in members(overview)):
        complain(f"refused: no live node has the key {new}, so nobody could take the lock")
        return REFUSED
    before: list[str] = []

    def change(config: FleetConfig) -> FleetConfig:
        if old is not None and config.fingerprint not in (old, new):
            raise ConsulError(Fault.CONFLICT, f"the key that is recorded is {config.fingerprint or 'none'}, not {old}")
        before.append(config.fingerprint)
        return replace(config, fingerprint=new)

    orders.change_config(to.consul, to.account_id, change, to.deadline)
    was = f"instead of {before[0] or 'none'}" if before[0] != new else "as it was"
    say(visible(f"Recorded {was}: only nodes with the key {new} take the lock of {to.account_id}. Who holds it goes on."))
    return DONE


def _shown(overview: Overview) -> list[str]:
    config, lock = overview.config, overview.lock
    recorded = "unreadable" if isinstance(config, Unread) else config.fingerprint or "none"
    record = None if isinstance(lock, Unread) else lock.record
    lines = [f"recorded: {recorded}", f"lock: {(record.fingerprint or 'unknown') if record else 'none'}"]
    for member in members(overview):
        live = "" if member.session else " (silent)"
        lines.append(f"{member.record.node_id}: {member.record.fingerprint or 'unknown'}{live}")
    return lines


COMMAND = Command(
    name="key",
    about="show the validator keys of the fleet (public parts), or record the one that a node must have to take the lock",
    exit_codes="Exit codes: 0 done, 1 refused, 2 faulty options, 3 Consul can't be asked or refuses.",
    run=run,
    options=(
        option(
            "--record",
            type=_public_key,
            metavar="KEY",
            help="the validator's public key; from then on no node with another one takes the lock. Who holds it goes on",
        ),
        option("--instead-of", type=_public_key, metavar="KEY", help="only if this one is recorded"),
    ),
)
