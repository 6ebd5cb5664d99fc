# SPDX-License-Identifier: Apache-2.0
"""What the roles find on this machine when they are tried on it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from unit.plays import Json


def systemctl(folder: Path, text: str) -> Path:
    """A folder with a systemctl that answers ``text`` and writes down what it was told."""
    folder.mkdir()
    program = folder / "systemctl"
    program.write_text(f'#!/bin/sh\necho "$@" >> {folder}/log\ncat <<"END"\n{text}\nEND\n', encoding="utf-8")
    program.chmod(0o755)
    return folder


def facts(folder: Path, **found: str) -> Json:
    """A task that finds these facts of a host, whatever this machine is."""
    library = folder / "library"
    library.mkdir(exist_ok=True)
    answer = json.dumps({"changed": False, "ansible_facts": found})
    (library / "found.py").write_text(f"#!{sys.executable}\n# WANT_JSON\nprint({answer!r})\n", encoding="utf-8")
    return {"name": "Facts", "found": {}}
