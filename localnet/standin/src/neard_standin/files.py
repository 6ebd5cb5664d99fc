# SPDX-License-Identifier: Apache-2.0
"""Reading and writing of the small JSON files in a node's home."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

# A string is matched first so that a comment mark inside one is left alone.
_STRING_OR_COMMENT = re.compile(r'"(?:\\.|[^"\\])*"|//[^\n]*|#[^\n]*|/\*.*?\*/', re.DOTALL)


def strip_comments(text: str) -> str:
    """JSON without the `//`, `#` and `/* */` comments which neard accepts since 1.32."""
    return _STRING_OR_COMMENT.sub(lambda match: match[0] if match[0].startswith('"') else " ", text)


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object in `path`, comments allowed.

    Raises OSError when it cannot be read and ValueError, naming the file, when it is no JSON object.
    """
    text = path.read_bytes()
    try:
        value = json.loads(strip_comments(text.decode()))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path}: not valid JSON: {error}") from error
    if not isinstance(value, dict):
        raise ValueError(f"{path}: a JSON object is expected, found {type(value).__name__}")
    return value


def write_atomically(path: Path, text: str, mode: int = 0o644) -> None:
    """Replace `path` by a file of this mode and content, so that a reader sees the old one or the new one whole."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_object(path: Path, value: dict[str, Any], mode: int = 0o644) -> None:
    """Replace `path` atomically by this JSON object, indented for human eyes."""
    write_atomically(path, json.dumps(value, indent=2) + "\n", mode)
