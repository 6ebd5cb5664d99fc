# SPDX-License-Identifier: Apache-2.0
"""While a neard that was started by hand signs, the role starts and restarts no kuutamod on any host."""

from __future__ import annotations

from pathlib import Path

import pytest

from unit.plays import Json, include, play
from unit.roles.rig import systemctl

HOSTS: dict[str, Json] = {"node0": {}, "node1": {}}


@pytest.mark.parametrize("state", ["active", "activating"])
@pytest.mark.parametrize("entry", ["emergency", "restart"])
def test_it_is_refused_by_the_names_of_the_hosts(tmp_path: Path, entry: str, state: str) -> None:
    programs = systemctl(tmp_path / "bin", f"ActiveState={state}")
    done = play(tmp_path, [include("kuutamod", entry)], HOSTS, programs=programs)
    assert done.code != 0
    assert done.told("neard-emergency.service runs on node0, node1: a neard that signs")
    assert done.told("systemctl stop neard-emergency.service")
    assert "restart" not in (programs / "log").read_text()


@pytest.mark.parametrize("state", ["inactive", "failed"])
def test_what_has_ended_is_no_hindrance(tmp_path: Path, state: str) -> None:
    programs = systemctl(tmp_path / "bin", f"ActiveState={state}")
    assert play(tmp_path, [include("kuutamod", "emergency")], HOSTS, programs=programs).code == 0
