# SPDX-License-Identifier: Apache-2.0
"""The files of one fleet on the controller."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

DIRECTORY_VARIABLE = "KUUTAMO_FLEET_DIR"


def default_directory() -> Path:
    """`$KUUTAMO_FLEET_DIR`, else build/fleet of the present directory."""
    return Path(os.environ.get(DIRECTORY_VARIABLE) or "build/fleet")


@dataclass(frozen=True)
class Site:
    """The directory `root`/`name`."""

    root: Path
    name: str

    @property
    def directory(self) -> Path:
        """Everything that belongs to the fleet."""
        return self.root.resolve() / self.name

    @property
    def key(self) -> Path:
        """The ssh key that opens all hosts."""
        return self.directory / "ssh" / "id_ed25519"

    @property
    def known_hosts(self) -> Path:
        """The hosts' own ssh keys."""
        return self.directory / "ssh" / "known_hosts"

    @property
    def inventory(self) -> Path:
        """The inventory directory."""
        return self.directory / "inventory"

    @property
    def hosts_file(self) -> Path:
        """The inventory's hosts."""
        return self.inventory / "hosts.yml"

    @property
    def variables(self) -> Path:
        """The directory of the variables of all hosts."""
        return self.inventory / "group_vars" / "all"

    @property
    def secrets_file(self) -> Path:
        """The secrets, readable by their owner."""
        return self.variables / "secrets.yml"

    @property
    def chain(self) -> Path:
        """The simulated chain."""
        return self.directory / "chain"

    @property
    def genesis(self) -> Path:
        """The chain's genesis.json."""
        return self.directory / "genesis.json"

    @property
    def disks(self) -> Path:
        """Where the hosts' own disks are mounted."""
        return self.directory / "disks"

    @property
    def archives(self) -> Path:
        """The release archives, shared by all fleets."""
        return self.root.resolve() / "archives"
