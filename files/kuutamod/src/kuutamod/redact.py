# SPDX-License-Identifier: Apache-2.0
"""Key material never reaches a log line, whatever text it comes in.

A NEAR secret key is ``ed25519:`` and the base58 of 64 bytes (87 or 88 characters, a few less with leading zeros); a public
key has 43 or 44. Key files keep the secret under ``secret_key`` or its alias ``private_key``.
"""

from __future__ import annotations

import re

MASK = "***"
"""What stands in place of a secret."""

SECRET_NAMES = frozenset({"secret_key", "private_key", "token", "password"})
"""Names of fields whose value is a secret whatever it looks like."""

_KEY = re.compile(r"ed25519:[1-9A-HJ-NP-Za-km-z]{60,}|(?<![0-9A-Za-z])[1-9A-HJ-NP-Za-km-z]{80,}")
_FIELD = re.compile(r"""((?:secret|private)_key\\*["']\s*:\s*)(?:(\\*["'])[^"'\\]*|\[[^\]]*\]?)""")
"""A field of JSON, of JSON inside a JSON string (escaped quotes), or of a printed Python dict."""


def redact(text: str) -> str:
    """``text`` with everything that looks like a secret key replaced by ``***``; signatures look the same and go too."""
    if "_key" in text:
        text = _FIELD.sub(rf"\g<1>\g<2>{MASK}", text)
    return _KEY.sub(MASK, text)
