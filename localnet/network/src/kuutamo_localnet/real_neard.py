# SPDX-License-Identifier: Apache-2.0
"""A network of a neard binary's own making: three plain validators, and a fleet that holds the fourth one's key.

The homes come from `neard localnet`; here they are given addresses of their own, a common boot node, and for the
fleet's nodes the tracking of the fleet's account, without which a key could not be swapped in while neard runs.
"""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from neard_standin.files import read_object, write_object
from neard_standin.keys import generate_node_key, read_key_file, read_node_key
from neard_standin.ledger import LEDGER_FILE
from neard_standin.referee import Referee

from .fleet_node import FleetNode
from .fleet_plan import FleetKeys, FleetSpec, NodePlan, NodeSite
from .observe import read_height
from .ports import PortPool
from .process import Process
from .simulated import Network

PLAIN_VALIDATORS = 3
PREFIX = "node"
HOMES_DEADLINE = 120.0  # seconds for `neard localnet`
# Older settings for what tracked_shards_config says; neard refuses a configuration that has both.
OLD_TRACKING = ("tracked_shards", "tracked_shadow_validator", "tracked_accounts", "tracked_shard_schedule")


class NeardError(Exception):
    """The neard program or the homes it makes cannot be used; the message says why."""


@dataclass(frozen=True)
class HomeSettings:
    """What a home's config.json is changed to. `shadow` is the account whose shards the node tracks, None: unchanged."""

    rpc_addr: str
    network_addr: str
    boot_nodes: str
    shadow: str | None = None


def adapt(config: Mapping[str, Any], settings: HomeSettings) -> dict[str, Any]:
    """`config` with `settings` in it and everything else as it was. Raises NeardError for a missing section."""
    for section in ("rpc", "network"):
        if not isinstance(config.get(section), Mapping):
            raise NeardError(f"config.json: {section}: an object is expected, found {config.get(section)!r}")
    changed = {
        **config,
        "rpc": {**config["rpc"], "addr": settings.rpc_addr},
        "network": {**config["network"], "addr": settings.network_addr, "boot_nodes": settings.boot_nodes},
    }
    if settings.shadow is not None:
        for old in OLD_TRACKING:
            changed.pop(old, None)
        changed["tracked_shards_config"] = {"ShadowValidator": settings.shadow}
    return changed


def make_homes(neard: Path, root: Path, nodes: int) -> list[Path]:
    """Let `neard` make the homes of the plain validators, of the fleet's validator, and of its other nodes, in order.

    Raises NeardError when it cannot be run, fails, or leaves a home out.
    """
    validators, others = PLAIN_VALIDATORS + 1, nodes - 1
    argv = [str(neard), "--home", str(root), "localnet", "--validators", str(validators)]
    argv += ["--non-validators", str(others), "--prefix", PREFIX]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=HOMES_DEADLINE, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NeardError(f"--neard {neard}: cannot be run: {error}") from error
    if done.returncode:
        said = (done.stderr or done.stdout).strip()[-500:]
        raise NeardError(f"--neard {neard}: `localnet` failed with exit code {done.returncode}: {said}")
    homes = [root / f"{PREFIX}{number}" for number in range(validators + others)]
    if missing := [home.name for home in homes if not (home / "config.json").exists()]:
        raise NeardError(f"--neard {neard}: `localnet` made no home for {', '.join(missing)} in {root}")
    return homes


def settle(home: Path, settings: HomeSettings) -> None:
    """Change config.json of `home`. Raises NeardError when it cannot be read or is not as expected."""
    path = home / "config.json"
    try:
        write_object(path, adapt(read_object(path), settings))
    except (OSError, ValueError, NeardError) as error:
        raise NeardError(f"{path}: {error}") from error


@dataclass(frozen=True)
class Layout:
    """A network ready to be started: the plain validators' homes and RPC ports, and the fleet's nodes."""

    validators: Sequence[tuple[Path, int]]
    plans: Sequence[NodePlan]
    keys: FleetKeys
    account: str


