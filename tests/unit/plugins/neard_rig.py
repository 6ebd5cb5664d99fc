# SPDX-License-Identifier: Apache-2.0
"""Running the neard modules as Ansible does, and small programs that stand where a neard would."""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
import pwd
import sys
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from ansible.module_utils.testing import patch_module_args

from unit.plugins.rig import as_on_a_host

ROOT = Path(__file__).parents[3]
ME = pwd.getpwuid(os.geteuid()).pw_name
NOBODY = "nobody" if os.geteuid() == 0 else ME
"""A user that a program may be run as here, and who is not root where that can be helped."""


@cache
def _collections() -> str:
    tree = Path(mkdtemp(prefix="kuutamo-collections-"))
    place = tree / "ansible_collections" / "kuutamo"
    place.mkdir(parents=True)
    (place / "near").symlink_to(ROOT)
    return str(tree)


def plugin(name: str) -> Any:
    """A file below plugins/, such as ``modules.neard_config``, as Ansible's modules see it."""
    if _collections() not in sys.path:
        sys.path.insert(0, _collections())
    return importlib.import_module(f"ansible_collections.kuutamo.near.plugins.{name}")


def run(name: str, check: bool = False, **options: Any) -> dict[str, Any]:
    """The module's results."""
    out, code = io.StringIO(), None
    with (
        patch_module_args({**options, "_ansible_check_mode": check, "_ansible_diff": True}),
        as_on_a_host(),
        contextlib.redirect_stdout(out),
    ):
        try:
            plugin(f"modules.{name}").main()
        except SystemExit as end:
            code = end.code
    results: dict[str, Any] = json.loads(out.getvalue().splitlines()[-1])
    assert code == (1 if results.get("failed") else 0)
    return results


def open_to_all(folder: Path) -> None:
    """Let every user get at what is in a folder of pytest's."""
    for above in (folder, *folder.parents):
        # Another pytest that begins meanwhile closes the uppermost again.
        if not above.stat().st_mode & 0o001:
            above.chmod(0o755)


def script(path: Path, body: str) -> Path:
    """An executable of its own for the tests."""
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


def neard(path: Path, version: str = "2.11.0", validate: str = "exit 0") -> Path:
    """A program that tells its version as neard does, and judges configurations by ``validate`` (shell; $2 is the home)."""
    return script(
        path,
        f'case "$*" in\n  --version) echo "neard (release {version}) (build {version}) (commit abc)";;\n'
        f"  *validate-config) {validate};;\n  *) exit 2;;\nesac",
    )
