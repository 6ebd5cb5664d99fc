# SPDX-License-Identifier: Apache-2.0
"""What this machine is, what its podman has to be told because of that, and the programs that are missing."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from .errors import FleetError

CAP_SYS_RESOURCE = 24  # capabilities(7), <linux/capability.h>
INSTALL_DEADLINE = 600.0  # seconds

# Programs and the Debian packages that bring them.
NEEDED = {"podman": "podman", "nft": "nftables", "ssh": "openssh-client", "ssh-keygen": "openssh-client"}
NEEDED_BY_ROOT = {"debootstrap": "debootstrap"}
NEEDED_BY_OTHERS = {"mmdebstrap": "mmdebstrap", "newuidmap": "uidmap"}
# What podman needs beyond its hard dependencies, and says only when it is too late.
COMPANIONS = ("catatonit", "netavark", "aardvark-dns", "iptables")


@dataclass(frozen=True)
class Machine:
    """The facts that matter to containers which boot systemd."""

    root: bool
    cgroup2: bool
    systemd: bool
    may_raise_limits: bool
    apparmor: bool

    def runtime(self) -> str | None:
        """The OCI runtime to name, None for podman's own choice: crun refuses a host with cgroup v1."""
        return None if self.cgroup2 else "runc"

    def containers_conf(self) -> str | None:
        """What podman has to be told on this machine, as the text of a containers.conf; None when all defaults work."""
        engine, containers = [], []
        if (runtime := self.runtime()) is not None:
            engine.append(f'runtime = "{runtime}"')
        if not self.systemd:
            engine += ['events_logger = "file"', 'cgroup_manager = "cgroupfs"']
        if self.root and not self.may_raise_limits:
            # Podman raises these by default, and a container then does not start at all.
            containers.append('default_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]')
        sections = [("engine", engine), ("containers", containers)]
        text = "".join(f"[{name}]\n" + "\n".join(lines) + "\n" for name, lines in sections if lines)
        return text or None

    def missing(self) -> list[str]:
        """Debian packages of needed programs that are not there."""
        needed = {**NEEDED, **(NEEDED_BY_ROOT if self.root else NEEDED_BY_OTHERS)}
        if (runtime := self.runtime()) is not None:
            needed[runtime] = runtime
        path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
        return sorted({package for program, package in needed.items() if shutil.which(program, path=path) is None})


def detect() -> Machine:
    """Look at the machine this runs on."""
    return Machine(
        root=os.geteuid() == 0,
        cgroup2=Path("/sys/fs/cgroup/cgroup.controllers").exists(),
        systemd=Path("/run/systemd/system").is_dir(),
        may_raise_limits=has_capability(Path("/proc/self/status").read_text(), CAP_SYS_RESOURCE),
        apparmor=_reads("/sys/module/apparmor/parameters/enabled", "Y"),
    )


def has_capability(status: str, number: int) -> bool:
    """Whether a /proc/<pid>/status has capability `number` among the effective ones."""
    line = next((line for line in status.splitlines() if line.startswith("CapEff:")), "CapEff: 0")
    return bool(int(line.split()[1], 16) >> number & 1)


def _reads(path: str, expected: str) -> bool:
    try:
        return Path(path).read_text().strip() == expected
    except OSError:
        return False


def install(machine: Machine) -> list[str]:
    """Install what is missing and return the packages. Raises FleetError when it may not or cannot."""
    missing = machine.missing()
    if not missing:
        return []
    packages = sorted({*missing, *(COMPANIONS if "podman" in missing else ())})
    command = ["apt-get", "install", "--yes", "--no-install-recommends", *packages]
    advice = " ".join(command)
    if not machine.root:
        raise FleetError(f"missing on this machine: {', '.join(missing)}. Install them: sudo {advice}")
    if shutil.which("apt-get") is None:
        raise FleetError(f"missing on this machine: {', '.join(missing)}, and there is no apt-get to install them")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for argv in (["apt-get", "update", "--quiet"], command):
        done = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=INSTALL_DEADLINE, check=False)
        if done.returncode and argv is command:
            raise FleetError(f"`{advice}` failed: {done.stderr.strip().splitlines()[-1:] or done.returncode}")
    return packages


def require_systemd_containers(machine: Machine) -> None:
    """Raise FleetError where no container can boot systemd."""
    if not machine.root and not machine.cgroup2:
        raise FleetError("this host has cgroup v1, where rootless podman cannot boot systemd: run this as root")
