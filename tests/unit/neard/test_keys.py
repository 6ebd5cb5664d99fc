# SPDX-License-Identifier: Apache-2.0
"""Key files: what neard would sign with is read, everything else is refused with its own words, no secret is ever shown."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kuutamod.neard.keys import KeyFault, KeyFile, read_key_file, read_node_key_file, readable_by_others
from neard_standin import base58
from neard_standin.keys import generate_key_file, new_key
from unit.settings.node_files import unprivileged

ACCOUNT = "fleet.near"
READERS = pytest.mark.parametrize("reader", [read_key_file, read_node_key_file])
Reader = Callable[[Path], KeyFile]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A right key file."""
    generate_key_file(tmp_path / "key.json", ACCOUNT)
    return tmp_path / "key.json"


def change(path: Path, **fields: object) -> dict[str, Any]:
    """Set fields of the key file; None removes one. The answer is what it was before."""
    before: dict[str, Any] = json.loads(path.read_text())
    path.write_text(json.dumps({name: value for name, value in {**before, **fields}.items() if value is not None}))
    return before


def refused(path: Path, reader: Reader = read_key_file) -> str:
    """The message of the refusal, which names the file and shows no secret."""
    text = path.read_text(errors="replace") if path.is_file() and os.access(path, os.R_OK, effective_ids=True) else ""
    with pytest.raises(KeyFault) as fault:
        reader(path)
    message = str(fault.value)
    assert message.startswith(f"{path}: ")
    assert fault.value.remedy
    words = {word for word in text.replace('"', " ").replace(":", " ").split() if len(word) > 40}
    assert not any(word in message for word in words)
    return message


@READERS
def test_a_right_key_is_read_without_its_secret(path: Path, reader: Reader) -> None:
    content = json.loads(path.read_text())
    key = reader(path)
    assert key == KeyFile(ACCOUNT, content["public_key"])
    assert content["secret_key"].partition(":")[2] not in repr(key.__dict__)


@READERS
def test_comments_and_the_alias_are_neards(path: Path, reader: Reader) -> None:
    before = change(path, secret_key=None, private_key=json.loads(path.read_text())["secret_key"])
    path.write_text("// a key\n" + path.read_text().replace("{", "{ # begins\n /* here */"))
    assert reader(path).public_key == before["public_key"]


def test_a_key_without_prefix_is_ed25519(path: Path) -> None:
    before = json.loads(path.read_text())
    change(path, public_key=before["public_key"][8:], secret_key=before["secret_key"][8:])
    assert read_key_file(path).public_key == before["public_key"]


@READERS
def test_other_kinds_of_key_are_taken_as_they_are(path: Path, reader: Reader) -> None:
    change(path, public_key="ml-dsa-65:2VfUX", secret_key="ml-dsa-65:3yZe7d")
    assert reader(path).public_key == "ml-dsa-65:2VfUX"


@READERS
def test_a_missing_file(path: Path, reader: Reader) -> None:
    path.unlink()
    assert "no such file" in refused(path, reader)
    path.symlink_to("nowhere")
    assert "a link to a file that does not exist" in refused(path, reader)


@READERS
def test_a_directory(path: Path, reader: Reader) -> None:
    assert "not a regular file" in refused(path.parent, reader)


@READERS
def test_a_pipe_is_refused_without_waiting_for_it(path: Path, reader: Reader) -> None:
    path.unlink()
    os.mkfifo(path)
    assert "not a regular file" in refused(path, reader)


@READERS
def test_an_unreadable_file(path: Path, reader: Reader) -> None:
    path.chmod(0)
    with unprivileged(path.parent):
        assert "can't be read: Permission denied" in refused(path, reader)


@READERS
@pytest.mark.parametrize("content", ["", " \n\t"])
def test_an_empty_file(path: Path, reader: Reader, content: str) -> None:
    path.write_text(content)
    assert "it is empty" in refused(path, reader)


@READERS
def test_every_truncated_copy_is_refused_as_one(path: Path, reader: Reader) -> None:
    text = path.read_text().strip()
    for length in range(1, len(text)):
        path.write_text(text[:length])
        assert "ends too early" in refused(path, reader), text[:length].count("\n")


