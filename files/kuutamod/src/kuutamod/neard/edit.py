# SPDX-License-Identifier: Apache-2.0
"""Changing single fields of a JSON text and leaving everything else in it, comments and layout, byte for byte.

A field is named by its path from the outermost object. The text must be one that ``jsonc.parse`` has accepted.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Sequence

from . import jsonc

_DEFAULT_STEP = "  "


class NotAnObject(Exception):
    """A field can't be set below a value that is no object; ``path`` names that value."""

    def __init__(self, path: tuple[str, ...]) -> None:
        super().__init__(f"{'.'.join(path)} is not an object")
        self.path = path


def set_value(text: str, path: Sequence[str], value: object) -> str:
    """The text with ``value`` at ``path``. Objects on the way that are missing or null are made.

    :raises NotAnObject: there is something else on the way.
    """
    data = jsonc.parse(text.encode())[1]
    present = _depth(data, path)
    if present == len(path):
        if same(_at(data, path), value):
            return text
        edited = _replace(text, path, value)
    else:
        missing = value
        for name in reversed(path[present + 1 :]):
            missing = {name: missing}
        below = _at(data, path[:present])
        if isinstance(below, dict):
            edited = _insert(text, path[:present], path[present], missing)
        elif below is None and present:
            edited = _replace(text, path[:present], {path[present]: missing})
        else:
            raise NotAnObject(tuple(path[:present]))
    _prove(edited, _with(data, path, value))
    return edited


def remove(text: str, path: Sequence[str]) -> str:
    """The text without the field at ``path``; as it was where there is none. Comments beside the field stay."""
    data = jsonc.parse(text.encode())[1]
    if _depth(data, path) < len(path):
        return text
    plain = jsonc.blank_comments(text)
    span = jsonc.value_span(text, path[:-1])
    assert span is not None
    found = list(jsonc.members(plain, span[0]))
    index = next(index for index, member in enumerate(found) if member.name == path[-1])
    start, end = found[index].name_at, found[index].end
    edited = text
    if (comma := found[index].comma) is not None:
        edited = (
            _cut(edited, start, comma + 1)
            if not text[end:comma].strip()
            else _cut(_cut(edited, comma, comma + 1), start, end)
        )
    else:
        edited = _cut(edited, start, end)
        if index and (comma := found[index - 1].comma) is not None:
            edited = edited[:comma] + edited[comma + 1 :]
    expected = copy.deepcopy(data)
    below = _at(expected, path[:-1])
    assert isinstance(below, dict)
    del below[path[-1]]
    _prove(edited, expected)
    return edited


def same(one: object, other: object) -> bool:
    """Are these the same JSON value? Unlike Python's, JSON's true is not 1."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def _depth(data: object, path: Sequence[str]) -> int:
    """How many names of the path lead somewhere."""
    for depth, name in enumerate(path):
        if not isinstance(data, dict) or name not in data:
            return depth
        data = data[name]
    return len(path)


def _at(data: object, path: Sequence[str]) -> object:
    for name in path:
        assert isinstance(data, dict)
        data = data[name]
    return data


def _with(data: object, path: Sequence[str], value: object) -> object:
    """``data`` with ``value`` at ``path``, as a copy."""
    found = dict(data) if isinstance(data, dict) else {}
    found[path[0]] = value if len(path) == 1 else _with(found.get(path[0]), path[1:], value)
    return found


def _prove(edited: str, expected: object) -> None:
    """The edited text says what was asked for and nothing else has changed; anything else is a fault of this module."""
    found = jsonc.parse(edited.encode())[1]
    if not same(found, expected):
        raise AssertionError("editing has changed more than the field that was asked for")


def _replace(text: str, path: Sequence[str], value: object) -> str:
    span = jsonc.value_span(text, path)
    assert span is not None
    return text[: span[0]] + _dump(value, _indent(text, span[0]), _step(text)) + text[span[1] :]


def _insert(text: str, path: Sequence[str], name: str, value: object) -> str:
    """Add a field at the end of the object at ``path``, laid out like its neighbours."""
    span = jsonc.value_span(text, path)
    assert span is not None
    start, end = span
    found = list(jsonc.members(jsonc.blank_comments(text), start))
    outer, step = _indent(text, start), _step(text)
    closing = end - 1
    last = len(text[:closing].rstrip())  # the end of the last value, or of a comment after it
    if found and "\n" not in text[start:end]:
        field = f"{json.dumps(name)}: {json.dumps(value, ensure_ascii=False)}"
        return f"{text[: found[-1].end]}, {field}{text[found[-1].end :]}"
    indent = _indent(text, found[0].name_at) if found and _alone(text, found[0].name_at) else outer + step
    field = f"\n{indent}{json.dumps(name)}: {_dump(value, indent, step)}"
    tail = text[last:closing] if "\n" in text[last:closing] else f"\n{outer}"
    if not found:
        return text[:last] + field + tail + text[closing:]
    return text[: found[-1].end] + "," + text[found[-1].end : last] + field + tail + text[closing:]


def _dump(value: object, indent: str, step: str) -> str:
    lines = json.dumps(value, indent=step, ensure_ascii=False).split("\n")
    return f"\n{indent}".join(lines)


def _indent(text: str, at: int) -> str:
    """The white space at the beginning of the line of ``at``."""
    line = text[text.rfind("\n", 0, at) + 1 : at]
    return line[: len(line) - len(line.lstrip(" \t"))]


def _alone(text: str, at: int) -> bool:
    """Is there nothing but white space before ``at`` on its line?"""
    return not text[text.rfind("\n", 0, at) + 1 : at].strip()


def _step(text: str) -> str:
    """By how much the file indents: as its first indented field does."""
    found = re.search(r"\n([ \t]+)\"", text)
    return found[1] if found else _DEFAULT_STEP


def _cut(text: str, start: int, end: int) -> str:
    """Without what lies between the two, nor the line where nothing else was on it."""
    before = text.rfind("\n", 0, start) + 1
    after = text.find("\n", end)
    if before and after >= 0 and not text[before:start].strip() and not text[end:after].strip():
        return text[:before] + text[after + 1 :]
    return text[:start] + text[end:].removeprefix(" ")
