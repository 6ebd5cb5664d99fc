# SPDX-License-Identifier: Apache-2.0
"""Key files and their text forms."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from neard_standin import base58, ed25519
from neard_standin.keys import generate_key_file, generate_node_key, read_key_file, read_node_key


@given(st.binary(max_size=70))
def test_base58_round_trip(data: bytes) -> None:
    assert base58.decode(base58.encode(data)) == data


def test_base58_known_value() -> None:
    assert base58.encode(b"\0Hello World!") == "12NEpo7TZRRrLZSi2U"


def test_base58_refuses_foreign_characters() -> None:
    with pytest.raises(ValueError, match="'0'"):
        base58.decode("10l")


@given(st.binary(min_size=32, max_size=32))
def test_public_key_is_the_one_of_a_real_library(seed: bytes) -> None:
    assert ed25519.public_key(seed) == Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()


def test_public_key_refuses_a_short_seed() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        ed25519.public_key(b"short")


def test_generated_key_is_private_and_consistent(tmp_path: Path) -> None:
    path = tmp_path / "validator_key.json"
    key = generate_key_file(path, "a.near")
    assert path.stat().st_mode & 0o777 == 0o600
    assert read_key_file(path) == key
    secret = base58.decode(key.secret_key.removeprefix("ed25519:"))
    public = Ed25519PrivateKey.from_private_bytes(secret[:32]).public_key().public_bytes_raw()
    assert key.public_key == "ed25519:" + base58.encode(public)
    assert key.secret_matches_public()
    assert not any(path.name.startswith(".") for path in tmp_path.iterdir()), "no temporary file is left"


def test_two_keys_differ(tmp_path: Path) -> None:
    assert generate_node_key(tmp_path / "a").public_key != generate_node_key(tmp_path / "b").public_key


def test_repr_keeps_the_secret(tmp_path: Path) -> None:
    key = generate_key_file(tmp_path / "key", "a.near")
    assert key.secret_key.removeprefix("ed25519:") not in repr(key)


def test_node_key_is_read_laxly(tmp_path: Path) -> None:
    key = generate_node_key(tmp_path / "key")
    (tmp_path / "key").write_text(json.dumps({"account_id": "", "public_key": "", "secret_key": key.secret_key}))
    assert read_node_key(tmp_path / "key") == key


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"account_id": ""}, "account_id"),
        ({"account_id": 5}, "account_id"),
        ({"public_key": None}, "public_key"),
        ({"public_key": "rsa:abc"}, "unknown key type 'rsa'"),
        ({"public_key": "ed25519:abc"}, "public_key: 3 bytes"),
        ({"secret_key": "ed25519:0"}, "secret_key: '0'"),
        ({"private_key": "ed25519:abc"}, "alias private_key"),
    ],
)
def test_bad_key_files_are_refused_by_field(tmp_path: Path, change: dict[str, object], complaint: str) -> None:
    path = tmp_path / "key.json"
    generate_key_file(path, "a.near")
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(ValueError, match=complaint) as raised:
        read_key_file(path)
    assert str(path) in str(raised.value)


@pytest.mark.parametrize("text", ["", "[]", '{"account_id"', "\x00"])
def test_files_that_are_no_object_are_refused_by_name(tmp_path: Path, text: str) -> None:
    path = tmp_path / "key.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"key\.json"):
        read_key_file(path)
