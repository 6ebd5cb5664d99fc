# SPDX-License-Identifier: Apache-2.0
"""Moments and durations for people. Moments are Unix seconds, shown in UTC. Pure; no number makes it fail."""

from __future__ import annotations

import math
import time

UNKNOWN = "?"

_LAST = 253402300799.0
"""The end of the year 9999."""


def date(unix: float) -> str:
    """A moment as ``2026-11-21 19:27:14``."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(unix)) if 0 <= unix <= _LAST else UNKNOWN


def clock(unix: float) -> str:
    """A moment as ``19:27:14``."""
    return time.strftime("%H:%M:%S", time.gmtime(unix)) if 0 <= unix <= _LAST else UNKNOWN


def duration(seconds: float) -> str:
    """A duration in few characters: ``0.8s``, ``3m05s``, ``2h03m``, ``5d04h``. Below zero is 0: clocks differ."""
    if not math.isfinite(seconds):
        return UNKNOWN
    seconds = max(0.0, seconds)
    if seconds < 9.95:
        return f"{seconds:.1f}s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02}s"
    hours = whole // 3600
    if hours < 24:
        return f"{hours}h{whole % 3600 // 60:02}m"
    return f"{hours // 24}d{hours % 24:02}h" if hours < 24 * 10000 else UNKNOWN
