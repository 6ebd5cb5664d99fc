# SPDX-License-Identifier: Apache-2.0
"""The settings about neard, checked against what is on disk: program, home, config.json, key files, addresses."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Mapping
from itertools import combinations
from pathlib import Path

from ..address import Address
from ..neard.config import CONFIG_FILE, ConfigFault, NeardConfig, read_config
from ..neard.home import NODE_KEY, VALIDATOR_KEY
from ..neard.keys import KeyFault, KeyFile, NodeKeys, read_key_file, read_node_key_file, readable_by_others
from .fields import ACCOUNT_ID, CREDENTIALS
from .reading import Reader

_BOOT_NODE = re.compile(r"([a-z0-9-]+:)?[1-9A-HJ-NP-Za-km-z]+@(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):([0-9]{1,5})")
_NO_KEY = KeyFile("", "")
_NOWHERE = Path(os.devnull)
NO_KEYS = ((_NOWHERE, _NOWHERE, _NOWHERE), NodeKeys(_NO_KEY, _NO_KEY, _NO_KEY))
"""In the place of keys that nobody will use."""


def read_binary(read: Reader, env: Mapping[str, str]) -> Path:
    """The neard program as an absolute path. A link is kept, so that it may be pointed to another neard later."""
    text = read.text("neard-bin")
    if text is None:
        return _NOWHERE
    if "/" not in text:
        found = shutil.which(text, path=env.get("PATH", os.defpath))
        if found is None:
            read.reject("neard-bin", "there is no such program on PATH", "install neard, or name its path")
        return Path(os.path.abspath(found)) if found else _NOWHERE  # noqa: PTH100  links are kept
    path = read.path("neard-bin")
    if path is None or not _reachable(read, "neard-bin", path):
        return path or _NOWHERE
    if not path.exists():
        read.reject("neard-bin", "there is no such file", "install neard, or name its path")
    elif not path.is_file() or not os.access(path, os.X_OK, effective_ids=True):
        read.reject("neard-bin", "it is not an executable file", "name the neard program, or make it executable")
    return path


def read_boot_nodes(read: Reader) -> str | None:
    """The boot nodes as neard takes them; it panics on a bad entry. None: those of config.json."""
    text = read.text("near-boot-nodes")
    if text is None:
        return None
    for entry in text.split(","):
        found = _BOOT_NODE.fullmatch(entry.strip())
        if found is None or not 1 <= int(found[3]) <= 65535:
            remedy = "write ed25519:KEY@HOST:PORT, several with commas, or leave it out"
            read.reject("near-boot-nodes", f"{entry.strip()!r} is not a boot node", remedy)
    return ",".join(entry.strip() for entry in text.split(","))


def read_home(read: Reader) -> Path:
    """neard's home as an absolute path: a directory that this process may change."""
    home = read.path("neard-home")
    if home is None or not _reachable(read, "neard-home", home):
        return home or _NOWHERE
    if not home.exists():
        read.reject("neard-home", f"there is no directory {home}", "make it with `neard init`, or name another")
    elif not home.is_dir():
        read.reject("neard-home", f"{home} is not a directory", "name neard's home")
    elif not os.access(home, os.R_OK | os.W_OK | os.X_OK, effective_ids=True):
        problem = f"{home} is not writable: keys, config.json and kuutamod's own files are put there"
        read.reject("neard-home", problem, "let kuutamod's user own it")
    return home


def _reachable(read: Reader, name: str, path: Path) -> bool:
    """May this process look whether there is anything at ``path``?"""
    try:
        path.exists()
    except OSError as error:
        read.reject(name, f"{path} can't be reached: {error.strerror}", "let kuutamod's user search the directories above")
        return False
    return True


def read_neard_config(read: Reader, home: Path) -> NeardConfig | None:
    """What config.json says; None where it can't be used, or where there is no home."""
    if not read.sound("neard-home"):
        return None
    try:
        return read_config(home)
    except ConfigFault as fault:
        for problem in fault.problems:
            subject = f"{problem.field} is {problem.value}: " if problem.field else ""
            read.reject("neard-home", f"{fault.path}: {subject}{problem.problem}", problem.remedy)
        return None


def read_keys(
    read: Reader, home: Path, account_id: str, env: Mapping[str, str]
) -> tuple[tuple[Path, Path, Path], NodeKeys]:
    """The paths and public parts of validator key, validator node key and voter node key."""
    validator_path, validator = _key(read, "validator-key", read_key_file, env)
    validator_node_path, validator_node = _key(read, "validator-node-key", read_node_key_file, env)
    voter_node_path, voter_node = _key(read, "voter-node-key", read_node_key_file, env)
    if read.sound("neard-home"):
        for name, path in (
            ("validator-key", validator_path),
            ("validator-node-key", validator_node_path),
            ("voter-node-key", voter_node_path),
        ):
            _refuse_managed(read, name, path, home)
    if read.sound("validator-key", "account-id") and account_id not in (ACCOUNT_ID.default, validator.account_id):
        problem = f"the key in {validator_path} belongs to {validator.account_id}"
        read.reject("account-id", problem, "give the account of the key, or the key of the account")
    if read.sound("validator-node-key", "voter-node-key") and validator_node.public_key == voter_node.public_key:
        problem = f"it is the same key as --validator-node-key ({voter_node.public_key}): two hosts would run as one peer"
        read.reject("voter-node-key", problem, "give every node a voter node key of its own, made with `neard init`")
    paths = (validator_path, validator_node_path, voter_node_path)
    return paths, NodeKeys(validator, validator_node, voter_node)


def _key(read: Reader, name: str, reader: Callable[[Path], KeyFile], env: Mapping[str, str]) -> tuple[Path, KeyFile]:
    path = read.path(name)
    if path is None:
        return _NOWHERE, _NO_KEY
    try:
        key = reader(path)
    except KeyFault as fault:
        read.reject(name, fault.problem, fault.remedy)
        return path, _NO_KEY
    # systemd guards the credentials' directory itself and shows an access list as group bits.
    credentials = env.get(CREDENTIALS)
    guarded = bool(credentials) and path.is_relative_to(os.path.abspath(credentials or ""))  # noqa: PTH100
    if not guarded and readable_by_others(path):
        read.warnings.append(f"{read.values[name].setting.flag} {path}: others can read this key; chmod 600 it")
    return path, key


def _refuse_managed(read: Reader, name: str, path: Path, home: Path) -> None:
    """kuutamod makes and removes links under these names in the home; a key that lay there would be lost to itself."""
    managed = [home.resolve() / VALIDATOR_KEY, home.resolve() / NODE_KEY]
    for place in (path.parent.resolve() / path.name, path.resolve()):
        if place in managed:
            problem = f"kuutamod itself puts {place.name} into neard's home and takes it away"
            read.reject(name, problem, f"move the file out of {home} and name its new place")
            return


def check_addresses(read: Reader, listeners: Mapping[str, Address], config: NeardConfig | None) -> None:
    """No two servers of one node on one address. ``listeners`` by the setting's name; neard's RPC is in config.json."""
    for (first, one), (second, other) in combinations(listeners.items(), 2):
        if read.sound(first, second) and one.collides_with(other):
            problem = f"it collides with {read.values[first].setting.flag} {one}"
            read.reject(second, problem, "give every address a port of its own")
    if config is None:
        return
    for name, address in listeners.items():
        if read.sound(name) and address.collides_with(config.rpc_addr):
            problem = f"it collides with rpc.addr {config.rpc_addr} in {config.path.parent / CONFIG_FILE}"
            read.reject(name, problem, "give every address a port of its own")
