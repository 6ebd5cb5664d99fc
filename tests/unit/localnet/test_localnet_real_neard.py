# SPDX-License-Identifier: Apache-2.0
"""Changing the homes that a neard makes: nothing but the few settings, one key for the fleet, no home that would sign."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from kuutamo_localnet.fleet_plan import NodeSite, installed
from kuutamo_localnet.ports import PortPool
from kuutamo_localnet.real_neard import HomeSettings, NeardError, adapt, lay_out, make_homes, settle
from neard_standin.config import read_config
from neard_standin.files import read_object
from neard_standin.home import validate
from neard_standin.keys import read_key_file, read_node_key

SITE = NodeSite(consul_urls=("http://127.0.0.1:8500",))
SETTINGS = HomeSettings("127.0.0.1:1", "127.0.0.1:2", "ed25519:boot@127.0.0.1:3", shadow="node3")


@pytest.fixture
def pool() -> Iterator[PortPool]:
    pool = PortPool()
    yield pool
    pool.close()


def test_only_the_named_settings_change() -> None:
    config = {
        "rpc": {"addr": "0.0.0.0:3030", "cors_allowed_origins": ["*"]},
        "network": {"addr": "0.0.0.0:24567", "boot_nodes": "", "skip_sync_wait": False},
        "consensus": {"min_num_peers": 3},
        "tracked_shards": [0],
    }
    plain = adapt(config, HomeSettings("127.0.0.1:1", "127.0.0.1:2", "boot"))
    assert plain == {
        **config,
        "rpc": {"addr": "127.0.0.1:1", "cors_allowed_origins": ["*"]},
        "network": {"addr": "127.0.0.1:2", "boot_nodes": "boot", "skip_sync_wait": False},
    }
    assert config["network"] == {"addr": "0.0.0.0:24567", "boot_nodes": "", "skip_sync_wait": False}


@pytest.mark.parametrize(
    "tracking",
    [
        {"tracked_shards": [0]},
        {"tracked_shadow_validator": "old.near", "tracked_accounts": ["a.near"]},
        {"tracked_shard_schedule": [[0]], "tracked_shards_config": "AllShards"},
        {},
    ],
)
def test_the_fleets_nodes_track_its_account_and_nothing_contradicts_it(tracking: dict[str, object]) -> None:
    config = {"rpc": {}, "network": {}, "archive": False, **tracking}
    changed = adapt(config, SETTINGS)
    assert {name: value for name, value in changed.items() if name.startswith("tracked")} == {
        "tracked_shards_config": {"ShadowValidator": "node3"}
    }
    assert changed["archive"] is False


@pytest.mark.parametrize("content", ["{", "[]", '{"rpc": null, "network": {}}', '{"rpc": {}}'])
def test_a_strange_configuration_is_named_and_left_as_it_is(content: str, tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(content)
    with pytest.raises(NeardError, match=str(path)):
        settle(tmp_path, SETTINGS)
    assert path.read_text() == content


def test_comments_of_neard_are_accepted(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{ // made by neard\n"rpc": {}, # x\n"network": {} }')
    settle(tmp_path, SETTINGS)
    assert json.loads((tmp_path / "config.json").read_text())["rpc"] == {"addr": "127.0.0.1:1"}


def test_a_network_is_laid_out_around_the_fourth_key(tmp_path: Path, pool: PortPool) -> None:
    layout = lay_out(installed("neard"), tmp_path, SITE, 3, pool)
    assert layout.account == "node3"
    assert read_key_file(layout.keys.validator_key).public_key == layout.keys.public_key
    assert [home.name for home, _rpc in layout.validators] == ["node0", "node1", "node2"]
    homes = [home for home, _rpc in layout.validators] + [plan.home for plan in layout.plans]
    # Exactly the plain validators have a key in their homes: no node of the fleet may sign by itself.
    assert [(home / "validator_key.json").exists() for home in homes] == [True] * 3 + [False] * 3
    accounts = [read_key_file(home / "validator_key.json").account_id for home in homes[:3]]
    assert accounts == ["node0", "node1", "node2"]
    boot = f"{read_node_key(homes[0] / 'node_key.json').public_key}@{read_config(homes[0]).network_addr}"
    assert [read_config(home).boot_nodes for home in homes] == ["", *[boot] * 5]
    addresses = [address for home in homes for address in (read_config(home).rpc_addr, read_config(home).network_addr)]
    assert len({str(address) for address in addresses}) == 12
    assert {address.host for address in addresses if address} == {"127.0.0.1"}
    for plan in layout.plans:
        assert read_object(plan.home / "config.json")["tracked_shards_config"] == {"ShadowValidator": "node3"}
        assert str(read_config(plan.home).rpc_addr) == f"127.0.0.1:{plan.rpc_port}"
        assert read_node_key(plan.voter_node_key).public_key
    for home in homes[:3]:
        assert validate(home, (2, 11)) == []


def test_a_fleet_of_one_needs_no_other_nodes(tmp_path: Path, pool: PortPool) -> None:
    assert [plan.name for plan in lay_out(installed("neard"), tmp_path, SITE, 1, pool).plans] == ["node0"]


@pytest.mark.parametrize(
    ("program", "message"),
    [
        ("#!/bin/sh\necho no such option >&2; exit 2\n", "`localnet` failed with exit code 2: no such option"),
        ("#!/bin/sh\nexit 0\n", "`localnet` made no home for node0, node1, node2, node3"),
        ("#!/no/interpreter\n", "cannot be run"),
    ],
)
def test_a_program_that_makes_no_homes_is_refused(program: str, message: str, tmp_path: Path) -> None:
    neard = tmp_path / "neard"
    neard.write_text(program)
    neard.chmod(0o755)
    with pytest.raises(NeardError, match=message):
        make_homes(neard, tmp_path / "homes", 1)
