# SPDX-License-Identifier: Apache-2.0
"""Records as JSON: written exactly, read tolerantly. What others have written into Consul must never stop a reader."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from typing import Any, TypeVar

T = TypeVar("T")


def dumps(data: Mapping[str, object]) -> str:
    """The same text for the same data."""
    return json.dumps(data, separators=(",", ":"), sort_keys=True)


def loads(value: bytes | str | None) -> dict[str, Any] | None:
    """The object in a text; None when it holds anything else."""
    if value is None:
        return None
    try:
        data = json.loads(value)
    except (ValueError, RecursionError):  # UnicodeDecodeError is a ValueError
        return None
    return data if isinstance(data, dict) else None


def filled(cls: type[T], data: Mapping[str, Any], **given: Any) -> T:
    """A record from the fields in ``data``; one that is missing, or of another type than it should be, takes its default.

    ``given`` are fields that the caller has read. Required fields are str, int or float, and empty by default.
    """
    found: dict[str, Any] = dict(given)
    for each in fields(cls):  # type: ignore[arg-type]
        if each.name in given:
            continue
        kind = str(each.type)
        read = _READ[kind](data.get(each.name))
        if read is not None:
            found[each.name] = read
        elif each.default is MISSING and each.default_factory is MISSING:
            found[each.name] = _EMPTY[kind]
    return cls(**found)


def text(value: object) -> str | None:
    """A string, or None."""
    return value if isinstance(value, str) else None


def whole(value: object) -> int | None:
    """An integer, or None."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def number(value: object) -> float | None:
    """A finite number, or None. JSON has integers that no float holds, and Python reads NaN and Infinity."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    try:
        found = float(value)
    except OverflowError:
        return None
    return found if math.isfinite(found) else None


def _flag(value: object) -> bool | None:
    return value if isinstance(value, bool) else None


def _texts(value: object) -> tuple[str, ...] | None:
    return tuple(str(item) for item in value) if isinstance(value, list) else None


_READ: Mapping[str, Callable[[object], Any]] = {
    "str": text,
    "int": whole,
    "int | None": whole,
    "float": number,
    "bool": _flag,
    "tuple[str, ...]": _texts,
}
_EMPTY: Mapping[str, object] = {"str": "", "int": 0, "float": 0.0}
