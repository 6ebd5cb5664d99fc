# SPDX-License-Identifier: Apache-2.0
"""The keys of a fleet are judged across its hosts, and before any of them is written."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from neard_standin.keys import generate_key_file, generate_node_key
from unit.plays import Json, Run, include, play
from unit.roles.rig import systemctl

ACCOUNT = "fleet.near"
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="keys are kept as root")


def keys(folder: Path, name: str) -> tuple[Json, Json]:
    """A validator key and a node key."""
    generate_key_file(folder / f"{name}.json", ACCOUNT)
    generate_node_key(folder / f"{name}-node.json")
    return json.loads((folder / f"{name}.json").read_text()), json.loads((folder / f"{name}-node.json").read_text())


def run(folder: Path, hosts: dict[str, Json]) -> Run:
    """The entry point's tasks up to where keys would be kept, in check mode: nothing may be written here."""
    programs = systemctl(folder / "bin", "")
    looked: Json = {"paths": {}, "texts": {}, "units": {}, "commands": {}}
    given = {
        name: {
            "kuutamod_account_id": ACCOUNT,
            "kuutamod_neard_home": str(folder / name),
            "kuutamod_voter_node_key_file": str(folder / f"{name}-voter.json"),
            "kuutamod_key_delivery": "plain_file",
            "kuutamod_group": "root",
            "__kuutamod_host": looked,
            "__kuutamod_plain_dir": str(folder / "plain"),
            "__kuutamod_sealed_dir": str(folder / "sealed"),
            **each,
        }
        for name, each in hosts.items()
    }
    return play(folder, [include("kuutamod", "keys")], given, "--check", programs=programs)


def test_keys_that_are_missing_are_named(tmp_path: Path) -> None:
    done = run(tmp_path, {"a": {"kuutamod_validator_key": {"secret_key": "ed25519:shown"}}, "b": {}})
    assert done.code != 0
    assert done.told("a: kuutamod_validator_node_key not set: give it the content of the key file")
    assert done.told("b: kuutamod_validator_key, kuutamod_validator_node_key not set")
    assert not done.told("ed25519:shown")
    assert not done.told("censored")


@pytest.mark.parametrize(
    ("key", "node", "told"),
    [
        (True, False, "the hosts' validator keys are not all the same"),
        (False, True, "the hosts' validator node keys are not all the same"),
    ],
)
def test_hosts_of_one_fleet_have_the_same_keys(tmp_path: Path, key: bool, node: bool, told: str) -> None:
    one, other = keys(tmp_path, "one"), keys(tmp_path, "other")
    hosts = {
        "a": {"kuutamod_validator_key": one[0], "kuutamod_validator_node_key": one[1]},
        "b": {
            "kuutamod_validator_key": (other if key else one)[0],
            "kuutamod_validator_node_key": (other if node else one)[1],
        },
    }
    done = run(tmp_path, hosts)
    assert done.code != 0
    assert done.told(told)
    which = 0 if key else 1
    assert done.told(f'"a": "{one[which]["public_key"]}", "b": "{other[which]["public_key"]}"')
    assert not done.told(one[0]["secret_key"])


def test_the_validator_s_node_key_is_no_host_s_own(tmp_path: Path) -> None:
    key, node = keys(tmp_path, "one")
    (tmp_path / "b-voter.json").write_text(json.dumps(node))
    hosts = {name: {"kuutamod_validator_key": key, "kuutamod_validator_node_key": node} for name in ("a", "b")}
    (tmp_path / "b-voter.json").chmod(0o600)
    done = run(tmp_path, hosts)
    assert done.code != 0
    assert done.told(f"({node['public_key']})")
    assert done.told("two hosts would run as one peer")
