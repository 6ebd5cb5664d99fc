# SPDX-License-Identifier: Apache-2.0
"""A blocking call that overruns its deadline costs its caller nothing more than the deadline."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable

import pytest

from kuutamod.deadline import Lane, Overrun


def test_a_lane_returns_what_the_call_returns_or_raises() -> None:
    async def main() -> None:
        lane = Lane("test")
        assert await lane.run(lambda: 7, 5.0) == 7
        with pytest.raises(ZeroDivisionError):
            await lane.run(lambda: 1 // 0, 5.0)
        with pytest.raises(TimeoutError, match="its own"):
            await lane.run(_own_timeout, 5.0)
        assert await lane.run(lambda: 8, 5.0) == 8

    asyncio.run(main())


def _own_timeout() -> None:
    raise TimeoutError("its own")


async def _together_with_the_deadline(call: Callable[[], int]) -> int:
    """Run a call of which the loop, busy with something else, sees the end only when the deadline has passed as well."""
    ended = threading.Event()

    def told() -> int:
        try:
            return call()
        finally:
            ended.set()

    def busy() -> None:
        ended.wait(30)
        time.sleep(0.3)

    asyncio.get_running_loop().call_soon(busy)
    return await Lane("test").run(told, 0.1)


def test_an_end_that_is_seen_together_with_the_deadline_is_the_calls_own() -> None:
    assert asyncio.run(_together_with_the_deadline(lambda: 7)) == 7
    with pytest.raises(ZeroDivisionError):
        asyncio.run(_together_with_the_deadline(lambda: 1 // 0))


def test_an_overrun_is_abandoned_and_its_late_answer_ignored() -> None:
    async def main() -> None:
        lane, gate = Lane("test"), threading.Event()
        late: list[str] = []

        def slow() -> str:
            gate.wait(30)
            late.append(threading.current_thread().name)
            return "late"

        with pytest.raises(Overrun):
            await lane.run(slow, 0.05)
        # The next call doesn't wait for the abandoned one, which is still inside.
        assert await lane.run(lambda: "next", 5.0) == "next"
        assert not late
        gate.set()
        while not late:  # noqa: ASYNC110  a thread fills it
            await asyncio.sleep(0.01)
        assert await lane.run(lambda: "third", 5.0) == "third"

    asyncio.run(asyncio.wait_for(main(), 30))


def test_a_cancelled_call_is_abandoned_too() -> None:
    async def main() -> None:
        lane, gate = Lane("test"), threading.Event()
        task = asyncio.create_task(lane.run(lambda: gate.wait(30), 30.0))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await lane.run(lambda: 1, 5.0) == 1
        gate.set()

    asyncio.run(asyncio.wait_for(main(), 30))


def test_calls_of_one_lane_keep_their_thread_while_they_are_in_time() -> None:
    async def main() -> None:
        lane = Lane("test")
        names = [await lane.run(lambda: threading.current_thread().name, 5.0) for _unused in range(3)]
        assert len(set(names)) == 1

    asyncio.run(main())
