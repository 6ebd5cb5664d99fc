# SPDX-License-Identifier: Apache-2.0
"""A node's config.json and genesis.json, read and validated as neard does (nearcore: config.rs, config_json.rs)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from neard_standin.files import read_object
from neard_standin.ledger import DEFAULT_EPOCH_LENGTH, DEFAULT_PROTOCOL_VERSION

CONFIG_FILE = "config.json"
LOG_CONFIG_FILE = "log_config.json"
_NEW_TRACKING = "tracked_shards_config"
_OLD_TRACKING = ("tracked_shards", "tracked_shadow_validator", "tracked_accounts", "tracked_shard_schedule")
# An object that is given must be complete: these fields have no default in neard.
_REQUIRED = {
    "rpc": ("addr", "cors_allowed_origins", "polling_config"),
    "network": ("addr", "boot_nodes", "handshake_timeout", "skip_sync_wait", "ban_window"),
}
_KNOWN = (
    "archive block_fetch_horizon block_header_fetch_horizon chain_id chunk_distribution_network cloud_archival_reader"
    " cloud_archival_writer cold_store consensus enable_early_prepare_transactions enable_multiline_logging epoch_sync"
    " expected_shutdown gc_blocks_limit gc_fork_clean_step gc_num_epochs_to_keep gc_step_period genesis_file"
    " genesis_records_file log_summary_period log_summary_style max_gas_burnt_view network node_key_file"
    " orphan_state_witness_max_size orphan_state_witness_pool_size produce_chunk_add_transactions_time_limit"
    " protocol_version_check_config_override resharding_config rpc save_latest_witnesses save_trie_changes"
    " save_tx_outcomes split_storage state_sync state_sync_enabled store telemetry tracked_accounts tracked_shards"
    " tracked_shards_config tracked_shadow_validator tracked_shard_schedule transaction_pool_size_limit"
    " trie_viewer_state_size_limit tx_routing_height_horizon validator_key_file version view_client_threads"
)
KNOWN_FIELDS = frozenset(_KNOWN.split())
_Value = TypeVar("_Value")


class ConfigError(ValueError):
    """config.json or genesis.json is unusable; the message lists every fault found."""


@dataclass(frozen=True)
class Address:
    """An IP address and a port to listen on."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def parse_address(text: str) -> Address:
    """The address in `ip:port`; ValueError when it is none."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65535:
        raise ValueError(f"{text!r}: expected IP:PORT")
    return Address(host.strip("[]"), int(port))


@dataclass(frozen=True)
class NodeConfig:
    """What the stand-in heeds of config.json. Times in seconds; None means switched off."""

    rpc_addr: Address | None = Address("0.0.0.0", 3030)  # noqa: S104 - neard's default
    network_addr: Address | None = Address("0.0.0.0", 24567)  # noqa: S104 - neard's default
    boot_nodes: str = ""
    store_path: str = "data"
    genesis_file: str = "genesis.json"
    validator_key_file: str = "validator_key.json"
    node_key_file: str = "node_key.json"
    all_shards: bool = False
    expected_shutdown: int | None = None
    max_block_production_delay: float = 2.0
    log_summary_period: float = 10.0
    unknown_fields: tuple[str, ...] = ()


@dataclass(frozen=True)
class Genesis:
    """What the stand-in heeds of genesis.json: the chain and its first validators (account, public key)."""

    chain_id: str
    epoch_length: int
    protocol_version: int
    validators: tuple[tuple[str, str], ...]


def _seconds(value: Any) -> float:
    return int(value["secs"]) + int(value["nanos"]) / 1e9


def _optional_address(text: Any) -> Address | None:
    if not isinstance(text, str):
        raise TypeError(f"{text!r}: expected a string")
    return parse_address(text) if text else None


def _height(value: Any) -> int | None:
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 0):
        raise TypeError(f"{value!r}: expected a height or null")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r}: expected a string")
    return value


class _Reader:
    """Collects the faults of one config.json instead of stopping at the first."""

    def __init__(self, path: Path, content: dict[str, Any]) -> None:
        self.path = path
        self.content = content
        self.faults: list[str] = []

    def fault(self, field: str, problem: object) -> None:
        self.faults.append(f"{self.path}: {field}: {problem}")

    def section(self, name: str) -> dict[str, Any]:
        section = self.content.get(name, {})
        if not isinstance(section, dict):
            self.fault(name, f"expected an object, found {type(section).__name__}")
            return {}
        if name in self.content:
            for field in _REQUIRED.get(name, ()):
                if field not in section:
                    self.fault(f"{name}.{field}", "missing field")
        return section

    def value(
        self, section: dict[str, Any], prefix: str, name: str, convert: Callable[[Any], _Value], default: _Value
    ) -> _Value:
        if name not in section:
            return default
        try:
            return convert(section[name])
        except (KeyError, TypeError, ValueError) as error:
            self.fault(f"{prefix}{name}", error)
            return default


def _check_semantics(reader: _Reader, release: tuple[int, int]) -> None:
    content = reader.content
    old = [name for name in _OLD_TRACKING if content.get(name)]
    if _NEW_TRACKING in content and old:
        reader.fault(_NEW_TRACKING, f"given together with the deprecated {', '.join(old)}; keep only one of them")
    if content.get("archive") is False and content.get("save_trie_changes") is False:
        reader.fault("save_trie_changes", "archive and save_trie_changes can't both be false")
    if content.get("gc_num_epochs_to_keep", 5) == 0:
        reader.fault("gc_num_epochs_to_keep", "should not be 0")
    sync = content.get("state_sync")
    if release >= (2, 13) and isinstance(sync, dict) and isinstance(sync.get("sync"), dict):
        reader.fault("state_sync.sync", "ExternalStorage is no longer supported; use Peers")


def read_config(home: Path, release: tuple[int, int] = (2, 11)) -> NodeConfig:
    """The config.json of `home`, validated as the given neard release does. ConfigError lists all faults."""
    path = home / CONFIG_FILE
    try:
        reader = _Reader(path, read_object(path))
    except (OSError, ValueError) as error:
        raise ConfigError(str(error)) from error
    default = NodeConfig()
    rpc: dict[str, Any] | None = {}
    if "rpc" in reader.content and reader.content["rpc"] is None:
        rpc = None
    else:
        rpc = reader.section("rpc")
    network, store, consensus = (reader.section(name) for name in ("network", "store", "consensus"))
    _check_semantics(reader, release)
    value, top = reader.value, reader.content
    config = NodeConfig(
        rpc_addr=None if rpc is None else value(rpc, "rpc.", "addr", _optional_address, default.rpc_addr),
        network_addr=value(network, "network.", "addr", _optional_address, default.network_addr),
        boot_nodes=value(network, "network.", "boot_nodes", _text, ""),
        store_path=value(store, "store.", "path", _text, default.store_path),
        genesis_file=value(top, "", "genesis_file", _text, default.genesis_file),
        validator_key_file=value(top, "", "validator_key_file", _text, default.validator_key_file),
        node_key_file=value(top, "", "node_key_file", _text, default.node_key_file),
        all_shards=top.get(_NEW_TRACKING) == "AllShards" or bool(top.get("tracked_shards")),
        expected_shutdown=value(top, "", "expected_shutdown", _height, None),
        max_block_production_delay=value(
            consensus, "consensus.", "max_block_production_delay", _seconds, default.max_block_production_delay
        ),
        log_summary_period=value(top, "", "log_summary_period", _seconds, default.log_summary_period),
        unknown_fields=tuple(sorted(top.keys() - KNOWN_FIELDS)),
    )
    minimum = value(consensus, "consensus.", "min_block_production_delay", _seconds, 0.0)
    if minimum > config.max_block_production_delay:
        reader.fault("consensus.min_block_production_delay", "greater than max_block_production_delay")
    if reader.faults:
        raise ConfigError("\n".join(reader.faults))
    return config


def read_log_config(home: Path) -> None:
    """Check the optional log_config.json of `home`; ConfigError when it is there and no JSON object."""
    try:
        read_object(home / LOG_CONFIG_FILE)
    except FileNotFoundError:
        return
    except (OSError, ValueError) as error:
        raise ConfigError(str(error)) from error


def read_genesis(home: Path, config: NodeConfig) -> Genesis:
    """The genesis which `config` names. ConfigError when it cannot be read or lacks a field."""
    path = home / config.genesis_file
    try:
        content = read_object(path)
        return Genesis(
            chain_id=_text(content["chain_id"]),
            epoch_length=int(content.get("epoch_length", DEFAULT_EPOCH_LENGTH)),
            protocol_version=int(content.get("protocol_version", DEFAULT_PROTOCOL_VERSION)),
            validators=tuple((seat["account_id"], seat["public_key"]) for seat in content.get("validators", ())),
        )
    except (KeyError, TypeError) as error:
        raise ConfigError(f"{path}: missing or malformed field: {error}") from error
    except (OSError, ValueError) as error:
        raise ConfigError(str(error)) from error


def override(
    config: NodeConfig, *, rpc_addr: str | None, network_addr: str | None, boot_nodes: str | None, disable_rpc: bool
) -> NodeConfig:
    """`config` with the flags of `neard run` applied; None and empty leave a field as it is.

    ValueError for a bad address.
    """
    if rpc_addr:
        config = replace(config, rpc_addr=parse_address(rpc_addr))
    if network_addr:
        config = replace(config, network_addr=parse_address(network_addr))
    if boot_nodes:
        config = replace(config, boot_nodes=boot_nodes)
    return replace(config, rpc_addr=None) if disable_rpc else config
