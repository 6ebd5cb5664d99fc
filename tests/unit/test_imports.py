# SPDX-License-Identifier: Apache-2.0
"""Arrows point one way: cli and runtime -> adapters -> core. Only one place knows the Consul client library."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

import kuutamod

ROOT = Path(kuutamod.__file__).parent
BASE = {"clock", "deadline", "address"}
ALLOWED: dict[str, set[str]] = {
    "core": set(),
    "guard": set(),
    "clock": set(),
    "deadline": set(),
    "address": set(),
    "redact": set(),
    "trust": set(),
    "log_writer": set(),
    "notify": set(),
    "log": {"redact", "log_writer", "clock"},
    "consul": {"core"} | BASE,
    # The supervisor's half of the guard lives with neard, whose process it is about.
    "neard": {"core", "guard"} | BASE,
    "server": {"core", "log", "redact"} | BASE,
    "hooks": {"log", "redact", "trust"} | BASE,
    # Settings put the adapters' own settings together; they start nothing.
    "settings": {"core", "consul", "neard", "log", "hooks"} | BASE,
    "telling": {"core", "log", "notify"},
    "notices": {"core", "hooks"},
    "runtime": {"core", "consul", "neard", "guard", "server", "settings", "log", "notify", "owner"}
    | {"hooks", "telling", "notices"}
    | BASE,
    "owner": {"neard", "guard"} | BASE,
    "handback": {"core", "consul", "neard", "owner", "settings"} | BASE,
    "preflight": {"core", "consul", "neard", "hooks", "settings", "trust"} | BASE,
    # What kuutamoctl and the Ansible modules have in common: no terminal, no settings of this host.
    "fleet": {"core", "consul"} | BASE,
    "cli": {"core", "consul", "fleet", "settings", "runtime", "handback", "log", "preflight", "redact"} | BASE,
}
LIBRARIES = {"core": set(), "guard": set(), "consul": {"consul", "requests"}, "server": {"prometheus_client"}}


def part(path: Path) -> str:
    """The top-level part of the package a file belongs to."""
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imports(path: Path) -> set[str]:
    """Absolute names of everything a file imports; its own package relatively, for the Ansible modules take
    it along under another name.
    """
    package = ["kuutamod", *path.relative_to(ROOT).parts[:-1]]
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            assert node.level or not module.startswith("kuutamod"), f"{path}: {module} is imported absolutely"
            found.add(module)
            if module == "kuutamod":
                found |= {f"kuutamod.{alias.name}" for alias in node.names}
    return found


FILES = sorted(path for path in ROOT.rglob("*.py") if path.name != "__init__.py" or path.parent != ROOT)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_one_way(path: Path) -> None:
    here = part(path)
    assert here in ALLOWED, f"{here} is new: say here what it may import"
    for name in imports(path):
        top, _unused, rest = name.partition(".")
        if top == "kuutamod":
            there = rest.split(".")[0]
            assert not there or there == here or there in ALLOWED[here], f"{path} imports {name}"
        elif top not in sys.stdlib_module_names:
            assert top in LIBRARIES.get(here, set()), f"{path} imports {name}"


def test_no_file_is_too_long_and_none_is_called_utils() -> None:
    for path in FILES:
        assert len(path.read_text(encoding="utf-8").splitlines()) <= 420, path
        assert "util" not in path.name, path


def test_the_core_reads_no_clock_socket_or_file() -> None:
    effects = {"time", "socket", "os", "asyncio", "threading", "subprocess", "random", "pathlib", "io", "uuid"}
    for path in (ROOT / "core").glob("*.py"):
        assert not {name.split(".")[0] for name in imports(path)} & effects, path


def test_only_the_log_and_the_injected_clock_read_the_wall_clock() -> None:
    for path in FILES:
        text = path.read_text(encoding="utf-8")
        wall = any(word in text for word in ("time.time", "CLOCK_REALTIME", "datetime.now", "utcnow"))
        assert not wall or part(path) in ("log", "clock"), path
