# SPDX-License-Identifier: Apache-2.0
"""Becomes a hook: makes this fresh process an ordinary one, then executes the hook in its place.

Run as a program by its path, with an isolated interpreter. The supervisor itself can't do this between fork and exec,
because it has threads. Standard library only.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys

NICENESS = 5
NOT_EXECUTED = 126
"""Exit code when the hook could not be executed, as shells use it; the reason goes to standard error."""

_OURS = ("PATH", "HOME", "LANG")
_PREFIX = "KUUTAMO_HOOK_"


def main() -> None:
    """Execute ``sys.argv[1:]``; does not return."""
    for number in signal.valid_signals():
        with contextlib.suppress(OSError, ValueError):  # SIGKILL and SIGSTOP, and the C library's own
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    with contextlib.suppress(OSError):
        os.write(os.open("/proc/self/oom_score_adj", os.O_WRONLY | os.O_CLOEXEC), b"0")
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, max(NICENESS, os.getpriority(os.PRIO_PROCESS, 0)))
    # The interpreter adds LC_CTYPE where LANG has no UTF-8.
    environment = {name: value for name, value in os.environ.items() if name in _OURS or name.startswith(_PREFIX)}
    try:
        os.execve(sys.argv[1], sys.argv[1:], environment)  # noqa: S606  that is its purpose
    except OSError as error:
        print(f"it can't be executed: {error.strerror}", file=sys.stderr)
    sys.exit(NOT_EXECUTED)


if __name__ == "__main__":
    main()
