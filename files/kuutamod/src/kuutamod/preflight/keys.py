# SPDX-License-Identifier: Apache-2.0
"""The key files: whose they are, and who could read or replace them. Only public keys are ever shown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from ..neard.keys import KeyFile
from ..settings import Settings
from ..settings.fields import CREDENTIALS
from ..trust import distrust, user_name
from .finding import Finding, Topic, fault, ok
from .viewer import Viewer


def keys(found: Settings, viewer: Viewer, env: Mapping[str, str]) -> Iterable[Finding]:
    """The three keys, as far as they can be read; what is wrong in them is a fault of the settings."""
    three: tuple[tuple[str, Path, KeyFile], ...] = (
        ("validator-key", found.validator_key, found.keys.validator),
        ("validator-node-key", found.validator_node_key, found.keys.validator_node),
        ("voter-node-key", found.voter_node_key, found.keys.voter_node),
    )
    for name, path, key in three:
        if not key.public_key:
            continue
        account = f" of {key.account_id}" if name == "validator-key" else ""
        yield ok(Topic.KEYS, f"{name.replace('-', ' ')} {key.public_key}{account} in {path}{_mode(path)}")
        # systemd keeps others out of its credentials by the directory above them.
        if not path.is_relative_to(env.get(CREDENTIALS) or "/nowhere"):
            yield from _replaceable(name, path, viewer)


def _mode(path: Path) -> str:
    try:
        seen = path.stat()
    except OSError:
        return ""
    return f" ({user_name(seen.st_uid)}, mode {seen.st_mode & 0o7777:04o})"


def _replaceable(name: str, path: Path, viewer: Viewer) -> Iterable[Finding]:
    try:
        stranger = distrust(path, viewer.user)
    except OSError:
        return  # reading it said so
    if stranger is not None:
        remedy = "keep the keys where only root and kuutamod's user can write, such as /etc/kuutamod"
        yield fault(Topic.KEYS, f"the {name.replace('-', ' ')} could be replaced by others: {stranger}", remedy)
