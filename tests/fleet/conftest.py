# SPDX-License-Identifier: Apache-2.0
"""Hosts in containers for the tests, where this machine can boot them."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from kuutamo_fleet.fleet import down, up
from kuutamo_fleet.hosts import Hosts
from kuutamo_fleet.machine import detect
from kuutamo_fleet.plan import Wish

NEARD_USER = "neard"


def why_not() -> str | None:
    """Why no host can be booted here, None when one can."""
    machine = detect()
    if not machine.root and not machine.cgroup2:
        return "rootless podman cannot boot systemd with cgroup v1"
    if missing := machine.missing():
        if not machine.root:
            return f"not installed: {', '.join(missing)}"
        if shutil.which("apt-get") is None:
            return f"not installed and no apt-get: {', '.join(missing)}"
    return None


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosts]:
    """Two booted hosts, node0 of trixie and node1 of bookworm, with the stand-in neard installed."""
    if reason := why_not():
        pytest.skip(f"no host can be booted here: {reason}")
    root: Path = tmp_path_factory.mktemp("fleet")
    name = f"test-{uuid.uuid4().hex[:8]}"
    try:
        wish = Wish(name, hosts=("node0", "node1:bookworm"), disks=detect().root)
        hosts = up(root, wish, lambda _line: None)
        for host in ("node0", "node1"):
            [archive] = hosts.site.archives.glob("neard-2.11*.tar.gz")
            container = hosts.plan.container(host)
            hosts.podman.run("cp", str(archive), f"{container}:/tmp/neard.tar.gz")
            hosts.podman.run("cp", str(hosts.site.genesis), f"{container}:/root/genesis.json")
            hosts.podman.exec(container, ["tar", "-xzf", "/tmp/neard.tar.gz", "-C", "/usr/local/bin"])
            hosts.podman.exec(
                container, ["useradd", "--create-home", "--uid", "1234" if host == "node0" else "2345", NEARD_USER]
            )
        yield hosts
    finally:
        down(root, name, lambda _line: None)
