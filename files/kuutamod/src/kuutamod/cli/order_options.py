# SPDX-License-Identifier: Apache-2.0
"""The options of the commands that give an order, and what their values may be. Pure.

Each function that reads a value raises what argparse makes a fault of.
"""

from __future__ import annotations

import argparse
import re

from ..core.protocol import LONGEST_WORD
from .command import option

TIMEOUT, MIN_WINDOW = 60.0, 5
LONGEST = 86400.0
"""Seconds: the longest pause, and the longest that a request may wait."""

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}


def seconds(text: str) -> float:
    """The value of ``--timeout``."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 1.0 <= value <= LONGEST:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds from 1 to {LONGEST:g}")
    return value


def moment(text: str) -> str:
    """The value of ``--at``."""
    if text in ("now", "window") or (_whole(text) and 0 < int(text) < 10**12):
        return text
    raise argparse.ArgumentTypeError(f"{text!r} is neither now nor window nor a block height")


def blocks(text: str) -> int:
    """The value of ``--min-window``."""
    if not (_whole(text) and 0 < int(text) < 10**6):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of blocks")
    return int(text)


def _whole(text: str) -> bool:
    return len(text) <= 12 and text.isascii() and text.isdecimal()


def span(text: str) -> float:
    """The value of ``--for``, in seconds."""
    found = re.fullmatch(r"(\d{1,6})([smh])", text, re.ASCII)
    length = int(found[1]) * _UNITS[found[2]] if found else 0.0
    if not 1.0 <= length <= LONGEST:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time like 90s, 30m or 2h, of 24h at most")
    return length


def node(text: str) -> str:
    """The name of a node. An empty one is a shell's variable that is not set, and must not pass for "any"."""
    if not text.strip():
        raise argparse.ArgumentTypeError("the name is empty (a shell's variable that is not set?)")
    return text


def reason(text: str) -> str:
    """The value of ``--reason``: no node keeps more of it."""
    if len(text) > LONGEST_WORD:
        raise argparse.ArgumentTypeError(f"it has {len(text)} characters; at most {LONGEST_WORD} are kept")
    return text


NODE = option("node", type=node, metavar="NODE", help="the node")
REASON = option("--reason", type=reason, default="", metavar="TEXT", help="why, for status, logs and history")
JSON = option("--json", action="store_true", help="print one JSON object")
FOLLOWED = (
    option("--at", type=moment, default="now", metavar="now|window|HEIGHT", help="when to begin (default: now)"),
    option(
        "--min-window",
        type=blocks,
        default=MIN_WINDOW,
        metavar="BLOCKS",
        help=f"the shortest window for --at window (default: {MIN_WINDOW})",
    ),
    option(
        "--timeout",
        type=seconds,
        default=TIMEOUT,
        metavar="SECONDS",
        help=f"give up when it has not begun by then (default: {TIMEOUT:g})",
    ),
    REASON,
    option("--allow-restart", action="store_true", help="accept a candidate that must restart its neard to get the key"),
    JSON,
)
"""Of every request to the fleet."""
WAITING = (
    option("--wait", dest="wait", action="store_true", default=True, help="wait for the end (default)"),
    option("--no-wait", dest="wait", action="store_false", help="don't wait for the end"),
)
"""Of a request after which the command has nothing more to do."""
