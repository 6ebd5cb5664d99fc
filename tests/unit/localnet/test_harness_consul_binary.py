# SPDX-License-Identifier: Apache-2.0
"""Finding Consul: the order of the steps, what each refuses, and one error that tells all."""

from __future__ import annotations

import hashlib
import io
import platform
import shutil
import zipfile
from pathlib import Path

import pytest
import requests

from kuutamo_localnet import consul_binary
from kuutamo_localnet.apt_source import AptError
from kuutamo_localnet.consul_binary import ConsulNotFoundError, StepError, find_consul


def script(version: str) -> str:
    return f"#!/bin/sh\necho 'Consul v{version}'\n"


def program(path: Path, version: str = "1.20.1") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(script(version))
    path.chmod(0o755)
    return path


@pytest.fixture(autouse=True)
def bare_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No Consul anywhere, and no way out."""
    monkeypatch.delenv("CONSUL_BIN", raising=False)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/usr/bin:/bin")
    monkeypatch.setenv("KUUTAMO_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(shutil, "which", lambda name: _which(tmp_path / "bin" / name))
    monkeypatch.setattr(consul_binary, "_download", _unreachable)
    monkeypatch.setattr(consul_binary, "fetch_package", _no_package)


def _which(path: Path) -> str | None:
    return str(path) if path.exists() else None


def _unreachable(url: str) -> bytes:
    raise StepError(f"{url}: ConnectTimeout")


def _no_package(package: str, suite: str, _scratch: Path) -> Path:
    raise AptError(f"apt-get failed: no {package} in {suite}")


def test_consul_bin_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path / "bin/consul", "1.19.0")
    monkeypatch.setenv("CONSUL_BIN", str(program(tmp_path / "mine")))
    found = find_consul()
    assert (found.path, found.version, found.origin) == (tmp_path / "mine", (1, 20, 1), "CONSUL_BIN")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "cannot be run"),
        ("#!/bin/sh\necho Nomad v1.2.3\n", r"is not Consul: `version` answered 'Nomad v1\.2\.3"),
        (script("1.4.4"), r"is Consul 1\.4\.4, older than 1\.8\.0"),
    ],
)
def test_an_unusable_consul_bin_is_never_passed_over(
    content: str | None, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tmp_path / "bin/consul")
    mine = tmp_path / "mine"
    if content is not None:
        program(mine).write_text(content)
    monkeypatch.setenv("CONSUL_BIN", str(mine))
    with pytest.raises(ConsulNotFoundError, match=f"CONSUL_BIN=.*/mine: .*{reason}"):
        find_consul()


def test_path_comes_before_the_cache(tmp_path: Path) -> None:
    program(tmp_path / "cache/consul/debian-bullseye/consul", "1.8.7")
    assert find_consul().origin == "cache, debian-bullseye"
    program(tmp_path / "bin/consul")
    assert find_consul().origin == "PATH"


def test_a_broken_cached_copy_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = program(tmp_path / "cache/consul/debian-bullseye/consul")
    broken.write_text("half a download")

    def package(_name: str, _suite: str, scratch: Path) -> Path:
        return program(scratch / "root/usr/bin/consul", "1.8.7").parents[2]

    monkeypatch.setattr(consul_binary, "fetch_package", package)
    found = find_consul()
    assert (found.path, found.version) == (broken, (1, 8, 7))
    assert sorted(path.name for path in (tmp_path / "cache/consul").iterdir()) == [".lock", "debian-bullseye"]


def test_one_error_lists_each_step_and_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(ConsulNotFoundError) as caught:
        find_consul()
    steps = [line for line in str(caught.value).splitlines() if line.startswith("  - ")]
    assert [step.split(":")[0] for step in steps] == [
        "  - PATH",
        "  - cache",
        "  - HashiCorp's release",
        "  - Debian's package",
    ]
    assert "ConnectTimeout" in steps[2]
    assert "no consul in bullseye" in steps[3]
    assert "set CONSUL_BIN" in str(caught.value)
    assert [path.name for path in (tmp_path / "cache/consul").iterdir()] == [".lock"]


def release(monkeypatch: pytest.MonkeyPatch, *, corrupt: bool = False) -> None:
    """Serve a release of HashiCorp's site."""
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("LICENSE.txt", "x")
        archive.writestr("consul", script(consul_binary.RELEASE_VERSION))
    content = buffer.getvalue()
    name = f"consul_{consul_binary.RELEASE_VERSION}_linux_amd64.zip"
    sums = f"{'0' * 64}  other.zip\n{hashlib.sha256(content).hexdigest()}  {name}\n".encode()

    def serve(url: str) -> bytes:
        if url.endswith("SHA256SUMS"):
            return sums
        assert url.endswith(f"/{consul_binary.RELEASE_VERSION}/{name}")
        return content[:-1] if corrupt else content

    monkeypatch.setattr(consul_binary, "_download", serve)


def test_a_release_whose_checksum_matches_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    release(monkeypatch)
    found = find_consul()
    assert found.path == tmp_path / f"cache/consul/hashicorp-{consul_binary.RELEASE_VERSION}/consul"
    monkeypatch.setattr(consul_binary, "_download", _unreachable)
    assert find_consul().origin == f"cache, hashicorp-{consul_binary.RELEASE_VERSION}"


def test_a_release_whose_checksum_differs_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    release(monkeypatch, corrupt=True)
    with pytest.raises(ConsulNotFoundError, match=r"has SHA-256 .*, SHA256SUMS says"):
        find_consul()


def test_downloads_do_not_wait_long_for_a_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    seen: list[object] = []

    def get(_url: str, *, timeout: object) -> requests.Response:
        seen.append(timeout)
        raise requests.ConnectTimeout("no way out")

    monkeypatch.setattr(requests, "get", get)
    with pytest.raises(StepError, match="ConnectTimeout: no way out"):
        consul_binary._download("https://site.invalid/x")
    assert seen == [(consul_binary.CONNECT_DEADLINE, consul_binary.READ_DEADLINE)]
