# SPDX-License-Identifier: Apache-2.0
"""Who else could change what a path leads to: every directory and every link on the way counts."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kuutamod.trust import distrust

AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
ME = os.geteuid()
STRANGER = 65534


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory that only its owner writes to, with a program in it."""
    (tmp_path / "bin").mkdir(mode=0o755)
    _program(tmp_path / "bin" / "neard")
    return tmp_path


def _program(path: Path) -> None:
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)


def shared(path: Path, mode: int) -> Path:
    """A directory that others write to."""
    path.mkdir()
    path.chmod(mode)
    return path


def test_what_only_we_can_change(place: Path) -> None:
    assert distrust(place / "bin" / "neard", ME) is None
    assert distrust(place / "bin", ME) is None
    assert distrust(Path("/"), ME) is None


def test_what_is_not_there_can_not_be_judged(place: Path) -> None:
    (place / "dangling").symlink_to(place / "nowhere")
    (place / "loop").symlink_to(place / "loop")
    for name in ("nowhere", "dangling", "loop", "bin/neard/below"):
        with pytest.raises(OSError, match=r"No such file|Not a directory|Too many levels"):
            distrust(place / name, ME)


@pytest.mark.parametrize("mode", [0o775, 0o757, 0o1777])
def test_a_directory_that_others_write_to_is_no_place_for_hooks(place: Path, mode: int) -> None:
    assert f"{place}/open is writable by others" in str(distrust(shared(place / "open", mode), ME))


def test_what_lies_where_others_write(place: Path) -> None:
    _program(shared(place / "open", 0o777) / "neard")
    assert f"{place}/open is writable by others (mode 0777)" == distrust(place / "open" / "neard", ME)


def test_what_is_ours_in_a_sticky_directory_stays_ours(place: Path) -> None:
    open_to_all = shared(place / "sticky", 0o1777)
    _program(open_to_all / "neard")
    (open_to_all / "link").symlink_to(place / "bin" / "neard")
    (open_to_all / "dir").symlink_to(place / "bin")
    for name in ("neard", "link", "dir/neard"):
        assert distrust(open_to_all / name, ME) is None


@AS_ROOT
def test_a_strangers_link_in_a_sticky_directory(place: Path) -> None:
    open_to_all = shared(place / "sticky", 0o1777)
    for name, target in (("link", place / "bin" / "neard"), ("dir", place / "bin")):
        (open_to_all / name).symlink_to(target)
        os.lchown(open_to_all / name, STRANGER, STRANGER)
    for name in ("link", "dir/neard"):
        assert "a link, belongs to " in str(distrust(open_to_all / name, ME))
        assert distrust(open_to_all / name, STRANGER) is None, "he is the one who may"


@AS_ROOT
def test_a_strangers_link_where_only_we_write_is_as_good_as_ours(place: Path) -> None:
    (place / "link").symlink_to("bin/neard")
    os.lchown(place / "link", STRANGER, STRANGER)
    assert distrust(place / "link", ME) is None


@AS_ROOT
@pytest.mark.parametrize("whose", ["bin", "bin/neard"])
def test_what_belongs_to_a_stranger(place: Path, whose: str) -> None:
    os.chown(place / whose, STRANGER, STRANGER)
    assert f"{place / whose} belongs to " in str(distrust(place / "bin" / "neard", ME))


@pytest.mark.parametrize(
    "links",
    [
        {"link": "open/neard"},
        {"link": "second", "second": "open/neard"},
        {"link": "way/neard", "way": "open"},
        {"link": "bin/../way/../open/neard", "way": "bin"},
        {"link": "bin/first", "bin/first": "../way/neard", "way": "{place}/open"},
        {"link": "{place}/open/back", "open/back": "../bin/neard"},
    ],
)
def test_every_link_on_the_way_is_followed(place: Path, links: dict[str, str]) -> None:
    _program(shared(place / "open", 0o777) / "neard")
    for name, target in links.items():
        (place / name).symlink_to(target.format(place=place))
    assert (place / "link").read_text()
    assert distrust(place / "link", ME) == f"{place}/open is writable by others (mode 0777)"


def test_a_link_behind_a_link_to_a_directory(place: Path) -> None:
    """Only the resolved path shows the directory, and only the walk shows the second link in it."""
    _program(shared(place / "open", 0o777) / "neard")
    (place / "bin" / "hook").symlink_to("../open/../bin/neard")
    (place / "way").symlink_to("bin")
    assert "open is writable by others" in str(distrust(place / "way" / "hook", ME))


def test_links_without_end(place: Path) -> None:
    (place / "0").symlink_to("bin/neard")
    for number in range(1, 42):
        (place / str(number)).symlink_to(str(number - 1))
    assert distrust(place / "39", ME) is None
    with pytest.raises(OSError, match="Too many levels"):
        distrust(place / "40", ME)
