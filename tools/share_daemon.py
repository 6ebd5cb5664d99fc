# SPDX-License-Identifier: Apache-2.0
"""Lays what the modules use of the daemon's package under plugins/module_utils/_kuutamod, one link a file.

Daemon and modules share one source that way. Ansible sends a module only what lies under module_utils, ansible-test
refuses a link to a directory, and Galaxy refuses some of the files (``__main__``) that no module needs.
"""

import ast
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOURCE = Path("files/kuutamod/src/kuutamod")
TARGET = Path("plugins/module_utils/_kuutamod")
HERE = ("module_utils", "_kuutamod")
PLUGINS = "ansible_collections.kuutamo.near.plugins."


def main() -> None:
    """Replace the links."""
    links = wanted(ROOT)
    shutil.rmtree(ROOT / TARGET, ignore_errors=True)
    for link, source in links.items():
        file = ROOT / link
        file.parent.mkdir(parents=True, exist_ok=True)
        file.symlink_to(os.path.relpath(ROOT / source, file.parent))


def wanted(root: Path) -> dict[Path, Path]:
    """Every link that there has to be, and the file of the daemon that it stands for; both relative to the root."""
    found: set[Path] = set()
    waiting = [
        name
        for file in sorted((root / "plugins").glob("*/*.py"))
        for name in _imports(file, file.relative_to(root / "plugins").with_suffix("").parts)
    ]
    while waiting:
        name = waiting.pop()
        if name[:2] != HERE:
            continue
        for file in _files(root / SOURCE, name[2:]):
            if file not in found:
                found.add(file)
                waiting += _imports(file, (*HERE, *file.relative_to(root / SOURCE).with_suffix("").parts))
    return {TARGET / file.relative_to(root / SOURCE): file.relative_to(root) for file in sorted(found)}


def _files(package: Path, name: tuple[str, ...]) -> Iterator[Path]:
    """The files behind a dotted name: each package's ``__init__`` on the way, and the module, if it is one."""
    for depth in range(len(name) + 1):
        place = package.joinpath(*name[:depth])
        for file in (place / "__init__.py", place.with_suffix(".py")):
            if file.exists():
                yield file


def _imports(file: Path, own: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """What the file imports, as names below plugins/ (of which the last may be no module); ``own`` is the file's name."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            module = (node.module or "").removeprefix(PLUGINS)
            base = (*own[: -node.level], *filter(None, module.split("."))) if node.level else tuple(module.split("."))
            yield from ((*base, alias.name) for alias in node.names)


if __name__ == "__main__":
    main()
