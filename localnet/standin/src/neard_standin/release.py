# SPDX-License-Identifier: Apache-2.0
"""What release this copy of the stand-in is: an archive made for test hosts carries `release.json` beside this file."""

from __future__ import annotations

import json
import pkgutil
from dataclasses import dataclass

RELEASE_FILE = "release.json"


@dataclass(frozen=True)
class Release:
    """A release. `protocol` is the newest protocol version it follows, None: whatever its chain has.

    `chain` is where the hosts of a test network find their common ledger; it counts when there is one.
    """

    version: str = "2.11.0"
    protocol: int | None = None
    chain: str | None = None


def _built() -> Release:
    try:
        content = pkgutil.get_data(__package__, RELEASE_FILE)
    except OSError:
        content = None
    return Release() if content is None else Release(**json.loads(content))


BUILT = _built()
