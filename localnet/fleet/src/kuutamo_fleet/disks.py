# SPDX-License-Identifier: Apache-2.0
"""Small disks of hosts: a full one must be full for its host alone, not for the machine all of them run on."""

from __future__ import annotations

import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from .errors import FleetError
from .machine import Machine
from .site import Site

SIZE_GB = 64  # what they show as long as they are not full; memory is taken by what is written alone
BALLAST = "ballast"
ATTEMPTS = 20  # somebody may write while the size is taken down to what is used
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
            _run("mount", "-t", "tmpfs", "-o", f"size={SIZE_GB}g,mode=755", f"kuutamo-{self.site.name}-{host}", str(disk))
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
        """Leave no free byte on the disk of `host`; how many bytes are in use. Raises FleetError without such a disk."""
        disk = self._disk(host)
        # An empty disk can't be full.
        (disk / BALLAST).write_bytes(b"\0")
        for attempt in range(ATTEMPTS):
            facts = os.statvfs(disk)
            used = (facts.f_blocks - facts.f_bfree) * facts.f_frsize
            # The disk shrinks to what is on it: as full as any, and it takes no memory.
            if _resize(disk, used) and os.statvfs(disk).f_bfree == 0:
                return used
            time.sleep(0.01 * attempt)
        raise FleetError(f"the disk of {host} can't be filled: too much is written to it")

    def free(self, host: str) -> None:
        """Give the disk of `host` its space back."""
        disk = self._disk(host)
        (disk / BALLAST).unlink(missing_ok=True)
        if not _resize(disk, SIZE_GB << 30):
            raise FleetError(f"the disk of {host} can't be given its space back")

    def _disk(self, host: str) -> Path:
        disk = self.site.disks / host
        if not os.path.ismount(disk):
            raise FleetError(f"{host} has no disk of its own: bring the fleet up with --disks")
        return disk


def _resize(disk: Path, size: int) -> bool:
    argv = ["mount", "-o", f"remount,size={size}", str(disk)]
    return subprocess.run(argv, capture_output=True, check=False).returncode == 0


def _run(*argv: str) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        raise FleetError(f"`{' '.join(argv)}` failed: {done.stderr.strip()}")
