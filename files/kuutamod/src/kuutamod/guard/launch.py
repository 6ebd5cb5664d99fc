# SPDX-License-Identifier: Apache-2.0
"""How a guard is started: an isolated interpreter that sees the standard library first and of ours only this package."""

from __future__ import annotations

import sys
from pathlib import Path

_BOOT = "import sys; sys.path.append(sys.argv.pop(2)); from kuutamod.guard.main import main; main()"


def guard_argv(fd: int) -> list[str]:
    """The command line of a guard whose end of the pair is the inherited descriptor ``fd``."""
    source = Path(__file__).resolve().parent.parent.parent
    return [sys.executable, "-I", "-S", "-B", "-c", _BOOT, str(fd), str(source)]
