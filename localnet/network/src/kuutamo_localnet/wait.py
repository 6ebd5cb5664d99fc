# SPDX-License-Identifier: Apache-2.0
"""Waiting for a condition with a deadline, the only way tests of this repository wait."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def eventually(predicate: Callable[[], T], deadline: float, what: str, interval: float = 0.05) -> T:
    """Call `predicate` until it returns something true, and return that.

    `deadline` and `interval` are seconds. An exception of the predicate counts as "not yet", so that it may ask
    a process that is still starting.

    Raises AssertionError naming `what` and the last value or exception when the deadline has passed.
    """
    end = time.monotonic() + deadline
    while True:
        last: object
        try:
            value = predicate()
            if value:
                return value
            last = value
        except Exception as error:
            last = error
        if time.monotonic() >= end:
            cause = last if isinstance(last, Exception) else None
            raise AssertionError(f"not within {deadline:g} s: {what}; last value: {last!r}") from cause
        time.sleep(interval)
