# SPDX-License-Identifier: Apache-2.0
"""Deriving a private package source from the machine's own apt configuration."""

from __future__ import annotations

from pathlib import Path

import pytest

from kuutamo_localnet import apt_source
from kuutamo_localnet.apt_source import AptError, AptSource, parse_deb822, parse_one_line

DEB822 = """\
# the machine's own
Types: deb deb-src
URIs: http://mirror.invalid/debian http://second.invalid/debian/
# a comment inside
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://mirror.invalid/debian-security
Suites: bookworm-security
Components: main

Enabled: no
Types: deb
URIs: http://disabled.invalid/debian
Suites: bookworm
Components: main

Types: deb
URIs: http://other.invalid/apt
Suites: bookworm
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 abc
 -----END PGP PUBLIC KEY BLOCK-----
"""

ONE_LINE = """\
# deb http://commented.invalid/debian bookworm main
deb [arch=amd64 signed-by=/k/one.gpg,/k/two.gpg] http://mirror.invalid/debian bookworm main # trailing
deb-src http://mirror.invalid/debian bookworm main
deb http://mirror.invalid/debian bookworm-backports main
deb http://vendor.invalid/linux bookworm stable
"""


def test_deb822_sources_one_for_each_uri() -> None:
    sources = parse_deb822(DEB822)
    assert [source.uri for source in sources] == [
        "http://mirror.invalid/debian",
        "http://second.invalid/debian/",
        "http://mirror.invalid/debian-security",
        "http://other.invalid/apt",
    ]
    assert [source.is_main_archive() for source in sources] == [True, True, False, True]


def test_an_embedded_key_survives_word_for_word() -> None:
    other = parse_deb822(DEB822)[-1]
    again = parse_deb822(other.stanza("bullseye"))
    assert again == [AptSource(other.uri, ("bullseye",), ("main",), other.signed_by)]
    assert "\n .\n abc\n" in other.signed_by


def test_one_line_sources() -> None:
    sources = [source for source in parse_one_line(ONE_LINE) if source.is_main_archive()]
    assert sources == [AptSource("http://mirror.invalid/debian", ("bookworm",), ("main",), "/k/one.gpg /k/two.gpg")]


def test_the_release_alone_is_replaced() -> None:
    source = AptSource("http://mirror.invalid/debian", ("bookworm",), ("main", "contrib"), "/k/one.gpg")
    assert source.stanza("bullseye").splitlines() == [
        "Types: deb",
        "URIs: http://mirror.invalid/debian",
        "Suites: bullseye",
        "Components: main",
        "Targets: Packages",
        "Signed-By: /k/one.gpg",
    ]


def configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sources: str) -> None:
    """Let apt-config name files of this test."""
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts/debian.sources").write_text(sources)
    (tmp_path / "parts/ignored.sources.save").write_text(sources)
    answer = f"LIST='{tmp_path}/sources.list'\nPARTS='{tmp_path}/parts'\n"
    monkeypatch.setattr(apt_source, "_run", lambda _argv, _cwd: answer)


def test_debians_own_archive_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    configured(tmp_path, monkeypatch, DEB822)
    (tmp_path / "sources.list").write_text(ONE_LINE)
    uris = [source.uri for source in apt_source.machine_sources()]
    assert uris[:2] == ["http://mirror.invalid/debian", "http://second.invalid/debian/"]
    assert uris[-1] == "http://other.invalid/apt"


def test_a_machine_without_debian_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    configured(tmp_path, monkeypatch, "")
    with pytest.raises(AptError, match=r"no source of Debian's main archive in .*/sources\.list or .*/parts"):
        apt_source.machine_sources()


def test_keys_of_the_archive_are_added_to_the_machines_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("debian-archive-bullseye-stable.gpg", "debian-archive-removed-keys.gpg", "vendor.gpg"):
        (tmp_path / name).touch()
    monkeypatch.setattr(apt_source, "KEYRINGS", tmp_path)
    source = apt_source.with_archive_keys(AptSource("u", (), (), "/k/own.gpg"))
    assert source.signed_by.split() == ["/k/own.gpg", str(tmp_path / "debian-archive-bullseye-stable.gpg")]
    embedded = AptSource("u", (), (), "\n -----BEGIN PGP PUBLIC KEY BLOCK-----")
    assert apt_source.with_archive_keys(embedded) == embedded


def test_all_failures_are_told_and_nothing_is_left_outside_the_scratch_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources = [AptSource(f"http://{name}.invalid/debian", (), ()) for name in ("a", "b")]
    monkeypatch.setattr(apt_source, "machine_sources", lambda: sources)

    def fail(argv: list[str], cwd: Path) -> str:
        assert cwd.is_relative_to(tmp_path)
        config = Path(argv[2]).read_text()
        private = [line for line in config.splitlines() if line.startswith("Dir::")]
        assert len(private) == 7
        assert all(str(tmp_path) in line for line in private)
        assert "#clear APT::Update::Post-Invoke-Success;" in config
        raise AptError(f"{argv[0]} failed")

    monkeypatch.setattr(apt_source, "_run", fail)
    with pytest.raises(AptError, match="apt-get failed; apt-get failed"):
        apt_source.fetch_package("consul", "bullseye", tmp_path)
