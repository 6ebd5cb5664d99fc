# SPDX-License-Identifier: Apache-2.0
"""All searches with no fault, with one, with two...: which, in what order, and for how long each."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterator, Sequence

from exhaustive.machine import Budget, Machine
from exhaustive.search import Report, Search
from exhaustive.side import FAULTS, Kind
from exhaustive.world import Scale

LARGEST = 4
"""A search takes at most so many times its share of the time."""


def explore(scale: Scale, faults: int, seconds: float, kinds: frozenset[Kind] = FAULTS) -> Iterator[Report]:
    """One search for each budget of up to ``faults`` faults, the small ones first, until one finds something wrong.

    Each may take its share of the seconds, and what those before it have left of theirs.
    """
    end = time.monotonic() + seconds
    machine = Machine(scale)
    known: set[int] = set()
    sizes: dict[Budget, int] = {}
    levels = [budgets(kinds, number) for number in range(faults + 1)]
    left = sum(len(level) for level in levels)
    share = seconds / left
    for level in levels:
        for budget in sorted(level, key=lambda budget: _size(budget, sizes)):
            left -= 1
            unused = end - time.monotonic() - (left + 1) * share
            report = Search(machine, budget, known).run(min(LARGEST * share, share + max(unused, -share / 2)))
            sizes[budget] = report.worlds
            yield report
            if report.wrong:
                return


def budgets(kinds: frozenset[Kind], faults: int) -> Sequence[Budget]:
    """Every handful of so many faults; the same kind may be in it more than once."""
    ordered = [kind for kind in Kind if kind in kinds]
    return list(itertools.combinations_with_replacement(ordered, faults))


def _size(budget: Budget, sizes: dict[Budget, int]) -> int:
    """Something that grows with the number of worlds to be expected."""
    return math.prod(sizes.get((kind,), 1) for kind in budget)
