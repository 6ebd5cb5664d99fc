# SPDX-License-Identifier: Apache-2.0
"""tools/second_look.py: what failed beside other tests may pass alone, but for what must never be."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest

import second_look
from neard_standin.ledger import Kind
from neard_standin.verdict import DoubleSignature, KeyInterval, Verdict

# Fails when it is run for the first time. Its source names what must never be, as that of a test of the referee does.
ONCE = """
from pathlib import Path

def test_it():
    seen = Path(__file__).with_suffix(".seen")
    if not seen.exists():
        seen.touch()
        forbidden = "the network was not safe", "DoubleSignature(", "SIGNED TWICE"
        raise AssertionError("late")
"""
ALWAYS = "def test_it():\n    assert False\n"
WELL = "def test_it():\n    pass\n"
TORN_DOWN = """
import pytest

@pytest.fixture
def fleet():
    yield
    raise AssertionError("the network was not safe")

def test_it(fleet):
    raise AssertionError("late")
"""


def run(directory: Path, *programs: str) -> tuple[int, str]:
    (directory / "pytest.ini").write_text("[pytest]\n")
    for number, program in enumerate(programs):
        (directory / f"test_{number}.py").write_text(program)
    # What this run of pytest tells its workers is not for that one, which closes pytest's folder in TMPDIR to other users.
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")} | {"TMPDIR": str(directory)}
    argv = [sys.executable, second_look.__file__, "-n", "2", "--rootdir", str(directory), str(directory)]
    done = subprocess.run(argv, cwd=directory, env=env, capture_output=True, text=True, timeout=120, check=False)
    return done.returncode, done.stdout


def test_nothing_is_said_where_all_is_well(tmp_path: Path) -> None:
    code, told = run(tmp_path, WELL)
    assert (code, "second look" in told) == (0, False)


def test_what_passes_alone_is_named(tmp_path: Path) -> None:
    code, told = run(tmp_path, WELL, ONCE)
    assert code == 0
    assert told.endswith("PASSED ONLY ALONE, to be understood:\n    test_1.py::test_it\n")


def test_what_fails_alone_too_fails_the_run(tmp_path: Path) -> None:
    code, told = run(tmp_path, WELL, ALWAYS)
    assert code == 1
    assert told.endswith("failed alone, too:\n    test_1.py::test_it\n")


def test_the_verdict_at_a_fleets_end_counts(tmp_path: Path) -> None:
    code, told = run(tmp_path, TORN_DOWN)
    assert code == 1
    assert told.endswith("no second look: test_0.py::test_it: the network was not safe\n")


def test_a_file_that_cannot_be_read_fails_at_once(tmp_path: Path) -> None:
    code, told = run(tmp_path, "import nothing_of_the_kind\n")
    assert code not in (0, 5)
    assert "a second look" not in told


def _verdict(doubles: int = 0) -> Verdict:
    """One that is too long for pytest to print it whole."""
    signed = tuple(DoubleSignature("ed25519:" + 40 * "k", height, Kind.BLOCK, ()) for height in range(doubles))
    held = tuple(KeyInterval(f"/h{pid}", pid, pid, "a", "ka", 1.0, 1.0) for pid in range(4))
    return Verdict(9.0, held, (), signed, (), 5, 0)


def _raise(error: BaseException, cause: BaseException | None = None) -> None:
    raise error from cause


def _equals_nothing(doubles: int) -> None:
    assert _verdict(doubles).heights_signed_twice == ()


def _is_empty(doubles: int) -> None:
    assert not _verdict(doubles).heights_signed_twice


def _secret() -> None:
    leaks = ["node0's log"]
    assert not leaks, f"a secret key is in {', '.join(leaks)}"


UNSAFE = AssertionError("the network was not safe\nkey holders: 2")
NEVER: list[Callable[[], object]] = [
    _secret,
    _verdict(1).assert_safe,
    lambda: _equals_nothing(1),
    lambda: _equals_nothing(9),
    lambda: _is_empty(1),
    lambda: _raise(TimeoutError(_verdict(1).story())),
    lambda: _raise(UNSAFE),
    lambda: _raise(ValueError("late"), UNSAFE),
    # Python prints these itself, as several teardowns that fail.
    lambda: _raise(ExceptionGroup("torn down", [ValueError("late"), UNSAFE])),
    lambda: _raise(ValueError("late"), ExceptionGroup("torn down", [ExceptionGroup("inner", [UNSAFE])])),
    lambda: _raise(ExceptionGroup("torn down", [ValueError("late")]), UNSAFE),
]


def _late() -> None:
    """Words of source: SIGNED TWICE, DoubleSignature(."""
    assert _verdict is None, "late"  # the network was not safe, a secret key is in x


def _is_clean() -> None:
    assert not _verdict().intervals, "the referee has seen a holder"


BUSY: list[Callable[[], object]] = [
    _late,
    _is_clean,
    lambda: _raise(TimeoutError(_verdict().story())),
    lambda: _raise(ExceptionGroup("torn down", [ValueError("late")]), KeyError("the network")),
]


def refused(fail: Callable[[], object], style: Literal["long", "short"]) -> str:
    """Why there is no second look at a test that failed so, with pytest's own words on it."""
    with pytest.raises(BaseException) as caught:
        fail()
    words = str(caught.getrepr(style=style))
    return second_look.refusal({"test_0.py::test_it": second_look.said(words)})


@pytest.mark.parametrize("style", ["long", "short"])
@pytest.mark.parametrize("fail", NEVER)
def test_what_must_never_be_gets_no_second_look(fail: Callable[[], object], style: Literal["long", "short"]) -> None:
    assert refused(fail, style).startswith("test_0.py::test_it: ")


@pytest.mark.parametrize("style", ["long", "short"])
@pytest.mark.parametrize("fail", BUSY)
def test_source_and_a_clean_verdict_say_nothing_of_the_kind(
    fail: Callable[[], object], style: Literal["long", "short"]
) -> None:
    assert refused(fail, style) == ""


def test_words_without_a_traceback_count() -> None:
    assert second_look.refusal({"a.py::b": second_look.said("a secret key is in x")}) == "a.py::b: a secret key is in"
    assert second_look.refusal({"a.py::b": second_look.said("worker 'gw0' crashed while running 'a.py::b'")}) == ""


def test_much_gets_no_second_look() -> None:
    assert second_look.refusal({f"test_{number}.py::test_it": "late" for number in range(3)}) == "tests of 3 files failed"
    assert second_look.refusal({f"test_{number % 2}.py::test_{number}": "late" for number in range(3)}) == ""
    assert second_look.refusal({}) == "no test failed by itself"
