# SPDX-License-Identifier: Apache-2.0
"""What a command of kuutamoctl is: its options, its settings, and what it does with them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ..clock import BootClock
from ..consul.faults import ConsulError, Fault
from ..fleet.follow import in_words
from ..fleet.order import Connection
from ..settings import ConfigFaults
from ..settings.consul import read_consul
from ..settings.fields import ACCOUNT_ID, CONSUL, Group
from ..settings.reading import Reader
from ..settings.sources import resolve
from .text import visible

DONE = 0
REFUSED = 1
"""What was asked for can't be; nothing has changed."""
FAULTY_OPTIONS = 2
"""As every kuutamo program; the message on standard error tells it from a command's own 2."""
CONSUL_FAILED = 3
"""Consul can't be asked, or refuses."""
INTERRUPTED, BROKEN_PIPE = 130, 141
"""Ctrl-C, and an output that nobody reads any more, as shells count them."""

CONNECTION = (Group("Account", (ACCOUNT_ID,)), CONSUL)
"""The settings of a command that asks Consul about one account."""


@dataclass(frozen=True)
class Context:
    """What surrounds a command.

    ``given``: all options of the command line, named as argparse names them. ``env``: the environment. ``wall``: tells the
    Unix second, for people and for requests, which hosts compare only where seconds don't matter.
    """

    given: Mapping[str, object]
    env: Mapping[str, str]
    wall: Callable[[], float] = BootClock().wall

    def connection(self) -> Connection:
        """Account and Consul, for a command whose groups are CONNECTION. Raises ConfigFaults with all that is wrong."""
        read = Reader(resolve([setting for group in CONNECTION for setting in group.settings], self.given, self.env))
        account, consul = read.name(ACCOUNT_ID.name), read_consul(read)
        if read.faults:
            raise ConfigFaults(tuple(read.faults))
        return Connection(account, consul)


@dataclass(frozen=True)
class Option:
    """One argument of a command: its names, and the rest as argparse's ``add_argument`` takes it."""

    names: tuple[str, ...]
    form: Mapping[str, Any]

    @property
    def positional(self) -> bool:
        """Is it told by its place and not by a name?"""
        return not self.names[0].startswith("-")


def option(*names: str, **form: Any) -> Option:
    """An option (``--name``, ``-n``) or a positional argument (``name``) of a command.

    Options of different commands that share a name must share their form: they may stand before the command as well, where
    it is not known yet whose they are. For the same reason none is ``required``, and one whose value may be left out
    (``nargs="?"``) takes it only as ``--name=VALUE``.
    """
    return Option(names, form)


@dataclass(frozen=True)
class Command:
    """One command.

    ``about``: one line on what it does. ``run`` returns the exit code; ``exit_codes`` says what they mean. ConfigFaults and
    ConsulError may be raised by it; they are told, and become FAULTY_OPTIONS and the code of ``failure``. ``groups``: the
    settings it takes; any but CONNECTION it has to read from the context itself.
    """

    name: str
    about: str
    exit_codes: str
    run: Callable[[Context, argparse.Namespace], int]
    options: tuple[Option, ...] = ()
    groups: tuple[Group, ...] = CONNECTION


def complain(text: str) -> None:
    """One line on standard error, under the program's name."""
    print(f"kuutamoctl: {visible(text)}", file=sys.stderr)


def failure(error: ConsulError) -> tuple[str, int]:
    """What a failed question to Consul means, in words for people, and the exit code that says so."""
    return in_words(error), REFUSED if error.fault is Fault.CONFLICT else CONSUL_FAILED
