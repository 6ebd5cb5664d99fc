# SPDX-License-Identifier: Apache-2.0
"""What an operator may want between two nodes: seconds, or to be asked; nobody's silence is a yes."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import time
from pathlib import Path

import pytest

from unit.playbooks.rig import ROOT
from unit.plays import PROGRAM, environment

DEADLINE = 90.0
PLAY = [
    {
        "name": "Roll",
        "hosts": "localhost",
        "connection": "local",
        "gather_facts": False,
        "vars_files": [str(ROOT / "playbooks/vars/rolling.yml")],
        "vars": {"__fleet_plan": {"first": ["host-b", "host-c"], "last": "host-a"}},
        "tasks": [
            {"name": "The option", "ansible.builtin.import_tasks": str(ROOT / "playbooks/tasks/pause_option.yml")},
            {
                "name": "The nodes",
                "ansible.builtin.include_tasks": str(ROOT / "playbooks/tasks/pause.yml"),
                "loop": ["host-b", "host-c", "host-a"],
                "loop_control": {"loop_var": "__fleet_next"},
            },
        ],
    }
]


def roll(folder: Path, answers: list[str] | None, *arguments: str) -> tuple[int, str, float]:
    """The pauses of three nodes, at a terminal with these answers, or at no terminal: status, output, seconds."""
    file = folder / "roll.yml"
    file.write_text(json.dumps(PLAY), encoding="utf-8")
    command = [PROGRAM, str(file), "-i", "localhost,", *arguments]
    given = environment(folder)
    began = time.monotonic()
    child, terminal = pty.fork()
    if child == 0:
        if answers is None:
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.execve(PROGRAM, command, given)
    shown = _talk(terminal, answers or [], began + DEADLINE)
    if time.monotonic() > began + DEADLINE:
        os.kill(child, signal.SIGKILL)
    os.close(terminal)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return status, " ".join(shown.decode().split()), time.monotonic() - began


def _talk(terminal: int, answers: list[str], end: float) -> bytes:
    """Answer each question once it waits in silence (what is typed before is thrown away), to the end of the output."""
    shown = b""
    while time.monotonic() < end:
        ready, _writable, _urgent = select.select([terminal], [], [], 0.5)
        if ready:
            try:
                shown += os.read(terminal, 4096)
            except OSError:
                break
        elif 0 < (asked := shown.count(b"ends this run:")) <= len(answers):
            os.write(terminal, answers[asked - 1].encode() + b"\r")
    return shown


def test_without_the_option_there_is_no_pause(tmp_path: Path) -> None:
    status, shown, _seconds = roll(tmp_path, None)
    assert status == 0, shown
    assert "Pausing for" not in shown


def test_seconds_pass_between_nodes_but_not_before_the_first(tmp_path: Path) -> None:
    status, shown, seconds = roll(tmp_path, None, "-e", "pause_between=1")
    assert status == 0, shown
    assert shown.count("Pausing for 1 seconds") == 2
    assert seconds >= 2


def test_each_node_is_asked_for(tmp_path: Path) -> None:
    status, shown, _seconds = roll(tmp_path, ["yes", "Yes", "yes"], "-e", "pause_between=ask")
    assert status == 0, shown
    for name in ("host-b", "host-c", "host-a"):
        assert f"{name} is next. Type yes to go on" in shown


def test_a_no_ends_the_run(tmp_path: Path) -> None:
    status, shown, _seconds = roll(tmp_path, ["yes", "n"], "-e", "pause_between=ask")
    assert status != 0
    assert "host-c has not been touched: pause_between=ask, and nobody has said yes (the answer was n)" in shown
    assert "host-a is next" not in shown


def test_without_a_terminal_nobody_says_yes(tmp_path: Path) -> None:
    status, shown, _seconds = roll(tmp_path, None, "-e", "pause_between=ask")
    assert status != 0
    assert "host-b has not been touched" in shown
    assert "there was no answer; it has to be typed at a terminal" in shown


@pytest.mark.parametrize("value", ["soon", "true", "-1", "3600"])
def test_a_pause_that_is_none_is_refused(tmp_path: Path, value: str) -> None:
    status, shown, _seconds = roll(tmp_path, None, "-e", f"pause_between={value}")
    assert status != 0
    assert f"Nothing has been changed. pause_between={value}: say ask, or seconds" in shown
    assert "fewer than maintenance_ttl (3600)" in shown
