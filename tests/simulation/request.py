# SPDX-License-Identifier: Apache-2.0
"""One request to Consul and one node's way there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from .consul import Refused
from .dice import Dice


@dataclass(frozen=True)
class Done:
    """Consul's answer: it is applied, or this is what was read."""

    value: Any = None


@dataclass(frozen=True)
class Failed:
    """No usable answer; nobody knows whether the request was applied."""

    why: str


Reply = Done | Refused | Failed


class Request:
    """``run`` happens at the leader, ``notify`` at the sender, for the answer and for the end of waiting alike."""

    __slots__ = ("closed", "deadline", "expired", "finish", "kind", "link", "locks", "notify", "reply", "run", "session")

    def __init__(
        self,
        kind: str,
        link: Link,
        run: Callable[[], Reply],
        finish: Callable[[Reply], Any],
        notify: Callable[[Request], None],
        deadline: float,
        locks: str | None = None,
        session: str | None = None,
    ) -> None:
        self.kind = kind
        self.link = link
        self.run = run
        self.finish = finish
        self.notify = notify
        self.deadline = deadline
        self.locks = locks
        """The key that it locks, if it does: the leader looks at that key's lock delay first."""
        self.session = session
        """The session that it renews, if it does."""
        self.reply: Reply | None = None
        self.expired = False
        self.closed = False

    @property
    def writes(self) -> bool:
        """Does it change anything?"""
        return self.kind in WRITES

    def answer(self, reply: Reply) -> None:
        """The answer reaches the sender's host."""
        if not self.closed:
            self.reply = reply
            self.notify(self)

    def expire(self) -> None:
        """The sender's deadline passes."""
        if not self.closed:
            self.expired = True
            self.notify(self)


WRITES = frozenset({"heartbeat", "take", "release", "publish", "create", "create-key", "destroy"})


@dataclass
class Link:
    """What lies between one node and Consul. Counters, so that faults may overlap."""

    node: str
    routes: int
    dice: Dice
    cut: int = 0
    agent_down: int = 0
    denied: int = 0
    loss_up: list[float] = field(default_factory=list)
    loss_down: list[float] = field(default_factory=list)
    slow: list[float] = field(default_factory=list)
    slow_answers: list[float] = field(default_factory=list)
    hanging: int = 0
    """Requests go to a frozen server."""
    deposed_until: float = 0.0
    route: int = 0

    def latency(self) -> float:
        """Seconds one way."""
        seconds = 0.0005 + 0.002 * self.dice.unit()
        for slow in self.slow:
            seconds += self.dice.edge(0.0, slow)
        return seconds

    def loses(self, ways: list[float]) -> bool:
        """Is this packet lost?"""
        return self.cut > 0 or self.hanging > 0 or any(self.dice.chance(loss) for loss in ways)
