# SPDX-License-Identifier: Apache-2.0
"""Where the program comes from: what is good is taken, what is not is refused before a host is touched.

All of it in check mode, in which the controller's part is done and the host's is only told.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from unit.consul_role.rig import ROLE
from unit.consul_role.values import value
from unit.plays import Json, Run, include, play

VERSION = "1.20.2"
PROGRAM = f"#!/bin/sh\necho Consul v{VERSION}\n"
SEEN: Json = {"target": "", "sha256": "", "owner": "", "mode": "", "exists": False}
NEEDS = {"name": "Say what the host is", "ansible.builtin.set_fact": {"architecture": "x86_64", "cacheable": True}}
TELL = {"name": "Tell", "ansible.builtin.debug": {"msg": "{{ inventory_hostname }} has {{ __consul_program }}"}}


class Signer:
    """A key of this test alone, that never leaves its directory."""

    def __init__(self) -> None:
        # Not under pytest's directory: the path of the agent's socket may have 107 letters.
        self.home = Path(tempfile.mkdtemp(prefix="gpg-", dir="/tmp"))
        self.gpg("--passphrase", "", "--quick-generate-key", "nobody@example.org", "ed25519", "sign", "never")
        listed = self.gpg("--with-colons", "--list-keys")
        self.fingerprint = re.findall(r"^fpr:+([0-9A-F]+):", listed, re.MULTILINE)[0]
        self.public = self.home / "public.asc"
        self.public.write_text(self.gpg("--armor", "--export"))

    def gpg(self, *arguments: str | Path) -> str:
        """Its answer."""
        command = ["gpg", "--batch", "--quiet", "--homedir", str(self.home), *map(str, arguments)]
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout

    def close(self) -> None:
        """With the agent that gpg has started for this directory."""
        subprocess.run(["gpgconf", "--homedir", str(self.home), "--kill", "all"], check=False, timeout=60)
        shutil.rmtree(self.home)


@pytest.fixture(scope="module")
def signers() -> Iterator[tuple[Signer, Signer]]:
    if not all(map(shutil.which, ("gpg", "gpgv", "gpgconf"))):
        pytest.skip("no gpg here")
    pair = (Signer(), Signer())
    yield pair
    for each in pair:
        each.close()


def sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def packed(file: Path, member: str = "consul") -> Path:
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(member, PROGRAM)
    return file


def release(site: Path, signer: Signer, machine: str = "amd64") -> Path:
    """A release as HashiCorp publishes it; returns its directory."""
    place = site / VERSION
    place.mkdir(parents=True)
    archive = packed(place / f"consul_{VERSION}_linux_{machine}.zip")
    sums = place / f"consul_{VERSION}_SHA256SUMS"
    sums.write_text(f"{'0' * 64}  consul_{VERSION}_darwin_amd64.zip\n{sha256(archive)}  {archive.name}\n")
    signer.gpg("--detach-sign", "--output", f"{sums}.sig", sums)
    return place


def run(folder: Path, part: str, hosts: dict[str, Json], **more: Any) -> Run:
    always = {"__consul_host": {"paths": {"/usr/local/bin/consul": SEEN}, "commands": {}}, "consul_version": VERSION}
    given = {name: {"consul_cache_dir": str(folder / f"cache-{name}"), **always, **each} for name, each in hosts.items()}
    return play(folder, [NEEDS, include("consul", part), TELL], given, "--check", **more)


@pytest.fixture(scope="module")
def releases(tmp_path_factory: pytest.TempPathFactory, signers: tuple[Signer, Signer]) -> tuple[Path, Run]:
    """One host for each release that is offered."""
    folder = tmp_path_factory.mktemp("release")
    signer, stranger = signers
    spaced = " ".join(re.findall("....", signer.fingerprint.lower()))
    places = {name: release(folder / name, signer) for name in ("good", "spaced", "edited", "other-zip", "unlisted")}
    places["stranger"] = release(folder / "stranger", stranger)
    places["two-keys"] = release(folder / "two-keys", signer)
    sums = places["edited"] / f"consul_{VERSION}_SHA256SUMS"
    sums.write_text(sums.read_text().replace("0000", "0001"))
    packed(places["other-zip"] / f"consul_{VERSION}_linux_amd64.zip", "malice")
    both = folder / "both.asc"
    both.write_text(signer.public.read_text() + stranger.public.read_text())
    shared = {"consul_source": "release", "consul_release_key_file": str(signer.public)}
    key = {"consul_release_key_fingerprint": signer.fingerprint}
    hosts = {name: {**shared, **key, "consul_release_url": f"file://{place.parent}"} for name, place in places.items()}
    hosts["spaced"]["consul_release_key_fingerprint"] = spaced
    hosts["two-keys"]["consul_release_key_file"] = str(both)
    hosts["other-key"] = {**hosts["good"], "consul_release_key_fingerprint": stranger.fingerprint}
    hosts["no-key"] = {**hosts["good"], "consul_release_key_file": str(folder / "none.asc")}
    return folder, run(folder, "install_release", hosts)


@pytest.mark.parametrize("name", ["good", "spaced"])
def test_a_release_with_signature_and_checksum_is_taken(releases: tuple[Path, Run], name: str) -> None:
    _folder, done = releases
    assert name not in done.faults, done.faults[name]
    digest = hashlib.sha256(PROGRAM.encode()).hexdigest()
    assert f"{name} has /usr/local/lib/consul/{digest[:12]}/consul" in done.out


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("edited", ("is not signed by the key", "nothing was installed")),
        ("stranger", ("is not signed by the key", "nothing was installed")),
        ("other-zip", ("checksum",)),
        ("other-key", ("holds the key", "it has to be")),
        ("two-keys", ("and no other",)),
        ("no-key", ("none.asc", "(none)")),
    ],
)
def test_a_release_that_is_not_good_is_refused(releases: tuple[Path, Run], name: str, words: tuple[str, ...]) -> None:
    folder, done = releases
    assert name in done.faults, done.out
    assert [word for word in words if word not in done.faults[name]] == [], done.faults[name]
    assert f"{name} has" not in done.out
    if "signed" in words[0]:
        # Else the next run would find it in the cache.
        assert not (folder / f"cache-{name}" / f"release-{VERSION}").exists()


@pytest.mark.parametrize("source", ["release", "repository"])
def test_a_controller_without_gnupg_is_told_so(tmp_path: Path, source: str) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    # All that Ansible itself needs here.
    for name in ("sh", "env", "uname", "locale", "mkdir", "rm", "chmod", "ls"):
        if found := shutil.which(name):
            (programs / name).symlink_to(found)
    key = tmp_path / "key.asc"
    key.write_text("no key\n")
    files = {f"consul_{source}_key_file": str(key), f"consul_{source}_url": f"file://{tmp_path}"}
    done = run(tmp_path, f"install_{source}", {"a": {"consul_source": source, **files}}, programs=programs, alone=True)
    missing = "gpg and no gpgv" if source == "release" else "gpg to check"
    assert f"consul_source is {source}, and the controller has no {missing}" in done.faults["a"], done.out


def test_an_archive_is_taken_by_its_checksum_alone(tmp_path: Path) -> None:
    good, empty = packed(tmp_path / "good.zip"), packed(tmp_path / "empty.zip", "readme")
    (tmp_path / "text.zip").write_text("no zip\n")
    wrong = "f" * 64
    hosts: dict[str, Json] = {
        "good": {"consul_archive": str(good), "consul_archive_sha256": sha256(good).upper()},
        "wrong": {"consul_archive": str(good), "consul_archive_sha256": wrong},
        "empty": {"consul_archive": str(empty), "consul_archive_sha256": sha256(empty)},
        "text": {"consul_archive": str(tmp_path / "text.zip"), "consul_archive_sha256": sha256(tmp_path / "text.zip")},
        "none": {"consul_archive": str(tmp_path / "none.zip"), "consul_archive_sha256": wrong},
    }
    for host in hosts.values():
        host["consul_source"] = "archive"
    done = run(tmp_path, "install_archive", hosts)
    assert set(done.faults) == hosts.keys() - {"good"}, done.out
    assert "good has /usr/local/lib/consul/" in done.out
    assert f"has the SHA-256 {sha256(good)}, not {wrong}; nothing was installed" in done.faults["wrong"]
    assert not (tmp_path / "cache-wrong" / sha256(good)).exists()
    for name in ("empty", "text"):
        assert "is no release of Consul" in done.faults[name]
    assert "none.zip" in done.faults["none"]


def test_a_program_that_is_there_is_looked_at(tmp_path: Path) -> None:
    texts = {"good": PROGRAM, "other": "#!/bin/sh\necho Nomad v1.0.0\n", "old": PROGRAM.replace(VERSION, "1.7.9")}
    texts |= {"newer": PROGRAM.replace(VERSION, "1.21.0"), "open": PROGRAM}
    hosts: dict[str, Json] = {"none": {"consul_binary": str(tmp_path / "no-program")}}
    for name, text in texts.items():
        file = tmp_path / f"consul-{name}"
        file.write_text(text)
        file.chmod(0o777 if name == "open" else 0o755)
        hosts[name] = {"consul_binary": str(file)}
    for host in hosts.values():
        host["consul_source"] = "installed"
    hosts["old"]["consul_version"] = ""
    # Check mode makes allowance for a program that is still to come; this source has none to bring.
    done = run(tmp_path, "install", hosts)
    expected = {"none", "other", "old", "newer", "open"} | (set() if os.geteuid() == 0 else {"good"})
    assert set(done.faults) == expected, done.out
    assert "no-program does not exist (consul_source is installed)" in done.faults["none"]
    assert "is not Consul" in done.faults["other"]
    assert "may be written by others" in done.faults["open"]
    if os.geteuid() == 0:
        assert "older than 1.8.0" in done.faults["old"] and "consul_version asks for 1.20.2" in done.faults["newer"]


def of_the_package(name: str) -> Json:
    """The task of that name, of those that install the repository's package."""
    tasks = yaml.safe_load((ROLE / "tasks" / "install_repository.yml").read_text())
    block = next(task["block"] for task in tasks if "block" in task)
    found: Json = next(task for task in block if task["name"] == name)
    return found


