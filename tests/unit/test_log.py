# SPDX-License-Identifier: Apache-2.0
"""Lines of the log: their form, their repeats, their secrets, and streams that block, break or vanish."""

from __future__ import annotations

import fcntl
import io
import itertools
import json
import os
import re
import subprocess
import sys
import termios
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TextIO

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kuutamo_localnet.wait import eventually
from kuutamod.core.model import State
from kuutamod.log import VALUE_LIMIT, Format, Level, Log
from neard_standin import base58

WALL = 1_700_000_000.0415
PATIENCE = 30.0
NUMBERS = itertools.count()


class StillClock:
    """Time by hand."""

    def __init__(self) -> None:
        self.time = 1000.0

    def now(self) -> float:
        return self.time

    def wall(self) -> float:
        return self.time


class Bench:
    """A log into memory."""

    def __init__(self, format: Format = Format.LOGFMT, level: Level = Level.DEBUG) -> None:
        self.stream = io.StringIO()
        self.clock = StillClock()
        self.log = Log(format, level, self.stream, node="a", clock=self.clock, wall=lambda: WALL)

    def lines(self) -> list[str]:
        assert self.log.flush(PATIENCE)
        return self.stream.getvalue().split("\n")[:-1]

    def line(self) -> str:
        (only,) = self.lines()
        return only


def parse(line: str) -> dict[str, str]:
    """A reader of logfmt, written from its description: name=bare or name="JSON string", one space between."""
    found: dict[str, str] = {}
    rest = line
    while rest:
        match = re.match(r'([^\s="]+)=(?:("(?:[^"\\]|\\.)*")|([^\s="]*))(?: |$)', rest)
        assert match, rest
        name, quoted, bare = match.groups()
        assert name not in found, name
        found[name] = json.loads(quoted) if quoted is not None else bare
        rest = rest[match.end() :]
    return found


def test_a_line_to_the_letter() -> None:
    bench = Bench()
    bench.log.info("took the lock", why="released by b", next=0.75, term=5, gone=None, ok=True, state=State.VOTING)
    expected = (
        'ts=2023-11-14T22:13:20.041Z level=info node=a term=5 msg="took the lock" '
        'why="released by b" next=0.75 ok=true state=Voting'
    )
    assert bench.line() == expected


def test_json_keeps_types() -> None:
    bench = Bench(Format.JSON)
    bench.log.warning('a "quoted" word', term=5, next=0.75, ok=False, endless=float("inf"))
    assert json.loads(bench.line()) == {
        "ts": "2023-11-14T22:13:20.041Z",
        "level": "warning",
        "node": "a",
        "term": 5,
        "msg": 'a "quoted" word',
        "next": 0.75,
        "ok": False,
        "endless": "inf",
    }


# A long run of letters and digits counts as a secret; the redaction has its own tests.
TEXTS = st.text(max_size=70)


@given(msg=TEXTS, why=TEXTS, format=st.sampled_from(Format))
@example(msg="", why='"', format=Format.LOGFMT)
@example(msg="a=b", why="back\\slash \u2028 \x85 \x1b[31m \ud800 \U0001f600 \u202e", format=Format.LOGFMT)
@example(msg='"x" y="z"', why="\r\n\t\0", format=Format.JSON)
def test_every_value_can_be_read_back_from_one_line(msg: str, why: str, format: Format) -> None:
    bench = Bench(format)
    bench.log.info(msg, why=why)
    line = bench.line()
    assert line.splitlines() == [line]
    assert line.isprintable()
    found = json.loads(line) if format is Format.JSON else parse(line)
    assert (found["msg"], found["why"], found["node"]) == (msg, why, "a")


@given(st.dictionaries(st.text(max_size=10), TEXTS, max_size=4), st.sampled_from(Format))
@example({"ts": "x", "level": "y", "node": "other", "repeated": "z", "msg": "m"}, Format.LOGFMT)
@example({"a b": "x", "": "y"}, Format.LOGFMT)
def test_no_field_name_breaks_a_line_or_hides_its_head(fields: dict[str, str], format: Format) -> None:
    bench = Bench(format)
    bench.log.write(Level.ERROR, "message", fields.items())
    found = json.loads(bench.line()) if format is Format.JSON else parse(bench.line())
    assert (found["level"], found["node"], found["msg"]) == ("error", "a", "message")


class Unprintable:
    """Fails when it is printed."""

    def __str__(self) -> str:
        raise RuntimeError("no")


