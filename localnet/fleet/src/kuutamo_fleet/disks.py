# SPDX-License-Identifier: Apache-2.0
"""Small disks of hosts: a full one must be full for its host alone, not for the machine all of them run on."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from .errors import FleetError
from .machine import Machine
from .site import Site

SIZE_MB = 512
# What grows on a validator's host: neard's data and kuutamod's state, Consul's raft log.
MOUNT_POINTS = {"neard": "/var/lib/neard", "kuutamod": "/var/lib/kuutamod", "consul": "/opt/consul"}


@dataclass(frozen=True)
class Disks:
    """The disks of a fleet: file systems in memory, mounted by the controller, so that they outlive a stopped host."""

    site: Site
    machine: Machine

    def make(self, host: str) -> dict[str, str]:
        """The disk of a host, made when it is missing: directories of the controller by their mount point."""
        if not self.machine.root:
            raise FleetError("--disks: only root can mount file systems of a limited size")
        disk = self.site.disks / host
        disk.mkdir(parents=True, exist_ok=True)
        if not os.path.ismount(disk):
            _run("mount", "-t", "tmpfs", "-o", f"size={SIZE_MB}m,mode=755", f"kuutamo-{self.site.name}-{host}", str(disk))
        places = {}
        for name, mount_point in MOUNT_POINTS.items():
            (disk / name).mkdir(exist_ok=True)
            places[mount_point] = str(disk / name)
        return places

    def remove(self) -> None:
        """Unmount all disks of the fleet."""
        if self.site.disks.is_dir():
            for disk in self.site.disks.iterdir():
                if os.path.ismount(disk):
                    _run("umount", str(disk))

    def fill(self, host: str) -> int:
        """Fill the disk of a host to the last byte; how many bytes it took. Raises FleetError without such a disk."""
        path = self._ballast(host)
        block, size = b"\0" * (1 << 20), 0
        with path.open("ab", buffering=0) as file:
            while block:
                try:
                    size += file.write(block)
                except OSError:
                    block = block[: len(block) // 2]
        return size

    def free(self, host: str) -> None:
        """Take the ballast away again."""
        self._ballast(host).unlink(missing_ok=True)

    def _ballast(self, host: str) -> Path:
        disk = self.site.disks / host
        if not os.path.ismount(disk):
            raise FleetError(f"{host} has no disk of its own: bring the fleet up with --disks")
        return disk / "ballast"


def _run(*argv: str) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        raise FleetError(f"`{' '.join(argv)}` failed: {done.stderr.strip()}")
