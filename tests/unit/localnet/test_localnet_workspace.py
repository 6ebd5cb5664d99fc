# SPDX-License-Identifier: Apache-2.0
"""The directory of a localnet: one user at a time, cleared for the next run, other people's files left alone."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kuutamo_localnet.workspace import Workspace, WorkspaceError


def test_a_second_localnet_is_refused_and_told_who_runs(tmp_path: Path) -> None:
    directory = tmp_path / "localnet"
    with (
        Workspace(directory) as first,
        pytest.raises(WorkspaceError, match=rf"already runs in it \(pid {os.getpid()}\)"),
    ):
        (first.network / "node0").mkdir(parents=True)
        Workspace(directory).open()
    assert (first.network / "node0").exists()


def test_the_next_run_starts_with_a_clean_network(tmp_path: Path) -> None:
    with Workspace(tmp_path / "localnet") as workspace:
        workspace.network.mkdir()
        (workspace.network / "old").touch()
    with Workspace(tmp_path / "localnet") as workspace:
        assert not workspace.network.exists()


def test_a_directory_with_other_files_is_refused_untouched(tmp_path: Path) -> None:
    (tmp_path / "network").mkdir()
    precious = tmp_path / "network" / "thesis.txt"
    precious.touch()
    with pytest.raises(WorkspaceError, match="no localnet's; choose a new or empty directory"):
        Workspace(tmp_path).open()
    assert precious.exists()
    assert list(tmp_path.iterdir()) == [tmp_path / "network"]


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(WorkspaceError, match=r"file/localnet: cannot be used: Not a directory"):
        Workspace(tmp_path / "file" / "localnet").open()
