# SPDX-License-Identifier: Apache-2.0
"""Chance, from a seed. Every part of the world throws its own dice, so that taking a fault away changes little else.

Only ``Random.random`` is used: Python promises its sequence for a given seed in every version, and nothing else's.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from random import Random
from typing import TypeVar

T = TypeVar("T")


class Dice:
    """One stream of chance, named."""

    __slots__ = ("unit",)

    def __init__(self, seed: int, name: str) -> None:
        digest = blake2b(f"{seed}/{name}".encode(), digest_size=8).digest()
        self.unit = Random(int.from_bytes(digest, "big")).random
        """A number in [0, 1)."""

    def between(self, low: float, high: float) -> float:
        """A number in [low, high)."""
        return low + (high - low) * self.unit()

    def chance(self, probability: float) -> bool:
        """Did it happen?"""
        return self.unit() < probability

    def whole(self, low: int, high: int) -> int:
        """A whole number from ``low`` to ``high``, both possible."""
        return low + int(self.unit() * (high - low + 1))

    def pick(self, options: Sequence[T]) -> T:
        """One of them."""
        return options[int(self.unit() * len(options))]

    def weighted(self, options: Sequence[tuple[T, float]]) -> T:
        """One of them, each as often as its weight says."""
        point = self.unit() * sum(weight for _unused, weight in options)
        for option, weight in options:
            point -= weight
            if point < 0:
                return option
        return options[-1][0]

    def edge(self, low: float, high: float) -> float:
        """A number in [low, high], often exactly the far end: faults live at the edges of what is allowed."""
        return high if self.unit() < 0.4 else self.between(low, high)
