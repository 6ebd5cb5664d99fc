# SPDX-License-Identifier: Apache-2.0
"""kuutamod: read the settings, then supervise."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from ..settings import ConfigFaults, load

FAULTY_CONFIGURATION = 2


def main(argv: Sequence[str] | None = None) -> int:
    """Run the daemon until it is asked to stop; its exit code. Nothing is touched unless all settings are right."""
    try:
        settings = load(sys.argv[1:] if argv is None else argv, os.environ)
    except ConfigFaults as found:
        for fault in found.faults:
            print(f"kuutamod: {fault}", file=sys.stderr)
        return FAULTY_CONFIGURATION
    # --help and faults need not wait for the client library.
    if settings.hand_back:
        from ..handback import hand_back  # noqa: PLC0415

        return hand_back(settings)
    from ..runtime import run  # noqa: PLC0415

    return run(settings)
