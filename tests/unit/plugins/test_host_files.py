# SPDX-License-Identifier: Apache-2.0
"""host_files: what it makes, leaves alone, tells and refuses."""

from __future__ import annotations

import grp
import os
from pathlib import Path
from typing import Any

from unit.plugins.neard_rig import ME
from unit.plugins.rig import Answer, modes_of, run

MINE = {"owner": ME, "group": grp.getgrgid(os.getegid()).gr_name}


def files(*wanted: dict[str, Any], check: bool = False) -> Answer:
    return run("host_files", check=check, diff=True, files=[{**MINE, **each} for each in wanted])


def mode(path: Path) -> str:
    return f"{path.lstat().st_mode & 0o7777:04o}"


def fleet(home: Path) -> list[dict[str, Any]]:
    return [
        {"path": str(home / "etc"), "state": "directory", "mode": "0750"},
        {"path": str(home / "etc/environment"), "content": "A=1\n", "mode": "0640"},
        {"path": str(home / "current"), "state": "link", "target": "releases/1"},
        {"path": str(home / "old"), "state": "absent"},
    ]


def test_all_is_made_once(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    everything = [each["path"] for each in fleet(tmp_path)]
    preview = files(*fleet(tmp_path), check=True)
    assert (preview.told, preview["paths"]) == ((False, True), everything)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["old"]
    made = files(*fleet(tmp_path))
    assert (made.told, made["paths"]) == ((False, True), everything)
    assert (tmp_path / "etc/environment").read_text() == "A=1\n"
    assert (mode(tmp_path / "etc"), mode(tmp_path / "etc/environment")) == ("0750", "0640")
    assert (tmp_path / "current").readlink() == Path("releases/1")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["current", "environment", "etc"]
    again = files(*fleet(tmp_path))
    assert (again.told, again["paths"], again["diff"]) == ((False, False), [], [])


def test_only_what_differs_is_changed_and_shown(tmp_path: Path) -> None:
    files(*fleet(tmp_path))
    wanted = fleet(tmp_path)
    wanted[1]["content"] = "A=2\n"
    wanted[0]["mode"] = "0700"
    wanted[2]["target"] = "releases/2"
    changed = files(*wanted)
    assert changed["paths"] == [str(tmp_path / name) for name in ("etc", "etc/environment", "current")]
    assert [(each["before"], each["after"]) for each in changed["diff"]] == [
        ("mode=0750\n", "mode=0700\n"),
        ("A=1\n", "A=2\n"),
        ("link to releases/1\n", "link to releases/2\n"),
    ]
    assert files(*wanted).told == (False, False)


def test_a_content_that_is_not_good_is_not_put_in_place(tmp_path: Path) -> None:
    place = {"path": str(tmp_path / "consul.json"), "mode": "0640", "validate": "grep --quiet good %s"}
    assert files({**place, "content": "good\n"}).told == (False, True)
    refused = files({**place, "content": "bad\n"})
    assert refused.told == (True, False)
    assert "consul.json is left as it was, since the new content is not good" in refused["msg"]
    assert [path.read_text() for path in tmp_path.iterdir()] == ["good\n"]


def test_a_file_is_never_open_to_more_than_it_will_be(tmp_path: Path) -> None:
    path = tmp_path / "environment"
    wanted = {"path": str(path), "mode": "0640"}
    with modes_of(path) as seen:
        files({**wanted, "content": "A=1\n"})
    assert seen == {"0640"}
    path.chmod(0o600)
    with modes_of(path) as seen:
        files({**wanted, "content": "A=2\n"})
    assert seen == {"0600", "0640"}


def test_without_a_mode_it_keeps_the_one_that_it_has(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with modes_of(path) as seen:
        files({"path": str(path), "content": "1\n"})
    assert seen == {"0644"}
    path.chmod(0o604)
    with modes_of(path) as seen:
        files({"path": str(path), "content": "2\n"})
    assert (seen, path.read_text()) == ({"0604"}, "2\n")


def test_what_came_before_a_fault_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    made = {"path": str(tmp_path / "made"), "content": "", "mode": "0600"}
    for fault, wanted in {
        "is there and is no directory": {"path": str(tmp_path / "file"), "state": "directory"},
        "is a directory": {"path": str(tmp_path / "folder"), "content": ""},
        "is there and is no link": {"path": str(tmp_path / "file"), "state": "link", "target": "x"},
        "a link needs a target": {"path": str(tmp_path / "link"), "state": "link"},
        "no content is given": {"path": str(tmp_path / "none")},
        "No such file or directory": {"path": str(tmp_path / "none/file"), "content": ""},
    }.items():
        (tmp_path / "made").unlink(missing_ok=True)
        answer = files(made, wanted)
        assert (answer.told, answer["paths"]) == ((True, True), [made["path"]])
        assert fault in answer["msg"]


def test_a_link_in_the_place_of_a_file_is_replaced_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("kept\n")
    (tmp_path / "file").symlink_to("elsewhere")
    files({"path": str(tmp_path / "file"), "content": "new\n", "mode": "0600"})
    assert not (tmp_path / "file").is_symlink()
    assert ((tmp_path / "elsewhere").read_text(), (tmp_path / "file").read_text()) == ("kept\n", "new\n")


def test_in_check_mode_a_user_may_be_one_that_an_earlier_step_would_make(tmp_path: Path) -> None:
    home = {"path": str(tmp_path), "state": "directory", "owner": "no-such-user", "mode": "0750"}
    preview = files(home, check=True)
    assert (preview.told, preview["paths"]) == ((False, True), [str(tmp_path)])
    assert "owner=no-such-user" in preview["diff"][0]["after"]


def test_a_content_that_stays_is_judged_again_where_that_is_asked_for(tmp_path: Path) -> None:
    """The program that reads it has changed, the content has not."""
    (tmp_path / "consul.json").write_text("old words\n")
    place = {"path": str(tmp_path / "consul.json"), "content": "old words\n", "mode": "0644"}
    new = {**place, "validate": "grep --quiet new %s"}
    link = {"path": str(tmp_path / "consul"), "state": "link", "target": "2.0"}
    assert files(new).told == (False, False)
    refused = files({**new, "revalidate": True}, link)
    assert refused.told == (True, False)
    assert "consul.json: the content that it has is not good any more" in refused["msg"]
    assert [path.name for path in tmp_path.iterdir()] == ["consul.json"]
    assert files({**new, "revalidate": True}, check=True).told == (False, False)
    assert files({**place, "validate": "grep --quiet old %s", "revalidate": True}, link)["paths"] == [link["path"]]
