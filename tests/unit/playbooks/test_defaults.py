# SPDX-License-Identifier: Apache-2.0
"""Options and variables of the playbooks: what docs/playbooks.md promises applies, and each play has what its tasks use."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from unit.playbooks.rig import ROOT, rules

PLAYBOOKS = ROOT / "playbooks"
FILES = sorted([*PLAYBOOKS.glob("*.yml"), *PLAYBOOKS.glob("*/*.yml")])
DOCUMENT = (ROOT / "docs/playbooks.md").read_text(encoding="utf-8")
OWN_DEFAULT = re.compile(r"(?<![.\w])([a-z][a-z0-9_]*)\s*\|\s*default\(('[^']*'|\"[^\"]*\"|[\w.]+)")


@cache
def _read(file: Path) -> Any:
    return yaml.safe_load(file.read_text(encoding="utf-8"))


@cache
def _role_defaults() -> Mapping[str, Any]:
    return {
        name: value for file in (ROOT / "roles").glob("*/defaults/main.yml") for name, value in (_read(file) or {}).items()
    }


def _fallbacks() -> Iterator[tuple[str, str, Any]]:
    """Each ``name | default(literal)`` of the playbooks: file, name, value."""
    for file in FILES:
        for name, literal in OWN_DEFAULT.findall(file.read_text(encoding="utf-8")):
            if literal not in ("omit", "none"):
                yield str(file.relative_to(ROOT)), name, yaml.safe_load(literal)


def test_the_playbooks_assume_what_the_roles_default_to() -> None:
    """A plain default of a role; one that is computed is the role's own business and is not repeated as a literal."""
    shared = [(file, name, value) for file, name, value in _fallbacks() if name in _role_defaults()]
    assert {"consul_https", "kuutamod_python", "neard_user", "neard_rpc_addr"} <= {name for _file, name, _value in shared}
    computed = {name for name, value in _role_defaults().items() if "{{" in str(value)}
    wrong = [
        f"{file}: {name} defaults to {value!r}, and the role's is {_role_defaults()[name]!r}"
        for file, name, value in shared
        if name not in computed and value != "" and value != _role_defaults()[name]
    ]
    assert wrong == []


def test_an_option_has_one_default_in_all_playbooks() -> None:
    """One name, one meaning. An empty default only asks whether the option is given."""
    found: dict[str, set[str]] = {}
    for _file, name, value in _fallbacks():
        if not name.startswith("_") and value not in ("", [], {}):
            found.setdefault(name, set()).add(json.dumps(value))
    # Without `at` an upgrade waits for a window, and a handover, which is asked for by name, is now.
    assert {name: values for name, values in found.items() if len(values) > 1 and name != "at"} == {}


def _documented() -> dict[str, str]:
    """The table of the options of `upgrade`: option, default as it is written there."""
    rows = re.findall(r"^\| (`[a-z_`, ]+`) \|.*\| ([^|]+) \|$", DOCUMENT, re.MULTILINE)
    table: dict[str, str] = {}
    for names, values in rows:
        each = re.findall(r"`([a-z_]+)`", names)
        defaults = values.split(", ") if len(each) > 1 else [values]
        table.update(zip(each, defaults, strict=True))
    return table


def _expressions() -> dict[str, Any]:
    return {name: value for file in PLAYBOOKS.glob("vars/*.yml") for name, value in _read(file).items()}


def _template(expression: str, **given: Any) -> Any:
    """What Ansible makes of an expression of playbooks/vars when the operator has given only this."""
    from ansible.parsing.dataloader import DataLoader
    from ansible.template import Templar, trust_as_template

    trusted = {name: trust_as_template(value) for name, value in _expressions().items() if isinstance(value, str)}
    return Templar(loader=DataLoader(), variables={**trusted, **given}).template(trust_as_template(expression))


TIMES = {
    "settle_timeout": "{{ (__fleet_settle_looks | int) * 2 }}",
    "ready_timeout": "{{ (__fleet_ready_looks | int) * 2 }}",
    "upgrade_protocol_jump": "{{ __fleet_protocol_jump }}",
    "pause_between": "{{ __fleet_pause }}",
}


@pytest.mark.parametrize("option", sorted(TIMES))
def test_a_documented_number_is_the_one_that_applies(option: str) -> None:
    assert str(_template(TIMES[option])) == _documented()[option]
    assert str(_template(TIMES[option], **{option: "6"})) == "6"


