# SPDX-License-Identifier: Apache-2.0
"""What ``kuutamoctl check`` prints, and its exit code."""

from __future__ import annotations

import json
import re

import pytest

from kuutamod.cli.check_view import as_json, exit_code, render
from kuutamod.preflight.finding import Finding, Topic, fault, in_order, ok, warning
from kuutamod.preflight.inspect import Preflight

KEY = "ed25519:" + "7" * 44
SECRET = "ed25519:" + "3" * 88
PATH = "/var/lib/" + "a-rather-long-name/" * 5 + "config.json"
FINE, DOUBT, WRONG = ok(Topic.KEYS, f"key {KEY}"), warning(Topic.HOME, "hm", "look"), fault(Topic.LAW, "no", "do it")


def preflight(*findings: Finding) -> Preflight:
    return Preflight("node-a", "fleet.near", findings)


@pytest.mark.parametrize(
    ("findings", "code", "strict"),
    [((), 0, 0), ((FINE,), 0, 0), ((FINE, DOUBT), 0, 1), ((WRONG,), 2, 2), ((DOUBT, WRONG, FINE), 2, 2)],
)
def test_the_exit_code_is_that_of_the_worst(findings: tuple[Finding, ...], code: int, strict: int) -> None:
    assert (exit_code(findings, strict=False), exit_code(findings, strict=True)) == (code, strict)


def test_the_list() -> None:
    assert render(preflight(FINE, DOUBT, WRONG), None, colour=False).splitlines() == [
        f"ok       keys      key {KEY}",
        "warning  home      hm",
        "                   remedy: look",
        "fault    law       no",
        "                   remedy: do it",
        "1 ok, 1 warning, 1 fault",
    ]


def test_the_summary() -> None:
    assert render(preflight(), None, colour=False) == "0 ok, 0 warnings, 0 faults"
    assert render(preflight(DOUBT, DOUBT, WRONG, WRONG), None, colour=False).endswith("0 ok, 2 warnings, 2 faults")


@pytest.mark.parametrize("width", [20, 40, 80, 120])
def test_lines_fit_their_terminal_and_nothing_that_is_copied_is_broken(width: int) -> None:
    long = fault(Topic.SETTINGS, f"{'word ' * 60} {KEY} {PATH}", f"{'then ' * 40} {PATH}")
    lines = render(preflight(long), width, colour=False).splitlines()
    assert any(line.endswith(KEY) or f"{KEY} " in line for line in lines)
    assert sum(PATH in line for line in lines) == 2
    assert all(len(line) <= max(width, 40) for line in lines if PATH not in line and KEY not in line)
    assert all(line.startswith(" " * 19) for line in lines[1:-1])


def test_colours_change_nothing_but_the_looks() -> None:
    plain, coloured = (render(preflight(FINE, DOUBT, WRONG), 80, colour=colour) for colour in (False, True))
    assert "\x1b" not in plain
    assert "\x1b[1;31m" in coloured
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == plain


def test_nothing_of_a_secret_or_of_a_terminals_commands_gets_out() -> None:
    bad = fault(Topic.CONFIG, f"value {SECRET}\x1b[2J\nnext", f"secret {SECRET}")
    for said in (render(preflight(bad), 80, colour=False), as_json(preflight(bad), 2)):
        assert SECRET not in said
        assert "\x1b" not in said
        assert "value ***?[2J next" in said


def test_json() -> None:
    said = json.loads(as_json(preflight(FINE, WRONG), 2))
    assert said == {
        "node": "node-a",
        "account": "fleet.near",
        "exit_code": 2,
        "findings": [
            {"level": "ok", "topic": "keys", "text": f"key {KEY}", "remedy": None},
            {"level": "fault", "topic": "law", "text": "no", "remedy": "do it"},
        ],
    }
    assert json.loads(as_json(Preflight("", "", ()), 0))["node"] is None


def test_findings_are_sorted_by_topic_and_else_stay_as_they_came() -> None:
    first, second = ok(Topic.HOME, "first"), ok(Topic.HOME, "second")
    assert in_order([DOUBT, first, FINE, second, WRONG]) == (WRONG, FINE, DOUBT, first, second)
