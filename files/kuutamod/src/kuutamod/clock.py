# SPDX-License-Identifier: Apache-2.0
"""Time, injected: the only place that reads clocks."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Seconds on a clock that never jumps and counts suspend."""

    def now(self) -> float:
        """The present boottime second."""

    def wall(self) -> float:
        """Unix seconds, for moments that people and other hosts are told; no lease depends on them."""


class BootClock:
    """CLOCK_BOOTTIME. The wall clock is never used for the lease, and CLOCK_MONOTONIC stops in suspend."""

    def now(self) -> float:
        """Seconds since the host booted, suspend included; raises OSError where the kernel has no such clock."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def wall(self) -> float:
        """Seconds since 1970 by the host's wall clock."""
        return time.time()
