# SPDX-License-Identifier: Apache-2.0
"""What a fleet of kuutamods consists of, and its files: keys, homes, ledger. Nothing is started here."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from kuutamod.core.lease import LeaseLaw
from neard_standin.control import set_behaviour
from neard_standin.files import write_object
from neard_standin.home import default_config
from neard_standin.keys import generate_key_file, generate_node_key, new_key
from neard_standin.ledger import DEFAULT_EPOCH_LENGTH, Ledger, Validator

from .consul_agent import ConsulAgent
from .netns import LabHost
from .ports import PortPool

Promotion = Literal["auto", "hot-swap", "restart"]

# The lease numbers that are settings; the clock-rate error is part of the law itself.
LEASE_SETTINGS = tuple(item.name for item in fields(LeaseLaw) if item.name != "clock_rate_error")


def installed(program: str) -> Path:
    """A console script of the virtual environment this runs in."""
    return Path(sys.prefix) / "bin" / program


@dataclass(frozen=True)
class FleetSpec:
    """A fleet and its chain.

    `account` is the validator the fleet signs for; `others` more validators are simulated by the ledger. `shadow` is
    whether config.json tracks the account's shards (what `auto` looks at); None: unless promotion is `restart`.
    `environment` is added to every kuutamod's. `block_time_ms` is milliseconds, `epoch_length` heights.
    """

    account: str = "fleet.near"
    nodes: int = 3
    promotion: Promotion = "auto"
    shadow: bool | None = None
    law: LeaseLaw = field(default_factory=LeaseLaw)
    others: int = 3
    block_time_ms: int = 600
    epoch_length: int = DEFAULT_EPOCH_LENGTH
    kuutamod: Path = field(default_factory=lambda: installed("kuutamod"))
    neard: Path = field(default_factory=lambda: installed("neard"))
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def tracks_shadow(self) -> bool:
        """Whether the nodes' config.json has the account as shadow validator."""
        return self.promotion != "restart" if self.shadow is None else self.shadow


@dataclass(frozen=True)
class NodeSite:
    """Where a node runs and how it reaches Consul.

    `consul_urls` are tried in their order. `agent` is the client agent on the node's host, lost with it. `host` is a
    host of a network lab, None for loopback. `environment` is added to this kuutamod's, such as its token. `prefix` gives
    what is put before its argument vector, at each start anew.
    """

    consul_urls: Sequence[str]
    agent: ConsulAgent | None = None
    host: LabHost | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    prefix: Callable[[], Sequence[str]] = tuple


@dataclass(frozen=True)
class FleetKeys:
    """The key files all nodes of a fleet share."""

    validator_key: Path
    validator_node_key: Path
    public_key: str


@dataclass(frozen=True)
class NodePlan:
    """One node, ready to be started."""

    name: str
    directory: Path
    site: NodeSite
    voter_node_key: Path
    exporter_port: int
    rpc_port: int
    voter_port: int
    validator_port: int

    @property
    def home(self) -> Path:
        """neard's home."""
        return self.directory / "home"

    @property
    def address(self) -> str:
        """The address the node's servers listen on."""
        return self.site.host.address if self.site.host is not None else "127.0.0.1"


def make_keys(directory: Path, account: str) -> FleetKeys:
    """Fresh key files of a fleet in `directory`."""
    directory.mkdir(parents=True, exist_ok=True)
    validator_key, node_key = directory / "validator_key.json", directory / "validator_node_key.json"
    key = generate_key_file(validator_key, account)
    generate_node_key(node_key)
    return FleetKeys(validator_key, node_key, key.public_key)


def make_ledger(directory: Path, spec: FleetSpec, public_key: str) -> Ledger:
    """A chain whose validators are the fleet's account and simulated others that never miss."""
    seats = [Validator(spec.account, public_key)]
    for number in range(spec.others):
        name = f"other{number}.near"
        seats.append(Validator(name, new_key(name).public_key, virtual=True))
    return Ledger.create(directory, block_time_ms=spec.block_time_ms, epoch_length=spec.epoch_length, validators=seats)


def make_node(name: str, directory: Path, spec: FleetSpec, site: NodeSite, *, ledger: Ledger, pool: PortPool) -> NodePlan:
    """A node's home, voter key and ports; neard starts in it as a standby."""
    exporter, rpc, voter, validator = pool.reserve(4)
    plan = NodePlan(
        name=name,
        directory=directory,
        site=site,
        voter_node_key=directory / "voter_node_key.json",
        exporter_port=exporter,
        rpc_port=rpc,
        voter_port=voter,
        validator_port=validator,
    )
    plan.home.mkdir(parents=True, exist_ok=True)
    generate_node_key(plan.voter_node_key)
    (plan.home / "node_key.json").symlink_to(plan.voter_node_key)
    write_object(plan.home / "config.json", _config(plan, spec))
    write_object(plan.home / "genesis.json", _genesis(ledger))
    set_behaviour(plan.home, ledger=str(ledger.path))
    return plan


def _config(plan: NodePlan, spec: FleetSpec) -> dict[str, Any]:
    address = plan.address
    config = default_config(rpc_addr=f"{address}:{plan.rpc_port}", network_addr=f"{address}:{plan.voter_port}")
    # AllShards, neard's own choice, is refused for an active validator of a public chain.
    tracked = {"ShadowValidator": spec.account} if spec.tracks_shadow else "NoShards"
    return {**config, "tracked_shards_config": tracked}


def _genesis(ledger: Ledger) -> dict[str, Any]:
    return {
        "chain_id": ledger.chain_id,
        "protocol_version": ledger.protocol_version,
        "epoch_length": ledger.epoch_length,
        "validators": [{"account_id": seat.account_id, "public_key": seat.public_key} for seat in ledger.validators],
    }


def arguments(plan: NodePlan, spec: FleetSpec, keys: FleetKeys) -> list[str | Path]:
    """kuutamod's argument vector."""
    return [
        spec.kuutamod,
        "--node-id",
        plan.name,
        "--account-id",
        spec.account,
        "--consul-url",
        ",".join(plan.site.consul_urls),
        "--exporter-address",
        f"{plan.address}:{plan.exporter_port}",
        "--validator-key",
        keys.validator_key,
        "--validator-node-key",
        keys.validator_node_key,
        "--voter-node-key",
        plan.voter_node_key,
        "--validator-network-addr",
        f"{plan.address}:{plan.validator_port}",
        "--voter-network-addr",
        f"{plan.address}:{plan.voter_port}",
        "--neard-home",
        plan.home,
    ]


def environment(plan: NodePlan, spec: FleetSpec) -> dict[str, str]:
    """kuutamod's whole environment: nothing of the user's own reaches it but PATH and the locale."""
    lease = {f"KUUTAMO_{name.upper()}": f"{getattr(spec.law, name):g}" for name in LEASE_SETTINGS}
    return {
        "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
        "LANG": "C.UTF-8",
        "HOME": str(plan.directory),
        "KUUTAMO_NEARD_BIN": str(spec.neard),
        "KUUTAMO_PROMOTION": spec.promotion,
        **lease,
        **spec.environment,
        **plan.site.environment,
    }