def test_of_the_packages_the_one_of_the_version_is_chosen() -> None:
    chosen = of_the_package("Choose the newest package of the version")
    expression = chosen["ansible.builtin.set_fact"]["__consul_package_version"]
    site = "https://apt.releases.hashicorp.com trixie/main amd64 Packages"
    lines = [f"    consul | {version} | {site}" for version in ("1.15.10-1", "1.15.1-2", "1.15.1-1", "1.15.0", "1.1.15-1")]
    for version, package in {"1.15.1": "1.15.1-2", "1.15.0": "1.15.0", "1.15.10": "1.15.10-1", "1.15.2": ""}.items():
        versions = value(chosen["vars"]["__versions"], __consul_packages={"stdout_lines": lines})
        assert value(expression, consul_version=version, __versions=versions) == package


@pytest.mark.skipif(not shutil.which("systemctl"), reason="no systemctl here")
def test_what_the_package_asks_of_systemd_is_not_done(tmp_path: Path) -> None:
    """Its scripts reload systemd and restart the agent; the real systemctl does neither, and says that all is well."""
    task = of_the_package("Install the package")
    del task["ansible.builtin.apt"]
    # A unit that is nowhere, so that it can't be restarted either where nothing prevents it.
    asked = "systemctl --system daemon-reload; systemctl restart kuutamo-test-of-no-unit.service"
    task["ansible.builtin.command"] = {"argv": ["sh", "-ec", asked]}
    done = play(tmp_path, [task], {"a": {}})
    assert (done.code, done.faults) == (0, {}), done.out
