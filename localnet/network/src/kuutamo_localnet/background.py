# SPDX-License-Identifier: Apache-2.0
"""Work that goes on in threads for as long as a `with` block lasts."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Self

Run = Callable[[threading.Event], None]
"""What a thread does; it has to return soon after the event is set."""


class Background:
    """Does each of `runs` in a thread of its own, until the end of the `with` block."""

    def __init__(self, runs: Iterable[Run]) -> None:
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=run, args=(self._stop,), daemon=True) for run in runs]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()


def repeating(look: Callable[[], None], pause: float) -> Run:
    """A run that looks again and again, `pause` seconds apart."""

    def run(stop: threading.Event) -> None:
        while not stop.is_set():
            look()
            stop.wait(pause)

    return run
