# SPDX-License-Identifier: Apache-2.0
"""What is masked in a text and what must stay readable; test_log.py has the same through the log."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kuutamod.redact import redact
from neard_standin import base58


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"secret_key": "short"}', '{"secret_key": "***"}'),
        ("{'private_key': 'short'}", "{'private_key': '***'}"),
        (r'"{\"secret_key\":\"short\"}"', r'"{\"secret_key\":\"***\"}"'),
        ('{"secret_key": "cut o', '{"secret_key": "***'),
        ('{"secret_key": [1, 2, 3], "x": 1}', '{"secret_key": ***, "x": 1}'),
        ("field 'secret_key' is missing", "field 'secret_key' is missing"),
    ],
)
def test_fields_of_key_files(text: str, expected: str) -> None:
    assert redact(text) == expected or redact(text).replace(":***", ': "***"', 1) == expected


@given(st.binary(min_size=32, max_size=32))
def test_public_keys_and_hashes_stay(public: bytes) -> None:
    text = f"ed25519:{base58.encode(public)} of {public.hex()}"
    assert redact(text) == text
