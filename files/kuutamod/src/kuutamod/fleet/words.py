# SPDX-License-Identifier: Apache-2.0
"""What the values of an operator's order may be. Pure; each function that reads one raises ValueError that says why not."""

from __future__ import annotations

import re

from ..core.protocol import LONGEST_WORD

TIMEOUT, MIN_WINDOW = 60.0, 5
PAUSE = "30m"
LONGEST = 86400.0
"""Seconds: the longest pause, and the longest that a request may wait."""

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}


def seconds(text: str) -> float:
    """How long a request may wait before it begins."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 1.0 <= value <= LONGEST:
        raise ValueError(f"{text!r} is not a number of seconds from 1 to {LONGEST:g}")
    return value


def moment(text: str) -> str:
    """When a request is to begin."""
    if text in ("now", "window") or (_whole(text) and 0 < int(text) < 10**12):
        return text
    raise ValueError(f"{text!r} is neither now nor window nor a block height")


def blocks(text: str) -> int:
    """The shortest window."""
    if not (_whole(text) and 0 < int(text) < 10**6):
        raise ValueError(f"{text!r} is not a number of blocks")
    return int(text)


def _whole(text: str) -> bool:
    return len(text) <= 12 and text.isascii() and text.isdecimal()


def span(text: str) -> float:
    """How long a pause lasts, in seconds."""
    found = re.fullmatch(r"(\d{1,6})([smh])", text, re.ASCII)
    length = int(found[1]) * _UNITS[found[2]] if found else 0.0
    if not 1.0 <= length <= LONGEST:
        raise ValueError(f"{text!r} is not a time like 90s, 30m or 2h, of 24h at most")
    return length


def node(text: str) -> str:
    """The name of a node. An empty one is a variable that is not set, and must not pass for "any"."""
    if not text.strip():
        raise ValueError("the name is empty (a shell's variable that is not set?)")
    return text


def reason(text: str) -> str:
    """Why an operator gives an order: no node keeps more of it."""
    if len(text) > LONGEST_WORD:
        raise ValueError(f"it has {len(text)} characters; at most {LONGEST_WORD} are kept")
    return text
