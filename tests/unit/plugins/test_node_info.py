# SPDX-License-Identifier: Apache-2.0
"""node_info: what it makes of systemd's words, and of a systemd that does not answer."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from unit.plugins.rig import run

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
