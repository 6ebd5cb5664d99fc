# SPDX-License-Identifier: Apache-2.0
"""The file that describes kuutamod to the Consul agent, in a directory of this test."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from unit.plays import Json, Run, include, play
from unit.roles.rig import systemctl

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")


class Described:
    """A host's directory, and the runs of that part of the role."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.directory = folder / "consul.d"
        self.directory.mkdir()
        self.file = self.directory / "kuutamod.json"
        self.unread = folder / "unread"
        self.programs = systemctl(folder / "programs", "")
        self.told = self.programs / "log"

    def run(self, *arguments: str) -> Run:
        """With the look that the role has taken before."""
        looked = {
            "paths": {
                str(self.directory): {"kind": "directory", "group": "root"},
                str(self.unread): {"exists": self.unread.exists()},
            },
            "texts": {str(self.file): self.file.read_text()} if self.file.exists() else {},
        }
        given: Json = {
            "kuutamod_account_id": "node.near",
            "kuutamod_node_id": "a",
            "kuutamod_consul_config_dir": str(self.directory),
            "__kuutamod_unread": str(self.unread),
            "__kuutamod_host": looked,
        }
        tasks = [include("kuutamod", "consul_service")]
        return play(self.folder, tasks, {"a": {}}, *arguments, extra=given, programs=self.programs)


@pytest.fixture
def described(tmp_path: Path) -> Described:
    made = Described(tmp_path)
    done = made.run()
    assert (done.code, made.unread.exists()) == (0, False), done.out
    assert made.told.read_text() == "kill --signal=HUP --kill-whom=main consul.service\n"
    made.told.unlink()
    return made


def test_what_is_as_it_should_be_is_left_alone(described: Described) -> None:
    before = described.file.stat()
    done = described.run()
    assert done.code == 0 and "changed=0" in done.out, done.out
    assert (described.file.stat().st_ctime_ns, described.told.exists()) == (before.st_ctime_ns, False)


def test_a_file_that_was_given_away_is_taken_back(described: Described) -> None:
    """As Consul's package does it with all that is in its directory."""
    shutil.chown(described.file, "nobody", "nogroup")
    described.file.chmod(0o666)
    for arguments in (("--check",), ()):
        done = described.run(*arguments)
        assert done.code == 0 and "changed=0" not in done.out, done.out
    found = described.file.stat()
    assert (found.st_uid, found.st_gid, found.st_mode & 0o777) == (0, 0, 0o640)
    assert not described.unread.exists()
