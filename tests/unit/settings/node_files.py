# SPDX-License-Identifier: Apache-2.0
"""The files of one node, complete and right, for tests to spoil."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from kuutamod.settings import ConfigFaults, Fault, Settings, load
from neard_standin.home import default_config
from neard_standin.keys import generate_key_file, generate_node_key

ACCOUNT = "fleet.near"
NOBODY = 65534


@dataclass
class NodeFiles:
    """A directory with neard, its home and the three keys; ``options`` are flags without their dashes."""

    root: Path
    options: dict[str, str | Path] = field(default_factory=dict)
    env: dict[str, str] = field(default_factory=dict)

    @classmethod
    def make(cls, root: Path) -> NodeFiles:
        """A right configuration below ``root``."""
        home, neard = root / "home", root / "neard"
        home.mkdir()
        neard.write_text("#!/bin/sh\n")
        neard.chmod(0o755)
        (home / "config.json").write_text(json.dumps(default_config(rpc_addr="0.0.0.0:3030"), indent=2))
        options: dict[str, str | Path] = {"neard-home": home, "neard-bin": neard}
        for name in ("validator-key", "validator-node-key", "voter-node-key"):
            options[name] = path = root / f"{name.replace('-', '_')}.json"
            generate_key_file(path, ACCOUNT) if name == "validator-key" else generate_node_key(path)
        return cls(root, options)

    def __getitem__(self, option: str) -> Path:
        return Path(self.options[option])

    @property
    def config(self) -> Path:
        """neard's config.json."""
        return self["neard-home"] / "config.json"

    def argv(self) -> list[str]:
        """The command line."""
        return [part for name, value in self.options.items() for part in (f"--{name}", str(value))]

    def load(self) -> Settings:
        """The settings. :raises ConfigFaults: as kuutamod would."""
        return load(self.argv(), self.env)

    def faults(self) -> tuple[Fault, ...]:
        """What is wrong; fails when nothing is."""
        with pytest.raises(ConfigFaults) as found:
            self.load()
        return found.value.faults

    def fault(self) -> str:
        """The one thing that is wrong, as it is printed."""
        (fault,) = self.faults()
        return str(fault)

    def edit_config(self, change: Callable[[dict[str, Any]], object]) -> None:
        """Change the object in config.json."""
        data = json.loads(self.config.read_text())
        change(data)
        self.config.write_text(json.dumps(data))

    def edit_key(self, option: str, **changes: object) -> None:
        """Set fields of a key file; None removes one."""
        data: Mapping[str, object] = {**json.loads(self[option].read_text()), **changes}
        self[option].write_text(json.dumps({name: value for name, value in data.items() if value is not None}))


@contextmanager
def unprivileged(*paths: Path) -> Iterator[None]:
    """Run as a user who owns nothing; ``paths`` are opened for him up to the root. Changes nothing for an ordinary user."""
    if os.geteuid() != 0:
        yield
        return
    for path in paths:
        for directory in (path, *path.parents):
            if directory.stat().st_uid == 0 and directory.is_dir() and not directory.stat().st_mode & 0o001:
                directory.chmod(directory.stat().st_mode | 0o011)
    os.setegid(NOBODY)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
