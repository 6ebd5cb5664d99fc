# SPDX-License-Identifier: Apache-2.0
"""Endless blocking queries on one key, the lock's or the request's: the fast sign that something has changed."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Protocol

from ..clock import Clock
from .answers import Reading
from .faults import ConsulError

WAIT = 5.0
"""Seconds that Consul may hold the query. A watcher on a frozen server is deaf for that long."""

DEADLINE = WAIT * 17 / 16 + 2.0
"""Seconds for the whole query: Consul adds up to 1/16 of the wait."""

IDLE = 0.2
"""Seconds between two looks whether the watch is wanted again."""

MISSING_PAUSE = 1.0
"""Seconds between two queries on a missing key: such a query wakes at every write to any key (measured)."""

BACKOFF = (0.2, 2.0)
"""Seconds to wait after the first error, and at most."""


class Ask(Protocol):
    """One query: from this index (0: answer at once), held up to ``wait`` seconds, ``deadline`` seconds in all."""

    def __call__(self, index: int, wait: float, deadline: float) -> Awaitable[Reading]:
        """The answer; raises ConsulError."""


def next_index(asked: int, answered: int) -> int:
    """The index for the next query: 0 (ask anew) when it went backwards, as after a restored snapshot, and never below 1.

    Source: Consul's documentation of blocking queries.
    """
    if answered < 1:
        return 1
    return 0 if answered < asked else answered


async def watch(ask: Ask, clock: Clock, post: Callable[[Reading, float], None], wanted: Callable[[], bool]) -> None:
    """Post what the key has become, and when it was asked for, whenever it has changed; ends only by cancellation.

    A query that timed out unchanged posts nothing: the server checks that it leads when the query begins and when it
    wakes, not when it times out, so such an answer says nothing about now.
    """
    index, pause = 0, BACKOFF[0]
    while True:
        if not wanted():
            index = 0
            await asyncio.sleep(IDLE)
            continue
        sent = clock.now()
        try:
            reading = await ask(index, WAIT, DEADLINE)
        except ConsulError:
            index = 0
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311
            pause = min(2 * pause, BACKOFF[1])
            continue
        pause = BACKOFF[0]
        if reading.index != index and wanted():
            post(reading, sent)
        index = next_index(index, reading.index)
        if reading.entry is None:
            await asyncio.sleep(MISSING_PAUSE)
