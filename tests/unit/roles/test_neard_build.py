# SPDX-License-Identifier: Apache-2.0
"""A build from source, with a git repository and a cargo of the test's own."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from unit.plays import Json, Run, include, play

CARGO = """#!/bin/sh
if [ "$1" = --version ]; then echo "cargo 1.86.0"; exit; fi
echo "$@ of $(git describe --tags)" >> {log}
mkdir -p target/release
printf '#!/bin/sh\\necho "neard (release %s)"\\n# %s\\n' "$(git describe --tags)" "$(wc -l < {log})" > target/release/neard
"""
BUILD = "build --locked --release --package neard --bin neard"


class Builder:
    """A repository with two tags, and hosts that want one of them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.log = root / "cargo.log"
        cargo = root / "cargo"
        cargo.write_text(CARGO.format(log=self.log))
        cargo.chmod(0o755)
        (root / "source").mkdir()
        self.git("init", "--quiet")
        self.commits: dict[str, str] = {}
        for tag in ("2.11.0", "2.12.0"):
            self.git("commit", "--quiet", "--allow-empty", "--message", tag)
            self.git("tag", tag)
            self.commits[tag] = self.git("rev-parse", "HEAD")
        self.placed: dict[str, list[str]] = {}

    def git(self, *words: str) -> str:
        env = {**os.environ, "HOME": str(self.root)} | {
            f"GIT_{who}_{what}": "test@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
        }
        done = subprocess.run(
            ["git", *words], cwd=self.root / "source", env=env, check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    def host(self, name: str, tag: str, **other: object) -> Json:
        """A host that wants this tag."""
        releases = self.root / name / "releases"
        found = [str(releases / release / "release.json") for release in self.placed.get(name, [])]
        return {
            "neard_source": "build",
            "neard_version": tag,
            "neard_build_tag": tag,
            "neard_build_commit": self.commits[tag],
            "neard_build_repository": str(self.root / "source"),
            "neard_build_dir": str(self.root / "tree"),
            "neard_build_timeout": 200,
            "ansible_async_dir": str(self.root / "async"),
            "neard_build_cargo": str(self.root / "cargo"),
            "neard_download_dir": str(self.root / "cache"),
            "neard_install_dir": str(self.root / name),
            "__neard_host": {"globs": {str(releases / "*" / "release.json"): found}},
            **other,
        }

    def run(self, hosts: dict[str, Json], *arguments: str) -> Run:
        """Find what was built, or build it, and tell what each host takes."""
        tell = {
            "name": "Tell",
            "ansible.builtin.debug": {"msg": "{{ inventory_hostname }} takes {{ __neard_wanted_id }}"},
        }
        self.log.unlink(missing_ok=True)
        build = include("neard", "build")
        build["ansible.builtin.include_role"]["public"] = True
        machine = {"name": "Machine", "ansible.builtin.setup": {"gather_subset": ["!all", "!min", "platform"]}}
        return play(self.root, [machine, build, tell], hosts, *arguments)

    def built(self) -> list[str]:
        """What cargo was asked for, since the last time."""
        return self.log.read_text().splitlines() if self.log.exists() else []


@pytest.fixture
def builder(tmp_path: Path) -> Builder:
    return Builder(tmp_path)


def test_each_tag_is_built_once_for_all_that_want_it(builder: Builder) -> None:
    hosts = {name: builder.host(name, tag) for name, tag in (("a", "2.11.0"), ("b", "2.12.0"), ("c", "2.11.0"))}
    planned = builder.run(hosts, "--check")
    assert planned.code == 0, planned.out
    assert planned.told("is not built yet; it would be built on localhost")
    assert builder.built() == []
    first = builder.run(hosts)
    assert first.code == 0, first.out
    assert sorted(builder.built()) == [f"{BUILD} of 2.11.0", f"{BUILD} of 2.12.0"]
    taken = {name: line for line in first.out.split('"') for name in hosts if line.startswith(f"{name} takes ")}
    assert taken["a"].removeprefix("a takes ") == taken["c"].removeprefix("c takes ") != taken["b"].removeprefix("b takes ")
    assert "unbuilt" not in "".join(taken.values())

    # The programs are gone: whoever has the release needs none, and for the other it is built again.
    for program in (builder.root / "cache").glob("*-neard"):
        program.unlink()
    builder.placed = {"a": [taken["a"].removeprefix("a takes ")], "b": [taken["b"].removeprefix("b takes ")]}
    again = builder.run({name: builder.host(name, "2.12.0" if name == "b" else "2.11.0") for name in ("a", "b", "c")})
    assert again.code == 0, again.out
    assert builder.built() == [f"{BUILD} of 2.11.0"]
    assert again.told(taken["a"])
    assert again.told(taken["b"])


def test_a_tag_that_was_moved_is_refused(builder: Builder) -> None:
    done = builder.run({"a": builder.host("a", "2.11.0", neard_build_commit="0" * 40)})
    assert done.code != 0
    assert done.told(f"names the commit {builder.commits['2.11.0']}, but {'0' * 40} was expected")
    assert builder.built() == []
