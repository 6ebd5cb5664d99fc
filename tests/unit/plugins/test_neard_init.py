# SPDX-License-Identifier: Apache-2.0
"""neard_init, with the stand-in as a program: what is missing is made, what is there stays; no validator key."""

from __future__ import annotations

import hashlib
import json
import lzma
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from kuutamo_fleet.archives import zip_application
from neard_standin.home import genesis_content
from neard_standin.release import Release
from unit.plugins.neard_rig import NOBODY, open_to_all, run, script


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A neard, a home and a place for the key that the user may write to."""
    open_to_all(tmp_path)
    (tmp_path / "neard").write_bytes(zip_application(Release("2.11.0", 83, str(tmp_path / "chain"))))
    (tmp_path / "neard").chmod(0o755)
    (tmp_path / "home").mkdir()
    (tmp_path / "etc").mkdir()
    (tmp_path / "genesis").write_bytes(lzma.compress(json.dumps(genesis_content("testing", [])).encode()))
    return tmp_path


def init(place: Path, check: bool = False, **options: Any) -> dict[str, Any]:
    return run(
        "neard_init",
        check=check,
        **{
            "neard_bin": str(place / "neard"),
            "home": str(place / "home"),
            "node_key": str(place / "etc" / "node_key.json"),
            "user": NOBODY,
            "chain_id": "testing",
            "genesis": str(place / "genesis"),
            "genesis_sha256": hashlib.sha256((place / "genesis").read_bytes()).hexdigest(),
            **options,
        },
    )


def names(place: Path) -> list[str]:
    return sorted(str(path.relative_to(place)) for top in ("home", "etc") for path in (place / top).iterdir())


MADE = ["etc/node_key.json", "home/config.json", "home/genesis.json"]


def test_everything_is_made_but_a_validator_key(place: Path) -> None:
    planned = init(place, check=True)
    assert (planned["changed"], planned["node_public_key"], names(place)) == (True, None, [])
    found = init(place)
    assert found.get("msg") is None
    assert names(place) == MADE
    assert found["made"] == planned["made"] == sorted(str(place / name) for name in MADE)
    assert stat.S_IMODE((place / "etc/node_key.json").stat().st_mode) == 0o400
    key = json.loads((place / "etc/node_key.json").read_text())
    assert found["node_public_key"] == key["public_key"]
    assert key["secret_key"].removeprefix("ed25519:") not in json.dumps(found)
    assert (place / "home/genesis.json").read_bytes() == lzma.decompress((place / "genesis").read_bytes())
    again = init(place)
    assert (again["changed"], again["made"], again["node_public_key"]) == (False, [], key["public_key"])


@pytest.mark.parametrize("missing", MADE)
def test_only_what_is_missing_is_made(place: Path, missing: str) -> None:
    init(place)
    before = {name: (place / name).read_bytes() for name in MADE}
    (place / missing).unlink()
    assert init(place)["made"] == [str(place / missing)]
    after = {name: (place / name).read_bytes() for name in MADE}
    assert {name for name in MADE if after[name] != before[name]} <= {missing}
    assert names(place) == MADE


def test_a_link_is_there_too(place: Path) -> None:
    init(place)
    (place / "home/config.json").unlink()
    (place / "home/config.json").symlink_to("/nonexistent")
    assert init(place)["changed"] is False


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"genesis_sha256": "0" * 64}, f"but {'0' * 64} was expected"),
        ({"chain_id": "mainnet"}, "is the genesis of chain testing, but mainnet is wanted"),
        ({"user": "nosuchuser"}, "this host has no user nosuchuser"),
        ({"neard_bin": "/nonexistent"}, "/nonexistent can't be executed"),
    ],
)
def test_what_is_wrong_is_told_and_nothing_is_made(place: Path, options: dict[str, Any], told: str) -> None:
    found = init(place, **options)
    assert found["failed"] is True
    assert told in found["msg"]
    assert names(place) == []


def test_what_neard_says_is_told(place: Path) -> None:
    found = init(place, neard_bin=str(script(place / "broken", "echo no disk >&2; exit 1")))
    assert found["msg"].endswith("nothing was made. It says: no disk")
    assert names(place) == []


def test_a_genesis_of_another_chain_in_the_home_is_refused(place: Path) -> None:
    init(place)
    assert "is the genesis of chain testing, but mainnet is wanted" in init(place, chain_id="mainnet")["msg"]


def test_a_node_key_without_a_secret_is_refused(place: Path) -> None:
    (place / "etc/node_key.json").write_text('{"account_id": "node", "public_key": "ed25519:a"}')
    assert "secret_key is missing" in init(place)["msg"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_the_files_belong_to_neard_s_user(place: Path) -> None:
    init(place)
    assert {(place / name).owner() for name in MADE} == {NOBODY}
