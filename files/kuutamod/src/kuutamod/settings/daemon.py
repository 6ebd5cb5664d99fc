# SPDX-License-Identifier: Apache-2.0
"""kuutamod's settings as a whole: read from everywhere, checked together, before anything is started."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from importlib.metadata import version
from pathlib import Path

from ..address import Address
from ..clock import BootClock
from ..consul.settings import ConsulSettings
from ..core.lease import LeaseLaw
from ..core.model import Policy, Promotion
from ..log import Format, Level
from ..neard.config import NeardConfig, shadow_tracking
from ..neard.keys import NodeKeys
from .consul import read_consul
from .faults import ConfigFaults, Fault, Subject
from .fields import GROUPS, LEASE, SETTINGS
from .hooks import read_hook_dir
from .neard import (
    NO_KEYS,
    check_addresses,
    read_binary,
    read_boot_nodes,
    read_home,
    read_keys,
    read_neard_config,
)
from .reading import Reader
from .sources import (
    Parser,
    UsageError,
    add_options,
    complete,
    flags_of,
    resolve,
    strange_variables,
    surplus,
)

_LAW_FIELDS = {setting.name.replace("-", "_"): setting for setting in LEASE.settings}
_LAW_NAMES = re.compile(rf"\b({'|'.join(_LAW_FIELDS)})\b")
_ANY_ZERO = frozenset(
    {"scheduling-slack", "hold-off", "patience", "neard-stop-grace", "settle-time", "rank-step", "successor-patience"}
)
_NO_RPC = Address("127.0.0.1", 3030)


@dataclass(frozen=True)
class Settings:
    """Everything kuutamod is told, checked. Paths are absolute; ``rpc_addr`` and ``store`` come from config.json.

    ``exporter_address`` and ``rpc_addr`` unpack to host and port; the network addresses are texts as neard takes them.
    ``store`` is the database's directory, with ``LOCK`` in it. ``hand_back``: release what is left, instead of
    supervising. ``warnings`` are for the log.
    """

    node_id: str
    account_id: str
    consul: ConsulSettings
    exporter_address: Address
    validator_key: Path
    validator_node_key: Path
    voter_node_key: Path
    validator_network_addr: str
    voter_network_addr: str
    neard_home: Path
    neard_bin: Path
    boot_nodes: str | None
    policy: Policy
    keys: NodeKeys
    rpc_addr: Address
    store: Path
    cgroup: str
    log_format: Format
    log_level: Level
    hook_dir: Path | None
    hook_deadline: float
    hand_back: bool
    warnings: tuple[str, ...]


def load(argv: Sequence[str], env: Mapping[str, str]) -> Settings:
    """The settings from arguments (without the program's name) and environment.

    :raises ConfigFaults: with all faults at once. :raises SystemExit: after ``--help`` or ``--version``.
    """
    given, faults = _parse(argv)
    settings, read = examine(given, env, os.geteuid())
    if faults or read.faults:
        raise ConfigFaults((*faults, *read.faults))
    return settings


def examine(given: Mapping[str, object], env: Mapping[str, str], uid: int) -> tuple[Settings, Reader]:
    """The settings and what is wrong with them, which is in the Reader; what is wrong has something harmless in its place.

    ``given``: options, named as argparse names them. ``uid``: the user as whom kuutamod runs.
    """
    read = Reader(resolve(SETTINGS, given, env))
    read.warnings.extend(strange_variables(env))
    _check_clock(read.faults)
    node_id, account_id = read.name("node-id"), read.name("account-id")
    consul = read_consul(read)
    home = read_home(read)
    config = read_neard_config(read, home)
    hand_back = bool(given.get("hand_back"))
    # What hands back signs nothing; and systemd gives no credentials to ExecStopPost.
    (validator_key, validator_node_key, voter_node_key), keys = (
        NO_KEYS if hand_back else read_keys(read, home, account_id, env)
    )
    listeners = {name: read.address(name) for name in ("exporter-address", "validator-network-addr", "voter-network-addr")}
    check_addresses(read, listeners, config)
    hook_dir = read_hook_dir(read, uid)
    settings = Settings(
        node_id=node_id,
        account_id=account_id,
        consul=consul,
        exporter_address=listeners["exporter-address"],
        validator_key=validator_key,
        validator_node_key=validator_node_key,
        voter_node_key=voter_node_key,
        validator_network_addr=str(listeners["validator-network-addr"]),
        voter_network_addr=str(listeners["voter-network-addr"]),
        neard_home=home,
        neard_bin=read_binary(read, env),
        boot_nodes=read_boot_nodes(read),
        policy=_policy(read, config, keys.validator.account_id, pre_promote=hook_dir is not None),
        keys=keys,
        rpc_addr=config.rpc_addr if config else _NO_RPC,
        store=config.store if config else home,
        cgroup=read.choice("cgroup"),
        log_format=Format(read.choice("log-format")),
        log_level=Level[read.choice("log-level").upper()],
        hook_dir=hook_dir,
        hook_deadline=read.seconds("hook-deadline"),
        hand_back=hand_back,
        warnings=tuple(read.warnings),
    )
    return settings, read


def _parse(argv: Sequence[str]) -> tuple[dict[str, object], list[Fault]]:
    parser = Parser(
        prog="kuutamod",
        description="Supervises neard on this host; exactly one host of the fleet signs with the validator's key.",
        epilog="A flag wins over its environment variable. Exit codes: 0 asked to stop, 1 fault at run time, "
        "2 faulty configuration. Without a flag: KUUTAMO_CONSUL_TOKEN, Consul's ACL token.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"kuutamod {version('kuutamod')}")
    parser.add_argument(
        "--hand-back",
        action="store_true",
        default=argparse.SUPPRESS,
        help="instead of supervising, release what an ended supervisor of this home left in Consul, after proof that "
        "nothing signs here; for systemd's ExecStopPost",
    )
    add_options(parser, GROUPS)
    try:
        given, rest = parser.parse_known_args(complete(argv, flags_of(SETTINGS)))
    except UsageError as error:
        subject = Subject("command line", None, "flags")
        return {}, [Fault((subject,), str(error), "kuutamod --help lists all options")]
    return vars(given), surplus(rest, flags_of(SETTINGS))


def _check_clock(faults: list[Fault]) -> None:
    """The lease is counted on CLOCK_BOOTTIME alone."""
    try:
        BootClock().now()
    except (OSError, AttributeError) as error:
        problem = f"this host has none ({error}), so the lease can't be counted through a suspend"
        subject = Subject("CLOCK_BOOTTIME", None, "kernel")
        faults.append(Fault((subject,), problem, "run kuutamod on Linux 2.6.39 or newer"))


def _policy(read: Reader, config: NeardConfig | None, account: str, pre_promote: bool) -> Policy:
    def seconds(name: str) -> float:
        return read.seconds(name, zero=name in _ANY_ZERO)

    promotion = read.choice("promotion")
    shadow = config is not None and shadow_tracking(config, account)
    if promotion == Promotion.HOT_SWAP.value and config is not None:
        _warn_hot_swap(read, config, account, shadow)
    return Policy(
        law=_law(read),
        promotion=promotion,
        shadow_tracking=shadow,
        hang_timeout=seconds("neard-hang-timeout"),
        freeze_timeout=seconds("neard-freeze-timeout"),
        freeze_blocks=read.count("neard-freeze-blocks"),
        start_timeout=seconds("neard-start-timeout"),
        stop_grace=seconds("neard-stop-grace"),
        hot_swap_timeout=seconds("hot-swap-timeout"),
        hold_off=seconds("hold-off"),
        patience=seconds("patience"),
        priority=read.count("priority", least=0),
        min_peers=read.count("min-peers", least=0),
        max_lag=read.count("max-lag"),
        max_head_age=seconds("max-head-age"),
        settle_time=seconds("settle-time"),
        rank_step=seconds("rank-step"),
        successor_patience=seconds("successor-patience"),
        pre_promote=pre_promote,
    )


def _law(read: Reader) -> LeaseLaw:
    """The lease's numbers. The law speaks of several at once, so its faults name all that it speaks of."""
    numbers = {field: read.seconds(setting.name, setting.name in _ANY_ZERO) for field, setting in _LAW_FIELDS.items()}
    law = LeaseLaw(**numbers)
    if not read.sound(*(setting.name for setting in LEASE.settings)):
        return law
    for violation in law.violations():
        named = dict.fromkeys(_LAW_NAMES.findall(violation))
        subjects = tuple(read.values[_LAW_FIELDS[name].name].subject() for name in named)
        problem = _LAW_NAMES.sub(lambda found: _LAW_FIELDS[found[1]].flag, violation)
        read.faults.append(Fault(subjects, problem, f"change one of them; the defaults keep the law ({_defaults()})"))
    return law


def _defaults() -> str:
    return ", ".join(f"{_LAW_FIELDS[f.name].name} {f.default:g}" for f in fields(LeaseLaw) if f.name in _LAW_FIELDS)


def _warn_hot_swap(read: Reader, config: NeardConfig, account: str, shadow: bool) -> None:
    if config.all_shards:
        read.warnings.append(
            f"--promotion hot-swap: {config.path} tracks all shards; neard aborts when it gets the key of an active "
            f'validator of mainnet or testnet: set tracked_shards_config to {{"ShadowValidator": "{account}"}}'
        )
    elif not shadow:
        read.warnings.append(
            f"--promotion hot-swap: {config.path} does not track {account or 'the account'} as ShadowValidator, so neard "
            "has none of its shards at hand when it gets the key"
        )
