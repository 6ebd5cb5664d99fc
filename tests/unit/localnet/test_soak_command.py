# SPDX-License-Identifier: Apache-2.0
"""What `kuutamo-localnet soak` prints, writes and returns, with a judge that says what the test wants."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from kuutamo_localnet import soak as command
from kuutamo_localnet.localnet import Ended
from kuutamo_localnet.soak import SoakOptions, soak
from kuutamo_localnet.soak_report import Report, recoveries

GOOD = Report(
    seed=7,
    expected=60.0,
    lasted=70.0,
    cut_by="a saw",
    clocks="one clock",
    faults=(),
    takeovers=(),
    key_intervals=1,
    double_signatures=0,
    overlaps=0,
    stuck_terms=0,
    left_behind=0,
    crashes=0,
    recoveries=recoveries(1, [0.5], 200.0),
    standbys=2,
    duties=9,
    duties_missed=0,
    supervisor_starts=3,
    watchdog_kills=0,
    orders={},
    confirms=0,
    false_alarms=0,
    memory=(),
    failures=(),
)
BAD = replace(GOOD, double_signatures=1, failures=("signed twice: block of height 8",))


class Run:
    """A soak whose report is settled; None: a signal ends it."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.report: Report | None = GOOD
        self.out = directory / "soak.json"
        self.printed = ""
        self._directory = directory / "soak"
        monkeypatch.setattr(command, "locate_consul", lambda _say: None)
        monkeypatch.setattr(command, "_ground", self._ground)
        monkeypatch.setattr(command, "SoakJudge", self._judge)

    def __call__(self) -> int:
        out = io.StringIO()
        code = soak(SoakOptions(1.0, 7, self.out, self._directory), out)
        self.printed = out.getvalue()
        return code

    @contextlib.contextmanager
    def _ground(self, *_unused: object) -> Iterator[tuple[SimpleNamespace, str]]:
        yield SimpleNamespace(services={}), "one clock"

    def _judge(self, *_unused: object) -> SimpleNamespace:
        return SimpleNamespace(
            run=self._run,
            report=lambda *_unused: self.report,
            evidence=lambda: "the whole story",
            injections=(),
            history=(),
            begun=0.0,
        )

    def _run(self, _plan: object) -> None:
        if self.report is None:
            raise Ended


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    return Run(tmp_path, monkeypatch)


def test_a_soak_that_passed_ends_with_0(run: Run) -> None:
    assert run() == 0
    assert json.loads(run.out.read_text())["passed"]
    assert "passed (seed 7)" in run.printed
    assert "the whole story" not in run.printed


def test_a_soak_that_failed_ends_with_1_and_tells_how_to_repeat_it(run: Run) -> None:
    run.report = BAD
    assert run() == 1
    assert json.loads(run.out.read_text())["failures"] == ["signed twice: block of height 8"]
    assert "FAILED: signed twice: block of height 8" in run.printed
    assert "the whole story" in run.printed
    assert "make soak MINUTES=1 SEED=7" in run.printed


def test_a_soak_that_was_ended_leaves_no_report_of_an_earlier_one(run: Run) -> None:
    run.out.write_text('{"passed": true}')
    run.report = None
    assert run() == 1
    assert not run.out.exists()
