# SPDX-License-Identifier: Apache-2.0
"""A fleet from its wish to its end: up, down, status."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import yaml

from . import chain, inventory, own_neard
from .archives import Archive, make_archives
from .credentials import new_secrets
from .disks import Disks
from .errors import FleetError
from .hosts import Hosts, State
from .image import ensure_image
from .plan import PLAN_FILE, FleetPlan, Wish, make_plan, read_plan, to_json
from .podman import Podman
from .site import Site
from .watcher import ensure_watcher, stop_watcher

Say = Callable[[str], None]


def open_fleet(root: Path, name: str) -> Hosts:
    """The fleet `name` that was brought up before. Raises FleetError when there is none."""
    site = Site(root, name)
    plan = read_plan(site.directory)
    if plan is None:
        raise FleetError(f"no fleet {name} in {site.root}: `kuutamo-fleet up --name {name}` makes one")
    return Hosts(Podman.prepare(root), site, plan)


def up(root: Path, wish: Wish, say: Say) -> Hosts:
    """Bring up the fleet that is wished for; what is there already stays as it is. Raises FleetError."""
    site = Site(root, wish.name)
    plan = make_plan(wish, read_plan(site.directory))
    podman = Podman.prepare(root)
    for suite in dict.fromkeys(host.suite for host in plan.hosts):
        if ensure_image(podman, suite, say):
            say(f"image of {suite}: made")
    hosts = Hosts(podman, site, plan)
    states = hosts.states()
    _require_chain(site, plan, states)
    subnet = hosts.ensure_network()
    _make_files(site, plan, subnet)
    for host in plan.hosts:
        match states[host.name]:
            case State.MISSING:
                hosts.create(host, subnet)
                say(f"{host.name}: made, {host.suite} in {' and '.join(host.groups)}")
            case State.STOPPED:
                hosts.start(host.name)
                say(f"{host.name}: started")
            case State.FROZEN:
                podman.run("unpause", plan.container(host.name))
                say(f"{host.name}: thawed")
    settle(hosts)
    ensure_watcher(site)
    say(f"{plan.name}: {len(plan.hosts)} hosts are up; inventory: {_short(site.inventory)}")
    return hosts


def _require_chain(site: Site, plan: FleetPlan, states: Mapping[str, State]) -> None:
    """Raise FleetError when hosts are there whose chain has ended with a boot of this machine.

    Their Consul remembers heights of the old chain, and no kuutamod signs before the new one has passed them.
    """
    there = any(state is not State.MISSING for state in states.values())
    if there and not plan.neard_archive and chain.ended(site.chain):
        raise FleetError(
            f"this machine was booted since the fleet {plan.name} was made, and its chain has ended with that: "
            f"`kuutamo-fleet down --name {plan.name}`, then again (the demo's: `make demo-down`)"
        )


def settle(hosts: Hosts) -> None:
    """Wait until all running hosts have booted, and make them reachable by ssh and by name."""
    running = [host for host, state in hosts.states().items() if state is State.RUNNING]
    reach = hosts.reach()
    with ThreadPoolExecutor(max_workers=4) as pool:
        list(pool.map(hosts.wait_booted, running))
        keys = dict(zip(running, pool.map(lambda host: hosts.ensure_reachable(host, reach), running), strict=True))
    site = hosts.site
    known = {line.split()[0]: line for line in _lines(site.known_hosts)}
    for host, key in keys.items():
        where = reach[host]
        name = where.ssh_host if where.ssh_port == 22 else f"[{where.ssh_host}]:{where.ssh_port}"
        known[name] = f"{name} {key}"
    _write(site.known_hosts, "".join(f"{line}\n" for line in known.values()))
    _write(site.hosts_file, inventory.to_yaml(inventory.hosts_file(hosts.plan, reach, site.key, site.known_hosts)))


def down(root: Path, name: str, say: Say) -> None:
    """Remove everything of the fleet `name`; nothing happens when there is nothing."""
    site = Site(root, name)
    hosts = Hosts(Podman.prepare(root), site, FleetPlan(name, ()))
    hosts.states()
    removed = hosts.remove()
    stop_watcher(site)
    Disks(site, hosts.podman.machine).remove()
    if site.directory.exists():
        shutil.rmtree(site.directory)
    say(f"{name}: {len(removed)} hosts removed" if removed else f"{name}: there was nothing to remove")


def _make_files(site: Site, plan: FleetPlan, subnet: str) -> None:
    site.directory.mkdir(parents=True, exist_ok=True)
    _write(site.directory / PLAN_FILE, to_json(plan))
    if not site.key.exists():
        site.key.parent.mkdir(mode=0o700, exist_ok=True)
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", f"fleet {plan.name}", "-f", str(site.key)], check=True
        )
    site.variables.mkdir(parents=True, exist_ok=True)
    secrets, archives = _secrets(site, plan.account), make_archives(site.archives)
    ledger = chain.ensure_chain(site.chain, plan.account, secrets["kuutamod_validator_key"]["public_key"])
    more: dict[str, Any] = {}
    if plan.neard_archive:
        archives["neard"] = own_neard.examine(Path(plan.neard_archive))
        own_neard.make_genesis(archives["neard"].path, plan.account, secrets["kuutamod_validator_key"], site.genesis)
        addresses = [plan.address(host.name, subnet) for host in plan.hosts if host.validator]
        more["neard_boot_nodes"] = own_neard.boot_nodes(addresses, secrets["kuutamod_validator_node_key"])
    else:
        chain.write_genesis(ledger, site.genesis)
    _write(site.variables / "fleet.yml", inventory.to_yaml({**fleet_variables(site, plan, archives), **more}))


def fleet_variables(site: Site, plan: FleetPlan, archives: Mapping[str, Archive]) -> dict[str, Any]:
    """What is known of a fleet and is no secret: the roles' variables, and `fleet_*` to derive others from."""
    return {
        "kuutamod_account_id": plan.account,
        "consul_tls_dir": str(site.directory / "consul-tls"),
        "fleet_genesis": str(site.genesis),
        "fleet_archives": {
            name: {"path": str(item.path), "sha256": item.sha256, "version": item.version}
            for name, item in archives.items()
        },
    }


def _secrets(site: Site, account: str) -> dict[str, Any]:
    path = site.secrets_file
    if path.exists():
        content: dict[str, Any] = yaml.safe_load(path.read_text())
        return content
    content = new_secrets(account)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(inventory.to_yaml(content))
    return content


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def _write(path: Path, text: str) -> None:
    """Write `text` unless the file has it already, so that an unchanged fleet has unchanged files."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_text() != text:
        path.write_text(text)


def _short(path: Path) -> str:
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
