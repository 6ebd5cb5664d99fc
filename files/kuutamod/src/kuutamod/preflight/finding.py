# SPDX-License-Identifier: Apache-2.0
"""What a preflight finds. Pure."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass


class Level(enum.Enum):
    """How bad it is. A fault keeps the node from validating, or from doing so safely; a warning may."""

    OK = "ok"
    WARNING = "warning"
    FAULT = "fault"


class Topic(enum.Enum):
    """What it is about, in the order in which it is shown."""

    USER = "user"
    SETTINGS = "settings"
    LAW = "law"
    KEYS = "keys"
    HOME = "home"
    NEARD = "neard"
    CONFIG = "config"
    PORTS = "ports"
    CONSUL = "consul"
    RIGHTS = "rights"
    FLEET = "fleet"
    CLOCK = "clock"
    HOOKS = "hooks"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at, in a sentence. ``remedy``: what to do about it, empty where nothing is to be done."""

    level: Level
    topic: Topic
    text: str
    remedy: str = ""


def ok(topic: Topic, text: str) -> Finding:
    """All is well."""
    return Finding(Level.OK, topic, text)


def warning(topic: Topic, text: str, remedy: str) -> Finding:
    """Something may be wrong, or could not be seen."""
    return Finding(Level.WARNING, topic, text, remedy)


def fault(topic: Topic, text: str, remedy: str) -> Finding:
    """Something is wrong."""
    return Finding(Level.FAULT, topic, text, remedy)


def in_order(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """By topic, and within one in the order in which they were found."""
    topics = list(Topic)
    return tuple(sorted(findings, key=lambda finding: topics.index(finding.topic)))
