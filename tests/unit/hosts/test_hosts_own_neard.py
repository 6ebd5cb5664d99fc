# SPDX-License-Identifier: Apache-2.0
"""A neard archive of the user's, here played by the stand-in's own."""

from __future__ import annotations

import json
import tarfile
from dataclasses import asdict
from pathlib import Path

import pytest

from kuutamo_fleet.archives import NEWER, neard_archive
from kuutamo_fleet.errors import FleetError
from kuutamo_fleet.own_neard import examine, make_genesis
from neard_standin.keys import new_key


def test_the_release_is_what_the_program_says(tmp_path: Path) -> None:
    archive = neard_archive(tmp_path, NEWER)
    assert examine(archive.path) == archive


def test_its_chain_validates_with_the_fleets_key_and_is_kept(tmp_path: Path) -> None:
    archive, key = neard_archive(tmp_path, NEWER), new_key("v.near")
    target = tmp_path / "genesis.json"
    make_genesis(archive.path, "v.near", asdict(key), target)
    content = json.loads(target.read_text())
    assert [(seat["account_id"], seat["public_key"]) for seat in content["validators"]] == [("v.near", key.public_key)]
    make_genesis(archive.path, "v.near", asdict(new_key("v.near")), target)
    assert json.loads(target.read_text()) == content


def test_what_is_no_archive_of_neard_is_refused(tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("hello")
    with pytest.raises(FleetError, match=f"--neard-archive {text}: not a readable tar archive"):
        examine(text)
    with pytest.raises(FleetError, match="not a readable tar archive"):
        examine(tmp_path / "missing.tar.gz")
    empty = tmp_path / "other.tar.gz"
    with tarfile.open(empty, "w:gz") as archive:
        archive.add(text, "other")
    with pytest.raises(FleetError, match="one file `neard` is expected in it, found 0"):
        examine(empty)
    liar = tmp_path / "liar.tar.gz"
    (tmp_path / "neard").write_text("#!/bin/sh\necho hello\n")
    with tarfile.open(liar, "w:gz") as archive:
        archive.add(tmp_path / "neard", "neard")
    with pytest.raises(FleetError, match="does not tell its release: 'hello'"):
        examine(liar)
