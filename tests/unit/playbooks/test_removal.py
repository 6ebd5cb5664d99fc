# SPDX-License-Identifier: Apache-2.0
"""A host on which add_node failed half-way can be removed: what was never installed need not be stopped."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from unit.playbooks.rig import ROOT
from unit.plays import Json, Run, play

UNITS = ["consul.service", "kuutamod.service"]
SYSTEMCTL = """#!/bin/sh
echo "$@" >>{folder}/asked
case "$1" in
show)
    for unit; do case "$unit" in *.service)
        state=not-found; test -f {folder}/$unit && state=loaded
        printf 'Id=%s\\nLoadState=%s\\nActiveState=active\\nUnitFileState=enabled\\n\\n' $unit $state;;
    esac; done;;
is-enabled) echo enabled;;
esac
"""


def stopping(name: str) -> list[Json]:
    """The tasks of a file that stop a unit for good."""
    tasks = yaml.safe_load((ROOT / f"playbooks/tasks/{name}.yml").read_text(encoding="utf-8"))
    return [task for task in tasks if task.get("ansible.builtin.systemd_service", {}).get("state") == "stopped"]


def leave(folder: Path, *installed: str) -> tuple[Run, str]:
    """Stop what is to be stopped on the host c, which has these units; the play's end, and what systemctl was asked."""
    (folder / "bin").mkdir()
    program = folder / "bin/systemctl"
    program.write_text(SYSTEMCTL.format(folder=folder), encoding="utf-8")
    program.chmod(0o755)
    for unit in installed:
        (folder / unit).touch()
    look = {"name": "Look", "kuutamo.near.node_info": {"units": UNITS}, "register": "__fleet_node"}
    tasks = [look, *stopping("leave_validators"), *stopping("leave_consul")]
    run = play(folder, tasks, {"c": {}}, programs=folder / "bin", __fleet_name="c")
    return run, (folder / "asked").read_text(encoding="utf-8")


def test_both_files_stop_a_unit() -> None:
    named = [
        task["ansible.builtin.systemd_service"]["name"] for task in stopping("leave_validators") + stopping("leave_consul")
    ]
    assert named == ["kuutamod.service", "consul.service"]


@pytest.mark.parametrize("installed", [[], ["consul.service"]])
def test_what_was_never_installed_is_not_stopped(tmp_path: Path, installed: list[str]) -> None:
    run, asked = leave(tmp_path, *installed)
    assert run.code == 0, run.out
    assert [unit for unit in UNITS if f"stop {unit}" in asked] == installed


def test_what_is_there_is_stopped_for_good(tmp_path: Path) -> None:
    run, asked = leave(tmp_path, *UNITS)
    assert run.code == 0, run.out
    assert all(f"{order} {unit}" in asked for order in ("stop", "disable") for unit in UNITS)
