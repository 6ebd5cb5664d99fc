# SPDX-License-Identifier: Apache-2.0
"""A few seeds in every test run; ``make simulate`` runs as many as you like."""

from __future__ import annotations

import pytest

from simulation.__main__ import main
from simulation.mutants import MUTANTS
from simulation.run import run


@pytest.mark.parametrize("first", range(0, 100, 25))
def test_no_rule_is_broken(first: int) -> None:
    for seed in range(first, first + 25):
        outcome = run(seed)
        assert (outcome.broken, outcome.text) == ("", ""), f"python -m simulation show {seed}"


def test_a_broken_seed_is_told_shortened_and_fails_the_run(capsys: pytest.CaptureFixture[str]) -> None:
    (mutant,) = (mutant for mutant in MUTANTS if mutant.name == "early release")
    seed = next(seed for seed in range(100) if run(seed, mutant=mutant).broken and not run(seed).broken)
    assert main(["shrink", str(seed), "--mutant", mutant.name]) == 0
    said = capsys.readouterr().out
    assert "judge" in said
    assert "fault" in said
    assert main(["shrink", str(seed)]) == 1
    assert "breaks no rule" in capsys.readouterr().err


def test_a_run_reports_what_was_exercised(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--seeds", "4", "--jobs", "1"]) == 0
    said = capsys.readouterr().out
    assert "4 seeds from 0" in said
    assert "0 broken" in said
    assert "a heartbeat" in said or "the lock is stolen" in said


def test_a_run_for_some_time_ends(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--minutes", "0.01", "--from", "fresh", "--jobs", "1"]) == 0
    assert "25 seeds from" in capsys.readouterr().out
