# SPDX-License-Identifier: Apache-2.0
"""What supervisor and guard say to each other arrives whole, or whoever said it knows that it did not."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from kuutamod.guard import wire

LONG = "ж" * 40_000


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = wire.pair()
    with ours, theirs:
        yield ours, theirs


@pytest.mark.parametrize("kind", [wire.STOP, wire.KILL, wire.REFUSED, wire.EXITED])
def test_a_long_reason_is_cut_and_the_message_arrives(ends: tuple[socket.socket, socket.socket], kind: str) -> None:
    assert wire.send(ends[0], kind, why=LONG, grace=1.5)
    assert wire.receive(ends[1]) == {"kind": kind, "why": LONG[: wire.LONGEST_SENTENCE], "grace": 1.5}


def test_a_message_that_is_too_large_is_not_sent(ends: tuple[socket.socket, socket.socket]) -> None:
    assert not wire.send(ends[0], wire.EXTEND, plan={"value": LONG})
    assert wire.send(ends[0], wire.EXTEND, plan={"value": "x" * (wire.PACKET - 100)})
    message = wire.receive(ends[1])
    assert message is not None
    assert len(message["plan"]["value"]) == wire.PACKET - 100


def test_an_end_that_does_not_read_or_is_gone_is_known(ends: tuple[socket.socket, socket.socket]) -> None:
    while wire.send(ends[0], wire.ACK, plan="x" * 10_000):
        pass
    assert not wire.send(ends[0], wire.STOP, why="stop" * 10_000, grace=1.0)
    ends[1].close()
    assert not wire.send(ends[0], wire.STOP, why="stop", grace=1.0)
