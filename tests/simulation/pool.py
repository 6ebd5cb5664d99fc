# SPDX-License-Identifier: Apache-2.0
"""Many seeds on all cores."""

from __future__ import annotations

import gc
import itertools
import multiprocessing
import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from multiprocessing import connection

from .run import Outcome, run

CHUNK = 25
AHEAD = 3
"""Chunks that wait or run for each process."""


def many(first: int, count: int | None, jobs: int | None = None, seconds: float = float("inf")) -> Iterator[Outcome]:
    """The outcomes of ``count`` seeds from ``first`` on (None: no end), as they come; none is begun after ``seconds``.

    ``jobs``: processes, all cores by default.
    """
    jobs = jobs or os.cpu_count() or 1
    until = time.monotonic() + seconds
    begins = itertools.count(first, CHUNK) if count is None else range(first, first + count, CHUNK)
    ends = first + count if count is not None else None
    chunks = ((begin, begin + CHUNK if ends is None else min(begin + CHUNK, ends)) for begin in begins)
    timely = itertools.takewhile(lambda _unused: time.monotonic() < until, chunks)
    if jobs == 1:
        for chunk in timely:
            yield from _chunk(chunk)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context, initializer=_begin) as pool:
        running: set[Future[list[Outcome]]] = set()
        while True:
            running |= {pool.submit(_chunk, chunk) for chunk in itertools.islice(timely, AHEAD * jobs - len(running))}
            if not running:
                return
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                yield from future.result()


def _begin() -> None:
    """A world is one big knot of objects that refer to each other; it is collected once it is done with."""
    gc.disable()
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A pool whose parent was killed would go on for hours, for nobody."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)


def _chunk(seeds: tuple[int, int]) -> list[Outcome]:
    outcomes = [run(seed) for seed in range(*seeds)]
    gc.collect()
    return outcomes
