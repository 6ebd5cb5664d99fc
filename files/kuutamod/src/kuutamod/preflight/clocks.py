# SPDX-License-Identifier: Apache-2.0
"""The host's clocks: the lease trusts their rate within bounds, operators' pauses and requests need the same time on all
hosts, and neard itself is off without it.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterable
from pathlib import Path

from ..core.lease import LeaseLaw
from .finding import Finding, Topic, fault, ok, warning

_SOURCE = Path("/sys/devices/system/clocksource/clocksource0/current_clocksource")
_SLOW_SOURCES = ("jiffies", "refined-jiffies")
_STA_UNSYNC = 0x0040
_USUAL_TICK = 10_000
"""Microseconds; the kernel's tick with a rate that is right."""
_PPM = 1 << 16


class _Timex(ctypes.Structure):
    """``struct timex`` of 64-bit Linux, as far as it is looked at; the rest is room for the kernel's answer."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("constant", ctypes.c_long),
        ("precision", ctypes.c_long),
        ("tolerance", ctypes.c_long),
        ("time", ctypes.c_long * 2),
        ("tick", ctypes.c_long),
        ("rest", ctypes.c_byte * 128),
    )


def clocks(law: LeaseLaw) -> Iterable[Finding]:
    """Whether the wall clock is synchronised, and whether all clocks run at a rate that the law allows."""
    seen = _Timex()
    if ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(seen)) < 0:
        why = os.strerror(ctypes.get_errno())
        yield warning(Topic.CLOCK, f"whether the clock is synchronised can't be seen: {why}", "look at the host itself")
    else:
        yield judge_sync(bool(seen.status & _STA_UNSYNC), seen.maxerror / 1e6)
        yield judge_rate((seen.tick - _USUAL_TICK) / _USUAL_TICK + seen.freq / _PPM / 1e6, law)
    yield from _source()


def judge_sync(unsynchronised: bool, error: float) -> Finding:
    """Of the kernel's word on the wall clock; ``error``: seconds that it may be off at most."""
    if unsynchronised:
        text = "the clock is not synchronised: pauses and requests of operators could end too early or too late here"
        return warning(Topic.CLOCK, text, "run chrony or another NTP client on every host")
    return ok(Topic.CLOCK, f"the clock is synchronised, within {error:.3f} s")


def judge_rate(rate: float, law: LeaseLaw) -> Finding:
    """Of how much the clocks are made to run fast (positive) or slow, as a ratio."""
    text = f"the rate of the clocks is adjusted by {rate * 100:+.3f} %"
    if abs(rate) > law.clock_rate_error:
        limit = f"more than the {law.clock_rate_error * 100:g} % that the law of the fence allows for"
        return fault(
            Topic.CLOCK, f"{text}, {limit}", "stop what adjusts the tick (adjtimex -t 10000), step the clock instead"
        )
    return ok(Topic.CLOCK, text)


def _source() -> Iterable[Finding]:
    try:
        source = _SOURCE.read_text(encoding="ascii").strip()
    except OSError:
        return
    if source in _SLOW_SOURCES:
        text = f"the clock source is {source}, which loses time when interrupts are late"
        yield warning(Topic.CLOCK, text, "let the hypervisor offer tsc or kvm-clock, or set the kernel's clocksource=")
    else:
        yield ok(Topic.CLOCK, f"the clock source is {source}")
