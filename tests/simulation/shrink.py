# SPDX-License-Identifier: Apache-2.0
"""A shorter schedule that breaks the same rule: fewer faults first, then shorter ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from .faults import Fault

Script = tuple[Fault, ...]
TRIES = 400


class _Budget:
    """Counts the tries; after the last one nothing breaks any more."""

    def __init__(self, breaks: Callable[[Script], bool], tries: int) -> None:
        self._breaks = breaks
        self._left = tries

    def __call__(self, script: Script) -> bool:
        if self._left <= 0:
            return False
        self._left -= 1
        return self._breaks(script)


def shrink(script: Script, breaks: Callable[[Script], bool], tries: int = TRIES) -> Script:
    """The shortest schedule found within ``tries`` runs for which ``breaks`` still holds; ``script`` must be one."""
    still = _Budget(breaks, tries)
    script = _fewer(script, still)
    script = _shorter(script, still)
    return _fewer(script, still)


def _fewer(script: Script, still: _Budget) -> Script:
    size = len(script)
    while size >= 1:
        begin = 0
        while begin < len(script):
            candidate = script[:begin] + script[begin + size :]
            if candidate != script and still(candidate):
                script = candidate
            else:
                begin += size
        size //= 2
    return script


def _shorter(script: Script, still: _Budget) -> Script:
    for number in range(len(script)):
        for seconds in (0.5, 2.0, 8.0):
            fault = script[number]
            if seconds >= fault.seconds:
                break
            candidate = (*script[:number], replace(fault, seconds=seconds), *script[number + 1 :])
            if still(candidate):
                script = candidate
                break
    return script
