# SPDX-License-Identifier: Apache-2.0
"""JSON with comments, as neard reads it: ``//`` and ``#`` to the end of the line, ``/* */`` anywhere between tokens.

Comments are blanked, not cut out, so that every place in the text keeps its line, column and offset. That makes it possible
to name the line of a fault, and to replace one value and leave the rest of a file, comments included, as it is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_TOKENS = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|//[^\n]*|#[^\n]*|/\*.*?\*/', re.DOTALL)
_NOT_NEWLINE = re.compile(r"[^\n]")


class JsonFault(Exception):
    """The text is not JSON; the message never quotes it, a key file may hold a secret anywhere."""

    def __init__(self, problem: str, line: int | None = None, truncated: bool = False) -> None:
        super().__init__(problem if line is None else f"line {line}: {problem}")
        self.line = line
        self.truncated = truncated


def parse(data: bytes) -> tuple[str, object]:
    """The text of a file and the value in it. :raises JsonFault: it is not UTF-8 or not JSON, or names a field twice."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise JsonFault(f"byte {error.start} is not UTF-8", data[: error.start].count(b"\n") + 1) from None
    plain = blank_comments(text)
    try:
        return text, json.loads(plain, object_pairs_hook=_object, parse_constant=_constant)
    except json.JSONDecodeError as error:
        ends = error.pos >= len(plain.rstrip()) or error.msg.startswith("Unterminated string")
        raise JsonFault(f"column {error.colno}: {error.msg.lower()}", error.lineno, truncated=ends) from None
    except (ValueError, RecursionError) as error:
        raise JsonFault("a number is too long" if isinstance(error, ValueError) else "nested too deeply") from None


@dataclass(frozen=True)
class Member:
    """One field of an object, by offsets: its name begins at ``name_at``, its value lies between ``start`` and ``end``."""

    name: str
    name_at: int
    start: int
    end: int
    comma: int | None
    """Where the comma after it is, if there is one."""


def value_span(text: str, path: Sequence[str]) -> tuple[int, int] | None:
    """Where in ``text``, which ``parse`` has accepted, the value at ``path`` begins and ends; None: no such field."""
    plain = blank_comments(text)
    at = _skip(plain, 0)
    for name in path:
        found = next((member for member in members(plain, at) if member.name == name), None)
        if found is None:
            return None
        at = found.start
    return at, _end(plain, at)[1]


def members(plain: str, at: int) -> Iterator[Member]:
    """The fields of the object that begins at ``at`` in a text without comments; none where no object begins."""
    if plain[at] != "{":
        return
    at = _skip(plain, at + 1)
    while plain[at] != "}":
        name, end = _end(plain, at)
        start = _skip(plain, _skip(plain, end) + 1)
        end = _end(plain, start)[1]
        after = _skip(plain, end)
        comma = after if plain[after] == "," else None
        yield Member(str(name), at, start, end, comma)
        at = after if comma is None else _skip(plain, after + 1)


def blank_comments(text: str) -> str:
    """The text with spaces in place of its comments, so that every offset stays."""

    def blank(found: re.Match[str]) -> str:
        token = found[0]
        return token if token.startswith('"') else _NOT_NEWLINE.sub(" ", token)

    return _TOKENS.sub(blank, text)


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found: dict[str, object] = {}
    for name, value in pairs:
        if name in found:
            raise JsonFault(f"the field {name!r} is there twice")
        found[name] = value
    return found


def _constant(name: str) -> object:
    raise JsonFault(f"{name} is not JSON")


def _end(plain: str, at: int) -> tuple[object, int]:
    value, end = json.JSONDecoder().raw_decode(plain, at)
    return value, end


def _skip(plain: str, at: int) -> int:
    while at < len(plain) and plain[at] in " \t\r\n":
        at += 1
    return at
