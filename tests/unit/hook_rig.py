# SPDX-License-Identifier: Apache-2.0
"""A directory with real hooks, a runner on it, and what it has logged."""

from __future__ import annotations

import asyncio
import io
import os
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from kuutamod.hooks.call import HookCall, HookEvent
from kuutamod.hooks.runner import CAPACITY, HookRunner
from kuutamod.log import Format, Level, Log

PATIENCE = 60.0  # seconds; only a hang takes that long
LONG = 300.0  # seconds; an event's deadline that no test reaches


def call(event: HookEvent = HookEvent.PROMOTE, term: int = 7, reason: str = "") -> HookCall:
    """One event."""
    return HookCall(event, "node-a", term, "fleet.near", reason)


QUESTION = call(HookEvent.PRE_PROMOTE)


class FastClock:
    """Hurries, so that the log prints a line again that it printed before."""

    def __init__(self) -> None:
        self._now = 0.0

    def now(self) -> float:
        """A minute and more after the last time."""
        self._now += 100.0
        return self._now

    def wall(self) -> float:
        """Not looked at here."""
        return self._now


@dataclass
class Hooks:
    """``directory`` with the hooks, ``notes`` where they write down what they do."""

    root: Path
    stream: io.StringIO = field(default_factory=io.StringIO)

    def __post_init__(self) -> None:
        self.directory.mkdir(mode=0o755)
        self.log = Log(Format.LOGFMT, Level.DEBUG, self.stream, node="node-a", clock=FastClock())

    @property
    def directory(self) -> Path:
        """The hook directory."""
        return self.root / "hooks.d"

    @property
    def notes(self) -> Path:
        """One line for each thing that a hook did."""
        return self.root / "notes"

    def add(self, name: str, body: str, mode: int = 0o755) -> Path:
        """A shell script; ``note WORDS`` in it appends a line to the notes."""
        return self._write(name, f'#!/bin/sh\nnote() {{ echo "$*" >> {self.notes}; }}\n{body}\n', mode)

    def add_python(self, name: str, body: str) -> Path:
        """A Python program."""
        return self._write(name, f"#!{sys.executable} -IS\n{body}\n", 0o755)

    def _write(self, name: str, text: str, mode: int) -> Path:
        path = self.directory / name
        path.write_text(text)
        path.chmod(mode)
        return path

    def runner(self, deadline: float = LONG, capacity: int = CAPACITY) -> HookRunner:
        """A runner on the directory."""
        return HookRunner(self.directory, deadline, self.log, os.environ, capacity=capacity)

    def noted(self) -> list[str]:
        """What the hooks have noted so far."""
        return self.notes.read_text().splitlines() if self.notes.exists() else []

    def logged(self) -> str:
        """The whole log."""
        assert self.log.flush(PATIENCE)
        return self.stream.getvalue()

    def run(self, test: Callable[[HookRunner], Awaitable[None]], deadline: float = LONG, capacity: int = CAPACITY) -> None:
        """Run a test on a loop with a runner, and close that at the end."""

        async def body() -> None:
            runner = self.runner(deadline, capacity)
            try:
                async with asyncio.timeout(PATIENCE):
                    await test(runner)
            finally:
                await runner.close(0.0)

        asyncio.run(body())


async def until(condition: Callable[[], object], what: str) -> None:
    """Poll for a condition. Raises AssertionError when it never holds."""
    end = asyncio.get_running_loop().time() + PATIENCE
    while not condition():
        assert asyncio.get_running_loop().time() < end, what
        await asyncio.sleep(0.01)


def alive(pid: int) -> bool:
    """Does this process run (a zombie does not)?"""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"
