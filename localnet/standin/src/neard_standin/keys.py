# SPDX-License-Identifier: Apache-2.0
"""Key files of NEAR nodes: reading them as neard does, and making new ones."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neard_standin import base58, ed25519
from neard_standin.files import read_object, write_object

# neard 2.13 adds ML-DSA-65 keys; the stand-in knows the lengths (public, secret) of the curve it makes keys for.
_KEY_LENGTHS = {"ed25519": (32, 64)}


@dataclass(frozen=True)
class KeyFile:
    """The content of a validator or node key file. The secret never shows in a repr."""

    account_id: str
    public_key: str
    secret_key: str

    def __repr__(self) -> str:
        return f"KeyFile(account_id={self.account_id!r}, public_key={self.public_key!r})"

    def secret_matches_public(self) -> bool:
        """Whether the public half stored in the secret key is the stated public key (checked by neard since 2.12)."""
        secret, public = _key_bytes(self.secret_key), _key_bytes(self.public_key)
        return secret[-len(public) :] == public


def _key_bytes(text: str) -> bytes:
    return base58.decode(text.partition(":")[2])


def _check_key(text: object, field: str, path: Path, *, secret: bool) -> str:
    if not isinstance(text, str):
        raise ValueError(f"{path}: {field}: a string is expected, found {type(text).__name__}")
    curve = text.partition(":")[0]
    if curve not in _KEY_LENGTHS:
        raise ValueError(f"{path}: {field}: unknown key type {curve!r}; expected one of {', '.join(_KEY_LENGTHS)}")
    expected = _KEY_LENGTHS[curve][1 if secret else 0]
    try:
        length = len(_key_bytes(text))
    except ValueError as error:
        raise ValueError(f"{path}: {field}: {error}") from error
    if length != expected:
        raise ValueError(f"{path}: {field}: {length} bytes, a {curve} key of this kind has {expected}")
    return text


def _secret_of(content: dict[str, Any], path: Path) -> str:
    if "secret_key" in content and "private_key" in content:
        raise ValueError(f"{path}: secret_key and its alias private_key are both given; keep one")
    for field in ("secret_key", "private_key"):
        if field in content:
            return _check_key(content[field], field, path, secret=True)
    raise ValueError(f"{path}: secret_key is missing")


def read_key_file(path: Path | str) -> KeyFile:
    """The validator key in `path` (facts: neard's key_file.rs; comments and the alias `private_key` are accepted).

    Raises OSError when the file cannot be read and ValueError, naming file and field, when its content is no key.
    """
    path = Path(path)
    content = read_object(path)
    account = content.get("account_id")
    if not isinstance(account, str) or not account:
        raise ValueError(f"{path}: account_id: a non-empty string is expected, found {account!r}")
    secret = _secret_of(content, path)
    return KeyFile(account, _check_key(content.get("public_key"), "public_key", path, secret=False), secret)


def read_node_key(path: Path | str) -> KeyFile:
    """The node key in `path`, read as laxly as neard does: only the secret counts, it alone makes the peer id.

    Raises OSError when the file cannot be read and ValueError, naming file and field, when it holds no secret key.
    """
    path = Path(path)
    content = read_object(path)
    secret = _secret_of(content, path)
    public = "ed25519:" + base58.encode(_key_bytes(secret)[32:])
    return KeyFile(str(content.get("account_id") or "node"), public, secret)


def new_key(account_id: str) -> KeyFile:
    """A fresh ed25519 key for `account_id`, not yet on disk."""
    seed = os.urandom(ed25519.SEED_BYTES)
    public = ed25519.public_key(seed)
    return KeyFile(account_id, "ed25519:" + base58.encode(public), "ed25519:" + base58.encode(seed + public))


def write_key_file(path: Path | str, key: KeyFile) -> None:
    """Put `key` into `path` atomically, readable by its owner only."""
    content = {"account_id": key.account_id, "public_key": key.public_key, "secret_key": key.secret_key}
    write_object(Path(path), content, mode=0o600)


def generate_key_file(path: Path | str, account_id: str) -> KeyFile:
    """Make a fresh validator key for `account_id` and write it to `path` with mode 0600."""
    key = new_key(account_id)
    write_key_file(path, key)
    return key


def generate_node_key(path: Path | str) -> KeyFile:
    """Make a fresh node key and write it to `path` with mode 0600; the account in it means nothing."""
    return generate_key_file(path, "node")
