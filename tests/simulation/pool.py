# SPDX-License-Identifier: Apache-2.0
"""Many seeds on all cores."""

from __future__ import annotations

import gc
import multiprocessing
import os
from collections.abc import Iterator

from .run import Outcome, run

CHUNK = 25


def many(first: int, count: int, jobs: int | None = None) -> Iterator[Outcome]:
    """The outcomes of ``count`` seeds from ``first`` on, as they come; ``jobs`` processes, all cores by default."""
    jobs = jobs or os.cpu_count() or 1
    chunks = ((begin, min(begin + CHUNK, first + count)) for begin in range(first, first + count, CHUNK))
    if jobs == 1:
        for begin, end in chunks:
            yield from _chunk((begin, end))
        return
    with multiprocessing.get_context("spawn").Pool(jobs, initializer=_be_frugal) as pool:
        for outcomes in pool.imap_unordered(_chunk, chunks):
            yield from outcomes


def _be_frugal() -> None:
    """A world is one big knot of objects that refer to each other; it is collected once it is done with."""
    gc.disable()


def _chunk(seeds: tuple[int, int]) -> list[Outcome]:
    outcomes = [run(seed) for seed in range(*seeds)]
    gc.collect()
    return outcomes
