#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Make what is missing of neard's home, and never a validator key in it."""

from __future__ import annotations

DOCUMENTATION = r"""
module: neard_init
short_description: Make what is missing of neard's home
version_added: 0.1.0
description:
  - Lets C(neard init) make a home in a scratch directory, and takes C(config.json), C(genesis.json) and the node key from
    there where they are missing. What is there is never overwritten.
  - On other chains than mainnet and testnet C(neard init) always makes a validator key. It stays in the scratch directory,
    which is removed, so no validator key ever comes to lie in the home.
  - The node key is made on the host, does not leave it, and is neither returned nor printed.
attributes:
  check_mode:
    description: Can run in check mode and return changed status prediction without modifying target.
    support: full
  diff_mode:
    description: Will return details on what has changed (or possibly needs changing in check_mode), when in diff mode.
    support: full
    details: Names the files that are made, not what is in them.
options:
  neard_bin:
    description:
      - The neard that is run.
    type: path
    default: /opt/neard/current/neard
  home:
    description:
      - neard's home. It has to exist.
    type: path
    default: /var/lib/neard
  node_key:
    description:
      - Where the host's node key lies. Its directory has to exist.
    type: path
    default: /etc/neard/node_key.json
  user:
    description:
      - The user that neard is run as and that the files will belong to.
    type: str
    default: neard
  chain_id:
    description:
      - The chain, such as V(mainnet) or V(testnet).
    type: str
    required: true
  genesis:
    description:
      - A genesis file on the host, plain or packed by C(xz), C(gzip) or C(bzip2). It becomes C(genesis.json) as it
        is. neard has mainnet's built in; other chains need one.
      - Not needed where there is a genesis already, nor in check mode.
    type: path
  genesis_sha256:
    description:
      - The SHA-256 of the file O(genesis) as it lies there, 64 hexadecimal digits.
    type: str
  download_config:
    description:
      - Let neard fetch the chain's published config.json for this kind of node, instead of making one.
    type: str
    choices: [validator, rpc, archival]
  timeout:
    description:
      - Seconds for C(neard init).
    type: int
    default: 1800
author:
  - The kuutamo.near engineers (@kuutamo)
"""

EXAMPLES = r"""
- name: Make neard's home for mainnet
  kuutamo.near.neard_init:
    chain_id: mainnet
    download_config: validator

- name: Make neard's home for testnet from files that lie on the host
  kuutamo.near.neard_init:
    chain_id: testnet
    genesis: /var/lib/neard/incoming/genesis.json.xz
    genesis_sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
"""

RETURN = r"""
made:
  description: The files that were missing and are made.
  returned: success
  type: list
  elements: str
  sample: [/var/lib/neard/config.json]
node_public_key:
  description: The public part of the node key; null in check mode while there is no key.
  returned: success
  type: str
  sample: ed25519:3EmHm8jNtdtLnQnQPU8Xv1WzC1tTTdEuWjrDkXqSbm9s
"""

import contextlib
import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible_collections.kuutamo.near.plugins.module_utils._neard_archive import ArchiveFault, sha256_of, unpack_single
from ansible_collections.kuutamo.near.plugins.module_utils._neard_program import ask
from ansible_collections.kuutamo.near.plugins.module_utils._program import Account, ProgramFault

try:
    from ansible_collections.kuutamo.near.plugins.module_utils._kuutamod.neard.keys import KeyFault, read_node_key_file
except ImportError:
    LIBRARY = False
else:
    LIBRARY = True

_THROWAWAY_CHAIN = "kuutamo-scratch"
"""For a node key alone any chain will do, and one of our own needs no genesis."""
_GIVEN = "given-genesis.json"
_CHAIN = re.compile(r'"chain_id"\s*:\s*"([^"]*)"')
_BEGINNING = 64 * 1024
"""Bytes: a genesis may have gigabytes of records, and its fields stand before them."""


class InitFault(Exception):
    """The home can't be made; the message says why and what to do."""


def _missing(given: Mapping[str, Any]) -> dict[str, Path]:
    """What neard init is needed for: its own name of the file, and where that belongs."""
    home = Path(given["home"])
    wanted = {
        "config.json": home / "config.json",
        "genesis.json": home / "genesis.json",
        "node_key.json": Path(given["node_key"]),
    }
    return {name: path for name, path in wanted.items() if not os.path.lexists(path)}


