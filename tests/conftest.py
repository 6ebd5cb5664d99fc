# SPDX-License-Identifier: Apache-2.0
"""What all tests start from."""

from __future__ import annotations

import signal

# A runner started with nohup hands an ignored SIGHUP down to every program under test, and the tests that close terminals
# or send SIGHUP would test nothing.
signal.signal(signal.SIGHUP, signal.SIG_DFL)
# The same with SIGINT, which a shell without job control ignores for what it starts in the background.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
