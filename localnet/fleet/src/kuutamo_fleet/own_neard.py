# SPDX-License-Identifier: Apache-2.0
"""A neard archive of the user's: its release, and a chain of its own making whose only validator is the fleet.

Its nodes find each other by the validator's node key, which is wherever the holder is.
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import tarfile
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from neard_standin.files import write_object

from .archives import Archive
from .errors import FleetError

PROGRAM = "neard"
VALIDATOR_PORT = 24567
DEADLINE = 120.0  # seconds for one command of neard
_RELEASE = re.compile(r"\(release ([^)\s]+)\)")


def examine(path: Path) -> Archive:
    """The archive at `path`. Raises FleetError when it holds no neard that runs here."""
    with tempfile.TemporaryDirectory(prefix="kuutamo-neard-") as scratch:
        said = _run(_unpack(path, Path(scratch)), "--version")
    match = _RELEASE.search(said)
    if match is None:
        raise FleetError(f"--neard-archive {path}: its neard does not tell its release: {said.strip()[:80]!r}")
    return Archive("neard", match[1], path, hashlib.sha256(path.read_bytes()).hexdigest())


def make_genesis(archive: Path, account: str, key: Mapping[str, Any], target: Path) -> None:
    """Let the archive's neard make a chain whose validator is `account` with `key`; its genesis goes to `target`.

    A genesis that is there stays: it is the chain. Raises FleetError.
    """
    if target.exists():
        return
    with tempfile.TemporaryDirectory(prefix="kuutamo-neard-") as scratch:
        home = Path(scratch) / "home"
        home.mkdir()
        write_object(home / "validator_key.json", dict(key), mode=0o600)
        program = _unpack(archive, Path(scratch))
        _run(program, "--home", str(home), "init", "--chain-id", "localnet", "--account-id", account)
        genesis = home / "genesis.json"
        try:
            json.loads(genesis.read_text())
        except (OSError, ValueError) as error:
            raise FleetError(f"--neard-archive {archive}: `neard init` left no genesis: {error}") from None
        target.write_bytes(genesis.read_bytes())


def boot_nodes(addresses: list[str], node_key: Mapping[str, Any]) -> list[str]:
    """The fleet's validator node, at every place where it may be."""
    return [f"{node_key['public_key']}@{address}:{VALIDATOR_PORT}" for address in addresses]


def _unpack(path: Path, scratch: Path) -> Path:
    try:
        with tarfile.open(path) as archive:
            members = [member for member in archive if member.isfile() and Path(member.name).name == PROGRAM]
            if len(members) != 1:
                raise FleetError(f"--neard-archive {path}: one file `neard` is expected in it, found {len(members)}")
            content = archive.extractfile(members[0])
            assert content is not None
            program = scratch / PROGRAM
            program.write_bytes(content.read())
    except (OSError, tarfile.TarError) as error:
        raise FleetError(f"--neard-archive {path}: not a readable tar archive: {error}") from None
    program.chmod(0o755)
    return program


def _run(program: Path, *arguments: str) -> str:
    try:
        done = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=DEADLINE, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise FleetError(f"--neard-archive: its neard does not run here: {error}") from None
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()[-1:]
        raise FleetError(f"--neard-archive: `neard {arguments[-1]}` failed with exit code {done.returncode}: {said}")
    return done.stdout
