# SPDX-License-Identifier: Apache-2.0
"""The playbook rotate_validator_key: who is restarted in which order, what is recorded, where the operator's token goes."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from unit.playbooks.rig import ROOT
from unit.plays import Json, Run, play

OLD, NEW = "ed25519:old", "ed25519:new"
TOKEN = "6f0b7c1e-9d5a-4c37-8b21-5e4f3a2d1c0b"
PROGRAM = "/usr/local/bin/kuutamoctl"
ASKING = (
    "ansible.builtin.include_role",
    "ansible.builtin.import_tasks",
    "ansible.builtin.uri",
    "kuutamo.near.validator_info",
)
"""What the tasks ask of hosts, a neard and Consul; the tests say what they have answered."""

KUUTAMOCTL = """#!{python}
import json, os, pathlib, sys

here = pathlib.Path(__file__).parent
lines, process = [], os.getpid()
while process > 1:
    lines.append(pathlib.Path(f"/proc/{{process}}/cmdline").read_text())
    process = int(pathlib.Path(f"/proc/{{process}}/stat").read_text().rpartition(")")[2].split()[1])
call = {{"arguments": sys.argv[1:], "token": os.environ.get("KUUTAMO_CONSUL_TOKEN", ""), "lines": lines}}
with open(here / "calls", "a") as calls:
    print(json.dumps(call), file=calls)
recorded = here / "recorded"
if "--record" not in sys.argv:
    print("recorded:", recorded.read_text())
elif (here / "refused").exists():
    sys.exit("refused: as it must")
else:
    recorded.write_text(sys.argv[sys.argv.index("--record") + 1])
"""
"""It tells what it was given: its options, the token, and the command lines of all processes that led to it."""


def validators(key: str) -> list[Json]:
    """What a neard says of them."""
    return [{"account_id": "other.near", "public_key": "x"}, {"account_id": "pool.near", "public_key": key}]


@dataclass
class Fleet:
    """The hosts a, b and c with the keys that they run with, while the chain counts on the new one."""

    folder: Path
    keys: Mapping[str, str]
    holder: str
    eligible: Sequence[str] = ()
    recorded: str = "none"
    variables: Json = field(default_factory=dict)

    def rotate(self, *options: str) -> Run:
        """Run the playbook's own tasks, look and steps, on what the fleet is said to be."""
        tasks = self.folder / "tasks"
        tasks.mkdir()
        for path in (ROOT / "playbooks/tasks").glob("rotation_*.yml"):
            text = path.read_text(encoding="utf-8").replace(PROGRAM, str(self.folder / "kuutamoctl"))
            kept = [task for task in yaml.safe_load(text) if not set(ASKING) & set(task)]
            (tasks / path.name).write_text(json.dumps(kept), encoding="utf-8")
        note = {"argv": ["sh", "-c", 'echo "$1" >> "$2"', "sh", "{{ inventory_hostname }}", str(self.folder / "restarted")]}
        restart = [{"name": "Restart", "ansible.builtin.command": note}]
        (tasks / "rotation_host.yml").write_text(json.dumps(restart), encoding="utf-8")
        program = self.folder / "kuutamoctl"
        program.write_text(KUUTAMOCTL.format(python=sys.executable), encoding="utf-8")
        program.chmod(0o700)
        (self.folder / "recorded").write_text(self.recorded, encoding="utf-8")
        return play(
            self.folder,
            [
                {"name": "Look", "ansible.builtin.include_tasks": str(tasks / "rotation_look.yml")},
                {
                    "name": "Steps",
                    "ansible.builtin.include_tasks": str(tasks / "rotation_steps.yml"),
                    "when": "not ansible_check_mode and not __rotation_done",
                },
            ],
            {
                name: {
                    "__kuutamod_looked_key": {"public_keys": {"validator": NEW}, "found": key},
                    "__rotation_status": {"json": {"fingerprint": key}},
                    "__rotation_status_after": {"json": {"fingerprint": NEW}},
                }
                for name, key in self.keys.items()
            },
            *options,
            groups={"validators": list(self.keys)},
            **{
                **yaml.safe_load((ROOT / "playbooks/vars/rotation.yml").read_text(encoding="utf-8")),
                "__rotation_slice": 900,
                "__rotation_chain_answer": {"json": {"result": {"current_validators": validators(NEW)}}},
                "__fleet_control": "a",
                "__fleet_refused": {},
                "__fleet_seen": {
                    "holder": self.holder,
                    "verdict": f"{self.holder} holds the lock",
                    "members": [{"node": name, "eligible": name in self.eligible} for name in self.keys],
                },
                "kuutamod_account_id": "pool.near",
                "consul_operator_token": TOKEN,
                **self.variables,
            },
        )

    @property
    def calls(self) -> list[Any]:
        """What kuutamoctl was given, each time."""
        return [json.loads(line) for line in (self.folder / "calls").read_text(encoding="utf-8").splitlines()]

    @property
    def restarted(self) -> list[str]:
        """The hosts whose kuutamod was restarted, in that order."""
        path = self.folder / "restarted"
        return path.read_text(encoding="utf-8").split() if path.exists() else []


