# SPDX-License-Identifier: Apache-2.0
"""What an operator switches on and off in the fleet's settings: pauses and drained nodes. Pure.

``now`` in Unix seconds. Each change leaves out pauses that have ended; nobody counts them any more.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from ..core.protocol import FleetConfig, Pause


def going(config: FleetConfig, now: float) -> tuple[Pause, ...]:
    """The pauses that have not ended."""
    return tuple(pause for pause in config.pauses if pause.until > now)


def paused(config: FleetConfig, new: Pause, now: float) -> FleetConfig:
    """With this pause, in place of another one of the same node or of the whole fleet."""
    return replace(config, pauses=(*(old for old in going(config, now) if old.node != new.node), new))


def resumed(config: FleetConfig, ends: Callable[[Pause], bool], now: float) -> FleetConfig:
    """Without the pauses that end."""
    return replace(config, pauses=tuple(old for old in going(config, now) if not ends(old)))


def drained(config: FleetConfig, node: str) -> FleetConfig:
    """With this node marked as one that takes no lock."""
    return config if node in config.no_takeover else replace(config, no_takeover=(*config.no_takeover, node))


def undrained(config: FleetConfig, node: str) -> FleetConfig:
    """Without the mark."""
    return replace(config, no_takeover=tuple(name for name in config.no_takeover if name != node))
