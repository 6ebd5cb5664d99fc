# SPDX-License-Identifier: Apache-2.0
"""``kuutamoctl drain`` and ``undrain``: a node that is to take no lock, until an operator says otherwise."""

from __future__ import annotations

import argparse
from dataclasses import replace

from ...cli.command import DONE, Command, Context, complain
from ...cli.order_options import FOLLOWED, NODE
from ...cli.ordering import EXIT_CODES, End, Exit, announce, ask, failed, manner, note, ordered, refuse
from ...cli.screen import say
from ...cli.text import visible
from ...consul import orders
from ...consul.faults import ConsulError
from ...consul.overview import Overview
from ...core.protocol import Ask, FleetConfig, Outcome
from ...fleet import switches
from ...fleet.asking import Refusal, Wish, aim
from ...fleet.order import Connection, look, new_request
from ...fleet.verdict import holder, members


def drain(context: Context, options: argparse.Namespace) -> End:
    """Hand over if this node holds the lock, then mark it; see ``Command`` for what is raised."""
    to, node = context.connection(), options.node
    overview = look(to)
    names = sorted(member.record.node_id for member in members(overview))
    if node not in names:
        return _end(refuse(f"there is no node {node}; there are {', '.join(names) or 'none'}"), False)
    held = holder(overview)
    if held is None or held.name != node:
        return _mark(to, options, End(DONE, outcome=Outcome.DONE, why=f"{node} did not hold the lock"))
    if not held.live:
        # A drained node may be switched off, and the neard of this one may still sign.
        why = "it has no live member record, so nobody can ask it to hand over: wait until it has, or the lock is free"
        return _end(refuse(f"nothing has changed: {node} holds the lock, and {why}"), False)
    return _hand_over(to, context, options, overview)


def _hand_over(to: Connection, context: Context, options: argparse.Namespace, overview: Overview) -> End:
    node = options.node
    found = aim(overview, Wish(expect=node, allow_restart=options.allow_restart))
    if isinstance(found, Refusal):
        return _end(refuse(f"nothing has changed: {node} holds the lock, and {found.why}"), False)
    announce(options, f"{node} holds the lock; handing over to {found.node}, {found.why}.", note(options))
    how = manner(context, options, reason=f"drain {node}")
    request = new_request(context.wall(), Ask.HANDOVER, how, holder=node, term=found.term, node=found.node)
    try:
        end = ask(to, context, request, options)
    except KeyboardInterrupt:
        complain(f"{node} is not drained")
        raise
    if end.code != Exit.DONE:
        complain(f"{node} is not drained")
        return _end(end, False)
    return _mark(to, options, end, f"the lock was handed over to {found.node}, but ")


def _mark(to: Connection, options: argparse.Namespace, end: End, done: str = "") -> End:
    """Mark the node; ``done``: what has happened before, to be said where the mark fails."""
    node = options.node
    try:
        orders.change_config(to.consul, to.account_id, lambda config: switches.drained(config, node), to.deadline)
    except orders.Unsure as error:
        why = failed(error, f"{done}it is not known whether {node} is drained: ")
        return _end(replace(end, code=Exit.UNKNOWN, outcome=None, why=why.why), None)
    except ConsulError as error:
        why = failed(error, f"{done}{node} is not drained: " if done else "")
        return _end(replace(end, code=why.code, outcome=why.outcome, why=why.why), False)
    announce(options, f"{node} is drained; once it has read that it takes no lock until `kuutamoctl undrain {node}`.")
    return _end(end, True)


def _end(end: End, drained: bool | None) -> End:
    """``drained`` None: the mark may have been written."""
    return replace(end, more={"drained": drained})


def undrain(context: Context, options: argparse.Namespace) -> int:
    """Take the mark away; see ``Command`` for what is raised."""
    to, node = context.connection(), options.node
    was = False

    def change(config: FleetConfig) -> FleetConfig:
        nonlocal was
        was = was or node in config.no_takeover  # a second look may follow a write whose answer was lost
        return switches.undrained(config, node)

    orders.change_config(to.consul, to.account_id, change, to.deadline)
    say(visible(f"{node} may take the lock again." if was else f"{node} was not drained."))
    return DONE


DRAIN = Command(
    name="drain",
    about="keep a node from taking the lock; if it holds it, it hands over to the best standby first",
    exit_codes=f"{EXIT_CODES} A handover stays done where the mark fails: then 1 and 3 say that the node is not drained, 6 "
    "that it is not known.",
    run=ordered(drain),
    options=(NODE, *FOLLOWED),
)
UNDRAIN = Command(
    name="undrain",
    about="let a drained node take the lock again",
    exit_codes="Exit codes: 0 done, 1 refused, 2 faulty options, 3 Consul can't be asked or refuses.",
    run=undrain,
    options=(NODE,),
)
