# SPDX-License-Identifier: Apache-2.0
"""The options of the commands that give an order. Pure; their values are read as ``fleet.words`` says."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TypeVar

from ..fleet import words
from ..fleet.words import MIN_WINDOW, TIMEOUT
from .command import option

T = TypeVar("T")


def _told(read: Callable[[str], T]) -> Callable[[str], T]:
    """The same, raising what argparse makes a fault of."""

    def reading(text: str) -> T:
        try:
            return read(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return reading


seconds, moment, blocks = _told(words.seconds), _told(words.moment), _told(words.blocks)
span, node, reason = _told(words.span), _told(words.node), _told(words.reason)

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
