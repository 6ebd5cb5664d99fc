# SPDX-License-Identifier: Apache-2.0
"""Taking neard's home for one process of ours, with patience for the guard of an earlier one."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from pathlib import Path

from .clock import Clock
from .guard.child import start_time
from .neard.home import HomeBusy, HomeLock, Owner

GUARD_WAIT = 20.0
"""Seconds to wait for the guard of an earlier supervisor to end its neard and hand the lock back."""
PAUSE = 0.1


async def take_home(home: Path, node_id: str, clock: Clock, say: Callable[[str], object]) -> HomeLock:
    """The home's lock. :raises HomeBusy: another supervisor has it. :raises OSError: the home is not writable."""
    pid = os.getpid()
    owner = Owner(node_id, pid, start_time(pid), socket.gethostname())
    end = clock.now() + GUARD_WAIT
    while True:
        try:
            return HomeLock.acquire(home, owner)
        except HomeBusy as busy:
            if not busy.guard_only or clock.now() >= end:
                raise
            say(f"waiting: {busy}")
            await asyncio.sleep(PAUSE)
