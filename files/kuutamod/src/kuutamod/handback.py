# SPDX-License-Identifier: Apache-2.0
"""`kuutamod --hand-back`: release what an ended supervisor of this home left in Consul. For systemd's ExecStopPost.

It trusts nothing but its own proof: the home's lock is free (so no supervisor and no guard lives), no neard of this home
runs, nobody holds the database's lock. Only then does it release the lock, and only if it is booked on the session that
this home's supervisor used last.
"""

from __future__ import annotations

import asyncio
import socket
import sys

from .clock import BootClock, Clock
from .consul.adapter import ConsulAdapter
from .core import actions as ac
from .core import events as ev
from .core.model import Home
from .core.protocol import LockRecord
from .neard import home
from .neard.memory import MemoryFault, MemoryFile
from .owner import take_home
from .settings import Settings

PATIENCE = 15.0
"""Seconds to wait for the home to become clear, and for Consul to answer."""
PAUSE = 0.2


class NotHandedBack(Exception):
    """Nothing was released; the message says why."""


def hand_back(settings: Settings) -> int:
    """Prove that nothing signs here, then release; exit code 0 when nothing of ours is left in Consul, else 1."""
    clock = BootClock()
    try:
        said = asyncio.run(_hand_back(settings, clock))
    except (NotHandedBack, home.HomeBusy, MemoryFault, OSError) as error:
        print(f"kuutamod: not handed back: {error}", file=sys.stderr)
        return 1
    print(f"kuutamod: {said}", file=sys.stderr)
    return 0


async def _hand_back(settings: Settings, clock: Clock) -> str:
    await take_home(settings.neard_home, settings.node_id, clock, lambda _why: None)
    session = MemoryFile(settings.neard_home).load().session
    if not session:
        return "nothing to hand back: this home's supervisor never had a Consul session"
    await _clear(settings, clock)
    consul = ConsulAdapter(
        settings.consul,
        settings.account_id,
        settings.node_id,
        "",
        socket.gethostname(),
        str(settings.neard_home),
        settings.policy.law,
        clock,
    )
    end = clock.now() + PATIENCE
    while True:
        outcome = await _release(consul, settings, session)
        if outcome is not None:
            await consul.execute(ac.DestroySession(session))
            return outcome
        if clock.now() >= end:
            raise NotHandedBack(f"Consul gave no answer within {PATIENCE:g} s; the others take over after the guard time")
        await asyncio.sleep(PAUSE)


async def _clear(settings: Settings, clock: Clock) -> None:
    end = clock.now() + PATIENCE
    while True:
        seen = await asyncio.to_thread(home.inspect, settings.neard_home, settings.store)
        if seen.home is Home.CLEAR:
            return
        if clock.now() >= end:
            raise NotHandedBack(seen.why)
        await asyncio.sleep(PAUSE)


async def _release(consul: ConsulAdapter, settings: Settings, session: str) -> str | None:
    seen = await consul.execute(ac.ReadLock())
    if not isinstance(seen, ev.LockSeen):
        return None
    record = seen.view.record
    if seen.view.session != session or record is None:
        return "nothing to hand back: the lock is not booked on this home's last session"
    law = settings.policy.law
    marker = LockRecord(
        hostname=socket.gethostname(),
        node_id=settings.node_id,
        term=record.term,
        guard_time=law.guard_time,
        fence_deadline=law.fence_deadline,
        fingerprint=record.fingerprint,
        released=True,
        reason="handed back after the supervisor ended",
        last_height=record.last_height,
    )
    answer = await consul.execute(ac.Release(session, marker))
    if isinstance(answer, ev.ReleaseAnswered) and answer.outcome is not ev.Outcome.UNKNOWN:
        return f"lock of term {record.term}: release {answer.outcome.value}"
    return None
