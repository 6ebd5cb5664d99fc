# SPDX-License-Identifier: Apache-2.0
"""`kuutamo-localnet soak` as a user runs it: half a minute of faults, a report, and nothing left."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from kuutamo_localnet.fleet_plan import installed
from kuutamo_localnet.soak_plan import Kind, make_plan
from kuutamo_localnet.soak_service import processes_of

pytestmark = pytest.mark.integration

SEED, MINUTES = 1915, 0.6  # its first fault kills the supervisor of whoever holds the key
DEADLINE = 280.0  # seconds; it takes 70, but the bound until somebody signs after the last fault is long


def test_half_a_minute_of_faults_ends_with_one_healthy_holder_and_nothing_left(tmp_path: Path) -> None:
    plan = make_plan(SEED, MINUTES * 60, 3)
    first = plan[0][0]
    assert (first.kind, first.holder) == (Kind.KILL_SUPERVISOR, True), "without it the key need not change hands"
    directory, out = tmp_path / "soak", tmp_path / "soak.json"
    argv = [str(installed("kuutamo-localnet")), "soak", "--minutes", str(MINUTES), "--seed", str(SEED)]
    argv += ["--out", str(out), "--dir", str(directory)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=DEADLINE, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(out.read_text())
    assert report["passed"]
    assert report["seed"] == SEED
    found = ("double_signatures", "overlaps", "stuck_terms", "left_behind")
    assert {name: report[name] for name in found} == dict.fromkeys(found, 0)
    healed = report["recoveries"]
    assert healed["signed"] == healed["waves"] == len(plan)
    assert 0 < healed["p50"] <= healed["most"] < healed["bound"]
    assert report["standbys"] == 2
    # Whom the later faults meet depends on who holds the key by then; the first one meets its holder in any case.
    planned = [fault.kind.value for wave in plan for fault in wave]
    assert sorted(each["kind"] for each in report["injections"]) == sorted(planned)
    assert not report["injections"][0]["skipped"]
    assert report["injections"][0]["kind"] == Kind.KILL_SUPERVISOR
    assert sum(each["n"] for each in report["takeovers"]) >= 1
    assert len(report["history"]) == report["key_intervals"]
    assert report["supervisor_starts"] > 3
    assert f"passed (seed {SEED})" in done.stdout
    assert not processes_of(directory)
