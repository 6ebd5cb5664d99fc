# SPDX-License-Identifier: Apache-2.0
"""`status --watch`: what is on the screen while Consul answers and while it does not."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import replace

import pytest

from kuutamod.cli.commands.status import Seen, picture, watch
from kuutamod.cli.screen import Screen
from kuutamod.cli.text import width_of
from kuutamod.consul.faults import ConsulError, Fault
from kuutamod.consul.overview import Overview
from unit.cli.fleets import NOW, RECORD, WELL, free

URL_DOWN = "http://127.0.0.1:1: Connection refused"
DOWN = f"Consul can't be asked: {URL_DOWN}"


def drawn(last: Seen | None, fault: str = "", width: int = 100) -> list[str]:
    """The picture a moment after ``NOW``, without colours."""
    return picture(last, fault, NOW + 12, 2.0, width, colour=False)


def test_a_fleet_that_was_just_read() -> None:
    lines = drawn(Seen(WELL, NOW + 12))
    assert lines[:2] == ["08:00:12 UTC, every 2 s; Ctrl-C ends", "pool.near: held by node-a, term 42"]
    assert "node-a holds the lock; node-b can take over" in lines


def test_the_last_table_stays_under_a_red_line() -> None:
    lines = drawn(Seen(WELL, NOW), DOWN)
    assert lines[1] == f"{DOWN}. The table is 12s old."
    assert lines[2] == "pool.near: held by node-a, term 42"
    coloured = picture(Seen(WELL, NOW), DOWN, NOW + 12, 2.0, 100, colour=True)
    assert coloured[1].startswith("\x1b[1;31mConsul can't be asked")


def test_there_may_be_no_table_yet() -> None:
    assert drawn(None, DOWN) == ["08:00:12 UTC, every 2 s; Ctrl-C ends", f"{DOWN}."]


def test_a_fault_is_broken_into_lines_and_harmless() -> None:
    lines = drawn(None, "\x1b[2J" + "word " * 60, width=60)
    assert len(lines) > 3
    assert max(map(width_of, lines)) <= 60
    assert all(line.isprintable() for line in lines)


@pytest.fixture
def handlers() -> Iterator[None]:
    """The signal handlers and the mask are as they were."""
    numbers = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
    before = [signal.getsignal(number) for number in numbers], signal.pthread_sigmask(signal.SIG_BLOCK, ())
    yield
    assert ([signal.getsignal(number) for number in numbers], signal.pthread_sigmask(signal.SIG_BLOCK, ())) == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize(
    ("overview", "code"),
    [(WELL, 0), (replace(WELL, members=WELL.members[:1]), 1), (replace(WELL, lock=free(RECORD)), 2)],  # type: ignore[index]
)
@pytest.mark.usefixtures("handlers")
def test_the_exit_code_is_that_of_the_last_look(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    overview: Overview,
    code: int,
    number: signal.Signals,
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    looks = iter([WELL, ConsulError(Fault.UNREACHABLE, URL_DOWN), overview, None])

    def read() -> Overview:
        look = next(looks)
        if isinstance(look, ConsulError):
            raise look
        if look is None:
            os.kill(os.getpid(), number)
            raise AssertionError("the signal comes first")
        return look

    assert watch(read, lambda: NOW, {}, 0.01) == code
    out = capsys.readouterr().out
    assert out.count("Ctrl-C ends") == 3
    assert "\x1b" not in out, "no escape sequence where there is no terminal"
    assert f"{DOWN}. The table is 0.0s old." in out


@pytest.mark.parametrize("first", [WELL, None])
@pytest.mark.usefixtures("handlers")
def test_consul_is_away_at_the_end(capsys: pytest.CaptureFixture[str], first: Overview | None) -> None:
    looks = iter([first, None, KeyboardInterrupt()])

    def read() -> Overview:
        look = next(looks)
        if isinstance(look, KeyboardInterrupt):
            raise look
        if look is None:
            raise ConsulError(Fault.UNREACHABLE, URL_DOWN)
        return look

    assert watch(read, lambda: NOW, {}, 0.01) == 3
    assert capsys.readouterr().out.count(DOWN) == (1 if first else 2)


@pytest.mark.usefixtures("handlers")
def test_a_terminal_is_left_as_it_was(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("LINES", "3")
    with pytest.raises(ZeroDivisionError), Screen(terminal=True) as screen:
        screen.draw(["one", "two"])
        screen.draw(["1", "2", "3", "4", "5"])
        raise ZeroDivisionError
    enter, leave = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"
    assert capsys.readouterr().out == (
        f"{enter}\x1b[H\x1b[2Kone\n\x1b[2Ktwo\n\x1b[J\x1b[H\x1b[2K1\n\x1b[2K2\n\x1b[2K... 3 more lines{leave}"
    )


@pytest.mark.timeout(60)
@pytest.mark.usefixtures("handlers")
def test_a_new_size_ends_the_wait() -> None:
    with Screen(terminal=False) as screen:
        signal.raise_signal(signal.SIGWINCH)
        screen.wait(3600.0)
