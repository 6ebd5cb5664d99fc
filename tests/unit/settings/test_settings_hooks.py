# SPDX-License-Identifier: Apache-2.0
"""The hook directory: only what nobody but root and kuutamod's user can have put there is run."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from kuutamod.hooks.directory import survey
from unit.settings.node_files import NOBODY, NodeFiles

AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")


@pytest.fixture
def hooks(node: NodeFiles) -> Path:
    """A hook directory that is right, with one hook."""
    directory = node.root / "above" / "hooks"
    directory.mkdir(parents=True, mode=0o755)
    hook = directory / "10-tell"
    hook.write_text("#!/bin/sh\n")
    hook.chmod(0o755)
    node.options["hook-dir"] = directory
    return directory


def test_a_right_directory(node: NodeFiles, hooks: Path) -> None:
    node.env["KUUTAMO_HOOK_DEADLINE"] = "2.5"
    settings = node.load()
    assert (settings.hook_dir, settings.hook_deadline) == (hooks, 2.5)
    del node.options["hook-dir"]
    del node.env["KUUTAMO_HOOK_DEADLINE"]
    settings = node.load()
    assert (settings.hook_dir, settings.hook_deadline) == (None, 10.0)


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("hooks", "it is not an absolute path; write it from the root on"),
        ("/no/such/hooks", "there is no such directory; name a directory"),
        ("/etc/passwd", "it is not a directory; name a directory"),
    ],
)
def test_no_directory(node: NodeFiles, value: str, problem: str) -> None:
    node.options["hook-dir"] = value
    message = node.fault()
    assert message.startswith(f"--hook-dir / KUUTAMO_HOOK_DIR is {value!r} (flag --hook-dir): {problem}")


@pytest.mark.parametrize("value", ["", "hooks", "/no/such/hooks", "/etc/passwd", "/\0"])
def test_a_fault_is_told_once(node: NodeFiles, value: str) -> None:
    node.options["hook-dir"] = value
    assert len(node.faults()) == 1


def to_nobody(path: Path) -> None:
    """Give a file or directory away."""
    os.chown(path, NOBODY, NOBODY)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda hooks: hooks.chmod(0o775), "hooks is writable by others (mode 0775)"),
        (lambda hooks: hooks.chmod(0o1777), "hooks is writable by others (mode 1777)"),
        (lambda hooks: hooks.parent.chmod(0o757), "above is writable by others (mode 0757)"),
        (lambda hooks: (hooks / "10-tell").chmod(0o775), "10-tell is writable by others (mode 0775)"),
        (lambda hooks: (hooks / "10-tell").chmod(0o757), "10-tell is writable by others (mode 0757)"),
        pytest.param(to_nobody, "hooks belongs to nobody", marks=AS_ROOT),
        pytest.param(lambda hooks: to_nobody(hooks.parent), "above belongs to nobody", marks=AS_ROOT),
        pytest.param(lambda hooks: to_nobody(hooks / "10-tell"), "10-tell belongs to nobody", marks=AS_ROOT),
    ],
)
def test_others_could_have_put_it_there(node: NodeFiles, hooks: Path, spoil: Callable[[Path], object], says: str) -> None:
    spoil(hooks)
    message = node.fault()
    assert says in message
    assert "nobody else write there" in message


def test_a_link_is_followed_and_every_place_on_the_way_counts(node: NodeFiles, hooks: Path) -> None:
    elsewhere = node.root / "elsewhere"
    elsewhere.mkdir(mode=0o755)
    real = (hooks / "10-tell").rename(elsewhere / "real")
    (elsewhere / "middle").symlink_to(real)
    (hooks / "10-tell").symlink_to("../../elsewhere/middle")
    assert node.load().hook_dir == hooks
    elsewhere.chmod(0o777)
    assert "elsewhere is writable by others" in node.fault()


def test_a_sticky_directory_above_does_no_harm(node: NodeFiles, hooks: Path) -> None:
    hooks.parent.chmod(0o1777)
    assert node.load().hook_dir == hooks


def test_every_faulty_hook_is_told(node: NodeFiles, hooks: Path) -> None:
    for name in ("20-a", "30-b"):
        (hooks / name).write_text("")
        (hooks / name).chmod(0o777)
    first, second = node.faults()
    assert "20-a" in str(first)
    assert "30-b" in str(second)


def test_what_is_not_executable_or_a_copy_is_nobodys_mistake(node: NodeFiles, hooks: Path) -> None:
    for name, mode in (
        ("README", 0o666),
        ("10-tell.bak", 0o777),
        (".x", 0o777),
        ("10-tell~", 0o777),
        ("a.dpkg-dist", 0o777),
    ):
        (hooks / name).write_text("")
        (hooks / name).chmod(mode)
    node.load()
    listing = survey(hooks, os.geteuid())
    assert [path.name for path in listing.hooks] == ["10-tell"]
    assert {skipped.name for skipped in listing.skipped} == {"README", "10-tell.bak", ".x", "10-tell~", "a.dpkg-dist"}


@AS_ROOT
def test_a_directory_of_kuutamods_own_user_is_right_for_that_user_alone(hooks: Path) -> None:
    for path in (hooks / "10-tell", hooks):
        to_nobody(path)
    assert [path.name for path in survey(hooks, NOBODY).hooks] == ["10-tell"]
