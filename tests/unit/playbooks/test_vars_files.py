# SPDX-License-Identifier: Apache-2.0
"""A play that reaches a task file has the vars files whose names are used there; Ansible would say it in mid-run."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

PLAYBOOKS = Path(__file__).parents[3] / "playbooks"
NAMES = {path: frozenset(yaml.safe_load(path.read_text())) for path in sorted((PLAYBOOKS / "vars").glob("*.yml"))}
PLAYS = [
    pytest.param(play, id=f"{path.stem}: {play['name']}")
    for path in sorted(PLAYBOOKS.glob("*.yml"))
    for play in yaml.safe_load(path.read_text())
    if "hosts" in play
]


def reached(text: str, seen: set[Path]) -> Iterator[str]:
    """The text, and that of all task files that it leads to, also by the play's variable __fleet_work."""
    yield text
    for name in re.findall(r"(?:tasks/|_tasks: |__fleet_work: )([a-z_]+\.yml)", text):
        path = PLAYBOOKS / "tasks" / name
        if path not in seen:
            seen.add(path)
            yield from reached(path.read_text(), seen)


@pytest.mark.parametrize("play", PLAYS)
def test_a_play_has_the_variables_that_its_tasks_use(play: dict[str, Any]) -> None:
    text = "\n".join(reached(yaml.safe_dump(play, width=1000), set()))
    has = {PLAYBOOKS / name for name in play.get("vars_files", [])}
    words = set(re.findall(r"\w+", text)) - set(play.get("vars", {}))
    lacks = {path.name: sorted(words & names) for path, names in NAMES.items() if path not in has and words & names}
    assert not lacks


def test_files_are_reached() -> None:
    assert {path.name for path in NAMES} == {"fleet.yml", "needs.yml", "rolling.yml", "rotation.yml"}
    texts = list(reached("import_tasks: tasks/pending.yml", set()))
    assert any("Take the maintenance lock" in text for text in texts)


@pytest.mark.parametrize("play", PLAYS)
def test_facts_are_gathered_in_one_place(play: dict[str, Any]) -> None:
    """With ansible-core 2.21 a play that gathers facts itself may give all hosts those of the last one: tasks/facts.yml."""
    assert play["gather_facts"] is False
    assert "gather_subset" not in play
