# SPDX-License-Identifier: Apache-2.0
"""What a user can do to the nodes of a running localnet from a second terminal."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from .fleet_node import FleetNode, Part

HOLDER = "holder"
ALL = "all"
HOST = "host"
PARTS = (*(part.value for part in Part), HOST)


class CommandError(Exception):
    """A command cannot be carried out; the message says why and what would work."""


class Verb(StrEnum):
    """The subcommands that talk to a running localnet."""

    KILL = "kill"
    FREEZE = "freeze"
    THAW = "thaw"
    STOP = "stop"
    START = "start"
    STATUS = "status"


@dataclass(frozen=True)
class Request:
    """One command. `node` is a node's name, `holder`, or (thaw, start) `all`; `part` one of PARTS (kill, freeze)."""

    verb: Verb
    node: str = ALL
    part: str = Part.NEARD.value

    def to_json(self) -> dict[str, str]:
        """The form on the wire."""
        return {"verb": self.verb.value, "node": self.node, "part": self.part}

    @classmethod
    def from_json(cls, content: Any) -> Request:
        """From the wire. Raises CommandError when it is no request."""
        try:
            request = cls(Verb(content["verb"]), str(content["node"]), str(content["part"]))
        except (KeyError, TypeError, ValueError) as error:
            raise CommandError(f"not a request: {content!r}") from error
        if request.part not in PARTS:
            raise CommandError(f"--part {request.part}: expected one of {', '.join(PARTS)}")
        return request


class NodeCommands:
    """Carries out requests on `nodes`. `holder` names the node that holds the lock now, None when nobody does."""

    def __init__(self, nodes: Sequence[FleetNode], holder: Callable[[], str | None], status: Callable[[], str]) -> None:
        self._nodes = {node.name: node for node in nodes}
        self._holder = holder
        self._status = status
        self._verbs: Mapping[Verb, Callable[[Request], str]] = {
            Verb.KILL: lambda request: _kill(self._one(request.node), request.part),
            Verb.FREEZE: lambda request: _freeze(self._one(request.node), request.part),
            Verb.THAW: lambda request: self._each(request.node, _thaw, _is_started, "no node was started"),
            Verb.STOP: lambda request: _stop(self._one(request.node)),
            Verb.START: lambda request: self._each(request.node, _start, _is_stopped, "every node runs"),
            Verb.STATUS: lambda _request: self._status(),
        }

    def execute(self, request: Request) -> str:
        """What was done, as text for the user. Raises CommandError."""
        return self._verbs[request.verb](request)

    def _one(self, name: str) -> FleetNode:
        if name == HOLDER:
            holder = self._holder()
            if holder is None or holder not in self._nodes:
                raise CommandError(f"nobody holds the lock now; name a node: {', '.join(self._nodes)}")
            return self._nodes[holder]
        if name not in self._nodes:
            raise CommandError(f"no node {name!r}; there are {', '.join(self._nodes)} and {HOLDER}")
        return self._nodes[name]

    def _each(self, name: str, act: Callable[[FleetNode], str], fits: Callable[[FleetNode], bool], none: str) -> str:
        if name != ALL:
            return act(self._one(name))
        return "\n".join(act(node) for node in self._nodes.values() if fits(node)) or none


def _is_started(node: FleetNode) -> bool:
    return node.process.alive()


def _is_stopped(node: FleetNode) -> bool:
    return not node.process.alive()


def _kill(node: FleetNode, part: str) -> str:
    if part == HOST:
        node.lose_host()
        return f"{node.name}: killed with SIGKILL, all its processes at once"
    try:
        pid = node.kill_supervisor() if part == Part.SUPERVISOR.value else node.kill(Part(part))
    except LookupError as error:
        raise CommandError(str(error)) from error
    return f"{node.name}: SIGKILL to its {part}, pid {pid}"


def _freeze(node: FleetNode, part: str) -> str:
    if part == HOST:
        node.freeze_host()
        return f"{node.name}: stopped with SIGSTOP, all its processes. Nothing on it can fence: see docs/safety.md"
    try:
        pid = node.freeze(Part(part))
    except LookupError as error:
        raise CommandError(str(error)) from error
    return f"{node.name}: SIGSTOP to its {part}, pid {pid}"


def _thaw(node: FleetNode) -> str:
    node.thaw_host()
    return f"{node.name}: SIGCONT to all its processes"


def _stop(node: FleetNode) -> str:
    if not node.process.terminate():
        raise CommandError(f"{node.name} does not run; start it with `start {node.name}`")
    return f"{node.name}: SIGTERM to its supervisor, pid {node.process.pid}"


def _start(node: FleetNode) -> str:
    if node.process.alive():
        raise CommandError(f"{node.name} already runs as pid {node.process.pid}")
    node.return_host()
    return f"{node.name}: started as pid {node.process.pid}"


@dataclass(frozen=True)
class Hints:
    """What the command lines for the second terminal depend on."""

    directory: Path
    default_directory: Path
    account: str
    consul_url: str
    network: Path

    def text(self) -> str:
        """The commands, ready to be copied."""
        localnet = _program("kuutamo-localnet")
        where = "" if self.directory == self.default_directory.absolute() else f" --dir {_short(self.directory)}"

        def line(command: str) -> str:
            return f"{localnet} {command}{where}"

        ctl = f"{_program('kuutamoctl')} active-validator --account-id {self.account} --consul-url {self.consul_url}"
        lines = [
            ("kill its neard", line("kill holder --part neard")),
            ("kill its supervisor", line("kill holder --part supervisor")),
            ("kill the whole node", line("kill holder --part host")),
            ("hang its neard", line("freeze holder --part neard")),
            ("freeze its supervisor", line("freeze holder --part supervisor")),
            ("thaw what is frozen", line("thaw")),
            ("stop it (SIGTERM)", line("stop holder")),
            ("start what is stopped", line("start")),
            ("who validates", ctl),
            ("follow the logs", f"tail -F {_short(self.network)}/node*/kuutamod.log"),
        ]
        body = "\n".join(f"  {what:<22} {command}" for what, command in lines)
        return f"In a second terminal (`holder` is the node that signs, node0 etc. work as well):\n{body}"


def _program(name: str) -> str:
    return _short(Path(sys.prefix) / "bin" / name)


def _short(path: Path) -> str:
    """As it is typed from the present directory."""
    return shlex.quote(str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path))