def lay_out(neard: Path, directory: Path, site: NodeSite, nodes: int, pool: PortPool) -> Layout:
    """Make all homes, keys and configurations below `directory`. Raises NeardError."""
    homes = make_homes(neard, directory / "homes", nodes)
    ports = [pool.reserve(2) for _unused in range(PLAIN_VALIDATORS)]
    boot = f"{read_node_key(homes[0] / 'node_key.json').public_key}@127.0.0.1:{ports[0][1]}"
    for number, (rpc, network) in enumerate(ports):
        settings = HomeSettings(f"127.0.0.1:{rpc}", f"127.0.0.1:{network}", boot if number else "")
        settle(homes[number], settings)
    keys = _fleet_keys(homes[PLAIN_VALIDATORS], directory / "keys")
    account = read_key_file(keys.validator_key).account_id
    plans = []
    for number, home in enumerate(homes[PLAIN_VALIDATORS:]):
        plan = _plan(f"node{number}", directory, site, pool)
        plan.directory.mkdir(parents=True)
        home.rename(plan.home)
        (plan.home / "node_key.json").rename(plan.voter_node_key)
        addresses = f"127.0.0.1:{plan.rpc_port}", f"127.0.0.1:{plan.voter_port}"
        settle(plan.home, HomeSettings(*addresses, boot, shadow=account))
        plans.append(plan)
    validators = [(homes[number], rpc) for number, (rpc, _network) in enumerate(ports)]
    return Layout(validators, plans, keys, account)


def _fleet_keys(home: Path, directory: Path) -> FleetKeys:
    """Take the validator key out of `home`: a home with the key in it would sign at its first start."""
    directory.mkdir(parents=True)
    keys = FleetKeys(directory / "validator_key.json", directory / "validator_node_key.json", "")
    (home / "validator_key.json").rename(keys.validator_key)
    generate_node_key(keys.validator_node_key)
    return replace(keys, public_key=read_key_file(keys.validator_key).public_key)


def _plan(name: str, directory: Path, site: NodeSite, pool: PortPool) -> NodePlan:
    exporter, rpc, voter, validator = pool.reserve(4)
    return NodePlan(
        name=name,
        directory=directory / name,
        site=site,
        voter_node_key=directory / name / "voter_node_key.json",
        exporter_port=exporter,
        rpc_port=rpc,
        voter_port=voter,
        validator_port=validator,
    )


@contextlib.contextmanager
def real_network(directory: Path, consul_url: str, spec: FleetSpec) -> Iterator[Network]:
    """`spec.neard` as plain validators and below kuutamods, from entering the context to leaving it.

    A neard that brings the stand-in's ledger gets its referee too. Raises NeardError.
    """
    with contextlib.ExitStack() as stack:
        pool = PortPool()
        stack.callback(pool.close)
        layout = lay_out(spec.neard, directory, NodeSite(consul_urls=(consul_url,)), spec.nodes, pool)
        referee = None
        ledger = directory / "homes" / "ledger"
        if (ledger / LEDGER_FILE).exists():
            referee = stack.enter_context(Referee(ledger))
        for home, _rpc in layout.validators:
            log = directory / f"validator-{home.name}.log"
            process = Process([spec.neard, "--home", home, "run"], log=log, name=f"validator {home.name}")
            stack.enter_context(process)
        spec = replace(spec, account=layout.account)
        nodes = [FleetNode(plan, spec, layout.keys) for plan in layout.plans]
        for node in nodes:
            stack.callback(node.close)
            node.start()
        urls = [f"http://127.0.0.1:{rpc}" for _home, rpc in layout.validators]
        yield Network(
            nodes=nodes,
            account=spec.account,
            head=lambda: max((height for url in urls if (height := read_height(url)) is not None), default=None),
            referee=referee,
            summary=f"{len(urls)} plain validators of {spec.neard}; {spec.nodes} kuutamods hold the key of {spec.account}",
        )
