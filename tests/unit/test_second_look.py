# SPDX-License-Identifier: Apache-2.0
"""tools/second_look.py: what failed beside other tests may pass alone, but for what must never be."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

TOOL = Path(__file__).parents[2] / "tools" / "second_look.py"

# Fails when it is run for the first time.
ONCE = """
from pathlib import Path

def test_it():
    seen = Path(__file__).with_suffix(".seen")
    if not seen.exists():
        seen.touch()
        raise AssertionError("{words}")
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
    # Of its own: what this run of pytest tells its workers is not for that one.
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    argv = [sys.executable, str(TOOL), "-n", "2", "--rootdir", str(directory), str(directory)]
    done = subprocess.run(argv, cwd=directory, env=env, capture_output=True, text=True, timeout=120, check=False)
    return done.returncode, done.stdout


def test_nothing_is_said_where_all_is_well(tmp_path: Path) -> None:
    code, told = run(tmp_path, WELL)
    assert (code, "second look" in told) == (0, False)


def test_what_passes_alone_is_named(tmp_path: Path) -> None:
    code, told = run(tmp_path, WELL, ONCE.format(words="late"))
    assert code == 0
    assert told.endswith("PASSED ONLY ALONE, to be understood:\n    test_1.py::test_it\n")


def test_what_fails_alone_too_fails_the_run(tmp_path: Path) -> None:
    code, told = run(tmp_path, WELL, ALWAYS)
    assert code == 1
    assert told.endswith("failed alone, too:\n    test_1.py::test_it\n")


@pytest.mark.parametrize(
    "program", [ONCE.format(words="the network was not safe"), ONCE.format(words="a secret key is in x")]
)
def test_what_must_never_be_gets_no_second_look(tmp_path: Path, program: str) -> None:
    code, told = run(tmp_path, program)
    assert code == 1
    assert "no second look: test_0.py::test_it: " in told


def test_the_verdict_at_a_fleets_end_counts(tmp_path: Path) -> None:
    code, told = run(tmp_path, TORN_DOWN)
    assert code == 1
    assert told.endswith("no second look: test_0.py::test_it: the network was not safe\n")


def test_much_gets_no_second_look(tmp_path: Path) -> None:
    code, told = run(tmp_path, *[ONCE.format(words="late")] * 3)
    assert code == 1
    assert told.endswith("no second look: tests of 3 files failed\n")


def test_a_file_that_cannot_be_read_fails_at_once(tmp_path: Path) -> None:
    code, told = run(tmp_path, "import nothing_of_the_kind\n")
    assert code not in (0, 5)
    assert "a second look" not in told
