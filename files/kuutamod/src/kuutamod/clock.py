# SPDX-License-Identifier: Apache-2.0
"""Time, injected: the only place that reads the clock the lease is counted on."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Seconds on a clock that never jumps and counts suspend."""

    def now(self) -> float:
        """The present boottime second."""
        ...


class BootClock:
    """CLOCK_BOOTTIME. The wall clock is never used for a decision, and CLOCK_MONOTONIC stops in suspend."""

    def now(self) -> float:
        """Seconds since the host booted, suspend included; raises OSError where the kernel has no such clock."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)
