# SPDX-License-Identifier: Apache-2.0
"""config.json and genesis.json as neard reads them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from neard_standin.config import (
    Address,
    ConfigError,
    NodeConfig,
    override,
    parse_address,
    read_config,
    read_genesis,
    read_log_config,
)
from neard_standin.home import default_config


def _write(home: Path, **changes: Any) -> Path:
    (home / "config.json").write_text(json.dumps({**default_config(), **changes}))
    return home


def test_empty_object_means_neards_defaults(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    assert read_config(tmp_path) == NodeConfig()


def test_generated_config_has_no_unknown_fields(tmp_path: Path) -> None:
    config = read_config(_write(tmp_path))
    assert config.unknown_fields == ()
    assert config.all_shards


def test_rpc_null_and_empty_network_address_switch_off(tmp_path: Path) -> None:
    network = {**default_config()["network"], "addr": ""}
    config = read_config(_write(tmp_path, rpc=None, network=network))
    assert config.rpc_addr is None
    assert config.network_addr is None


def test_all_faults_are_listed_at_once(tmp_path: Path) -> None:
    home = _write(tmp_path, rpc={"addr": "nowhere"}, expected_shutdown="soon", gc_num_epochs_to_keep=0)
    with pytest.raises(ConfigError) as raised:
        read_config(home)
    text = str(raised.value)
    for fault in ("rpc.addr", "rpc.polling_config: missing", "expected_shutdown: 'soon'", "gc_num_epochs_to_keep"):
        assert fault in text


@pytest.mark.parametrize("old", ["tracked_shards", "tracked_accounts"])
def test_old_and_new_tracking_exclude_each_other(tmp_path: Path, old: str) -> None:
    with pytest.raises(ConfigError, match=old):
        read_config(_write(tmp_path, tracked_shards_config="NoShards", **{old: [0]}))


def test_external_storage_is_refused_by_newer_releases_only(tmp_path: Path) -> None:
    home = _write(tmp_path, state_sync={"sync": {"ExternalStorage": {}}})
    read_config(home, (2, 12))
    with pytest.raises(ConfigError, match="ExternalStorage"):
        read_config(home, (2, 13))


def test_delays_must_be_in_order(tmp_path: Path) -> None:
    consensus = {
        "min_block_production_delay": {"secs": 3, "nanos": 0},
        "max_block_production_delay": {"secs": 2, "nanos": 0},
    }
    with pytest.raises(ConfigError, match="min_block_production_delay"):
        read_config(_write(tmp_path, consensus=consensus))


def test_flags_override_the_file() -> None:
    config = override(
        NodeConfig(), rpc_addr="127.0.0.1:1", network_addr="[::1]:2", boot_nodes="ed25519:x@h:3", disable_rpc=False
    )
    assert (config.rpc_addr, config.network_addr) == (Address("127.0.0.1", 1), Address("::1", 2))
    assert config.boot_nodes == "ed25519:x@h:3"
    empty = override(config, rpc_addr=None, network_addr=None, boot_nodes="", disable_rpc=True)
    assert empty.boot_nodes == "ed25519:x@h:3"
    assert empty.rpc_addr is None


@pytest.mark.parametrize("text", ["", "host", "host:", "host:x", "host:70000"])
def test_bad_addresses_are_quoted(text: str) -> None:
    with pytest.raises(ValueError, match="expected IP:PORT"):
        parse_address(text)


def test_genesis_without_chain_id_is_refused(tmp_path: Path) -> None:
    (tmp_path / "genesis.json").write_text("{}")
    with pytest.raises(ConfigError, match="chain_id"):
        read_genesis(tmp_path, NodeConfig())


def test_log_config_is_optional_but_must_be_json(tmp_path: Path) -> None:
    read_log_config(tmp_path)
    (tmp_path / "log_config.json").write_text("{")
    with pytest.raises(ConfigError, match=r"log_config\.json"):
        read_log_config(tmp_path)
