# SPDX-License-Identifier: Apache-2.0
"""host_info: all that it can look at, and what it says of what is not there."""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path

import pytest

from unit.plugins.neard_rig import ME
from unit.plugins.rig import module, run

NOTHING = {"exists": False, "kind": "", "owner": "", "group": "", "mode": "", "target": "", "sha256": ""}


def test_files(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("text\n")
    (tmp_path / "file").chmod(0o640)
    (tmp_path / "link").symlink_to("nowhere")
    (tmp_path / "a").mkdir()
    os.utime(tmp_path / "file", (1, 1))
    paths = {name: str(tmp_path / name) for name in ("file", "link", "a", "none")}
    found = run(
        "host_info",
        check=True,
        paths=[paths["link"], paths["a"], paths["none"], f"{paths['file']}/below"],
        digests=[paths["file"]],
        texts=[paths["file"], paths["none"]],
        globs=[f"{tmp_path}/[fa]*", f"{tmp_path}/none/*"],
    )
    assert found.told == (False, False)
    seen = found["paths"]
    assert {name: seen[paths[name]]["kind"] for name in paths} == {
        "file": "file",
        "link": "link",
        "a": "directory",
        "none": "",
    }
    assert (seen[paths["file"]]["mode"], seen[paths["file"]]["owner"]) == ("0640", ME)
    assert seen[paths["file"]]["sha256"] == hashlib.sha256(b"text\n").hexdigest()
    assert (seen[paths["link"]]["target"], seen[paths["link"]]["exists"]) == (f"{tmp_path}/nowhere", True)
    assert seen[paths["none"]] == seen[f"{paths['file']}/below"] == NOTHING
    assert found["texts"] == {paths["file"]: "text\n"}
    assert found["globs"] == {f"{tmp_path}/[fa]*": [paths["file"], paths["a"]], f"{tmp_path}/none/*": []}


def test_a_file_whose_digest_is_asked_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "program").write_text("v1")
    (tmp_path / "program").chmod(0o755)
    (tmp_path / "link").symlink_to("program")
    seen = run("host_info", digests=[str(tmp_path / "link")])["paths"][str(tmp_path / "link")]
    assert (seen["kind"], seen["mode"], seen["target"]) == ("file", "0755", str(tmp_path / "program"))
    assert seen["sha256"] == hashlib.sha256(b"v1").hexdigest()


def test_users_and_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shadow = tmp_path / "shadow"
    shadow.write_text("root:!:1:2\n")
    monkeypatch.setattr(module("host_info"), "_SHADOW", shadow)
    found = run("host_info", users=["root", "no-such-user"], groups=["root", "no-such-group"])
    assert list(found["users"]) == found["groups"] == ["root"]
    assert found["users"]["root"]["group"] == "root"
    assert found["users"]["root"]["locked"] is True
    shadow.write_text("root:$6$hash:1:2\n")
    assert run("host_info", users=["root"])["users"]["root"]["locked"] is False


def test_programs() -> None:
    asked = {"python": [sys.executable, "-c", "print(' 3 '); raise SystemExit(4)"], "none": ["/nonexistent/program"]}
    assert run("host_info", commands=asked)["commands"] == {"python": {"code": 4, "out": "3", "err": ""}}


def test_units(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    systemctl = tmp_path / "systemctl"
    systemctl.write_text(
        "#!/bin/sh\nprintf 'LoadState=loaded\\nActiveState=active\\nUnitFileState=enabled\\nFragmentPath=/etc/a\\n"
        "NeedDaemonReload=no\\n\\nLoadState=not-found\\nActiveState=inactive\\nNeedDaemonReload=no\\n'\n"
    )
    systemctl.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    found = run("host_info", units=["a.service", "b.service"])["units"]
    assert found["a.service"]["ActiveState"] == "active"
    assert found["a.service"]["FragmentPath"] == "/etc/a"
    assert found["b.service"]["LoadState"] == "not-found"
    assert found["b.service"]["UnitFileState"] == ""
    systemctl.write_text("#!/bin/sh\necho 'System has not been booted with systemd' >&2\nexit 1\n")
    refused = run("host_info", units=["a.service"])
    assert refused.told == (True, False)
    assert "not been booted with systemd" in refused["msg"]
