# SPDX-License-Identifier: Apache-2.0
"""Runs pytest with the given arguments, and looks once more, alone, at the little that failed beside other tests.

Several tests share the machine, and many hold real processes to a bound of time. One that fails beside others and
passes alone has met a busy machine, or an order of events that is rare: it is named at the end and deserves to be
understood, but refuses nobody's change. What fails alone, too, fails the run. There is no second look at what must
never be, however rarely, and none when so much fails that the change itself must be at fault.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Mapping, Sequence

import pytest

FEW_FILES = 2
NEVER = ("the network was not safe", "SIGNED TWICE", "DoubleSignature(", "a secret key is in")
"""The words of the referee's verdict, as a sentence and as pytest prints it, and of the search for keys in logs
(tests/integration/scenario.py)."""
MARGIN = re.compile(r"^ *\| ")
"""What stands left of each line of an exception group."""


class Failures:
    """A plugin that keeps what each test that failed has raised."""

    def __init__(self) -> None:
        self.told: dict[str, str] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Called by pytest for the setup, the call and the teardown of each test."""
        if report.failed:
            self.told[report.nodeid] = self.told.get(report.nodeid, "") + f"{said(report.longreprtext)}\n"


def said(longrepr: str) -> str:
    """What was raised, of all that pytest prints of a failure; not the source, which may name what must never be.

    Source is indented or marked with ``>``. What was raised is marked with ``E``, but not by Python itself, which prints
    exception groups, nor where a worker has crashed.
    """
    lines = [MARGIN.sub("", line) for line in longrepr.splitlines()]
    return "\n".join(line for line in lines if not line.startswith((" ", ">")))


def refusal(told: Mapping[str, str]) -> str:
    """Why these failures (what was raised, by test) get no second look; empty when they get one."""
    for test, words in told.items():
        if found := [never for never in NEVER if never in words]:
            return f"{test}: {found[0]}"
    files = {test.partition("::")[0] for test in told}
    if len(files) > FEW_FILES:
        return f"tests of {len(files)} files failed"
    return "" if told else "no test failed by itself"


def main(arguments: Sequence[str]) -> int:
    """pytest's exit code; that of the second look where there was one."""
    failures = Failures()
    code = int(pytest.main([*arguments], plugins=[failures]))
    if code != pytest.ExitCode.TESTS_FAILED:
        return code
    if why := refusal(failures.told):
        print(f"no second look: {why}")
        return code
    names = "\n".join(f"    {test}" for test in failures.told)
    print(f"failed beside other tests; a second look, alone, at:\n{names}", flush=True)
    code = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *failures.told], check=False
    ).returncode
    print(f"{'failed alone, too' if code else 'PASSED ONLY ALONE, to be understood'}:\n{names}")
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
