# SPDX-License-Identifier: Apache-2.0
"""``kuutamoctl drain`` and ``undrain``: a node that is to take no lock, until an operator says otherwise."""

from __future__ import annotations

import argparse
from dataclasses import replace

from kuutamod.cli.asking import Refusal, Wish, aim, holder_of
from kuutamod.cli.command import DEADLINE, DONE, Command, Context, complain, option
from kuutamod.cli.commands.handover import FOLLOWING, ask
from kuutamod.cli.follow import EXIT_CODES, Exit, new_id, operator
from kuutamod.cli.screen import say
from kuutamod.cli.text import visible
from kuutamod.cli.verdict import members
from kuutamod.consul import orders
from kuutamod.consul.overview import read_overview
from kuutamod.core.protocol import Ask, FleetConfig, Request


def drain(context: Context, options: argparse.Namespace) -> int:
    """Hand over if this node holds the lock, then mark it; see ``Command`` for what is raised."""
    to, node = context.connection(), options.node
    overview = read_overview(to.consul, to.account_id, 1, DEADLINE)
    if node not in {member.record.node_id for member in members(overview)}:
        complain(f"refused: there is no node {node}")
        return Exit.REFUSED
    held = holder_of(overview, "")
    if not isinstance(held, Refusal) and held[0].record.node_id == node:
        found = aim(overview, Wish(expect=node, allow_restart=options.allow_restart))
        if isinstance(found, Refusal):
            complain(f"refused, nothing has changed: {node} holds the lock, and {found.why}")
            return Exit.REFUSED
        say(visible(f"{node} holds the lock; handing over to {found.node}, {found.why}."))
        wall = context.wall()
        request = Request(
            id=new_id(),
            ask=Ask.HANDOVER,
            holder=node,
            term=found.term,
            issued=wall,
            expires=wall + options.timeout,
            node=found.node,
            when=options.at,
            min_window=options.min_window,
            allow_restart=options.allow_restart,
            by=operator(context.env),
            reason=options.reason or f"drain {node}",
        )
        if (code := ask(to, context, request, argparse.Namespace(**{**vars(options), "wait": True}))) != Exit.DONE:
            complain(f"{node} is not drained")
            return code
    orders.change_config(to.consul, to.account_id, lambda config: _marked(config, node), DEADLINE)
    say(visible(f"{node} is drained: it takes no lock until `kuutamoctl undrain {node}`."))
    return DONE


def undrain(context: Context, options: argparse.Namespace) -> int:
    """Take the mark away; see ``Command`` for what is raised."""
    to, node = context.connection(), options.node
    known = {"drained": False}

    def change(config: FleetConfig) -> FleetConfig:
        known["drained"] = node in config.no_takeover
        return replace(config, no_takeover=tuple(name for name in config.no_takeover if name != node))

    orders.change_config(to.consul, to.account_id, change, DEADLINE)
    say(visible(f"{node} may take the lock again." if known["drained"] else f"{node} was not drained."))
    return DONE


def _marked(config: FleetConfig, node: str) -> FleetConfig:
    return config if node in config.no_takeover else replace(config, no_takeover=(*config.no_takeover, node))


_NODE = option("node", metavar="NODE", help="the node")
DRAIN = Command(
    name="drain",
    about="keep a node from taking the lock; if it holds it, it hands over to the best standby first",
    exit_codes=EXIT_CODES,
    run=drain,
    options=(_NODE, *FOLLOWING),
)
UNDRAIN = Command(
    name="undrain",
    about="let a drained node take the lock again",
    exit_codes="Exit codes: 0 done, 2 faulty options, 3 Consul can't be asked or refuses.",
    run=undrain,
    options=(_NODE,),
)
