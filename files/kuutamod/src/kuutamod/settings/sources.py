# SPDX-License-Identifier: Apache-2.0
"""Where values come from: flag before environment variable before default. Nothing is judged here but the names."""

from __future__ import annotations

import argparse
import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn

from .faults import Fault, Subject
from .fields import CREDENTIALS, PREFIX, SETTINGS, Group, Setting

NO_VALUE = "\0"
"""Stands for the value of a flag that was given without one; no argument can contain it."""

_SUGGESTION_CUTOFF = 0.6
_NEGATIVE = re.compile(r"-\d+|-\d*\.\d+")


@dataclass(frozen=True)
class Value:
    """What a setting was given. ``text`` is None where nothing was given and there is no default."""

    setting: Setting
    text: str | None
    origin: str

    def subject(self, shown: str | None = None) -> Subject:
        """How a fault names this value; ``shown`` stands for a text that must not be printed as it is."""
        value = None if self.text in (None, NO_VALUE) or self.setting.flagless else self.text
        return Subject(self.setting.title, value if shown is None else shown, self.origin)


class UsageError(Exception):
    """The command line can't be taken apart."""


class Parser(argparse.ArgumentParser):
    """Collects instead of exiting, so that all faults are told at once."""

    def error(self, message: str) -> NoReturn:
        """:raises UsageError: always."""
        raise UsageError(message)


def flags_of(settings: Iterable[Setting]) -> list[str]:
    """The options of those settings that have one."""
    return [setting.flag for setting in settings if setting.flag]


def add_options(parser: argparse.ArgumentParser, groups: Iterable[Group]) -> None:
    """Add an option for each setting that has one. Defaults are not argparse's business: a missing one leaves no trace."""
    for group in groups:
        section = parser.add_argument_group(group.title)
        for setting in group.settings:
            if not setting.flagless:
                section.add_argument(
                    setting.flag,
                    default=argparse.SUPPRESS,
                    metavar=setting.kind.upper() if setting.kind.isalpha() else "VALUE",
                    help=help_text(setting).replace("%", "%%"),
                )


def help_text(setting: Setting) -> str:
    """One setting for ``--help``: meaning, form or unit, environment variable and default."""
    return f"{setting.meaning} [{setting.form}; {setting.variable}; default: {setting.default_text}]"


def complete(argv: Sequence[str], flags: Sequence[str]) -> list[str]:
    """The arguments with a mark behind each of ``flags`` that lacks its value; argparse would give up the whole line."""
    completed: list[str] = []
    for index, argument in enumerate(argv):
        completed.append(argument)
        following = argv[index + 1] if index + 1 < len(argv) else "--"
        if argument in flags and following.startswith("-") and not _NEGATIVE.fullmatch(following):
            completed.append(NO_VALUE)
    return completed


def resolve(settings: Iterable[Setting], given: Mapping[str, object], env: Mapping[str, str]) -> dict[str, Value]:
    """Every setting's value by its name. ``given``: the options, named as argparse names them."""
    return {setting.name: _resolve(setting, given, env) for setting in settings}


def _resolve(setting: Setting, given: Mapping[str, object], env: Mapping[str, str]) -> Value:
    text = given.get(setting.name.replace("-", "_"))
    if not setting.flagless and isinstance(text, str):
        return Value(setting, text, f"flag {setting.flag}")
    variable = env.get(setting.variable)
    # An empty variable of a setting that need not be set means that it is not set; elsewhere it is a mistake to be told.
    if variable or (variable is not None and setting.default is not None):
        return Value(setting, variable, f"environment variable {setting.variable}")
    if setting.credential and env.get(CREDENTIALS):
        return Value(setting, f"{env[CREDENTIALS]}/{setting.credential}", f"environment variable {CREDENTIALS}")
    return Value(setting, setting.default, "not set" if setting.default is None else "default")


def surplus(arguments: Sequence[str], flags: Sequence[str], lists_all: str = "--help") -> list[Fault]:
    """Faults for ``arguments`` that are no known option; the value behind an unknown option belongs to it.

    ``lists_all``: the command line that does.
    """
    faults = []
    swallows = False
    for argument in arguments:
        if argument.startswith("-"):
            name, value, _unused = argument.partition("=")
            swallows = not value
            subject = Subject(name, None, "flag")
            faults.append(
                Fault((subject,), "there is no such option", _suggest(name, [*flags, "--help", "--version"], lists_all))
            )
        elif swallows:
            swallows = False
        else:
            subject = Subject(argument, None, "argument")
            faults.append(Fault((subject,), "nothing is expected here", "write options as --NAME VALUE"))
    return faults


def strange_variables(env: Mapping[str, str]) -> tuple[str, ...]:
    """Warnings for variables that look like settings and are none."""
    known = [setting.variable for setting in SETTINGS]
    strange = [name for name in sorted(env) if name.startswith(PREFIX) and name not in known]
    return tuple(
        f"environment variable {name}: there is no such setting, so it has no effect; {_suggest(name, known, '--help')}"
        for name in strange
    )


def _suggest(name: str, known: Sequence[str], otherwise: str) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=_SUGGESTION_CUTOFF)
    return f"did you mean {near[0]}?" if near else f"{otherwise} lists all there are"
