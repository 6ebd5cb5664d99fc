# SPDX-License-Identifier: Apache-2.0
"""What the documents of roles and playbooks tell an operator to write: it is what the collection takes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from unit.plays import ansible_playbook

ROOT = Path(__file__).parents[3]
ROLES = sorted(path.name for path in (ROOT / "roles").iterdir())
BOOKS = {path.stem: path.read_text(encoding="utf-8") for path in (ROOT / "playbooks").glob("*.yml")}
SOURCES = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "playbooks").rglob("*.yml"))
DOCUMENTS = sorted([*(ROOT / "docs").glob("*.md"), ROOT / "README.md", *(ROOT / "roles").glob("*/README.md")])


def specification(role: str) -> dict[str, Any]:
    """The options of all its entry points; the same name means the same in each."""
    text = (ROOT / "roles" / role / "meta" / "argument_specs.yml").read_text(encoding="utf-8")
    entries: dict[str, dict[str, Any]] = yaml.safe_load(text)["argument_specs"]
    return {name: option for entry in entries.values() for name, option in entry.get("options", {}).items()}


def examples(role: str) -> list[dict[str, Any]]:
    """The plays in a role's README; a block of variables alone is the play that sets them."""
    text = (ROOT / "roles" / role / "README.md").read_text(encoding="utf-8")
    found: list[dict[str, Any]] = []
    for block in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL):
        content = yaml.safe_load(block)
        found += content if isinstance(content, list) else [{"hosts": "validators", "vars": content}]
    return found


def variables(play: dict[str, Any]) -> dict[str, Any]:
    given = dict(play.get("vars", {}))
    for role in play.get("roles", []):
        given |= role.get("vars", {}) if isinstance(role, dict) else {}
    return given


@pytest.mark.parametrize("role", ROLES)
def test_the_example_of_a_role_is_a_play_that_ansible_takes(role: str, tmp_path: Path) -> None:
    plays = [play for play in examples(role) if "roles" in play]
    assert any(f"kuutamo.near.{role}" in str(play["roles"]) for play in plays), "its README shows how to use it"
    (tmp_path / "play.yml").write_text(yaml.safe_dump(plays, sort_keys=False))
    (tmp_path / "hosts").write_text("[consul_servers]\nnode0\n[validators]\nnode0\n")
    done = ansible_playbook(tmp_path, "--syntax-check", "-i", "hosts", "play.yml")
    assert done.code == 0, done.out


@pytest.mark.parametrize("role", ROLES)
def test_the_variables_in_the_example_of_a_role_are_ones_that_a_role_takes(role: str) -> None:
    known: dict[str, Any] = {}
    for other in ROLES:
        known |= specification(other)
    for play in examples(role):
        # Ansible's own are not ours to judge.
        given = {name: value for name, value in variables(play).items() if not name.startswith("ansible_")}
        assert given.keys() <= known.keys()
        plain = {name: value for name, value in given.items() if "{{" not in str(value)}
        spec = {name: {**known[name], "required": False} for name in plain}
        for option in spec.values():
            option.pop("default", None)
        assert ArgumentSpecValidator(spec).validate(plain).error_messages == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_playbook_and_option_in_a_document_is_one(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    for name, rest in re.findall(r"ansible-playbook[^\n`]*? kuutamo\.near\.(\w+)([^\n`]*)", text):
        assert name in BOOKS, f"{name} is no playbook"
        for option in re.findall(r"-e (\w+)=", rest):
            assert re.search(rf"\b{option}\b", SOURCES) or any(option in specification(role) for role in ROLES), option
