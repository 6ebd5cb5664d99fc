# SPDX-License-Identifier: Apache-2.0
"""README and docs say what the code does: commands, exit codes, causes, hooks, soft reasons, the systemd unit."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from kuutamo_localnet import soak_service
from kuutamod import runtime
from kuutamod.cli.command import CONSUL_FAILED, FAULTY_OPTIONS, INTERRUPTED
from kuutamod.cli.kuutamoctl import COMMANDS
from kuutamod.cli.ordering import Exit
from kuutamod.core.claim import Cause
from kuutamod.core.holder import UNLOAD_PATIENCE
from kuutamod.core.lifecycle import RELEASE_PATIENCE
from kuutamod.core.model import Policy
from kuutamod.fleet.verdict import SOFT, Health
from kuutamod.hooks.call import HookEvent

ROOT = Path(__file__).parents[2]
README, OPERATIONS, METRICS = ROOT / "README.md", ROOT / "docs" / "operations.md", ROOT / "docs" / "metrics.md"
WRITTEN = sorted({README, *(ROOT / "docs").glob("*.md")} - {ROOT / "docs" / "settings.md"})
WIDEST = 128
"""Columns, but for tables."""


def section(document: Path, heading: str) -> str:
    """The text under a heading, up to the next one of its level or above."""
    text, level = document.read_text(encoding="utf-8"), heading.partition(" ")[0]
    start = text.index(f"\n{heading}\n")
    end = re.compile(rf"^#{{1,{len(level)}}} ", re.MULTILINE).search(text, start + len(heading) + 2)
    return text[start : end.start() if end else None]


def unit() -> dict[str, str]:
    """The settings of the systemd unit; of those that are there more than once the last."""
    block = OPERATIONS.read_text(encoding="utf-8").partition("\n```ini\n")[2].partition("\n```")[0]
    return dict(re.findall(r"^(\w+)=(.*)$", block, re.MULTILINE))


@pytest.mark.parametrize("document", WRITTEN, ids=lambda path: path.name)
def test_no_line_is_too_long_to_read(document: Path) -> None:
    lines = enumerate(document.read_text(encoding="utf-8").splitlines(), 1)
    assert [number for number, line in lines if len(line) > WIDEST and not line.startswith("|")] == []


@pytest.mark.parametrize("document", WRITTEN, ids=lambda path: path.name)
def test_what_is_linked_is_there(document: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", document.read_text(encoding="utf-8")):
        assert (document.parent / target).exists(), target


def test_the_readme_names_every_playbook() -> None:
    rows = [line for line in section(README, "## Deploy a fleet").splitlines() if line.startswith("| `")]
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row.split(" | ")[0])}
    assert named == {book.stem for book in (ROOT / "playbooks").glob("*.yml")}


@pytest.mark.parametrize("document", [README, OPERATIONS], ids=lambda path: path.name)
def test_every_command_is_named_and_is_one(document: Path) -> None:
    said = set(re.findall(r"kuutamoctl ([a-z][a-z-]+)", document.read_text(encoding="utf-8")))
    known = {command.name for command in COMMANDS}
    assert said <= known
    assert known - said <= {"active-validator"}


def test_the_exit_codes_of_a_handover_are_complete() -> None:
    listed = re.findall(r"^\| (\d+) \|", section(OPERATIONS, "## Planned handover"), re.MULTILINE)
    assert [int(number) for number in listed] == sorted({*Exit, FAULTY_OPTIONS, CONSUL_FAILED, INTERRUPTED})


def test_the_health_of_a_fleet_is_complete() -> None:
    part = section(OPERATIONS, "## Looking at the fleet")
    assert re.findall(r"^\| (\d+) \|", part, re.MULTILINE) == ["0", "1", "2", "3"]
    (words,) = re.findall(r"`health` \(([^)]*)\)", part)
    assert set(re.findall(r"`([a-z-]+)`", words)) == {health.value for health in Health}


def test_every_cause_of_a_term_is_told() -> None:
    causes = section(OPERATIONS, "## Looking at the fleet").partition("how the lock came to its holder:")[2]
    assert set(re.findall(r"[-;] `([a-z]+)`:", causes)) == {cause.value for cause in Cause}


def test_every_hook_is_told() -> None:
    listed = re.findall(r"^\| `([a-z-]+)` \|", section(OPERATIONS, "## Hooks"), re.MULTILINE)
    assert set(listed) == {event.value for event in HookEvent}


def test_the_soft_reasons_are_those_of_the_code() -> None:
    marked = re.findall(r"^- `([a-z-]+)`: .*\(soft\)$", METRICS.read_text(encoding="utf-8"), re.MULTILINE)
    assert set(marked) == SOFT
    (said,) = re.findall(r"reasons are all soft \(([^)]*)\)", section(OPERATIONS, "## Looking at the fleet"))
    assert set(re.findall(r"`([a-z-]+)`", said)) == SOFT - {"new-watch"}


def test_the_unit_keeps_the_fence_and_leaves_time_to_stop() -> None:
    known, policy = unit(), Policy()
    assert float(known["WatchdogSec"]) < policy.law.fence_deadline
    # Only so does the watchdog kill a frozen guard's neard, and has a guard time to act when its supervisor is dead.
    assert (known["WatchdogSignal"], known["KillMode"]) == ("SIGKILL", "control-group")
    # neard would get its SIGTERM together with the supervisor, which could not take the key from it first.
    assert 'kill -TERM "$MAINPID"' in known["ExecStop"]
    stop = policy.stop_grace + UNLOAD_PATIENCE + RELEASE_PATIENCE + runtime.HOOKS_DEADLINE + runtime.FLUSH_DEADLINE
    assert float(known["TimeoutStopSec"]) > stop
    assert known["ExecStopPost"].endswith("/kuutamod --hand-back")


def test_the_soak_plays_the_unit() -> None:
    known = unit()
    played = soak_service.WATCHDOG, soak_service.STOP_DEADLINE, soak_service.RESTART_PAUSE
    assert played == tuple(float(known[name]) for name in ("WatchdogSec", "TimeoutStopSec", "RestartSec"))
