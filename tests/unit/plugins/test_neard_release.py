# SPDX-License-Identifier: Apache-2.0
"""neard_release: a file becomes a release only when it is the expected one, runs here and says so; and neard_prune."""

from __future__ import annotations

import hashlib
import json
import os
import struct
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest

from unit.plugins.neard_rig import NOBODY, neard, open_to_all, plugin, run

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="a program is not run as root, and another user needs root")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory for releases that any user may look into."""
    open_to_all(tmp_path)
    (tmp_path / "releases").mkdir(mode=0o755)
    return tmp_path


def pack(kind: str, program: Path, to: Path, name: str = "Linux-x86_64/neard") -> Path:
    if kind == "zip":
        with zipfile.ZipFile(to, "w") as archive:
            archive.write(program, name)
    elif kind == "program":
        to.write_bytes(program.read_bytes())
    else:
        mode: Any = f"w:{kind}"
        with tarfile.open(to, mode) as tar:
            tar.add(program, name)
    return to


def put(place: Path, file: Path, version: str = "2.11.0", check: bool = False, **options: Any) -> dict[str, Any]:
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    options = {"src": str(file), "sha256": sha256, "version": version, "user": NOBODY, **options}
    return run("neard_release", check=check, releases_dir=str(place / "releases"), **options)


@pytest.mark.parametrize("kind", ["gz", "xz", "bz2", "zip", "program"])
def test_every_kind_of_file_becomes_a_release(place: Path, kind: str) -> None:
    file = pack(kind, neard(place / "program"), place / "file")
    assert put(place, file, check=True)["changed"] is True
    assert not list((place / "releases").iterdir())
    found = put(place, file, origin="a test")
    assert found.get("msg") is None
    beginning = hashlib.sha256(file.read_bytes()).hexdigest()[:12]
    assert (found["changed"], found["id"]) == (True, f"2.11.0-{beginning}")
    program = Path(found["bin"])
    assert program.read_bytes() == (place / "program").read_bytes()
    assert program.stat().st_mode & 0o777 == 0o755
    record = json.loads((program.parent / "release.json").read_text())
    assert (record["origin"], record["version"]) == ("a test", "2.11.0")
    file.unlink()
    again = run(
        "neard_release", releases_dir=str(place / "releases"), sha256=record["sha256"], version="2.11.0", user=NOBODY
    )
    assert (again["changed"], again["said"]) == (False, "neard (release 2.11.0) (build 2.11.0) (commit abc)")


def elf(path: Path, machine: int) -> Path:
    path.write_bytes(b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HH", 2, machine) + bytes(100))
    return path


@pytest.mark.parametrize(
    ("make", "options", "told"),
    [
        (lambda at: neard(at, "2.10.0"), {}, "is neard 2.10.0, but 2.11.0 was expected"),
        (neard, {"sha256": "0" * 64}, f"but {'0' * 64} was expected"),
        (neard, {"sha256": "abc"}, "'abc' is not a SHA-256"),
        (neard, {"version": "../x"}, "'../x' is not a version"),
        (neard, {"user": "root"}, "a new program is not run as root"),
        (neard, {"user": "nosuchuser"}, "this host has no user nosuchuser"),
        (lambda at: elf(at, 8), {}, "it is made for another machine (ELF 8), this host is"),
        (lambda at: elf(at, 243), {}, "it is made for another machine (ELF 243), this host is"),
    ],
)
def test_what_is_not_fit_is_refused_and_leaves_nothing(place: Path, make: Any, options: dict[str, Any], told: str) -> None:
    found = put(place, make(place / "program"), **options)
    assert found["failed"] is True
    assert told in found["msg"]
    assert not list((place / "releases").iterdir())


def test_an_archive_has_just_one_neard(place: Path) -> None:
    program = neard(place / "program")
    assert "it has no files named neard" in put(place, pack("gz", program, place / "none", "bin/other"))["msg"]
    with zipfile.ZipFile(place / "two", "w") as archive:
        archive.write(program, "a/neard")
        archive.write(program, "b/neard")
    assert "it has 2 files named neard in it: a/neard, b/neard" in put(place, place / "two")["msg"]


def test_a_broken_archive_and_a_text_are_refused(place: Path) -> None:
    whole = pack("xz", neard(place / "program"), place / "file").read_bytes()
    (place / "half").write_bytes(whole[:90])
    (place / "text").write_text("<html>not found</html>")
    assert "it can't be unpacked" in put(place, place / "half")["msg"]
    assert "nor a program" in put(place, place / "text")["msg"]


def test_a_release_that_was_changed_is_refused(place: Path) -> None:
    file = pack("gz", neard(place / "program"), place / "file")
    program = Path(put(place, file)["bin"])
    with program.open("a") as text:
        text.write("# more\n")
    found = put(place, file)
    assert "was changed since it was put there" in found["msg"]
    (program.parent / "release.json").unlink()
    assert "is there, but not whole" in put(place, file)["msg"]


def test_a_program_for_the_same_machine_passes() -> None:
    plugin("module_utils._neard_archive").refuse_other_machine(Path(sys.executable).resolve(), os.uname().machine)


def test_prune_keeps_the_newest_the_current_the_used_and_the_protected(place: Path) -> None:
    releases = place / "releases"
    for number in range(7):
        (releases / f"2.{number}.0-0").mkdir()
    (place / "current").symlink_to(releases / "2.1.0-0")
    program = releases / "2.2.0-0" / "neard"
    program.symlink_to("/bin/sleep")
    for number in range(7):
        os.utime(releases / f"2.{number}.0-0", (number, number))
    options: dict[str, Any] = {
        "releases_dir": str(releases),
        "current": str(place / "current"),
        "keep": 2,
        "protect": ["2.3.0-0"],
        "named_in": [str(place / "environment"), str(place / "none")],
    }
    (place / "environment").write_text(f"KUUTAMO_NEARD_BIN='{releases}/2.0.0-0/neard'\n")
    running = subprocess.Popen([program, "60"])
    try:
        planned = run("neard_prune", check=True, **options)
        assert len(list(releases.iterdir())) == 7
        found = run("neard_prune", **options)
    finally:
        running.kill()
        running.wait()
    assert planned["removed"] == found["removed"] == ["2.4.0-0"]
    assert found["kept"] == {
        "2.0.0-0": "kuutamod starts it",
        "2.1.0-0": "it is the current one",
        "2.2.0-0": "a process uses it",
        "2.3.0-0": "it is protected",
        "2.5.0-0": "it is one of the newest",
        "2.6.0-0": "it is one of the newest",
    }
    assert run("neard_prune", **options)["removed"] == ["2.2.0-0"]
    assert run("neard_prune", **options)["changed"] is False
