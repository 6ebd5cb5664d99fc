# SPDX-License-Identifier: Apache-2.0
"""The files of the repository: what git tracks or would track."""

import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def tracked() -> list[Path]:
    """Every file that is there, links left out, relative to the root."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, encoding="utf-8").stdout
    names = sorted({Path(name) for name in listed.split("\0") if name})
    return [name for name in names if (ROOT / name).is_file() and not (ROOT / name).is_symlink()]


def text(name: Path) -> str:
    """The file's text; raises UnicodeDecodeError for a binary file, which has no business here."""
    return (ROOT / name).read_text(encoding="utf-8")
