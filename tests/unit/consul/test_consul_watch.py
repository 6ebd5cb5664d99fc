# SPDX-License-Identifier: Apache-2.0
"""The watch's loop, with a scripted Consul."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import pytest

from kuutamod.clock import BootClock
from kuutamod.consul import watch as watching
from kuutamod.consul.answers import Entry, Reading
from kuutamod.consul.faults import ConsulError, Fault
from kuutamod.consul.watch import next_index, watch
from unit.consul.answering import KEY, SESSION

Script = Sequence[Reading | Exception]


@pytest.mark.parametrize(
    ("asked", "answered", "following"), [(0, 7, 7), (7, 7, 7), (7, 9, 9), (9, 7, 0), (0, 0, 1), (7, 0, 1), (7, -3, 1)]
)
def test_next_index(asked: int, answered: int, following: int) -> None:
    assert next_index(asked, answered) == following


def held(index: int) -> Reading:
    return Reading(Entry(KEY, b"{}", SESSION, index), index)


def run(
    monkeypatch: pytest.MonkeyPatch, script: Script, wanted: Callable[[], bool] = lambda: True
) -> tuple[list[Reading], list[int], list[float]]:
    """Play the script to its end; what was posted, the indices asked with, and the pauses made."""
    posted: list[Reading] = []
    asked: list[int] = []
    pauses: list[float] = []
    answers = iter(script)

    async def ask(index: int, wait: float, deadline: float) -> Reading:
        assert deadline > wait * 17 / 16
        asked.append(index)
        answer = next(answers, None)
        if answer is None:
            raise asyncio.CancelledError
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(watch(ask, BootClock(), lambda reading, _sent: posted.append(reading), wanted))
    return posted, asked, pauses


def test_posts_changes_and_only_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    posted, asked, pauses = run(monkeypatch, [held(5), held(5), held(8), held(8)])
    assert [reading.entry.index for reading in posted if reading.entry] == [5, 8]
    assert asked == [0, 5, 5, 8, 8]
    assert pauses == []


def test_a_restored_snapshot_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    posted, asked, _unused = run(monkeypatch, [held(9), held(4), held(4)])
    assert [reading.entry.index for reading in posted if reading.entry] == [9, 4, 4]
    assert asked == [0, 9, 0, 4]


def test_errors_back_off_and_start_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    error = ConsulError(Fault.NO_LEADER, "No cluster leader")
    posted, asked, pauses = run(monkeypatch, [held(5), *[error] * 6, held(6), error])
    assert [reading.entry.index for reading in posted if reading.entry] == [5, 6]
    assert asked == [0, 5, 0, 0, 0, 0, 0, 0, 6, 0]
    first, last = watching.BACKOFF
    for number, pause in enumerate(pauses[:6]):
        longest = min(first * 2**number, last)
        assert longest / 2 <= pause <= longest
    assert pauses[6] <= first


def test_a_missing_key_does_not_spin(monkeypatch: pytest.MonkeyPatch) -> None:
    posted, _unused, pauses = run(monkeypatch, [Reading(None, 5), Reading(None, 6), held(7)])
    assert [reading.entry is None for reading in posted] == [True, True, False]
    assert pauses == [watching.MISSING_PAUSE] * 2


def test_asks_nothing_while_not_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    wishes = iter([False, False, True, True, False, True, True])
    posted, asked, pauses = run(monkeypatch, [held(5), held(5)], lambda: next(wishes, True))
    assert asked == [0, 0, 5]
    assert pauses == [watching.IDLE] * 3
    assert len(posted) == 2
