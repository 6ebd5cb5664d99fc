# SPDX-License-Identifier: Apache-2.0
"""kuutamoctl: who holds the lock, and an operator's word that nothing signs. Output and exit codes as the Rust one's."""

from __future__ import annotations

import argparse
import enum
import json
import os
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import version

from kuutamod.consul.faults import ConsulError
from kuutamod.consul.leader import active_validator, confirm
from kuutamod.consul.settings import ConsulSettings
from kuutamod.core.protocol import lock_key
from kuutamod.settings import ConfigFaults, Fault, Subject
from kuutamod.settings.consul import read_consul
from kuutamod.settings.fields import ACCOUNT_ID, CONSUL, Group
from kuutamod.settings.reading import Reader
from kuutamod.settings.sources import Parser, UsageError, add_options, complete, flags_of, resolve, surplus

DEADLINE = 10.0
"""Seconds for Consul to answer, all URLs together."""

_GROUPS = (Group("Account", (ACCOUNT_ID,)), CONSUL)
_SETTINGS = tuple(setting for group in _GROUPS for setting in group.settings)
_OWN_FLAGS = {"json": "active-validator", "yes": "confirm"}
"""Options of one command only; they too may stand before it."""

_EXIT_CODES = (
    "Exit codes: 0 done, 1 no leader found (or not confirmed), 2 the last session expired, or faulty options, "
    "3 Consul can't be asked or refuses."
)


class Exit(enum.IntEnum):
    """Exit codes; the first three are the Rust kuutamoctl's."""

    DONE = 0
    NO_LEADER = 1
    SESSION_EXPIRED = 2
    CONSUL = 3


FAULTY_OPTIONS = 2
"""As every kuutamo program; the message on standard error tells it from an expired session."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit code."""
    try:
        options = _parse(sys.argv[1:] if argv is None else argv)
        account, consul = _connection(vars(options), os.environ)
    except ConfigFaults as found:
        for fault in found.faults:
            _complain(str(fault))
        return FAULTY_OPTIONS
    try:
        if options.command == "confirm":
            return _confirm(account, consul, bool(getattr(options, "yes", False)))
        return _active_validator(account, consul, bool(getattr(options, "json", False)))
    except ConsulError as error:
        _complain(f"Consul can't be asked: {error}")
        return Exit.CONSUL


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    flags = flags_of(_SETTINGS)
    known = [*flags, *(f"--{name}" for name in _OWN_FLAGS), "--version", "--help", "-h"]
    # argparse takes the value behind an unknown option for the command, and prints it, whatever it is.
    strange = [argument for argument in argv if argument.startswith("-") and argument.partition("=")[0] not in known]
    if strange:
        raise ConfigFaults(tuple(surplus(strange, known)))
    try:
        options = _parser().parse_args(complete(argv, flags))
    except UsageError as error:
        remedy = "kuutamoctl --help lists commands and options"
        raise ConfigFaults((Fault((Subject("command line", None, "arguments"),), str(error), remedy),)) from None
    for name, command in _OWN_FLAGS.items():
        if getattr(options, name, False) and options.command != command:
            subject = Subject(f"--{name}", None, "flag")
            raise ConfigFaults((Fault((subject,), f"{options.command} does not take it", f"it belongs to {command}"),))
    return options


def _parser() -> argparse.ArgumentParser:
    """Options may stand before and after the command; the parsers share them and leave no defaults behind."""
    shared = Parser(add_help=False, allow_abbrev=False)
    add_options(shared, _GROUPS)
    parser = Parser(prog="kuutamoctl", description=__doc__, epilog=_EXIT_CODES, parents=[shared], allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"kuutamoctl {version('kuutamod')}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    about = "print the name of the node that holds the lock"
    active = commands.add_parser(
        "active-validator", help=about, description=about, epilog=_EXIT_CODES, parents=[shared], allow_abbrev=False
    )
    about = "record that nothing signs with the account's key anywhere, after a term went backwards"
    confirming = commands.add_parser(
        "confirm", help=about, description=about, epilog=_EXIT_CODES, parents=[shared], allow_abbrev=False
    )
    for place in (parser, active):
        place.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="print Consul's session object")
    for place in (parser, confirming):
        place.add_argument("--yes", action="store_true", default=argparse.SUPPRESS, help="confirm without being asked")
    return parser


def _connection(given: Mapping[str, object], env: Mapping[str, str]) -> tuple[str, ConsulSettings]:
    read = Reader(resolve(_SETTINGS, given, env))
    account, consul = read.name(ACCOUNT_ID.name), read_consul(read)
    if read.faults:
        raise ConfigFaults(tuple(read.faults))
    return account, consul


def _active_validator(account: str, consul: ConsulSettings, as_json: bool) -> int:
    leader = active_validator(consul, account, DEADLINE)
    if leader.session is None:
        if leader.had_key:
            _complain("the last session expired")
            return Exit.SESSION_EXPIRED
        _complain("No leader found")
        return Exit.NO_LEADER
    print(json.dumps(leader.session) if as_json else f"Name: {leader.session.get('Name', '')}")
    return Exit.DONE


def _confirm(account: str, consul: ConsulSettings, sure: bool) -> int:
    leader = active_validator(consul, account, DEADLINE)
    holder = f"held by {leader.session.get('Name', '')}" if leader.session else "held by nobody"
    print(f"{lock_key(account)} is {holder}.")
    if not sure and not _asked(account):
        _complain("not confirmed")
        return Exit.NO_LEADER
    done = confirm(consul, account, DEADLINE)
    print(
        f"Confirmed for {account}: nodes accept the lock as it is, in term {done.config.confirmed_term} (last written by "
        f"{done.record.node_id}), and don't wait for the chain to pass height {done.record.last_height}."
    )
    return Exit.DONE


def _asked(account: str) -> bool:
    """Does an operator at a terminal say so?"""
    if not sys.stdin.isatty():
        _complain("there is no terminal to ask at; --yes confirms without being asked")
        return False
    print(f"Confirm only if no neard anywhere runs with the validator key of {account}: two would sign against each other.")
    try:
        return input("Type 'nothing signs' to confirm: ").strip() == "nothing signs"
    except (EOFError, KeyboardInterrupt):
        return False


def _complain(text: str) -> None:
    print(text if text == "No leader found" else f"kuutamoctl: {text}", file=sys.stderr)