def test_the_lock_outlives_the_longest_wait_between_two_renewals() -> None:
    lock = "{{ __fleet_lock_ttl }}"
    assert str(_template(lock)) == _documented()["maintenance_ttl"]
    assert str(_template(lock, maintenance_ttl=7200)) == "7200"
    least = 900 + 120 + 300  # a host that comes back, others that settle, and what lies between
    assert int(_template(lock, maintenance_ttl=60)) == 240 + 120 + least
    assert int(_template(lock, at="window")) == 3600 + 120 + least
    assert int(_template(lock, at="123456", handover_timeout=20000)) == 240 + 20000 + least
    assert int(_template(lock, window_wait=200000)) == 86400


def test_the_documented_time_for_a_handover_is_the_one_that_applies() -> None:
    usual, with_height = re.fullmatch(r"(\d+); (\d+) with a height", _documented()["handover_timeout"]).groups()  # type: ignore[union-attr]
    assert str(_template("{{ __fleet_handover_timeout }}")) == usual
    assert str(_template("{{ __fleet_handover_timeout }}", at="123456")) == with_height
    assert str(_template("{{ __fleet_handover_timeout }}", handover_timeout=7)) == "7"


def test_the_documented_wait_for_a_window_is_the_one_that_applies() -> None:
    usual, with_window = re.fullmatch(r"(\d+); (\d+) with `at=window`.*", _documented()["window_wait"]).groups()  # type: ignore[union-attr]
    assert str(_template("{{ __fleet_window_wait }}")) == usual
    assert str(_template("{{ __fleet_window_wait }}", at="window")) == with_window
    assert str(_template("{{ __fleet_window_wait }}", window_wait=5, at="window")) == "5"


def test_the_other_documented_defaults_are_those_that_apply() -> None:
    fallbacks = {name: value for _file, name, value in _fallbacks() if value not in ("", [], {})}
    assert _documented()["components"] == f"`{fallbacks['components']}`"
    assert _documented()["break_maintenance_lock"] == str(fallbacks["break_maintenance_lock"]).lower()
    assert f"After `deploy_wait` seconds ({fallbacks['deploy_wait']})" in DOCUMENT
    report = rules("_report")
    assert f"({report.SOON // 86400} days ahead)" in DOCUMENT.replace("\n", " ")
    assert f"clocks that\n  differ by more than {report.CLOCK} s" in DOCUMENT
    assert f"begin, {rules('_orders', 'module_utils').HANDOVER['timeout']['default']:g})" in DOCUMENT


def test_every_documented_option_is_one() -> None:
    """And no option of the table is missing in the playbooks."""
    text = "".join(file.read_text(encoding="utf-8") for file in FILES)
    missing = [name for name in _documented() if not re.search(rf"\b{name}\b", text)]
    assert _documented()
    assert missing == []


def _reach(play: Any) -> str:
    """A play with all tasks files that it reaches, as JSON."""
    seen: set[Path] = set()
    waiting = [json.dumps(play)]
    text = ""
    while waiting:
        text += (part := waiting.pop())
        files = {PLAYBOOKS / "tasks" / name for name in re.findall(r'"(?:tasks/)?([a-z_]+\.yml)"', part)}
        new = {file for file in files - seen if file.exists()}
        seen |= new
        waiting += [json.dumps(_read(file)) for file in new]
    return text


@pytest.mark.parametrize("file", sorted(PLAYBOOKS.glob("*.yml")), ids=lambda file: file.stem)
def test_each_play_loads_the_variables_that_its_tasks_use(file: Path) -> None:
    """A variable of playbooks/vars that is used far down and that nobody has loaded is missed when it is too late."""
    homes = {name: vars_file.name for vars_file in PLAYBOOKS.glob("vars/*.yml") for name in _read(vars_file)}
    missing = []
    for play in _read(file):
        loaded = {Path(name).name for name in play.get("vars_files", [])}
        text = _reach(play)
        # The variables of rolling.yml use one another lazily; a play that needs one of them needs not all of them.
        text += json.dumps([_read(PLAYBOOKS / "vars" / name) for name in loaded - {"rolling.yml"}])
        own = set(re.findall(r'"(__[a-z_]+)": ', text))
        used = set(re.findall(r"\b__[a-z_]+\b", text)) - own
        missing += [(play["name"], name, homes[name]) for name in sorted(used & homes.keys()) if homes[name] not in loaded]
    assert missing == []
