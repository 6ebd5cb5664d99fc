# SPDX-License-Identifier: Apache-2.0
"""node_info: what it makes of systemd's words, and of a systemd that does not answer."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from unit.consul.answering import Answer as Said
from unit.consul.answering import answering
from unit.plugins.rig import module, run

BLOCKS = {
    "a.service": "LoadState=loaded\nActiveState=active\nSubState=running\nUnitFileState=enabled\nMainPID=7\nNRestarts=2\n",
    "b.service": "LoadState=not-found\nActiveState=inactive\nSubState=dead\nMainPID=0\nNRestarts=\n",
}


def test_units(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, block in BLOCKS.items():
        (tmp_path / name).write_text(block)
    systemctl = tmp_path / "systemctl"
    systemctl.write_text(
        "#!/bin/sh\nfirst=1\nfor word; do case $word in *.service) "
        f'[ $first ] || echo; first=; cat "{tmp_path}/$word";; esac; done\n'
    )
    systemctl.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    asked: dict[str, Any] = {"units": ["a.service", "b.service"], "certificates": [], "neard_dir": str(tmp_path)}
    assert run("node_info", **asked)["units"] == {
        "a.service": {
            "load": "loaded",
            "active": "active",
            "sub": "running",
            "enabled": "enabled",
            "main_pid": 7,
            "restarts": 2,
        },
        "b.service": {
            "load": "not-found",
            "active": "inactive",
            "sub": "dead",
            "enabled": "",
            "main_pid": 0,
            "restarts": 0,
        },
    }
    systemctl.write_text("#!/bin/sh\nexit 1\n")
    silent = {"load": "", "active": "", "sub": "", "enabled": "", "main_pid": 0, "restarts": 0}
    assert run("node_info", **asked)["units"] == {"a.service": silent, "b.service": silent}


STATES = [
    pytest.param({"neard_config": "new"}, {"neard_config": "old"}, ["neard_config"], id="changed"),
    pytest.param({"neard_config": "new"}, {"neard_config": "new"}, [], id="restarted"),
    pytest.param({"neard_config": "new"}, {}, [], id="started before it was written down"),
    pytest.param({"neard_config": "new", "unit": "2"}, {}, ["unit"], id="and something else has changed"),
    pytest.param({"unit": "2"}, {"keys": "k"}, ["keys", "unit"], id="fields that only one of them has"),
]


@pytest.mark.parametrize(("wanted", "running", "pending"), STATES)
def test_what_waits_for_a_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wanted: dict[str, str], running: dict[str, str], pending: list[str]
) -> None:
    systemctl = tmp_path / "systemctl"
    systemctl.write_text("#!/bin/sh\necho ActiveState=active\n")
    systemctl.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    for name, state in (("wanted", wanted), ("running", running)):
        (tmp_path / f"{name}.json").write_text(json.dumps({"kuutamod": "k1", **state}))
    place = str(tmp_path)
    looked = run("node_info", units=["kuutamod.service"], config_dir=place, run_dir=place, neard_dir=place, certificates=[])
    assert looked["pending"] == pending


ENDS = Said(200, json.dumps({"ExpirationTime": "2030-01-01T00:00:00Z"}))
SAID = [
    pytest.param([ENDS], 1893456000, "", id="at once"),
    pytest.param([Said(500, "No cluster leader"), ENDS], 1893456000, "", id="the second time"),
    pytest.param([Said(500), Said(503), ENDS], None, "Consul answers 503", id="not even then"),
    pytest.param([Said(500), Said(403)], None, "Consul does not know this token", id="and then no"),
    pytest.param([Said(403), ENDS], None, "Consul does not know this token", id="no"),
    pytest.param([Said(429), ENDS], None, "Consul answers 429", id="no answer to expect"),
]


@pytest.mark.parametrize(("said", "expires", "fault"), SAID)
def test_a_consul_that_cannot_answer_for_a_moment_is_asked_for_a_token_once_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: list[Said], expires: int | None, fault: str
) -> None:
    monkeypatch.setattr(module("node_info"), "AGAIN", 0.0)
    left, file = list(said), tmp_path / "token"
    file.write_text("0123456789\n")
    with answering(lambda _method, _path: left.pop(0)) as (url, asked):
        looked = run("node_info", consul_url=url, token_files=[str(file)], certificates=[], neard_dir=str(tmp_path))
    assert looked["tokens"] == [{"path": str(file), "expires": expires, "fault": fault}]
    assert set(asked.tokens) == {"0123456789"}
