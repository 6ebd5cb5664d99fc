# SPDX-License-Identifier: Apache-2.0
"""config.json: what is read of it, what is refused, and that setting network.addr changes nothing else."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kuutamod.neard.config import ConfigFault, NeardConfig, read_config, set_network_addr, shadow_tracking
from neard_standin.home import default_config
from unit.settings.node_files import unprivileged

ACCOUNT = "fleet.near"
ADDR = "10.1.2.3:24568"


def write(home: Path, **fields: object) -> Path:
    """A right config.json with these fields changed; Ellipsis removes one."""
    data = {**default_config(), "tracked_shards_config": "NoShards", **fields}
    path = home / "config.json"
    path.write_text(json.dumps({name: value for name, value in data.items() if value is not ...}))
    return path


def refused(home: Path) -> list[str]:
    """Everything that is wrong; the exception names the file."""
    with pytest.raises(ConfigFault) as fault:
        read_config(home)
    assert str(home / "config.json") in str(fault.value)
    assert all(problem.problem and problem.remedy for problem in fault.value.problems)
    return [str(problem) for problem in fault.value.problems]


# --- reading ---


def test_what_is_read(tmp_path: Path) -> None:
    path = write(tmp_path)
    wanted = NeardConfig(path, ("127.0.0.1", 3030), "0.0.0.0:24567", tmp_path / "data", None, False)  # type: ignore[arg-type]
    assert read_config(tmp_path) == wanted


@pytest.mark.parametrize(
    ("addr", "reached"),
    [
        ("0.0.0.0:3031", ("127.0.0.1", 3031)),
        ("10.0.0.1:3030", ("10.0.0.1", 3030)),
        ("[::]:3030", ("::1", 3030)),
        ("[fe80::1]:3030", ("fe80::1", 3030)),
    ],
)
def test_where_the_rpc_is_reached(tmp_path: Path, addr: str, reached: tuple[str, int]) -> None:
    write(tmp_path, rpc={"addr": addr})
    assert read_config(tmp_path).rpc_addr == reached


def test_without_rpc_it_is_neards_default(tmp_path: Path) -> None:
    write(tmp_path, rpc=...)
    assert read_config(tmp_path).rpc_addr == ("127.0.0.1", 3030)


@pytest.mark.parametrize(
    ("fields", "shadow", "all_shards"),
    [
        ({"tracked_shards_config": {"ShadowValidator": ACCOUNT}}, ACCOUNT, False),
        ({"tracked_shards_config": ..., "tracked_shadow_validator": ACCOUNT}, ACCOUNT, False),
        ({"tracked_shards_config": None, "tracked_shadow_validator": ACCOUNT}, ACCOUNT, False),
        ({"tracked_shards_config": {"ShadowValidator": "other.near"}}, "other.near", False),
        ({"tracked_shards_config": {"Accounts": [ACCOUNT]}}, None, False),
        ({"tracked_shards_config": "AllShards"}, None, True),
        ({"tracked_shards_config": ..., "tracked_shards": [0]}, None, True),
        ({"tracked_shards_config": ..., "tracked_shards": []}, None, False),
        ({"tracked_shards_config": ...}, None, False),
    ],
)
def test_what_it_tracks(tmp_path: Path, fields: dict[str, Any], shadow: str | None, all_shards: bool) -> None:
    write(tmp_path, **fields)
    config = read_config(tmp_path)
    assert (config.shadow, config.all_shards) == (shadow, all_shards)
    assert shadow_tracking(config, ACCOUNT) == (shadow == ACCOUNT)


@pytest.mark.parametrize("path", ["data", "./db", "../elsewhere"])
def test_where_the_database_is(tmp_path: Path, path: str) -> None:
    write(tmp_path, store={"path": path})
    assert read_config(tmp_path).store == Path(os.path.normpath(tmp_path / path))


def test_comments_of_all_three_kinds(tmp_path: Path) -> None:
    path = write(tmp_path, rpc={"addr": "127.0.0.1:3031"}, telemetry={"endpoints": ["https://t.example/#/*x*/"]})
    text = path.read_text().replace("{", '{ // a "comment"\n# and } another\n/* a third\n, in two lines */', 1)
    path.write_text(text)
    assert read_config(tmp_path).rpc_addr == ("127.0.0.1", 3031)


# --- refusing ---


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "it is empty"),
        (b"\n ", "it is empty"),
        (b"[]", "does not hold a JSON object"),
        (b'{\n"a": 1,\n}', "line 3: column 1"),
        (b'{\n"a": "\xff"}', "line 2: byte 8 is not UTF-8"),
        (b'{\n\n"a": 1 /* never closed }', "line 3: column 8"),
        (b'{"a": "never closed}', "unterminated string"),
        (b'{"network": {}, "network": {}}', "'network' is there twice"),
    ],
)
def test_a_garbled_file(tmp_path: Path, content: bytes, problem: str) -> None:
    (tmp_path / "config.json").write_bytes(content)
    (message,) = refused(tmp_path)
    assert problem in message


def test_a_missing_file(tmp_path: Path) -> None:
    (message,) = refused(tmp_path)
    assert "no such file" in message


def test_an_unreadable_file(tmp_path: Path) -> None:
    write(tmp_path).chmod(0)
    with unprivileged(tmp_path):
        (message,) = refused(tmp_path)
    assert "can't be read: Permission denied" in message


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"rpc": None}, "rpc is null: kuutamod asks neard over its RPC"),
        ({"rpc": {}}, "rpc.addr is missing: "),
        ({"rpc": {"addr": None}}, "rpc.addr is null: "),
        ({"rpc": {"addr": 3030}}, "rpc.addr is 3030: "),
        ({"rpc": {"addr": "3030"}}, 'rpc.addr is "3030": it has no port'),
        ({"rpc": {"addr": "127.0.0.1:0"}}, 'rpc.addr is "127.0.0.1:0": the port'),
        ({"rpc": {"addr": "rpc.example:3030"}}, "not an IP address"),
        ({"network": ...}, "network is missing: "),
        ({"network": None}, "network is null: "),
        ({"network": {"boot_nodes": ""}}, "network.addr is missing: "),
        ({"network": {"addr": 24567}}, "network.addr is 24567: it is not a string"),
        ({"validator_key_file": "key.json"}, 'validator_key_file is "key.json": kuutamod puts the key in place'),
        ({"validator_key_file": 1}, "validator_key_file is 1: "),
        ({"node_key_file": "../node_key.json"}, 'node_key_file is "../node_key.json": '),
        ({"store": {"path": 7}}, "store.path is 7: it is not a string"),
    ],
)
def test_a_field_that_kuutamod_can_not_work_with(tmp_path: Path, fields: dict[str, Any], problem: str) -> None:
    write(tmp_path, **fields)
    (message,) = refused(tmp_path)
    assert problem in message


@pytest.mark.parametrize(
    "old", ["tracked_shards", "tracked_accounts", "tracked_shadow_validator", "tracked_shard_schedule"]
)
@pytest.mark.parametrize("value", [[], ["x"], "x"])
def test_old_and_new_tracking_exclude_each_other(tmp_path: Path, old: str, value: object) -> None:
    """Also an empty list is a value: neard refuses it."""
    write(tmp_path, tracked_shards_config="NoShards", **{old: value})
    (message,) = refused(tmp_path)
    assert (
        message
        == f"{old} is {json.dumps(value)}: neard does not start while tracked_shards_config is set too; remove {old}"
    )
    write(tmp_path, tracked_shards_config="NoShards", **{old: None})
    assert read_config(tmp_path)


def test_the_managed_names_may_be_spelled_out(tmp_path: Path) -> None:
    write(tmp_path, validator_key_file="./validator_key.json", node_key_file=str(tmp_path / "node_key.json"))
    assert read_config(tmp_path)


def test_everything_wrong_is_told_at_once(tmp_path: Path) -> None:
    write(tmp_path, rpc=None, network=None, node_key_file="n", tracked_accounts=[])
    assert [message.split(" ")[0] for message in refused(tmp_path)] == [
        "node_key_file",
        "tracked_accounts",
        "network",
        "rpc",
    ]


# --- writing ---

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8)
OBJECTS = st.dictionaries(st.text() | st.sampled_from(["addr", "network"]), VALUES, max_size=5)
COMMENTS = st.sampled_from(
    ["", " ", "\r\n", "// network: {addr\n", "# \"addr\": 'x' }\n", '/* "addr": "1", */', "/*\n*/\t"]
)


@st.composite
def texts(draw: st.DrawFn) -> tuple[str, str, str]:
    """The text of a config.json with comments in all places: before network.addr's value, that value, and after it."""

    def members(values: dict[str, Any]) -> list[str]:
        return [
            f"{draw(COMMENTS)}{json.dumps(name, ensure_ascii=draw(st.booleans()))}{draw(COMMENTS)}:"
            f"{draw(COMMENTS)}{json.dumps(value)}{draw(COMMENTS)}"
            for name, value in values.items()
        ]

    before: list[str] = []
    after: list[str] = []
    for name in ("network", "addr"):
        others = members({key: value for key, value in draw(OBJECTS).items() if key != name})
        place = draw(st.integers(0, len(others)))
        head = f"{draw(COMMENTS)}{json.dumps(name)}{draw(COMMENTS)}:{draw(COMMENTS)}"
        before.append("{" + "".join(f"{member}," for member in others[:place]) + head)
        after.insert(0, draw(COMMENTS) + "".join(f",{member}" for member in others[place:]) + "}")
    return draw(COMMENTS) + "".join(before), draw(st.text()), "".join(after) + draw(COMMENTS)


