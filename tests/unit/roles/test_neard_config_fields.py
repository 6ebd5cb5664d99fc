# SPDX-License-Identifier: Apache-2.0
"""The fields of config.json, by chain and by the version that reads them; no host and no network is needed for it."""

from __future__ import annotations

import json

import pytest
import yaml

from unit.collection.tracked import ROOT
from unit.plays import Json, play

ROLE = ROOT / "roles/neard"
BOOT = ["ed25519:9fDV8dfBz7kxPKQpKJpKDEHyTjUA5cTgvD2GLNmRfNoa@203.0.113.1:24567"]
TOLD = "{{ {'set': __neard_config_set, 'unset': __neard_config_unset, 'chain': neard_chain_id} | to_json }}"
HOSTS: dict[str, Json] = {
    "old": {"__neard_current_id": "2.6.5-0123456789ab"},
    "middle": {"__neard_current_id": "2.9.1-0123456789ab"},
    "mainnet": {
        "__neard_current_id": "2.11.0-0123456789ab",
        "neard_boot_nodes": BOOT,
        "neard_public_ip": "203.0.113.7",
        "neard_node_public_key": "ed25519:abc",
    },
    "testnet": {
        "__neard_current_id": "2.12.0-0123456789ab",
        "neard_chain": "testnet",
        "neard_epoch_sync_horizon_epochs": 4,
        "neard_data_dir": "/data",
        "neard_tracking": "keep",
    },
}


@pytest.fixture(scope="module")
def fields(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Json]:
    """What is set and what is removed on each host."""
    folder = tmp_path_factory.mktemp("fields")
    tasks = [
        {"name": "Read", "ansible.builtin.include_vars": {"file": str(ROLE / "vars/main.yml")}},
        {
            "name": "Write",
            "ansible.builtin.copy": {
                "content": TOLD,
                "dest": f"{folder}/{{{{ inventory_hostname }}}}.json",
                "mode": "0644",
            },
        },
    ]
    given = yaml.safe_load((ROLE / "defaults/main.yml").read_text(encoding="utf-8")) | {"kuutamod_account_id": "fleet.near"}
    done = play(folder, tasks, {name: {**given, **own} for name, own in HOSTS.items()})
    assert done.code == 0, done.out
    return {name: json.loads((folder / f"{name}.json").read_text()) for name in HOSTS}


def test_which_shards_are_tracked(fields: dict[str, Json]) -> None:
    assert fields["old"]["set"]["tracked_shadow_validator"] == "fleet.near"
    assert "tracked_shards_config" in fields["old"]["unset"]
    for name in ("middle", "mainnet"):
        assert fields[name]["set"]["tracked_shards_config"] == {"ShadowValidator": "fleet.near"}
        assert {"tracked_shadow_validator", "tracked_shards", "tracked_accounts"} <= set(fields[name]["unset"])
    kept = fields["testnet"]
    assert not [field for field in [*kept["set"], *kept["unset"]] if field.startswith("tracked_")]


def test_where_tier1_is_set(fields: dict[str, Json]) -> None:
    before, since = "network.experimental.tier1_enable_inbound", "network.tier1.enable_inbound"
    for name, here, there in (("middle", before, since), ("mainnet", since, before)):
        assert fields[name]["set"][here] is True
        assert there in fields[name]["unset"]


def test_what_a_public_network_needs(fields: dict[str, Json]) -> None:
    mainnet, testnet = fields["mainnet"], fields["testnet"]
    assert (mainnet["chain"], testnet["chain"]) == ("mainnet", "testnet")
    assert mainnet["set"]["network.boot_nodes"] == BOOT[0]
    assert mainnet["set"]["network.public_addrs"] == ["ed25519:abc@203.0.113.7:24568"]
    assert mainnet["set"]["state_sync.sync"] == "Peers"
    assert "epoch_sync.epoch_sync_horizon_num_epochs" not in mainnet["set"]
    assert testnet["set"]["epoch_sync.epoch_sync_horizon_num_epochs"] == 4
    assert testnet["set"]["store.path"] == "/data"
    assert "network.public_addrs" not in testnet["set"]
