# SPDX-License-Identifier: Apache-2.0
"""What podman is told, from what the machine is."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from kuutamo_fleet.errors import FleetError
from kuutamo_fleet.hosts import run_arguments
from kuutamo_fleet.machine import CAP_SYS_RESOURCE, Machine, has_capability, install, require_systemd_containers
from kuutamo_fleet.plan import Wish, make_plan
from kuutamo_fleet.podman import Podman
from kuutamo_fleet.site import Site

ORDINARY = Machine(root=True, cgroup2=True, systemd=True, may_raise_limits=True, apparmor=True)
CONFINED = Machine(root=True, cgroup2=False, systemd=False, may_raise_limits=False, apparmor=False)


def _arguments(machine: Machine) -> str:
    plan = make_plan(Wish(name="x", count=2))
    disks = {"/opt/consul": "/d/consul"}
    return " ".join(run_arguments(Podman(machine, {}), Site(Path("/f"), "x"), plan, plan.hosts[1], "10.0.0.0/24", disks))


def test_an_ordinary_host_needs_no_configuration() -> None:
    assert ORDINARY.containers_conf() is None
    assert replace(ORDINARY, root=False, may_raise_limits=False).containers_conf() is None


def test_a_confined_host_with_cgroup_1_is_told_everything() -> None:
    text = CONFINED.containers_conf()
    assert text is not None
    assert tomllib.loads(text) == {
        "engine": {"runtime": "runc", "events_logger": "file", "cgroup_manager": "cgroupfs"},
        "containers": {"default_ulimits": ["nofile=4096:4096", "nproc=4096:4096"]},
    }


def test_rootless_with_cgroup_1_is_refused_with_the_remedy() -> None:
    with pytest.raises(FleetError, match=r"cgroup v1.*: run this as root"):
        require_systemd_containers(replace(CONFINED, root=False))


def test_capabilities_are_read_from_the_status() -> None:
    assert has_capability("Name:\tx\nCapEff:\t000001ffffffffff\n", CAP_SYS_RESOURCE)
    assert not has_capability("CapEff:\t000001fffeffffff\n", CAP_SYS_RESOURCE)
    assert not has_capability("", CAP_SYS_RESOURCE)


def test_who_may_not_install_gets_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Machine, "missing", lambda _self: ["podman"])
    with pytest.raises(
        FleetError, match=r"missing on this machine: podman\. Install them: sudo apt-get install .*netavark podman"
    ):
        install(replace(ORDINARY, root=False))


def test_a_rootful_host_has_its_own_address() -> None:
    said = _arguments(ORDINARY)
    assert "--ip 10.0.0.11" in said
    assert "--hostname node1" in said
    assert "apparmor=unconfined" in said
    assert "--publish" not in said
    assert "--volume /d/consul:/opt/consul" in said
    assert said.endswith("localhost/kuutamo-host:trixie /sbin/init")


def test_a_rootless_host_publishes_its_sshd_on_loopback() -> None:
    said = _arguments(replace(ORDINARY, root=False))
    assert "--publish 127.0.0.1::22" in said
    assert "unmask=ALL" in said
    assert "apparmor" not in said