@given(text=texts())
def test_only_the_address_changes(tmp_path_factory: pytest.TempPathFactory, text: tuple[str, str, str]) -> None:
    before, addr, after = text
    home = tmp_path_factory.getbasetemp()
    path = home / "config.json"
    path.write_bytes(f"{before}{json.dumps(addr)}{after}".encode())
    assert set_network_addr(home, ADDR) == (addr != ADDR)
    assert path.read_bytes() == f"{before}{json.dumps(ADDR)}{after}".encode()


def test_every_field_and_their_order_stay(tmp_path: Path) -> None:
    path = write(tmp_path)
    wanted = json.loads(path.read_text())
    wanted["network"]["addr"] = ADDR
    assert set_network_addr(tmp_path, ADDR)
    assert json.dumps(json.loads(path.read_text())) == json.dumps(wanted)


def test_an_equal_address_is_not_written_again(tmp_path: Path) -> None:
    path = write(tmp_path)
    assert set_network_addr(tmp_path, ADDR)
    before = path.stat()
    assert not set_network_addr(tmp_path, ADDR)
    after = path.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_mode_and_owner_stay_and_nothing_else_is_left_behind(tmp_path: Path) -> None:
    path = write(tmp_path)
    path.chmod(0o640)
    if os.geteuid() == 0:
        os.chown(path, 1234, 4321)
    before = path.stat()
    assert set_network_addr(tmp_path, ADDR)
    after = path.stat()
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)
    assert after.st_ino != before.st_ino, "it was replaced, not written over"
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_keeps_pointing_to_the_file(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "home").mkdir()
    path = write(tmp_path / "kept")
    (tmp_path / "home" / "config.json").symlink_to(path)
    assert set_network_addr(tmp_path / "home", ADDR)
    assert (tmp_path / "home" / "config.json").readlink() == path
    assert json.loads(path.read_text())["network"]["addr"] == ADDR


@pytest.mark.parametrize("fields", [{"network": ...}, {"network": {}}, {"network": {"addr": None}}])
def test_what_has_no_address_is_left_as_it_is(tmp_path: Path, fields: dict[str, Any]) -> None:
    path = write(tmp_path, **fields)
    before = path.read_bytes()
    with pytest.raises(ConfigFault, match="network"):
        set_network_addr(tmp_path, ADDR)
    assert path.read_bytes() == before


@pytest.mark.parametrize("step", ["fsync", "replace", "fchmod"])
def test_a_write_that_fails_leaves_the_old_file_and_no_other(
    tmp_path: Path, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path)
    before = path.read_bytes()

    def fail(*_unused: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path if step == "replace" else os, step, fail)
    with pytest.raises(OSError, match="No space"):
        set_network_addr(tmp_path, ADDR)
    monkeypatch.undo()
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_the_file_is_on_disk_before_it_takes_the_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def synced(number: int) -> None:
        steps.append("fsync")
        fsync(number)

    def replaced(path: Path, target: Path) -> Path:
        steps.append("replace")
        return replace(path, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "replace", replaced)
    write(tmp_path)
    set_network_addr(tmp_path, ADDR)
    assert steps == ["fsync", "replace", "fsync"]
