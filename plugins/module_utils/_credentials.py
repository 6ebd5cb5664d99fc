# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Secrets at rest on a host: sealed by systemd-creds, or a file that only root may read. Secrets go through pipes alone."""

from __future__ import annotations

import enum
import hmac
import json
import os
import stat
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ._kuutamod.neard.keys import KeyFault, KeyFile, read_key_file, read_node_key_file
from ._program import Answer, ProgramFault, run

_PATIENCE = 60.0
"""Seconds for systemd-creds; a TPM is slow."""
FILE_MODE = 0o400
FOLDER_MODE = 0o700
_LARGEST = 64 * 1024


class CredentialFault(Exception):
    """A secret can't be kept or read; the message never has a part of it."""


class Seal(enum.Enum):
    """What a sealed secret is tied to: the host's own key on its disk, its TPM, or both."""

    HOST = "host"
    TPM2 = "tpm2"
    BOTH = "host+tpm2"


@dataclass(frozen=True)
class Sealed:
    """A secret sealed under a name; systemd refuses to open it under another.

    ``pcrs``: the TPM's registers whose values it is bound to; with none it is bound to the TPM alone.
    """

    module: AnsibleModule
    path: Path
    name: str
    seal: Seal
    pcrs: tuple[int, ...] = ()

    def read(self) -> bytes | None:
        """The secret; None where there is none, or none that this host can open any more."""
        if not self.path.exists():
            return None
        done = _systemd_creds(self.module, "decrypt", f"--name={self.name}", str(self.path), "-")
        return done.out if done.code == 0 else None

    def write(self, secret: bytes) -> None:
        """Seal it. :raises CredentialFault: systemd-creds refuses."""
        options = [f"--name={self.name}", f"--with-key={self.seal.value}"]
        if self.seal is not Seal.HOST:
            # Without a word systemd takes register 7, which an update of Secure Boot's keys changes, on all hosts alike.
            options.append(f"--tpm2-pcrs={'+'.join(map(str, self.pcrs))}")
        done = _systemd_creds(self.module, "encrypt", *options, "-", "-", given=secret)
        if done.code or not done.out:
            why = done.complaint[-300:]
            raise CredentialFault(f"systemd-creds can't seal {self.path} with {self.seal.value}: {why}")
        replace_file(self.path, done.out)


@dataclass(frozen=True)
class Plain:
    """A secret in a file that only root may read."""

    path: Path

    def read(self) -> bytes | None:
        """The secret; None where there is none."""
        try:
            return self.path.read_bytes()
        except FileNotFoundError:
            return None

    def write(self, secret: bytes) -> None:
        """Put it there."""
        replace_file(self.path, secret)


def replace_file(path: Path, data: bytes) -> None:
    """Write a file that only root may read, in one step; its folder is made, for root alone, where it is missing."""
    path.parent.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), FILE_MODE)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def private(path: Path) -> bool:
    """Is the file root's, and nobody else's to read?"""
    seen = path.stat()
    return seen.st_uid == 0 and not seen.st_mode & (stat.S_IRWXG | stat.S_IRWXO)


def best_seal(module: AnsibleModule) -> Seal:
    """The host's key and the TPM together where there is a TPM."""
    return Seal.BOTH if _systemd_creds(module, "has-tpm2", "--quiet").code == 0 else Seal.HOST


def _systemd_creds(module: AnsibleModule, *arguments: str, given: bytes | None = None) -> Answer:
    try:
        return run(module, ["systemd-creds", *arguments], _PATIENCE, given=given)
    except ProgramFault as fault:
        raise CredentialFault(f"{fault}; systemd 250 or later is needed") from None


@dataclass(frozen=True)
class Key:
    """A key file's public part, and its bytes as they are kept."""

    public: KeyFile
    data: bytes


def parse_key(text: str, what: str, read: Callable[[Path], KeyFile]) -> Key:
    """A key given as JSON text. :raises CredentialFault: neard would not take it; ``what`` names it."""
    try:
        value = json.loads(text)
    except ValueError:
        raise CredentialFault(f"{what} is not JSON; give it the whole content of the key file") from None
    if not isinstance(value, dict):
        raise CredentialFault(f"{what} is not a JSON object; give it the whole content of the key file")
    data = (json.dumps(value, indent=2) + "\n").encode()
    return Key(_public(data, what, read), data)


def parse_validator_key(text: str, what: str, account_id: str) -> Key:
    """The validator's key. :raises CredentialFault: neard would not take it, or it is another account's."""
    key = parse_key(text, what, read_key_file)
    if key.public.account_id != account_id:
        raise CredentialFault(
            f"{what} belongs to account {key.public.account_id}, not {account_id}; give the account of the key, or the key "
            "of the account"
        )
    return key


def parse_node_key(text: str, what: str) -> Key:
    """A node's key."""
    return parse_key(text, what, read_node_key_file)


def public_key_of(data: bytes | None, read: Callable[[Path], KeyFile]) -> str | None:
    """The public key of a kept secret; None where it is none."""
    if data is None:
        return None
    try:
        return _public(data, "", read).public_key
    except CredentialFault:
        return None


def _public(data: bytes, what: str, read: Callable[[Path], KeyFile]) -> KeyFile:
    """The daemon's own judgement of a key file, on a file that is in memory alone."""
    descriptor = os.memfd_create("key")
    try:
        os.write(descriptor, data)
        return read(Path(f"/proc/self/fd/{descriptor}"))
    except KeyFault as fault:
        raise CredentialFault(f"{what}: {fault.problem}" + (f"; {fault.remedy}" if fault.remedy else "")) from None
    finally:
        os.close(descriptor)


def same(one: bytes | None, other: bytes) -> bool:
    """Are they the same secret?"""
    return one is not None and hmac.compare_digest(one, other)


@dataclass(frozen=True)
class Stray:
    """A key in clear in a home of neard. ``ours``: it is the validator's."""

    path: Path
    public_key: str
    ours: bool

    def told(self) -> dict[str, Any]:
        """For a module's answer."""
        return {"path": str(self.path), "public_key": self.public_key, "ours": self.ours}


def strays(homes: Iterable[Path], ours: str) -> list[Stray]:
    """The validator keys that lie in homes of neard as files of their own. ``ours``: the public key to compare with.

    kuutamod's link is none; nor is a node key, which signs nothing.
    """
    found = []
    for path in (path for home in homes if home.is_dir() for path in sorted(home.glob("*.json*"))):
        if path.is_symlink() or not path.is_file() or path.stat().st_size > _LARGEST:
            continue
        try:
            public = read_key_file(path)
        except (KeyFault, OSError):
            continue
        if public.public_key == ours or path.name.startswith("validator_key.json"):
            found.append(Stray(path, public.public_key, public.public_key == ours))
    return found
