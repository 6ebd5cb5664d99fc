# SPDX-License-Identifier: Apache-2.0
"""A change of neard's config.json waits for a restart like any other, from the role neard to what deploy restarts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from unit.playbooks.rig import ROOT, node, rules, three
from unit.plays import Json, play

NEARD, KUUTAMOD = ROOT / "roles/neard", ROOT / "roles/kuutamod"
BOOT = ["ed25519:9fDV8dfBz7kxPKQpKJpKDEHyTjUA5cTgvD2GLNmRfNoa@203.0.113.1:24567"]
CHANGES: dict[str, Json] = {
    "plain": {},
    "extra": {"neard_config_extra": {"max_gas_burnt_view": 1}},
    "tries": {"neard_load_mem_tries": False},
    "boot": {"neard_boot_nodes": BOOT},
    "public": {"neard_public_ip": "203.0.113.7"},
    "absent": {"neard_config_absent": ["telemetry"]},
}


def _hash_task() -> Json:
    tasks = yaml.safe_load((NEARD / "tasks/config.yml").read_text(encoding="utf-8"))
    (found,) = [task for task in tasks if "neard_config_hash" in task.get("ansible.builtin.set_fact", {})]
    assert tasks[-1] == found  # nothing that may refuse comes after it
    return dict(found)


def hashes(folder: Path) -> dict[str, str]:
    """The hash on each host of ``CHANGES``, as one run of ansible-playbook makes it."""
    plain = yaml.safe_load((NEARD / "defaults/main.yml").read_text(encoding="utf-8"))
    own = {
        "kuutamod_account_id": "fleet.near",
        "__neard_current_id": "2.11.0-0123456789ab",
        "neard_node_public_key": "ed25519:abc",
    }
    tasks: list[Json] = [
        {"name": "Read", "ansible.builtin.include_vars": {"file": str(NEARD / "vars/main.yml")}},
        _hash_task(),
        {
            "name": "Write",
            "ansible.builtin.copy": {
                "content": "{{ neard_config_hash }}",
                "dest": f"{folder}/{{{{ inventory_hostname }}}}.hash",
                "mode": "0644",
            },
        },
    ]
    done = play(folder, tasks, {name: {**plain, **own, **change} for name, change in CHANGES.items()})
    assert done.code == 0, done.out
    return {name: (folder / f"{name}.hash").read_text() for name in CHANGES}


def test_each_change_of_config_json_is_another_hash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONHASHSEED", "1")
    found = hashes(tmp_path)
    # Ansible's filters on sets give another order in each process.
    monkeypatch.setenv("PYTHONHASHSEED", "2")
    assert hashes(tmp_path) == found
    assert {len(text) for text in found.values()} == {64}
    assert len(set(found.values())) == len(found)


def wanted(folder: Path, before: str | None = None, **facts: str) -> str:
    """What the role kuutamod writes down as wanted, where ``before`` was written down earlier."""
    templates = folder / "templates"
    templates.mkdir()
    (templates / "wanted.json.j2").write_text((KUUTAMOD / "templates/wanted.json.j2").read_text(encoding="utf-8"))
    for name in ("environment.j2", "kuutamod.service.j2"):
        (templates / name).write_text("content\n")
    texts = {} if before is None else {"/etc/kuutamod/wanted.json": before}
    content = "{{ lookup('ansible.builtin.template', 'wanted.json.j2') }}"
    task = {"name": "Write", "ansible.builtin.copy": {"content": content, "dest": str(folder / "wanted"), "mode": "0644"}}
    given: dict[str, Any] = {
        "__kuutamod_wanted_release": "k1",
        "__kuutamod_neard_bin": "/opt/neard/releases/n1/neard",
        "__kuutamod_public_keys": {"validator": "v"},
        "__kuutamod_wanted_file": "/etc/kuutamod/wanted.json",
        "__kuutamod_host": {"texts": texts},
        **facts,
    }
    done = play(folder, [task], {"a": {}}, **given)
    assert done.code == 0, done.out
    return (folder / "wanted").read_text()


def test_what_neard_is_given_is_written_down(tmp_path: Path) -> None:
    assert json.loads(wanted(tmp_path, '{"neard_config": "old"}', neard_config_hash="new"))["neard_config"] == "new"


def test_where_the_role_neard_did_not_run_it_stays_what_it_was(tmp_path: Path) -> None:
    assert json.loads(wanted(tmp_path, '{"neard_config": "old"}'))["neard_config"] == "old"


@pytest.mark.parametrize("before", [None, "{}"])
def test_a_neard_of_somebody_else_has_none(tmp_path: Path, before: str | None) -> None:
    text = wanted(tmp_path, before)
    assert sorted(json.loads(text)) == ["environment", "keys", "kuutamod", "neard", "unit"]
    assert text.startswith('{\n  "environment": ')  # as earlier releases of this collection wrote it


def test_the_second_run_writes_the_same(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    first = wanted(tmp_path / "one", neard_config_hash="new")
    assert wanted(tmp_path / "two", first, neard_config_hash="new") == first


STATES = [
    pytest.param({"neard_config": "new"}, {"neard_config": "old"}, ["neard_config"], id="changed"),
    pytest.param({"neard_config": "new"}, {"neard_config": "new"}, [], id="restarted"),
    pytest.param({"neard_config": "new"}, {}, [], id="started before it was written down"),
    pytest.param({"neard_config": "new", "unit": "2"}, {}, ["unit"], id="and something else has changed"),
]


@pytest.mark.parametrize(("next_start", "last_start", "pending"), STATES)
def test_the_role_tells_what_is_pending(tmp_path: Path, next_start: Json, last_start: Json, pending: list[str]) -> None:
    same = {"kuutamod": "k1", "unit": "1", "keys": {"validator": "v"}}
    for name, state in (("wanted", next_start), ("running", last_start)):
        (tmp_path / f"{name}.json").write_text(json.dumps({**same, **state}))
    tasks: list[Json] = [
        {"name": "See", "ansible.builtin.include_tasks": str(KUUTAMOD / "tasks/pending.yml")},
        {"name": "Judge", "ansible.builtin.assert": {"that": f"__kuutamod_pending == {pending!r}"}},
    ]
    files: dict[str, Any] = {f"__kuutamod_{name}_file": str(tmp_path / f"{name}.json") for name in ("wanted", "running")}
    done = play(tmp_path, tasks, {"a": {}}, **files)
    assert done.code == 0, done.out


def test_deploy_restarts_a_standby_for_it() -> None:
    rolling = rules("_rolling")
    nodes = {"a": node(pending=["neard_config"]), "b": node(pending=["neard_config"]), "c": node()}
    plan = rolling.plan(three(), nodes, {}, "abc")
    assert (plan.first, plan.last, plan.why["b"]) == (("b",), "a", ("neard_config has changed",))
