# SPDX-License-Identifier: Apache-2.0
"""Orders to a guard that does not take them: they are not lost in silence, the guard is ended and neard with it."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from kuutamod.clock import BootClock
from kuutamod.core import actions as ac
from kuutamod.core import events as ev
from kuutamod.core.actions import ReleasePlan
from kuutamod.core.model import Role
from kuutamod.core.protocol import LockRecord
from kuutamod.guard import wire
from kuutamod.neard.home import HomeLock, Owner
from kuutamod.neard.process import NeardFiles, NeardProcess, _Run
from unit.core.rig import IDENTITY

PATIENCE = 30.0
PLAN = ReleasePlan("s", LockRecord("h", "a", 3))


@dataclass
class Deaf:
    """A guard that reads nothing, and the supervisor's side of it; ``said``: what the operator is told."""

    home: Path
    guard: subprocess.Popen[bytes]
    ours: socket.socket
    said: list[str] = field(default_factory=list)

    def process(self) -> NeardProcess:
        """With the run that the guard guards. Call it on a loop."""
        run = _Run(1, self.ours, self.guard, asyncio.get_running_loop().create_future())
        found = NeardProcess(
            cast(Any, None), IDENTITY, cast(Any, None), {}, BootClock(), lambda _unused: None, self.said.append
        )
        found._runs[1] = run
        return found


@pytest.fixture
def deaf(tmp_path: Path) -> Iterator[Deaf]:
    ours, theirs = wire.pair()
    with ours, theirs, subprocess.Popen(["sleep", "600"]) as guard:
        while wire.send(ours, wire.ACK, plan="x" * 10_000):
            pass
        yield Deaf(tmp_path, guard, ours)
        guard.kill()


@pytest.mark.parametrize(
    "action",
    [
        ac.StopChild(1, 10.0, "ж" * 40_000),
        ac.KillChild(1, "it hangs"),
        ac.ExtendGuard(1, 5.0, PLAN),
    ],
    ids=lambda action: type(action).__name__,
)
def test_a_guard_that_takes_no_order_is_ended(deaf: Deaf, action: ac.StopChild | ac.KillChild | ac.ExtendGuard) -> None:
    async def order() -> None:
        process = deaf.process()
        match action:
            case ac.StopChild():
                process.stop(action)
            case ac.KillChild():
                process.kill(action)
            case ac.ExtendGuard():
                process.extend(action)

    asyncio.run(order())
    assert deaf.guard.wait(PATIENCE) == -signal.SIGKILL
    assert len(deaf.said) == 1
    assert "its guard does not take the order to " in deaf.said[0]


def test_a_guard_that_has_done_its_work_takes_no_orders_and_is_left_alone(deaf: Deaf) -> None:
    async def order() -> None:
        process = deaf.process()
        process._runs[1].proved = True
        process.stop(ac.StopChild(1, 10.0, "stop"))

    asyncio.run(order())
    assert deaf.guard.poll() is None
    assert not deaf.said


def test_a_key_that_the_guard_is_not_told_to_drop_is_known_at_once(deaf: Deaf) -> None:
    async def order() -> ev.Event:
        return await deaf.process().unload(ac.UnloadKey(1, cast(Any, None)))

    event = asyncio.run(order())
    assert isinstance(event, ev.KeyUnloaded)
    assert event.why == "the guard takes no order"


def test_an_environment_that_is_too_large_for_the_guard_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUGE", "x" * 100_000)
    monkeypatch.setenv("HUGE_TOO", "x" * 100_000)
    monkeypatch.setattr(NeardProcess, "_prepare", lambda *_unused: None)
    lock = HomeLock.acquire(tmp_path, Owner("a", 1, 1, "host"))
    neard, data, validator, validator_node, voter_node = (tmp_path / name for name in ("neard", "data", "v", "n", "o"))
    files = NeardFiles(
        neard, tmp_path, data, validator, validator_node, voter_node, "0.0.0.0:1", "0.0.0.0:2", None, cgroup="off"
    )

    async def start() -> ev.Event:
        process = NeardProcess(files, IDENTITY, lock, {}, BootClock(), lambda _unused: None, lambda _unused: None)
        return await process.start(ac.StartChild(1, Role.VOTER, None, None))

    event = asyncio.run(start())
    assert isinstance(event, ev.ChildStartFailed)
    assert "environment" in event.why
