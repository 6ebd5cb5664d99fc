# SPDX-License-Identifier: Apache-2.0
"""tasks/activate.yml: which releases the next start of a host takes."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from unit.playbooks.rig import ROOT
from unit.plays import Json, play

(RELEASE,) = (
    task["vars"]["kuutamod_release"]
    for task in yaml.safe_load((ROOT / "playbooks/tasks/activate.yml").read_text(encoding="utf-8"))
    if task["name"] == "Activate kuutamod"
)


@pytest.mark.parametrize(
    ("wanted", "running", "takes"),
    [
        ("0.3.0", {"kuutamod": "0.1.0"}, "0.3.0"),
        ("", {"kuutamod": "0.1.0"}, "0.1.0"),  # neard alone is upgraded
        ("", None, "0.2.0"),  # on a host whose kuutamod is stopped
    ],
)
def test_the_release_of_kuutamod(tmp_path: Path, wanted: str, running: Json | None, takes: str) -> None:
    node = {"running": running, "kuutamod": {"current": "0.2.0"}}
    tell = {"name": "Tell", "ansible.builtin.debug": {"msg": f"takes {RELEASE}"}}
    done = play(tmp_path, [tell], {"a": {}}, __fleet_node=node, __fleet_targets={"a": {"kuutamod": wanted, "neard": "2"}})
    assert done.told(f"takes {takes}"), done.out