@READERS
@pytest.mark.parametrize("content", [b"[]", b'"ed25519:x"', b"null", b"7"])
def test_no_object(path: Path, reader: Reader, content: bytes) -> None:
    path.write_bytes(content)
    assert "does not hold a JSON object" in refused(path, reader)


@READERS
@pytest.mark.parametrize(
    "content",
    [
        b"{]",
        b"{'account_id': 'a'}",
        b'{"account_id": "a",}',
        b"\xff\xfe{}",
        b"\xef\xbb\xbf{}",
        b"{}{}",
        b'{"a": NaN}',
        b'{"a": 1, "a": 2}',
        b"[" * 60_000,
        b'{"a": ' + b"9" * 5000 + b"}",
    ],
    ids=range(10),
)
def test_no_json(path: Path, reader: Reader, content: bytes) -> None:
    path.write_bytes(content)
    assert "not JSON" in refused(path, reader)


@pytest.mark.parametrize("field", ["account_id", "public_key", "secret_key"])
@pytest.mark.parametrize("value", [7, ["x"], {"x": 1}, True])
def test_a_field_of_another_type(path: Path, field: str, value: object) -> None:
    change(path, **{field: value})
    assert f"{field} is not a string" in refused(path)


@pytest.mark.parametrize("field", ["account_id", "public_key", "secret_key"])
def test_a_missing_field(path: Path, field: str) -> None:
    change(path, **{field: None})
    assert f"{field} is missing" in refused(path)


@pytest.mark.parametrize("field", ["account_id", "public_key", "secret_key"])
def test_an_empty_field(path: Path, field: str) -> None:
    change(path, **{field: ""})
    assert f"{field} is empty" in refused(path)


@READERS
def test_secret_and_alias_together(path: Path, reader: Reader) -> None:
    change(path, private_key=json.loads(path.read_text())["secret_key"])
    assert "secret_key and private_key are both there" in refused(path, reader)


@pytest.mark.parametrize("field", ["public_key", "secret_key"])
@pytest.mark.parametrize("wrong", ["0", "O", "I", "l", " ", "+", "ä"])
def test_what_is_not_base58(path: Path, field: str, wrong: str) -> None:
    value = json.loads(path.read_text())[field]
    change(path, **{field: value[:-1] + wrong})
    assert f"{field} is not base58" in refused(path)


@pytest.mark.parametrize(("field", "size"), [("public_key", 32), ("secret_key", 64)])
def test_a_key_of_another_length(path: Path, field: str, size: int) -> None:
    value = json.loads(path.read_text())[field]
    change(path, **{field: value[:-4]})
    message = refused(path)
    assert f"{field} has" in message
    assert str(size) in message


def test_a_public_key_of_another_secret(path: Path) -> None:
    change(path, public_key=new_key("other").public_key)
    assert "secret_key does not belong to public_key" in refused(path)


def test_halves_of_different_kinds(path: Path) -> None:
    change(path, secret_key="ml-dsa-65:3yZe7d")
    assert "public_key is ed25519, secret_key is ml-dsa-65" in refused(path)


def test_a_node_key_is_read_as_laxly_as_neard_reads_it(path: Path) -> None:
    public = json.loads(path.read_text())["public_key"]
    for fields in ({"account_id": ""}, {"account_id": None}, {"public_key": ""}, {"public_key": None}, {"public_key": 7}):
        change(path, **fields)
        assert read_node_key_file(path).public_key == public
    assert read_node_key_file(path).account_id == "node"
    change(path, public_key=new_key("other").public_key)
    assert read_node_key_file(path).public_key == public, "the secret alone makes the peer id"


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o604, 0o400])
def test_who_can_read_it(path: Path, mode: int) -> None:
    path.chmod(mode)
    assert readable_by_others(path) == bool(mode & 0o044)


@given(seed=st.binary(min_size=32, max_size=32), public=st.binary(min_size=32, max_size=32), zeros=st.integers(0, 32))
def test_every_public_half_is_found_also_with_leading_zeros(
    tmp_path_factory: pytest.TempPathFactory, seed: bytes, public: bytes, zeros: int
) -> None:
    public = bytes(zeros) + public[zeros:]
    path = tmp_path_factory.getbasetemp() / "derived.json"
    path.write_text(json.dumps({"secret_key": "ed25519:" + base58.encode(seed + public)}))
    assert read_node_key_file(path).public_key == "ed25519:" + base58.encode(public)
