# SPDX-License-Identifier: Apache-2.0
"""Every example in the modules' documentation, run by ansible-playbook as an operator would, on a real Consul."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from integration.written_fleet import WrittenFleet
from kuutamo_localnet.consul import ConsulServer
from unit.plays import HERE, ansible_playbook
from unit.plugins.obedient import Obedient
from unit.plugins.rig import address, module

ACCOUNT = "validator.pool.near"
"""The account in the examples; their nodes are host-a and so on."""
README = Path(__file__).parents[3] / "README.md"
MODULES = ["validator_info", "validator_handover", "validator_pause", "validator_drain", "validator_maintenance"]


def play(server: ConsulServer, tasks: list[dict[str, Any]], directory: Path, **defaults: str) -> str:
    """Run the tasks on host-a, with Consul's address and the `defaults` set once for the group; the output."""
    to = {**address(server.url), **defaults}
    book = [
        {
            "name": "Examples",
            "hosts": "host-a",
            "gather_facts": False,
            "module_defaults": {"group/kuutamo.near.kuutamo": to},
            "tasks": tasks,
        }
    ]
    (directory / "play.yml").write_text(yaml.safe_dump(book, sort_keys=False))
    (directory / "hosts.yml").write_text(yaml.safe_dump({"all": {"hosts": {"host-a": HERE}}}))
    done = ansible_playbook(directory, "-i", "hosts.yml", "--diff", "play.yml")
    assert done.code == 0, done.out
    return done.out


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_run(server: ConsulServer, name: str, tmp_path: Path) -> None:
    tasks = yaml.safe_load(module(name).EXAMPLES)
    if name == "validator_handover":
        # Its last example names who is to hand over, and its first one has moved the lock.
        tasks.insert(-1, {"name": "Back", "kuutamo.near.validator_handover": {"account_id": ACCOUNT, "target": "host-a"}})
    run(server, tasks, tmp_path)


def test_the_play_in_the_readme_runs(server: ConsulServer, tmp_path: Path) -> None:
    block = README.read_text(encoding="utf-8").partition("\n```yaml\n")[2].partition("\n```")[0]
    (written,) = yaml.safe_load(block)
    account = written["module_defaults"]["group/kuutamo.near.kuutamo"]["account_id"]
    told = run(server, written["tasks"], tmp_path, account_id=account)
    assert "ok=2" in told and "changed=1" in told


def run(server: ConsulServer, tasks: list[dict[str, Any]], tmp_path: Path, **defaults: str) -> str:
    """Run tasks on a fleet of three hosts whose holder is host-a and who do as they are asked; the output."""
    fleet = WrittenFleet(server.client(), ACCOUNT)
    able: dict[str, Any] = {"eligible": True, "promotion": "hot-swap", "latest_protocol": 84}
    fleet.join("host-a", promotion="hot-swap")
    fleet.join("host-b", **able)
    fleet.join("host-c", **able)
    fleet.hold("host-a", 7)
    fleet.join("host-a", state="Validating", phase="active", term_seen=7, promotion="hot-swap")
    try:
        with Obedient(fleet):
            told = play(server, tasks, tmp_path, **defaults)
    finally:
        fleet.end()
        server.client().call("DELETE", f"kv/kuutamod/{ACCOUNT}", params={"recurse": ""})
        server.client().call("DELETE", f"kv/kuutamod-leader/{ACCOUNT}")
    assert "failed=0" in told
    assert "[WARNING]: Deprecat" not in told
    return told