VALUES = {"unprintable": Unprintable(), "huge": 10**5000, "bytes": b"\xff\x00", "nan": float("nan"), "nested": [{"b": 1}]}


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES.keys())
@pytest.mark.parametrize("format", Format)
def test_no_value_raises(value: object, format: Format) -> None:
    bench = Bench(format)
    bench.log.info("message", value=value)
    found = json.loads(bench.line()) if format is Format.JSON else parse(bench.line())
    assert found["value"]


def test_a_wall_clock_far_off_is_printed_as_it_is() -> None:
    stream = io.StringIO()
    log = Log(Format.LOGFMT, Level.INFO, stream, node="a", clock=StillClock(), wall=lambda: 1e15)
    log.info("message")
    assert log.flush(PATIENCE)
    assert stream.getvalue().startswith("ts=1000000000000000.000 ")


def test_long_values_are_cut() -> None:
    bench = Bench()
    bench.log.info("message", output=10 * VALUE_LIMIT * "- ")
    assert len(bench.line()) < VALUE_LIMIT + 200


def test_the_level_is_a_threshold() -> None:
    bench = Bench(level=Level.WARNING)
    for say in (bench.log.debug, bench.log.info, bench.log.warning, bench.log.error):
        say("message")
    assert [parse(line)["level"] for line in bench.lines()] == ["warning", "error"]


# --- repeats ---


def test_the_same_line_once_a_minute_with_the_count() -> None:
    bench = Bench()
    for second in range(125):
        bench.clock.time = 1000.0 + second
        bench.log.info("waiting", why="neard is syncing", next=second)
    assert [parse(line).get("repeated") for line in bench.lines()] == [None, "59", "59"]
    bench.clock.time = 9999.0
    bench.log.info("waiting", why="neard is syncing")
    bench.clock.time = 99999.0
    bench.log.info("waiting", why="neard is syncing")
    assert [parse(line).get("repeated") for line in bench.lines()[3:]] == ["4", None]


def test_a_line_that_differs_is_printed() -> None:
    bench = Bench()
    for log in (bench.log.info, bench.log.warning):
        for why in ("one", "two"):
            for term in (1, 2):
                log("message", why=why, term=term)
                log("message", why=why, term=term, age=3.0)
    assert len(bench.lines()) == 8


def test_many_different_lines_do_not_pile_up() -> None:
    bench = Bench()
    for number in range(5000):
        bench.log.info("message", number=number)
        bench.clock.time += 0.001
    bench.log.info("message", number=0)
    bench.log.flush(PATIENCE)
    assert '"repeated"' not in bench.lines()[-1]
    assert parse(bench.lines()[-1])["number"] == "0", "forgotten, and so printed again"


# --- secrets ---

SEEDS = st.binary(min_size=64, max_size=64)


@given(SEEDS, st.sampled_from(Format))
@example(bytes(64), Format.LOGFMT)
def test_no_secret_key_gets_through(secret: bytes, format: Format) -> None:
    text = base58.encode(secret)
    key = {"account_id": "acct", "public_key": "ed25519:pub", "secret_key": f"ed25519:{text}"}
    bench = Bench(format)
    bench.log.error(f"cannot use ed25519:{text}")
    bench.log.error("bad file", content=json.dumps(key), why=ValueError(key), nested=json.dumps(json.dumps(key)))
    bench.log.error("bad argument", secret_key="x" + text, private_key=text, value=[f"ed25519:{text}"])
    bench.log.error("bad bytes", content=f'{{"private_key":"ed25519:{text}'.encode())
    printed = "".join(bench.lines())
    assert text not in printed
    assert printed.count("***") >= 7


# --- streams ---


@pytest.fixture
def opened() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def pipe(opened: ExitStack) -> tuple[int, TextIO]:
    """The reading descriptor and the writing stream."""
    reading, writing = os.pipe()
    return reading, opened.enter_context(os.fdopen(writing, "w"))


def started(stream: TextIO | None, capacity: int = 10) -> Log:
    return Log(Format.LOGFMT, Level.INFO, stream, node="a", clock=StillClock(), capacity=capacity)


def say_until(log: Log, condition: Callable[[], object], what: str) -> None:
    """Different lines, until the condition holds."""

    def more() -> object:
        for _unused in range(100):
            log.info("message", number=next(NUMBERS), filler="-" * 500)
        return condition()

    eventually(more, PATIENCE, what, interval=0.01)


def waiting(reading: int) -> int:
    """Bytes in a pipe."""
    return int.from_bytes(fcntl.ioctl(reading, termios.FIONREAD, bytes(4)), sys.byteorder)


def drained(reading: int, until: str) -> str:
    """What the reader gets up to and with ``until``."""
    text = ""
    while until not in text:
        piece = os.read(reading, 65536).decode()
        assert piece, f"the stream ended before {until!r}"
        text += piece
    return text


