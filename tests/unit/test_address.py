# SPDX-License-Identifier: Apache-2.0
"""Addresses: reading, writing, and when two of them can't be had at once."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kuutamod.address import Address


@given(host=st.ip_addresses().filter(lambda ip: getattr(ip, "scope_id", None) is None), port=st.integers(1, 65535))
def test_what_is_written_is_read_back(host: object, port: int) -> None:
    address = Address(str(host), port)
    assert Address.parse(str(address)) == address


@pytest.mark.parametrize(
    "text", ["", ":", "1.2.3.4", "1.2.3.4:", "1.2.3.4:0", "1.2.3.4:65536", "1.2.3.4:٣", "::1:5", "a:1"]
)
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        Address.parse(text)


@pytest.mark.parametrize(
    ("one", "other", "collide"),
    [
        ("127.0.0.1:5", "127.0.0.1:5", True),
        ("127.0.0.1:5", "127.0.0.1:6", False),
        ("127.0.0.1:5", "127.0.0.2:5", False),
        ("0.0.0.0:5", "127.0.0.2:5", True),
        ("127.0.0.1:5", "[::]:5", True),
        ("[::1]:5", "127.0.0.1:5", False),
    ],
)
def test_which_collide(one: str, other: str, collide: bool) -> None:
    assert Address.parse(one).collides_with(Address.parse(other)) == collide
    assert Address.parse(other).collides_with(Address.parse(one)) == collide
