# SPDX-License-Identifier: Apache-2.0
"""neard_sysctl, on a directory in the place of /proc/sys."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from unit.plugins.neard_rig import plugin, run

SETTINGS = {"net.core.rmem_max": 8388608, "net.ipv4.tcp_rmem": "4096 87380  8388608"}


@pytest.fixture
def proc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the kernel has; tabs, as it prints them."""
    files = {"net/core/rmem_max": "212992\n", "net/ipv4/tcp_rmem": "4096\t87380\t8388608\n"}
    for name, value in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(value)
    monkeypatch.setattr(plugin("modules.neard_sysctl"), "_place", lambda name: tmp_path.joinpath(*name.split(".")))
    return tmp_path


def sysctl(proc: Path, settings: dict[str, Any] | None = None, **options: Any) -> dict[str, Any]:
    return run("neard_sysctl", path=str(proc / "60-neard.conf"), settings=settings or SETTINGS, **options)


def test_what_differs_is_set_and_all_is_kept_for_the_next_boot(proc: Path) -> None:
    assert sysctl(proc, check=True)["changed"] is True
    assert (proc / "net/core/rmem_max").read_text() == "212992\n"
    found = sysctl(proc)
    assert found["applied"] == {"net.core.rmem_max": {"before": "212992", "after": "8388608"}}
    assert (found["changed"], found["refused"]) == (True, {})
    assert (proc / "net/core/rmem_max").read_text() == "8388608\n"
    kept = (proc / "60-neard.conf").read_text()
    assert "net.core.rmem_max = 8388608\nnet.ipv4.tcp_rmem = 4096 87380 8388608\n" in kept
    assert sysctl(proc)["changed"] is False


def test_what_does_not_exist_is_told(proc: Path) -> None:
    found = sysctl(proc, {"net.core.default_qdisc": "fq"})
    assert found["refused"] == {"net.core.default_qdisc": "it does not exist here"}
    assert any("net.core.default_qdisc: it does not exist here" in str(warning) for warning in found["warnings"])
    assert "net.core.default_qdisc = fq" in (proc / "60-neard.conf").read_text()
    assert sysctl(proc, {"net.core.default_qdisc": "fq"})["changed"] is False


def test_what_is_read_only_is_told(proc: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, text: str) -> None:
        raise OSError(30, "Read-only file system")

    module = plugin("modules.neard_sysctl")
    monkeypatch.setattr(Path, "write_text", refuse)
    outcome = module.apply({"net.core.rmem_max": "1"}, check=False)
    assert (outcome.applied, outcome.refused) == ({}, {"net.core.rmem_max": "it stays 212992: Read-only file system"})


def test_strict_fails_and_keeps_nothing(proc: Path) -> None:
    found = sysctl(proc, {"net.core.default_qdisc": "fq"}, strict=True)
    assert found["msg"] == "these kernel parameters can't be set here: net.core.default_qdisc: it does not exist here"
    assert not (proc / "60-neard.conf").exists()


@pytest.mark.parametrize("settings", [{"../etc/passwd": 1}, {"net": 1}, {"net.core.rmem_max": ""}])
def test_what_is_no_parameter_is_refused(proc: Path, settings: dict[str, Any]) -> None:
    assert "is no kernel parameter" in sysctl(proc, settings)["msg"]
