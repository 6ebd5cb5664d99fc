# SPDX-License-Identifier: Apache-2.0
"""Finding terms in which nobody signs for too long though somebody could: pure."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from .observe import NodeFacts
from .soak_bounds import Bounds

# Reasons for which a node only lets others go first; it still takes the lock later.
SOFT_REASONS = frozenset({"hold-off", "frozen", "new-watch"})


@dataclass(frozen=True)
class Look:
    """What is seen at `now` (seconds of CLOCK_BOOTTIME).

    `signer`: a process holds the key. `term`: that of the lock's value. `proved`: the lock's index has moved lately, so
    somebody living holds it; the next field counts only then, the last one only otherwise. `holder_calm`, `able`: since
    when the holder is undisturbed, and since when some undisturbed node could take the lock; None: not at all.
    """

    now: float
    signer: bool
    term: int
    proved: bool
    holder_calm: float | None
    able: float | None


@dataclass(frozen=True)
class Stuck:
    """A term in which nobody signed for `seconds`, up to `at`, though somebody could; longer than `bound`."""

    term: int
    at: float
    seconds: float
    bound: float
    why: str


class StuckTerms:
    """Looks again and again; `found` has each stuck term once."""

    def __init__(self, bounds: Bounds) -> None:
        self.found: list[Stuck] = []
        self._bounds = bounds
        self._state: tuple[int, bool] | None = None
        self._since = 0.0

    def look(self, look: Look) -> None:
        """Take one look into account."""
        state = None if look.signer else (look.term, look.proved)
        if state != self._state:
            self._state, self._since = state, look.now
        if state is None or any(stuck.term == look.term for stuck in self.found):
            return
        calm, bound = (look.holder_calm, self._bounds.booked) if look.proved else (look.able, self._bounds.vacant)
        if calm is None:
            return
        seconds = look.now - max(self._since, calm)
        if seconds > bound:
            why = "its holder lives and does not sign" if look.proved else "it is booked on nobody living"
            self.found.append(Stuck(look.term, look.now, seconds, bound, why))


def could_take(facts: NodeFacts, present: Collection[str] = SOFT_REASONS) -> bool:
    """Whether a node would take an open lock, at once or after the others."""
    return facts.state == "Voting" and set(facts.reasons) <= set(present)
