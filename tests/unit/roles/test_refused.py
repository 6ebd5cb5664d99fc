# SPDX-License-Identifier: Apache-2.0
"""What the roles refuse before they touch a host."""

from __future__ import annotations

from pathlib import Path

import pytest

from unit.plays import Json, include, play
from unit.roles.rig import facts

NEARD: Json = {"neard_version": "2.11.0", "neard_archive": "/neard", "neard_sha256": "0" * 64}
KUUTAMOD: Json = {"kuutamod_account_id": "fleet.near"}


@pytest.mark.parametrize(("distribution", "version"), [("Ubuntu", "24"), ("Debian", "11")])
def test_other_platforms(tmp_path: Path, distribution: str, version: str) -> None:
    found = facts(tmp_path, distribution=distribution, distribution_major_version=version, architecture="x86_64")
    tasks = [found]
    for role, entry, given in (("neard", "check", NEARD), ("kuutamod", "preconditions", KUUTAMOD)):
        tasks.append({**include(role, entry, **given), "when": f"inventory_hostname == '{role}'"})
    done = play(tmp_path, tasks, {"neard": {}, "kuutamod": {}})
    assert done.code != 0
    assert done.told(f"neard runs {distribution} {version} on x86_64; the neard role is made for Debian 12 and 13")
    assert done.told(f"kuutamod runs {distribution} {version}; this role is for Debian 12 and 13")


def test_too_few_open_files(tmp_path: Path) -> None:
    found = facts(tmp_path, distribution="Debian", distribution_major_version="13", architecture="x86_64")
    given = {**NEARD, **KUUTAMOD, "neard_account_id": "fleet.near", "neard_nofile": 1024, "kuutamod_limit_nofile": 65534}
    tasks = [found]
    for role, entry in (("neard", "check"), ("kuutamod", "preconditions")):
        tasks.append({**include(role, entry, **given), "when": f"inventory_hostname == '{role}'"})
    done = play(tmp_path, tasks, {"neard": {}, "kuutamod": {}})
    assert done.code != 0
    assert done.told("neard_nofile is 1024; neard does not start with less than 65535.")
    assert done.told("kuutamod_limit_nofile is 65534; neard does not start with less than 65535")


def test_nothing_is_downloaded_in_check_mode(tmp_path: Path) -> None:
    given = {
        "neard_source": "release",
        "neard_release_url": "http://127.0.0.1:9/neard.tar.gz",
        "neard_sha256": "0" * 64,
        "neard_download_dir": str(tmp_path / "none/cache"),
        "neard_install_dir": str(tmp_path / "opt"),
    }
    done = play(tmp_path, [include("neard", "bring", **given)], {"a": {}}, "--check")
    assert done.code == 0, done.out
    assert done.told("http://127.0.0.1:9/neard.tar.gz would be downloaded to")
    assert not (tmp_path / "none").exists()
