# SPDX-License-Identifier: Apache-2.0
"""Ansible fails a task that has looked in vain as often as ``retries`` says, whatever ``failed_when`` says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml

from unit.playbooks.rig import ROOT

FILES = sorted([*(ROOT / "playbooks").rglob("*.yml"), *(ROOT / "roles").glob("*/tasks/*.yml")])


def _tasks(found: Any) -> Iterator[dict[str, Any]]:
    if isinstance(found, list):
        for each in found:
            yield from _tasks(each)
    elif isinstance(found, dict):
        yield found
        for part in ("tasks", "block", "rescue", "always"):
            yield from _tasks(found.get(part))


def test_a_wait_that_may_be_in_vain_leaves_its_message_to_the_next_task() -> None:
    """``failed_when: false`` means that a later task says what is wrong; so the last look has to end the wait."""
    waits = [
        (f"{file.relative_to(ROOT)}: {task['name']}", str(task["until"]))
        for file in FILES
        for task in _tasks(yaml.safe_load(file.read_text(encoding="utf-8")))
        if "until" in task and task.get("failed_when") is not None
    ]
    assert waits
    assert [name for name, until in waits if ".attempts | default(1) >" not in until] == []
