# SPDX-License-Identifier: Apache-2.0
"""A running stand-in uses the standard library only: tests start many of them."""

from __future__ import annotations

import subprocess
import sys


def test_run_loads_nothing_but_the_standard_library() -> None:
    program = (
        "import sys, neard_standin.cli, neard_standin.node\n"
        "known = sys.stdlib_module_names | {'neard_standin', '__main__'}\n"
        "print(sorted({name.partition('.')[0] for name in sys.modules} - known))"
    )
    # -S keeps out what an editable installation loads by itself; the path is handed over by hand.
    command = [sys.executable, "-S", "-c", f"import sys; sys.path[:] = {sys.path!r}\n{program}"]
    assert subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout == "[]\n"
