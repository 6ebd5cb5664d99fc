# SPDX-License-Identifier: Apache-2.0
"""Making and checking node homes: `neard init`, `neard localnet`, `neard validate-config`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from neard_standin.config import CONFIG_FILE, ConfigError, read_config, read_genesis
from neard_standin.control import set_behaviour
from neard_standin.files import write_object
from neard_standin.keys import KeyFile, generate_key_file, read_key_file, read_node_key
from neard_standin.ledger import DEFAULT_EPOCH_LENGTH, DEFAULT_PROTOCOL_VERSION, Ledger, Validator
from neard_standin.log import utc

DEFAULT_ACCOUNT = "test.near"
PUBLIC_CHAINS = ("mainnet", "testnet")
_STAKE = str(5 * 10**30)  # yoctoNEAR
_RPC_PORT = 3030
_NETWORK_PORT = 24567


class HomeError(Exception):
    """A home cannot be made as asked; the message says why."""


def _duration(milliseconds: int) -> dict[str, int]:
    return {"secs": milliseconds // 1000, "nanos": milliseconds % 1000 * 10**6}


def default_config(
    *, rpc_addr: str = f"0.0.0.0:{_RPC_PORT}", network_addr: str = f"0.0.0.0:{_NETWORK_PORT}", boot_nodes: str = ""
) -> dict[str, Any]:
    """The content of a fresh config.json, complete in every object that neard wants complete."""
    return {
        "genesis_file": "genesis.json",
        "genesis_records_file": None,
        "validator_key_file": "validator_key.json",
        "node_key_file": "node_key.json",
        "rpc": {
            "addr": rpc_addr,
            "prometheus_addr": None,
            "cors_allowed_origins": ["*"],
            "polling_config": {"polling_interval": _duration(200), "polling_timeout": _duration(10_000)},
            "limits_config": {"json_payload_max_size": 10 << 20},
            "enable_debug_rpc": False,
        },
        "telemetry": {"endpoints": []},
        "network": {
            "addr": network_addr,
            "boot_nodes": boot_nodes,
            "whitelist_nodes": "",
            "max_num_peers": 40,
            "handshake_timeout": _duration(20_000),
            "skip_sync_wait": True,
            "ban_window": _duration(10_800_000),
            "public_addrs": [],
        },
        "consensus": {
            "min_num_peers": 0,
            "min_block_production_delay": _duration(600),
            "max_block_production_delay": _duration(2000),
        },
        "tracked_shards_config": "AllShards",
        "archive": False,
        "log_summary_period": _duration(10_000),
        "store": {"max_open_files": 10_000, "load_mem_tries_for_tracked_shards": False},
        "state_sync_enabled": True,
        "gc_num_epochs_to_keep": 5,
        "expected_shutdown": None,
    }


def genesis_content(chain_id: str, validators: Sequence[KeyFile]) -> dict[str, Any]:
    """The content of a small genesis.json with these validators."""
    return {
        "protocol_version": DEFAULT_PROTOCOL_VERSION,
        "genesis_time": utc(time.time(), 9),
        "chain_id": chain_id,
        "genesis_height": 0,
        "epoch_length": DEFAULT_EPOCH_LENGTH,
        "validators": [
            {"account_id": key.account_id, "public_key": key.public_key, "amount": _STAKE} for key in validators
        ],
        "records": [],
    }


def _check_account(path: Path, account_id: str | None) -> None:
    if account_id is not None and (found := read_key_file(path).account_id) != account_id:
        raise HomeError(f"{path}: key of {found}, but --account-id {account_id} was asked for")


def _complete(home: Path, account_id: str | None) -> None:
    """Make the missing key files of an existing home; what is there is never overwritten."""
    config = read_config(home)
    genesis = read_genesis(home, config)
    node_key, validator_key = home / config.node_key_file, home / config.validator_key_file
    if not node_key.exists():
        generate_key_file(node_key, "node")
    if validator_key.exists():
        _check_account(validator_key, account_id)
    elif account_id is not None or genesis.chain_id not in PUBLIC_CHAINS:
        generate_key_file(validator_key, account_id or DEFAULT_ACCOUNT)


def init(
    home: Path,
    chain_id: str | None = None,
    account_id: str | None = None,
    boot_nodes: str = "",
    genesis: Path | None = None,
) -> None:
    """Make `home`, or complete it. HomeError, ConfigError, OSError or ValueError say what is wrong."""
    if chain_id == "":
        raise HomeError("--chain-id: must not be empty")
    home.mkdir(parents=True, exist_ok=True)
    if (home / CONFIG_FILE).exists():
        _complete(home, account_id)
        return
    chain = chain_id or f"test-chain-{int(time.time())}"
    validator_key = home / "validator_key.json"
    if validator_key.exists():
        _check_account(validator_key, account_id)
    elif account_id is not None or chain not in PUBLIC_CHAINS:
        generate_key_file(validator_key, account_id or DEFAULT_ACCOUNT)
    if not (home / "node_key.json").exists():
        generate_key_file(home / "node_key.json", "node")
    validators = [read_key_file(validator_key)] if validator_key.exists() else []
    if genesis is not None:
        (home / "genesis.json").write_bytes(genesis.read_bytes())
    elif not (home / "genesis.json").exists():
        write_object(home / "genesis.json", genesis_content(chain, validators))
    config = default_config(boot_nodes=boot_nodes)
    write_object(home / CONFIG_FILE, config)


def localnet(root: Path, validators: int, non_validators: int, prefix: str) -> tuple[Path, ...]:
    """Make the homes of a small network below `root`, and the ledger which its stand-ins share."""
    if validators < 1:
        raise HomeError(f"--validators: {validators}: at least one is needed")
    homes = [root / f"{prefix}{number}" for number in range(validators + non_validators)]
    for home in homes:
        if home.exists():
            raise HomeError(f"{home} exists; remove it first")
    keys = []
    for number, home in enumerate(homes):
        home.mkdir(parents=True)
        generate_key_file(home / "node_key.json", "node")
        if number < validators:
            keys.append(generate_key_file(home / "validator_key.json", f"{prefix}{number}"))
    genesis = genesis_content("localnet", keys)
    boot_nodes = f"{read_node_key(homes[0] / 'node_key.json').public_key}@127.0.0.1:{_NETWORK_PORT}"
    for number, home in enumerate(homes):
        write_object(home / "genesis.json", genesis)
        config = default_config(
            rpc_addr=f"0.0.0.0:{_RPC_PORT + number}",
            network_addr=f"0.0.0.0:{_NETWORK_PORT + number}",
            boot_nodes=boot_nodes if number else "",
        )
        write_object(home / CONFIG_FILE, config)
    ledger = Ledger.create(root / "ledger", validators=[Validator(key.account_id, key.public_key) for key in keys])
    for home in homes:
        set_behaviour(home, ledger=str(ledger.path.absolute()))
    return tuple(homes)


def validate(home: Path, release: tuple[int, int]) -> list[str]:
    """Every fault of configuration, genesis and keys of `home`; an empty list means that `neard run` would start."""
    try:
        config = read_config(home, release)
    except ConfigError as error:
        return [str(error)]
    faults = []
    try:
        read_genesis(home, config)
    except ConfigError as error:
        faults.append(str(error))
    validator_key = home / config.validator_key_file
    for path, read in ((home / config.node_key_file, read_node_key), (validator_key, read_key_file)):
        if path == validator_key and not path.exists():
            continue
        try:
            read(path)
        except (OSError, ValueError) as error:
            faults.append(str(error))
    return faults
