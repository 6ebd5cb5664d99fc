# SPDX-License-Identifier: Apache-2.0
"""Blocking calls with a total deadline.

A lane runs one blocking call at a time in its own daemon thread. A call that overruns its deadline is abandoned together
with its thread: the caller goes on at once, the next call gets a new thread, and whatever the old one still returns is
dropped. Socket timeouts alone are no deadline, they count per read.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Overrun(Exception):
    """The call did not return within its deadline."""


class _Job(Generic[T]):
    def __init__(self, call: Callable[[], T], loop: asyncio.AbstractEventLoop, future: asyncio.Future[T]) -> None:
        self.call = call
        self.loop = loop
        self.future = future

    def run(self) -> None:
        try:
            result = self.call()
        except BaseException as error:
            self._tell(self._fail, error)
        else:
            self._tell(self._answer, result)

    def _tell(self, how: Callable[..., None], value: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
            self.loop.call_soon_threadsafe(how, value)

    def _answer(self, result: T) -> None:
        if not self.future.done():
            self.future.set_result(result)

    def _fail(self, error: BaseException) -> None:
        if not self.future.done():
            self.future.set_exception(error)


class Lane:
    """One thread for one kind of call; see the module."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._jobs: queue.SimpleQueue[_Job[object] | None] | None = None
        self._serial = 0

    async def run(self, call: Callable[[], T], deadline: float) -> T:
        """What ``call`` returns or raises; Overrun when it takes longer than ``deadline`` seconds."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._queue().put(_Job(call, loop, future))  # type: ignore[arg-type]
        try:
            async with asyncio.timeout(deadline):
                return await future
        except TimeoutError as error:
            if future.done() and not future.cancelled():
                return future.result()  # the call's own TimeoutError, or an end that came together with the deadline
            raise Overrun(f"no answer within {deadline:g} s") from error
        finally:
            if not future.done() or future.cancelled():
                self.abandon()

    def abandon(self) -> None:
        """Leave the present thread to itself; it ends after the call it is in."""
        if self._jobs is not None:
            self._jobs.put(None)
            self._jobs = None

    def _queue(self) -> queue.SimpleQueue[_Job[object] | None]:
        if self._jobs is None:
            self._jobs = queue.SimpleQueue()
            self._serial += 1
            name = f"{self._name}-{self._serial}"
            threading.Thread(target=_work, args=(self._jobs,), name=name, daemon=True).start()
        return self._jobs


def _work(jobs: queue.SimpleQueue[_Job[object] | None]) -> None:
    while (job := jobs.get()) is not None:
        job.run()
