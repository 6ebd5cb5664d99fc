# SPDX-License-Identifier: Apache-2.0
"""Texts and JSON as they leave the exporter: no secret key, no line break in a line, no number that JSON does not know."""

from __future__ import annotations

import json
import math

from ..redact import redact

Json = dict[str, object]


def line(text: str) -> str:
    """``text`` as one line of visible characters. It may quote neard, Consul or a hook, so secrets are taken out."""
    return "".join(char if char.isprintable() else "?" for char in " ".join(redact(text).split()))


def body(value: Json) -> bytes:
    """The object as JSON; seconds to the millisecond."""
    return json.dumps(_clean(value), indent=2, allow_nan=False).encode() + b"\n"


def _clean(value: object) -> object:
    if isinstance(value, dict):
        return {name: _clean(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(item) for item in value]
    if isinstance(value, float):
        return round(value, 3) if math.isfinite(value) else None
    return redact(value) if isinstance(value, str) else value
