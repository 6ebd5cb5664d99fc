# SPDX-License-Identifier: Apache-2.0
"""neard_config: single fields, everything else as it was, and nothing in place that neard would refuse."""

from __future__ import annotations

from pathlib import Path

import pytest

from unit.plugins.neard_rig import NOBODY, neard, open_to_all, run

TEXT = """\
{
  // by hand
  "rpc": {"addr": "0.0.0.0:3030"}, # public
  "tracked_shards": [0],
  "network": {
    "addr": "0.0.0.0:24567",
    "boot_nodes": "ed25519:a@1.2.3.4:24567"
  }
}
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home that any user may read."""
    open_to_all(tmp_path)
    (tmp_path / "config.json").write_text(TEXT)
    (tmp_path / "genesis.json").write_text("{}")
    (tmp_path / "node_key.json").write_text("{}")
    return tmp_path


def test_only_the_named_fields_change(home: Path) -> None:
    path = home / "config.json"
    path.chmod(0o640)
    wanted = {"rpc.addr": "127.0.0.1:3030", "expected_shutdown": None}
    found = run(
        "neard_config", path=str(path), set=wanted, absent=["tracked_shards", "not_there"], read=["network.boot_nodes"]
    )
    assert found["changed"] is True
    assert path.read_text() == TEXT.replace("0.0.0.0:3030", "127.0.0.1:3030").replace(
        '  "tracked_shards": [0],\n', ""
    ).replace('24567"\n  }\n', '24567"\n  },\n  "expected_shutdown": null\n')
    assert found["fields"] == {
        "tracked_shards": {"before": [0], "after": None},
        "rpc.addr": {"before": "0.0.0.0:3030", "after": "127.0.0.1:3030"},
        "expected_shutdown": {"before": None, "after": None},
    }
    assert found["found"] == {"network.boot_nodes": "ed25519:a@1.2.3.4:24567"}
    assert found["diff"]["before"] == TEXT
    assert found["diff"]["after"] == path.read_text()
    assert path.stat().st_mode & 0o777 == 0o640
    again = run("neard_config", path=str(path), set=wanted, absent=["tracked_shards"])
    assert (again["changed"], again["fields"]) == (False, {})


def test_check_mode_writes_nothing_and_tells_the_same(home: Path) -> None:
    path = home / "config.json"
    found = run("neard_config", check=True, path=str(path), set={"archive": False}, read=["archive"])
    assert found["changed"] is True
    assert found["found"] == {"archive": False}
    assert path.read_text() == TEXT


@pytest.mark.parametrize(
    ("text", "wanted", "told"),
    [
        (TEXT, {"network.addr": "0.0.0.0:1"}, "network.addr: kuutamod owns it"),
        (TEXT, {"network": {}}, "network: name the single fields"),
        (TEXT, {"tracked_shards.first": 1}, "tracked_shards is [0], so tracked_shards.first can't be set to 1"),
        (TEXT, {"a..b": 1}, "'a..b' is not a field"),
        ('{"rpc": null}', {"rpc.addr": "1"}, "rpc is null, so rpc.addr can't be set"),
        ("{}", {"network.boot_nodes": ""}, "network is missing, so network.boot_nodes can't be set"),
        ('{"rpc": {"addr": 1,}}', {"archive": True}, "it is not JSON: line 1"),
        ('{"a": 1, "a": 2}', {"archive": True}, "the field 'a' is there twice"),
        ("[]", {"archive": True}, "does not hold a JSON object"),
        ("", {"archive": True}, "it is not JSON"),
    ],
)
def test_what_can_t_be_done_is_refused_and_nothing_is_written(
    home: Path, text: str, wanted: dict[str, object], told: str
) -> None:
    path = home / "config.json"
    path.write_text(text)
    found = run("neard_config", path=str(path), set=wanted)
    assert found["failed"] is True
    assert told in found["msg"]
    assert path.read_text() == text
    assert sorted(path.name for path in home.iterdir()) == ["config.json", "genesis.json", "node_key.json"]


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    found = run("neard_config", path=str(tmp_path / "config.json"))
    assert "there is no such file; make it with neard init" in found["msg"]


def test_a_field_can_t_be_both_set_and_absent(home: Path) -> None:
    found = run("neard_config", path=str(home / "config.json"), set={"archive": True}, absent=["archive"])
    assert "archive: it is both in set and in absent" in found["msg"]


def test_neard_judges_the_new_content_before_it_is_in_place(home: Path) -> None:
    judge = neard(
        home / "judge", validate=f'cmp -s {home}/config.json "$2/config.json" && exit 9; test -e "$2/genesis.json"'
    )
    found = run(
        "neard_config", path=str(home / "config.json"), set={"archive": True}, validate_with=str(judge), validate_as=NOBODY
    )
    assert (found.get("msg"), found.get("changed"), found.get("validated"), found["not_validated"]) == (
        None,
        True,
        True,
        "",
    )
    assert run("neard_config", path=str(home / "config.json"), read=["archive"])["found"] == {"archive": True}


def test_what_neard_refuses_does_not_come_to_its_place(home: Path) -> None:
    judge = neard(home / "judge", validate='echo "Error: $2/config.json: archive: no" >&2; exit 1')
    found = run(
        "neard_config", path=str(home / "config.json"), set={"archive": True}, validate_with=str(judge), validate_as=NOBODY
    )
    assert found["failed"] is True
    assert f"nothing was changed. It says: Error: {home}/config.json: archive: no" in found["msg"]
    assert (home / "config.json").read_text() == TEXT
    assert not list(home.glob(".neard_config*"))


@pytest.mark.parametrize(
    ("missing", "validate", "reason"),
    [
        ("genesis.json", "exit 1", "there is no {home}/genesis.json"),
        ("node_key.json", "exit 1", "there is no {home}/node_key.json"),
        (None, 'echo "error: unrecognized subcommand" >&2; exit 2', "{home}/judge has no validate-config"),
    ],
)
def test_where_neard_can_t_judge_it_says_why(home: Path, missing: str | None, validate: str, reason: str) -> None:
    judge = neard(home / "judge", validate=validate)
    if missing:
        (home / missing).unlink()
    found = run(
        "neard_config", path=str(home / "config.json"), set={"archive": True}, validate_with=str(judge), validate_as=NOBODY
    )
    assert (found["changed"], found["validated"], found["not_validated"]) == (True, False, reason.format(home=home))