@pytest.fixture
def fresh(tmp_path: Path) -> Fleet:
    """Nothing has been done yet; a validates, both others could take over."""
    return Fleet(tmp_path, dict.fromkeys("abc", OLD), "a", ("b", "c"))


def test_the_token_goes_to_kuutamoctl_and_into_no_output_and_no_command_line(fresh: Fleet) -> None:
    done = fresh.rotate("-vvv", "--diff")
    assert done.code == 0, done.out
    assert TOKEN not in done.out
    assert "EXEC /bin/sh" in done.out
    assert [call["arguments"] for call in fresh.calls] == [
        ["key"],
        ["key", "--record", OLD],
        ["key", "--record", NEW, "--instead-of", OLD],
    ]
    assert [call["token"] for call in fresh.calls][1:] == [TOKEN, TOKEN]
    assert [line for call in fresh.calls for line in call["lines"] if TOKEN in line] == []
    assert fresh.restarted == ["b", "a", "c"]


def test_check_mode_asks_and_changes_nothing(fresh: Fleet) -> None:
    done = fresh.rotate("--check", "-vvv", "--diff")
    assert done.code == 0, done.out
    assert done.told("b gets the new key first, then it is recorded, then a is stopped and the others follow")
    assert ("changed=0" in done.out, TOKEN in done.out) == (True, False)
    assert [call["arguments"] for call in fresh.calls] == [["key"]]
    assert fresh.restarted == []


def test_what_kuutamoctl_says_when_it_refuses_is_told_and_the_token_is_not(fresh: Fleet) -> None:
    (fresh.folder / "refused").touch()
    done = fresh.rotate("-vvv", "--diff")
    assert done.code == 2, done.out
    assert done.told("refused: as it must")
    assert TOKEN not in done.out
    assert fresh.restarted == []


def test_it_goes_on_where_the_lock_has_moved_to_the_new_key_after_that_was_recorded(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path, {"a": OLD, "b": NEW, "c": OLD}, "b", recorded=NEW)
    done = fleet.rotate()
    assert done.code == 0, done.out
    assert done.told("b holds the lock with it already, and the others follow")
    # One after another; first comes the host that Ansible was done with first.
    assert sorted(fleet.restarted) == ["a", "c"]
    assert [call["arguments"] for call in fleet.calls] == [["key"], ["key", "--record", NEW, "--instead-of", OLD]]


@pytest.mark.parametrize(
    ("keys", "holder", "recorded"),
    [
        pytest.param({"a": OLD, "b": OLD, "c": OLD}, "a", "none", id="nobody could take over"),
        pytest.param({"a": OLD, "b": OLD, "c": OLD}, "a", NEW, id="nobody has the key that is recorded"),
        pytest.param({"a": OLD, "b": NEW, "c": OLD}, "b", OLD, id="the old key is recorded"),
        pytest.param({"a": OLD, "b": NEW, "c": OLD}, "", NEW, id="nobody validates"),
    ],
)
def test_nothing_is_done_without_a_holder_and_somebody_to_cover(
    tmp_path: Path, keys: Json, holder: str, recorded: str
) -> None:
    fleet = Fleet(tmp_path, keys, holder, recorded=recorded)
    done = fleet.rotate()
    assert (done.code, done.told("a holder and a standby that could take over are needed")) == (2, True), done.out
    assert fleet.restarted == []
    assert [call["arguments"] for call in fleet.calls] == [["key"]]
