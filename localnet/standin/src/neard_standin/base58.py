# SPDX-License-Identifier: Apache-2.0
"""Base58 with the Bitcoin alphabet: the text form of NEAR keys and hashes."""

from __future__ import annotations

import hashlib

_ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_VALUE = {character: value for value, character in enumerate(_ALPHABET)}


def encode(data: bytes) -> str:
    """The base58 text of `data`; each leading zero byte becomes a leading `1`."""
    number = int.from_bytes(data, "big")
    digits = ""
    while number:
        number, digit = divmod(number, 58)
        digits = _ALPHABET[digit] + digits
    return "1" * (len(data) - len(data.lstrip(b"\0"))) + digits


def decode(text: str) -> bytes:
    """The bytes behind base58 `text`; ValueError for a character outside the alphabet."""
    number = 0
    for character in text:
        if character not in _VALUE:
            raise ValueError(f"{character!r} is not a base58 character")
        number = number * 58 + _VALUE[character]
    zeros = len(text) - len(text.lstrip("1"))
    return b"\0" * zeros + number.to_bytes((number.bit_length() + 7) // 8, "big")


def hash_text(*parts: object) -> str:
    """A made-up but stable 32-byte hash for `parts`, in base58."""
    return encode(hashlib.sha256(":".join(map(str, parts)).encode()).digest())
