# SPDX-License-Identifier: Apache-2.0
"""Consul's addresses and credentials: bad input is refused with one clear error."""

from __future__ import annotations

from pathlib import Path

import pytest

from kuutamod.consul.settings import Address, ConsulSettings, parse_url


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("http://127.0.0.1:8500", Address("http://127.0.0.1:8500", "http", "127.0.0.1", 8500)),
        ("http://localhost:8500/", Address("http://localhost:8500", "http", "localhost", 8500)),
        ("https://[::1]:8501", Address("https://[::1]:8501", "https", "[::1]", 8501)),
        ("https://consul.example", Address("https://consul.example:443", "https", "consul.example", 443)),
    ],
)
def test_good_urls(url: str, address: Address) -> None:
    assert parse_url(url) == address


@pytest.mark.parametrize(
    "url",
    [
        "",
        "127.0.0.1:8500",
        "unix:///run/consul",
        "http://",
        "http://h:port",
        "http://h:70000",
        "http://h/v1",
        "http://h/?x=1",
    ],
)
def test_bad_urls(url: str) -> None:
    with pytest.raises(ValueError, match="Consul URL") as caught:
        ConsulSettings(urls=(url,))
    assert repr(url) in str(caught.value)


def test_a_user_name_in_the_url_is_refused_without_repeating_it() -> None:
    with pytest.raises(ValueError, match="user name") as caught:
        ConsulSettings(urls=("http://user:hush@h:8500",))
    assert "hush" not in str(caught.value)


def test_no_url() -> None:
    with pytest.raises(ValueError, match="no Consul URL"):
        ConsulSettings(urls=())


def test_token_is_never_shown() -> None:
    assert "hush" not in repr(ConsulSettings(urls=("http://h:1",), token="hush"))
    with pytest.raises(ValueError, match="blanks") as caught:
        ConsulSettings(urls=("http://h:1",), token="hush hush\n")
    assert "hush" not in str(caught.value)


def test_two_tokens_are_refused() -> None:
    with pytest.raises(ValueError, match="set one of them"):
        ConsulSettings(urls=("http://h:1",), token="a", token_file=Path("/b"))


def test_key_without_certificate_is_refused() -> None:
    with pytest.raises(ValueError, match="set both"):
        ConsulSettings(urls=("http://h:1",), key_file=Path("/key.pem"))
