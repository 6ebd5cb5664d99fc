# SPDX-License-Identifier: Apache-2.0
"""A role's variables have one list: argument_specs, defaults and README of a role know the same ones."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from unit.collection.tracked import ROOT

MAY_DIFFER = {"required": None, "description": None}
ROLES = sorted(folder.name for folder in (ROOT / "roles").glob("*/"))


def _read(role: str, name: str) -> dict[str, Any]:
    file = ROOT / "roles" / role / name
    return (yaml.safe_load(file.read_text(encoding="utf-8")) or {}) if file.exists() else {}


def _entries(role: str) -> dict[str, dict[str, Any]]:
    entries: dict[str, dict[str, Any]] = _read(role, "meta/argument_specs.yml")["argument_specs"]
    return entries


def _options(role: str) -> dict[str, dict[str, Any]]:
    """The options of all entry points together; the same name means the same thing in each."""
    options: dict[str, dict[str, Any]] = {}
    for entry in _entries(role).values():
        for name, option in entry.get("options", {}).items():
            known = options.setdefault(name, option)
            assert {**known, **MAY_DIFFER} == {**option, **MAY_DIFFER}, f"{role}: {name} differs between entry points"
    return options


def _computed(value: object) -> bool:
    return isinstance(value, str) and "{{" in value


def test_there_are_roles() -> None:
    assert ROLES


@pytest.mark.parametrize("role", ROLES)
def test_every_variable_has_the_name_of_its_role(role: str) -> None:
    public = {*_options(role), *_read(role, "defaults/main.yml")}
    assert {name for name in public if not name.startswith(f"{role}_")} == set()
    assert {name for name in _read(role, "vars/main.yml") if not name.startswith(f"__{role}_")} == set()


@pytest.mark.parametrize("role", ROLES)
def test_every_default_is_documented(role: str) -> None:
    assert set(_read(role, "defaults/main.yml")) - set(_options(role)) == set()


@pytest.mark.parametrize("role", ROLES)
def test_a_required_variable_has_no_default(role: str) -> None:
    required = {
        name for entry in _entries(role).values() for name, each in entry.get("options", {}).items() if each.get("required")
    }
    assert required & set(_read(role, "defaults/main.yml")) == set()


@pytest.mark.parametrize("role", ROLES)
def test_the_documented_default_is_the_one_that_applies(role: str) -> None:
    """A default that is computed is told in words, or by the same expression."""
    defaults = _read(role, "defaults/main.yml")
    wrong = []
    for name, option in _options(role).items():
        if name not in defaults:
            if "default" in option:
                wrong.append(f"{name}: documented with the default {option['default']!r}, and has none")
        elif _computed(defaults[name]):
            if _computed(option.get("default")) and option["default"] != defaults[name]:
                wrong.append(f"{name}: documented as {option['default']!r}, and is {defaults[name]!r}")
        elif option.get("default") != defaults[name]:
            wrong.append(f"{name}: documented as {option.get('default')!r}, and is {defaults[name]!r}")
    assert wrong == []


@pytest.mark.parametrize("role", ROLES)
def test_every_entry_point_is_there(role: str) -> None:
    files = {file.stem for file in (ROOT / "roles" / role / "tasks").glob("*.yml")}
    assert set(_entries(role)) - files == set()


@pytest.mark.parametrize("role", ROLES)
def test_the_readme_names_every_required_variable(role: str) -> None:
    readme = (ROOT / "roles" / role / "README.md").read_text(encoding="utf-8")
    required = {name for name, option in _entries(role)["main"]["options"].items() if option.get("required")}
    assert {name for name in required if not re.search(rf"\b{name}\b", readme)} == set()


def test_every_entry_point_that_is_used_is_documented() -> None:
    """What plays and roles include by name, of another role, checks its arguments."""
    wrong = []
    for folder in ("playbooks", "extensions", "roles"):
        for file in sorted((ROOT / folder).rglob("*.yml")):
            text = file.read_text(encoding="utf-8")
            for match in re.finditer(r"name: kuutamo\.near\.(\w+)\n\s+tasks_from: (\w+?)(\.yml)?\n", text):
                if match[2] not in _entries(match[1]):
                    wrong.append(f"{file.relative_to(ROOT)}: {match[1]}: {match[2]}")
    assert wrong == []


def test_paths_of_the_roles_hold_what_they_should() -> None:
    for role in ROLES:
        for needed in ("README.md", "meta/main.yml", "meta/argument_specs.yml", "defaults/main.yml", "tasks/main.yml"):
            assert (ROOT / "roles" / role / Path(needed)).exists(), f"{role}: {needed}"