def _make(module: AnsibleModule, given: Mapping[str, Any], missing: Mapping[str, Path], user: Account) -> None:
    """Run neard init in a scratch home and take over what is missing. :raises InitFault: it refuses."""
    home = Path(given["home"])
    scratch = Path(tempfile.mkdtemp(prefix=".neard_init-", dir=home))
    taken = dict.fromkeys(missing, "")
    try:
        if os.geteuid() == 0:
            os.chown(scratch, user.uid, user.gid)
        if given["genesis"] and "genesis.json" in missing:
            taken["genesis.json"] = _GIVEN
            _unpack(Path(given["genesis"]), given["genesis_sha256"], given["chain_id"], scratch / _GIVEN)
        answer = ask(module, given["neard_bin"], _arguments(given, missing, scratch), user, given["timeout"])
        if answer.code != 0:
            said = answer.said or f"exit code {answer.code}"
            raise InitFault(
                f"{given['neard_bin']} init for chain {given['chain_id']} failed, nothing was made. It says: {said}"
            )
        for name, path in missing.items():
            made = scratch / (taken[name] or name)
            if not made.is_file():
                raise InitFault(f"{given['neard_bin']} init made no {name}; put one to {path}, or use another release")
            made.chmod(0o400 if name == "node_key.json" else 0o640)
        for name, path in missing.items():
            _take(scratch / (taken[name] or name), path, user)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _arguments(given: Mapping[str, Any], missing: Mapping[str, Path], scratch: Path) -> list[str]:
    if list(missing) == ["node_key.json"]:
        return ["--home", str(scratch), "init", "--chain-id", _THROWAWAY_CHAIN]
    found = ["--home", str(scratch), "init", "--chain-id", given["chain_id"]]
    if "genesis.json" not in missing:
        found += ["--genesis", str(Path(given["home"]) / "genesis.json")]
    elif given["genesis"]:
        found += ["--genesis", str(scratch / _GIVEN)]
    if given["download_config"]:
        found += ["--download-config", given["download_config"]]
    return found


def _unpack(source: Path, sha256: str | None, chain_id: str, to: Path) -> None:
    """Verify the genesis and write it to ``to``. :raises InitFault: it is another file, or another chain's."""
    found = sha256_of(source)
    if sha256 is not None and found != sha256.lower():
        raise InitFault(
            f"{source} has the SHA-256 {found}, but {sha256} was expected; get the file again, or correct the hash"
        )
    try:
        unpack_single(source, to)
    except ArchiveFault as fault:
        raise InitFault(f"{source}: {fault}; get the file again") from None
    to.chmod(0o644)
    _refuse_other_chain(to, source, chain_id)


def _refuse_other_chain(genesis: Path, named: Path, chain_id: str) -> None:
    """:raises InitFault: the file's beginning names another chain. Where it names none neard will tell."""
    with genesis.open("rb") as file:
        found = _CHAIN.search(file.read(_BEGINNING).decode(errors="replace"))
    if found is not None and found[1] != chain_id:
        raise InitFault(
            f"{named} is the genesis of chain {found[1]}, but {chain_id} is wanted; give the right file or chain"
        )


def _take(made: Path, path: Path, user: Account) -> None:
    """Put the file to its place, whole or not at all, and never over another. :raises FileExistsError: there is one now."""
    staged = made
    if made.stat().st_dev != path.parent.stat().st_dev:
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
        staged = Path(name)
        with os.fdopen(descriptor, "wb") as to, made.open("rb") as source:
            os.fchmod(descriptor, made.stat().st_mode & 0o777)
            shutil.copyfileobj(source, to, 1 << 20)
    try:
        with staged.open("rb") as file:
            if os.geteuid() == 0:
                os.fchown(file.fileno(), user.uid, user.gid)
            os.fsync(file.fileno())
        os.link(staged, path)  # unlike a rename it does not replace
    finally:
        with contextlib.suppress(OSError):
            staged.unlink()
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "neard_bin": {"type": "path", "default": "/opt/neard/current/neard"},
            "home": {"type": "path", "default": "/var/lib/neard"},
            "node_key": {"type": "path", "default": "/etc/neard/node_key.json", "no_log": False},
            "user": {"type": "str", "default": "neard"},
            "chain_id": {"type": "str", "required": True},
            "genesis": {"type": "path"},
            "genesis_sha256": {"type": "str"},
            "download_config": {"type": "str", "choices": ["validator", "rpc", "archival"]},
            "timeout": {"type": "int", "default": 1800},
        },
        supports_check_mode=True,
    )
    if not LIBRARY:
        module.fail_json(msg=missing_required_lib("Python 3.11 or later"))
    given = module.params
    missing = _missing(given)
    try:
        if "genesis.json" not in missing:
            genesis = Path(given["home"]) / "genesis.json"
            _refuse_other_chain(genesis, genesis, given["chain_id"])
        if missing and not module.check_mode:
            _make(module, given, missing, Account.of(given["user"]))
        node_key = Path(given["node_key"])
        public = read_node_key_file(node_key).public_key if node_key.exists() else None
    except (InitFault, ProgramFault, KeyFault) as fault:
        module.fail_json(msg=str(fault))
    except OSError as error:
        module.fail_json(msg=f"neard's home can't be made: {error}")
    made = sorted(map(str, missing.values()))
    diff = {"before": "", "after": "".join(f"{name}\n" for name in made)}
    module.exit_json(changed=bool(missing), made=made, node_public_key=public, diff=diff)


if __name__ == "__main__":
    main()
