# SPDX-License-Identifier: Apache-2.0
"""JSON with comments, and atomic writes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from neard_standin.files import strip_comments, write_atomically


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": 1} // end', {"a": 1}),
        ('# first\n{"a": 1}', {"a": 1}),
        ('{"a": /* in\nside */ 1}', {"a": 1}),
        ('{"a": "http://x#y/*z*/"}', {"a": "http://x#y/*z*/"}),
        (r'{"a": "quote \" // no comment"}', {"a": 'quote " // no comment'}),
    ],
)
def test_comments_are_stripped_outside_of_strings(text: str, value: object) -> None:
    assert json.loads(strip_comments(text)) == value


def test_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(UnicodeEncodeError):
        write_atomically(path, "\udc00")
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]
    assert path.read_text() == "old"