@pytest.mark.timeout(120)
@pytest.mark.parametrize("blocking", [True, False])
def test_a_blocked_pipe_costs_lines_and_no_time(opened: ExitStack, blocking: bool) -> None:
    reading, stream = pipe(opened)
    opened.callback(os.close, reading)
    os.set_blocking(stream.fileno(), blocking)
    log = started(stream)
    say_until(log, lambda: waiting(reading) > 32_768 and not log.flush(0.1), "the pipe is full and the writer waits")
    lost = log.dropped
    say_until(log, lambda: log.dropped > lost, "lines are dropped")
    log.warning("the last line")
    text = drained(reading, '"the last line"')
    assert log.flush(PATIENCE)
    lines = [parse(line) for line in text.splitlines()]
    assert sum(int(line["lost"]) for line in lines if "lost" in line) == log.dropped
    numbers = [int(line["number"]) for line in lines if "number" in line]
    assert numbers == sorted(numbers)


def test_a_closed_pipe_is_survived(opened: ExitStack) -> None:
    reading, stream = pipe(opened)
    os.close(reading)
    log = started(stream)
    say_until(log, lambda: log.dropped > 100, "lines are dropped")
    assert log.flush(PATIENCE)


def test_a_reader_that_comes_back_is_served_again(opened: ExitStack, tmp_path: Path) -> None:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    first = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    log = started(opened.enter_context(path.open("w")))
    os.close(first)
    say_until(log, lambda: log.dropped > 10, "lines are dropped")
    assert log.flush(PATIENCE)
    lost = log.dropped
    again = os.open(path, os.O_RDONLY)
    opened.callback(os.close, again)
    log.warning("here again")
    told, line = (parse(each) for each in drained(again, '"here again"\n').splitlines())
    assert (told["lost"], line["msg"]) == (str(lost), "here again")
    assert log.dropped == lost


def test_a_terminal_that_is_gone_is_survived(opened: ExitStack) -> None:
    master, slave = os.openpty()
    stream = opened.enter_context(os.fdopen(slave, "w"))
    log = started(stream)
    log.info("message")
    drained(master, "message")
    os.close(master)
    with pytest.raises(OSError, match=r"Errno 5"):  # EIO
        os.write(slave, b"x")
    say_until(log, lambda: log.dropped > 100, "lines are dropped")
    assert log.flush(PATIENCE)


def test_a_full_disk_is_survived() -> None:
    with Path("/dev/full").open("w") as stream:
        log = started(stream)
        say_until(log, lambda: log.dropped > 100, "lines are dropped")
        assert log.flush(PATIENCE)


def test_a_stream_closed_before_the_start_is_survived(opened: ExitStack) -> None:
    reading, stream = pipe(opened)
    os.close(reading)
    stream.close()
    badly = io.StringIO()
    badly.close()
    reading, number = os.pipe()
    os.close(reading)
    behind_our_back = os.fdopen(number, "w", closefd=False)
    os.close(number)
    for each in (stream, badly, behind_our_back, None):
        log = started(each)
        log.info("message")
        assert log.flush(PATIENCE)
        assert log.dropped == 1


def test_closing_the_stream_later_can_not_redirect_lines_into_another_file(opened: ExitStack, tmp_path: Path) -> None:
    reading, stream = pipe(opened)
    opened.callback(os.close, reading)
    log = started(stream)
    number = stream.fileno()
    other = os.open(tmp_path / "other", os.O_CREAT | os.O_WRONLY)
    os.dup2(other, number)  # what happens when 2 is closed and the next open() gets its number
    log.info("message")
    drained(reading, "message")
    os.close(other)
    assert (tmp_path / "other").read_bytes() == b""


def test_lines_of_many_threads_stay_whole() -> None:
    bench = Bench()

    def say(name: str) -> None:
        for number in range(50):
            bench.log.info("message", thread=name, number=number)

    threads = [threading.Thread(target=say, args=(str(index),)) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = [(parse(line)["thread"], int(parse(line)["number"])) for line in bench.lines()]
    assert sorted(found) == sorted((str(index), number) for index in range(4) for number in range(50))


ENDS = """
import sys
from kuutamod.log import Format, Level, Log
log = Log(Format.LOGFMT, Level.INFO, sys.stderr, node="a")
for number in range(2000):
    log.info("message", number=number, filler=200 * "-")
sys.exit(0 if not log.flush(0.2) else 3)
"""


def test_a_process_with_a_blocked_stream_can_end(opened: ExitStack) -> None:
    reading, writing = os.pipe()
    opened.callback(os.close, reading)
    process = subprocess.Popen([sys.executable, "-c", ENDS], stderr=writing)
    os.close(writing)
    try:
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()
