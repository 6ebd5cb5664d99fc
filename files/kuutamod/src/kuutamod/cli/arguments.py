# SPDX-License-Identifier: Apache-2.0
"""kuutamoctl's command line: which command, and its options, which may stand before or behind it."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from importlib.metadata import version

from ..settings import ConfigFaults, Fault, Subject
from ..settings.fields import Setting
from ..settings.sources import Parser, UsageError, add_options, complete, flags_of, surplus
from .command import CONNECTION, Command, Option

_REMEDY = "`kuutamoctl --help` lists the commands, `kuutamoctl COMMAND --help` the options of one"


def parse(argv: Sequence[str], commands: Sequence[Command], about: str, epilog: str) -> tuple[Command, argparse.Namespace]:
    """The command and its options, with their defaults; settings that were not given are not in it.

    :raises ConfigFaults: with what is wrong. :raises SystemExit: after ``--help`` or ``--version``.
    """
    options = [option for command in commands for option in command.options if not option.positional]
    flags = flags_of(_settings(commands))
    known = [*flags, *(name for option in options for name in _spellings(option)), "--version", "--help", "-h"]
    # argparse takes the value behind an unknown option for the command, and prints it, whatever it is.
    strange = [argument for argument in argv if argument.startswith("-") and _name(argument) not in known]
    if strange:
        raise ConfigFaults(tuple(surplus(strange, known, "kuutamoctl COMMAND --help")))
    try:
        found = _parser(commands, options, about, epilog).parse_args(_with_values(complete(argv, flags), options))
    except UsageError as error:
        raise ConfigFaults((Fault((Subject("command line", None, "arguments"),), str(error), _REMEDY),)) from None
    command = next(command for command in commands if command.name == found.command)
    _refuse_others(command, commands, found)
    for name, default in _defaults(command).items():
        if not hasattr(found, name):
            setattr(found, name, default)
    return command, found


def _settings(commands: Iterable[Command]) -> tuple[Setting, ...]:
    """The settings of all commands, each once."""
    return tuple(dict.fromkeys(setting for command in commands for group in command.groups for setting in group.settings))


def _name(argument: str) -> str:
    """The name of the option in an argument; a short one may have its value right behind it."""
    return argument.partition("=")[0] if argument.startswith("--") else argument[:2]


def _spellings(option: Option) -> Sequence[str]:
    return _added(argparse.ArgumentParser(add_help=False), option).option_strings


def _added(parser: argparse._ActionsContainer, option: Option, hidden: bool = False) -> argparse.Action:
    """Add an option; its default is not left to argparse, which would set it over a value given in the other place."""
    action = parser.add_argument(*option.names, **option.form)
    action.default = argparse.SUPPRESS
    if hidden:
        action.help = argparse.SUPPRESS
    return action


def _defaults(command: Command) -> dict[str, object]:
    """What the command's options are when they are not given, by argparse's names."""
    scratch = argparse.ArgumentParser(add_help=False)
    actions = [scratch.add_argument(*option.names, **option.form) for option in command.options]
    return {action.dest: action.default for action in actions}


def _with_values(argv: Sequence[str], options: Iterable[Option]) -> list[str]:
    """The arguments, with the value that stands for none behind each option that may do without: argparse would take the
    command for its value.
    """
    free = [option for option in options if option.form.get("nargs") == "?"]
    bare = {name: option.form["const"] for option in free for name in option.names if name.startswith("--")}
    return [f"{argument}={bare[argument]}" if argument in bare else argument for argument in argv]


def _parser(commands: Sequence[Command], options: Iterable[Option], about: str, epilog: str) -> Parser:
    """Every option may stand before and behind the command; both parsers know it and leave no default behind."""
    parser = Parser(prog="kuutamoctl", description=about, epilog=epilog, allow_abbrev=False)
    add_options(parser, CONNECTION)
    shared = {setting for group in CONNECTION for setting in group.settings}
    for setting in _settings(commands):
        if setting not in shared and not setting.flagless:
            parser.add_argument(setting.flag, default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    taken: set[str] = set()
    for option in options:
        if taken.isdisjoint(option.names):
            _added(parser, option, hidden=True)
            taken.update(option.names)
    parser.add_argument("--version", action="version", version=f"kuutamoctl {version('kuutamod')}")
    places = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in commands:
        place = places.add_parser(
            command.name, help=command.about, description=command.about, epilog=command.exit_codes, allow_abbrev=False
        )
        add_options(place, command.groups)
        for option in command.options:
            _added(place, option)
    return parser


def _refuse_others(command: Command, commands: Sequence[Command], found: argparse.Namespace) -> None:
    """Fault what stands before the command and belongs to others only; argparse faults it behind the command."""
    own = {*_defaults(command), *map(_dest, flags_of(_settings([command])))}
    faults = []
    for other in commands:
        for name, spelling in _named(other).items():
            if hasattr(found, name) and name not in own:
                owners = ", ".join(each.name for each in commands if name in _named(each))
                subject = Subject(spelling, None, "flag")
                faults.append(Fault((subject,), f"{command.name} does not take it", f"it belongs to {owners}"))
    if faults:
        raise ConfigFaults(tuple(dict.fromkeys(faults)))


def _named(command: Command) -> dict[str, str]:
    """The command's options and settings by argparse's names, as they are spelled."""
    scratch = argparse.ArgumentParser(add_help=False)
    actions = [_added(scratch, option) for option in command.options if not option.positional]
    spelled = {action.dest: max(action.option_strings, key=len) for action in actions}
    return {**{_dest(flag): flag for flag in flags_of(_settings([command]))}, **spelled}


def _dest(flag: str) -> str:
    return flag.removeprefix("--").replace("-", "_")
