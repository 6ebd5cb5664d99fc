# SPDX-License-Identifier: Apache-2.0
"""Editing single fields of JSON with comments."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kuutamod.neard import edit, jsonc

TEXT = """\
{
  // who we are
  "name": "node", # not the account
  "rpc": {
    "addr": "0.0.0.0:3030" /* the
       default */
  },
  "store": {},
  "old": null,
  "one": {"a": 1, "b": [1, 2]} // last
}
"""


def value(text: str) -> object:
    return jsonc.parse(text.encode())[1]


def comments(text: str) -> list[str]:
    plain = jsonc.blank_comments(text)
    marked = "".join(letter if blank == " " and letter != " " else "\0" for letter, blank in zip(text, plain, strict=True))
    return re.findall(r"[^\0]+", marked)


def test_replacing_a_value_leaves_every_other_byte() -> None:
    edited = edit.set_value(TEXT, ("rpc", "addr"), "127.0.0.1:3030")
    assert edited == TEXT.replace("0.0.0.0:3030", "127.0.0.1:3030")


def test_the_same_value_changes_nothing() -> None:
    assert edit.set_value(TEXT, ("one",), {"b": [1, 2], "a": 1}) == TEXT


def test_true_is_not_one() -> None:
    assert '"a": true' in edit.set_value(TEXT, ("one", "a"), True)


def test_a_new_field_goes_to_the_end_like_its_neighbours() -> None:
    edited = edit.set_value(TEXT, ("tracked_shards_config",), {"ShadowValidator": "a.near"})
    assert edited.endswith('"b": [1, 2]}, // last\n  "tracked_shards_config": {\n    "ShadowValidator": "a.near"\n  }\n}\n')


def test_a_new_field_after_a_comment() -> None:
    edited = edit.set_value(TEXT, ("rpc", "limit"), 5)
    assert '"addr": "0.0.0.0:3030", /* the\n       default */\n    "limit": 5\n  },' in edited


def test_a_new_field_in_an_empty_object_and_on_one_line() -> None:
    assert '  "store": {\n    "path": "data"\n  },' in edit.set_value(TEXT, ("store", "path"), "data")
    assert '"one": {"a": 1, "b": [1, 2], "c": {"d": 1}} // last' in edit.set_value(TEXT, ("one", "c", "d"), 1)


def test_objects_on_the_way_are_made() -> None:
    assert value(edit.set_value(TEXT, ("network", "tier1", "enable_inbound"), True)) == {
        **json.loads(jsonc.blank_comments(TEXT)),
        "network": {"tier1": {"enable_inbound": True}},
    }
    assert '"old": {\n    "new": 1\n  },' in edit.set_value(TEXT, ("old", "new"), 1)


def test_no_field_below_a_text() -> None:
    with pytest.raises(edit.NotAnObject, match="name is not an object"):
        edit.set_value(TEXT, ("name", "first"), "a")


@pytest.mark.parametrize(
    ("path", "gone"),
    [
        (("old",), '  "old": null,\n'),
        (("one", "a"), '"a": 1, '),
        (("one", "b"), ', "b": [1, 2]'),
        (("store",), '  "store": {},\n'),
    ],
)
def test_removing_leaves_every_other_byte(path: tuple[str, ...], gone: str) -> None:
    edited = edit.remove(TEXT, path)
    assert edited.replace(" ", "") == TEXT.replace(gone, "").replace(" ", "")


def test_removing_the_last_takes_the_comma_before_it_and_no_comment() -> None:
    edited = edit.remove(TEXT, ("one",))
    assert edited.endswith('  "old": null\n  // last\n}\n')


def test_removing_what_is_not_there() -> None:
    assert edit.remove(TEXT, ("rpc", "none")) == TEXT
    assert edit.remove(TEXT, ("name", "first")) == TEXT


_NAMES = st.sampled_from(["a", "b", "c", 'q"t', "//", "ü"])
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["", "x", "/* no */", "# no", '\\"']),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_NAMES, inner, max_size=3),
    max_leaves=8,
)
_SPACES = st.sampled_from(["", " ", "\n  ", "\t", " // one\n", "# two\n  ", "/* three\n */", "\r\n"])


@st.composite
def texts(draw: st.DrawFn) -> str:
    """A JSON object with white space and comments wherever they may be."""
    whole = json.dumps(draw(st.dictionaries(_NAMES, _VALUES, max_size=4)), ensure_ascii=draw(st.booleans()))
    tokens = re.findall(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+', whole)
    return "".join(token + draw(_SPACES) for token in ["", *tokens])


@given(texts(), st.lists(_NAMES, min_size=1, max_size=3), _VALUES)
def test_any_text_any_field(text: str, path: list[str], wanted: object) -> None:
    before = value(text)
    try:
        edited = edit.set_value(text, path, wanted)  # proves by itself that nothing else has changed
    except edit.NotAnObject as fault:
        assert fault.path
        return
    assert edit.set_value(edited, path, wanted) == edited
    if edit._depth(before, path) < len(path) and edit._at(before, path[: edit._depth(before, path)]) is not None:
        assert comments(edited) == comments(text), "no comment is lost where a field is added"


@given(texts(), st.lists(_NAMES, min_size=1, max_size=3))
def test_any_text_any_removal(text: str, path: list[str]) -> None:
    edited = edit.remove(text, path)
    assert edit.remove(edited, path) == edited
    assert edit._depth(value(edited), path) < len(path)
