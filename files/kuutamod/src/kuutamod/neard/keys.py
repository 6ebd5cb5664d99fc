# SPDX-License-Identifier: Apache-2.0
"""Key files, checked before neard gets to see them. Secret material is neither kept nor printed.

Source of the shape: nearcore's ``core/crypto/src/key_file.rs``. Newer neards refuse a secret that does not belong to the
public key and older ones report whatever public key is written, so it is checked here. The laxer rule for node keys is
neard's: only the secret counts, the account means nothing and the public key may be empty.
"""

from __future__ import annotations

import stat
from dataclasses import dataclass
from pathlib import Path

from . import jsonc

_ALPHABET = {char: value for value, char in enumerate("123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz")}
_CURVE = "ed25519"
_PUBLIC_BYTES = 32
_SECRET_BYTES = 64
_LONGEST_FILE = 64 * 1024
_MAKE_ANEW = "copy it again from where it is kept, or make a key with `neard init`"


class KeyFault(Exception):
    """A key file that can't be used; the message names the file, what is wrong and the remedy."""

    def __init__(self, problem: str, remedy: str = "", path: Path | None = None) -> None:
        super().__init__((f"{path}: " if path else "") + problem + (f"; {remedy}" if remedy else ""))
        self.problem = problem
        self.remedy = remedy


@dataclass(frozen=True)
class KeyFile:
    """The public part of a key file. ``public_key`` is written as neard prints it, ``ed25519:`` and base58."""

    account_id: str
    public_key: str


@dataclass(frozen=True)
class NodeKeys:
    """The three keys of a node: the validator's, and the network identities of neard as validator and as voter."""

    validator: KeyFile
    validator_node: KeyFile
    voter_node: KeyFile


def read_key_file(path: Path) -> KeyFile:
    """A validator's key. :raises KeyFault: it is not one that neard would sign with."""
    data = _read_object(path)
    account = _text(path, data, "account_id", "the account the key belongs to")
    if not account:
        raise KeyFault("account_id is empty", "it must be the staking pool's account", path)
    public = _text(path, data, "public_key", "such as ed25519:...")
    curve, raw = _decode(path, "public_key", public)
    name, secret = _secret(path, data)
    secret_curve, raw_secret = _decode(path, name, secret)
    if secret_curve != curve:
        raise KeyFault(f"public_key is {curve}, {name} is {secret_curve}", "they belong to different keys", path)
    if curve == _CURVE:
        _check_lengths(path, name, raw, raw_secret)
        if raw_secret[_PUBLIC_BYTES:] != raw:
            raise KeyFault(f"{name} does not belong to public_key", f"neard would refuse it: {_MAKE_ANEW}", path)
    return KeyFile(account, f"{curve}:{public.rpartition(':')[2]}")


def read_node_key_file(path: Path) -> KeyFile:
    """A node's key; its public key is derived from the secret where it can be. :raises KeyFault: neard would not start."""
    data = _read_object(path)
    name, secret = _secret(path, data)
    curve, raw_secret = _decode(path, name, secret)
    account = data.get("account_id")
    account = account if isinstance(account, str) and account else "node"
    if curve == _CURVE:
        _check_lengths(path, name, raw_secret[_PUBLIC_BYTES:], raw_secret)
        return KeyFile(account, f"{_CURVE}:{_encode(raw_secret[_PUBLIC_BYTES:])}")
    return KeyFile(account, _text(path, data, "public_key", "its public part can't be derived from this kind of secret"))


def readable_by_others(path: Path) -> bool:
    """Do the file's mode bits let its group or others read it? False when it can't be looked at."""
    try:
        return bool(path.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH))
    except OSError:
        return False


def _read_object(path: Path) -> dict[str, object]:
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise KeyFault("it is not a regular file", "name a key file", path)
        with path.open("rb") as file:
            data = file.read(_LONGEST_FILE)
    except FileNotFoundError:
        broken = path.is_symlink()
        problem = "it is a link to a file that does not exist" if broken else "there is no such file"
        raise KeyFault(problem, "name an existing key file, or make one with `neard init`", path) from None
    except OSError as error:
        raise KeyFault(f"it can't be read: {error.strerror}", "let kuutamod's user read it", path) from None
    if not data.strip():
        raise KeyFault("it is empty", _MAKE_ANEW, path)
    try:
        value = jsonc.parse(data)[1]
    except jsonc.JsonFault as fault:
        what = "it ends too early, as a truncated copy does" if fault.truncated else "it is not JSON"
        raise KeyFault(f"{what} ({fault})", _MAKE_ANEW, path) from None
    if not isinstance(value, dict):
        raise KeyFault("it does not hold a JSON object", _MAKE_ANEW, path)
    return value


def _text(path: Path, data: dict[str, object], name: str, meaning: str) -> str:
    if name not in data:
        raise KeyFault(f"{name} is missing", f"it must be a string: {meaning}", path)
    value = data[name]
    if not isinstance(value, str):
        raise KeyFault(f"{name} is not a string", f"it must be a string: {meaning}", path)
    return value


def _secret(path: Path, data: dict[str, object]) -> tuple[str, str]:
    if "secret_key" in data and "private_key" in data:
        raise KeyFault("secret_key and private_key are both there", "they mean the same: remove one", path)
    name = "private_key" if "private_key" in data else "secret_key"
    return name, _text(path, data, name, "the secret, such as ed25519:...")


def _decode(path: Path, name: str, text: str) -> tuple[str, bytes]:
    """Key type and bytes; a key without a prefix is ed25519, as in neard."""
    curve, colon, encoded = text.partition(":")
    curve, encoded = (curve.lower(), encoded) if colon else (_CURVE, text)
    if not curve:
        raise KeyFault(f"{name} has no key type before its colon", "such as ed25519:...", path)
    if not encoded:
        raise KeyFault(f"{name} is empty", _MAKE_ANEW, path)
    number = 0
    for position, char in enumerate(encoded):
        if char not in _ALPHABET:
            raise KeyFault(f"{name} is not base58 (character {position + 1} after the key type)", _MAKE_ANEW, path)
        number = number * 58 + _ALPHABET[char]
    zeros = len(encoded) - len(encoded.lstrip("1"))
    return curve, bytes(zeros) + number.to_bytes((number.bit_length() + 7) // 8, "big")


def _encode(raw: bytes) -> str:
    digits, number = "", int.from_bytes(raw, "big")
    alphabet = "".join(_ALPHABET)
    while number:
        number, digit = divmod(number, 58)
        digits = alphabet[digit] + digits
    return "1" * (len(raw) - len(raw.lstrip(b"\0"))) + digits


def _check_lengths(path: Path, name: str, public: bytes, secret: bytes) -> None:
    if len(secret) != _SECRET_BYTES:
        raise KeyFault(f"{name} has {len(secret)} bytes, an {_CURVE} secret has {_SECRET_BYTES}", _MAKE_ANEW, path)
    if len(public) != _PUBLIC_BYTES:
        raise KeyFault(f"public_key has {len(public)} bytes, an {_CURVE} key has {_PUBLIC_BYTES}", _MAKE_ANEW, path)
