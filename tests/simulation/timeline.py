# SPDX-License-Identifier: Apache-2.0
"""Virtual time: what happens next, in one order that depends on nothing but the seed."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Any


class Timeline:
    """Calls to be made at their time. Times are seconds of true time; hosts have clocks of their own."""

    __slots__ = ("_count", "_heap", "now")

    def __init__(self) -> None:
        self.now = 0.0
        self._heap: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._count = 0

    def at(self, when: float, call: Callable[..., None], *args: Any) -> None:
        """Call it at ``when``, or now if that has passed; equal times keep their order."""
        self._count += 1
        heapq.heappush(self._heap, (when if when > self.now else self.now, self._count, call, args))

    def after(self, delay: float, call: Callable[..., None], *args: Any) -> None:
        """Call it ``delay`` seconds from now."""
        self._count += 1
        heapq.heappush(self._heap, (self.now + delay, self._count, call, args))

    def step(self, limit: float) -> bool:
        """Make the next call if it is due by ``limit``; otherwise move to ``limit`` and return False."""
        heap = self._heap
        if not heap or heap[0][0] > limit:
            self.now = max(self.now, limit)
            return False
        when, _unused, call, args = heapq.heappop(heap)
        self.now = when
        call(*args)
        return True

    def leap(self, seconds: float) -> None:
        """Move now and everything that is still to come by the same time."""
        self._heap = [(when + seconds, count, call, args) for when, count, call, args in self._heap]
        self.now += seconds
