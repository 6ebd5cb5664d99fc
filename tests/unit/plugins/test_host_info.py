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


PROCESSES = {
    # pid: executable, command line, control group below that of the first process
    1: ("/usr/lib/systemd/systemd", ["/sbin/init"], "/init.scope"),
    2: (None, [], "/"),
    10: ("/opt/neard/releases/x/neard", ["/opt/neard/releases/x/neard", "run"], "/system.slice/kuutamod.service/neard"),
    11: ("/usr/bin/python3.13", ["/usr/bin/python3", "/opt/standin/neard", "run"], "/system.slice/other.service"),
    12: ("/home/a/neard (deleted)", ["nrd", "--home", "/home/a/.near", "run"], "/user.slice/user-7.slice/session-3.scope"),
    13: (
        "/usr/bin/node",
        ["neard", "run"],
        "/user.slice/user-7.slice/user@7.service/app.slice/kuutamod.service",
    ),
    14: ("/usr/bin/vim", ["vim", "neard"], "/user.slice/user-7.slice/session-3.scope"),
    15: ("/usr/bin/bash", ["bash", "/usr/local/bin/neard-backup"], "/system.slice/cron.service"),
    16: (None, ["/usr/sbin/neard"], "/system.slice/docker-1.scope"),
}


def proc(root: Path, prefix: str = "") -> Path:
    for pid, (program, words, group) in PROCESSES.items():
        folder = root / str(pid)
        folder.mkdir(parents=True)
        if program is not None:
            (folder / "exe").symlink_to(program)
        (folder / "cmdline").write_bytes(b"".join(word.encode() + b"\0" for word in words))
        (folder / "cgroup").write_text(f"0::{prefix}{group}\n")
    (root / "self").mkdir()
    return root


@pytest.mark.parametrize("prefix", ["", "/machine.slice/libpod-1.scope"])
def test_processes_are_told_with_their_units(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prefix: str) -> None:
    monkeypatch.setattr(module("host_info"), "_PROC", proc(tmp_path, prefix))
    found = {each["pid"]: (each["unit"], each["command"]) for each in run("host_info", programs=["neard"])["processes"]}
    assert found == {
        10: ("kuutamod.service", "/opt/neard/releases/x/neard run"),
        11: ("other.service", "/usr/bin/python3 /opt/standin/neard run"),
        12: ("session-3.scope", "nrd --home /home/a/.near run"),
        13: ("user@7.service/kuutamod.service", "neard run"),
        16: ("docker-1.scope", "/usr/sbin/neard"),
    }


def test_a_process_that_ends_meanwhile_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = proc(tmp_path)
    (root / "10" / "cgroup").unlink()
    (root / "17").mkdir()
    monkeypatch.setattr(module("host_info"), "_PROC", root)
    assert {each["pid"] for each in run("host_info", programs=["neard"])["processes"]} == {11, 12, 13, 16}


def test_no_processes_are_looked_at_unless_asked_for() -> None:
    assert run("host_info")["processes"] == []
