# SPDX-License-Identifier: Apache-2.0
"""Where Consul is and how to talk to it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class Address:
    """One URL of Consul's HTTP API, taken apart. ``host`` of an IPv6 address keeps its brackets."""

    url: str
    scheme: str
    host: str
    port: int


def parse_url(url: str) -> Address:
    """The parts of ``http[s]://host[:port]``; ValueError names the URL and what is wrong with it."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ValueError(f"Consul URL {url!r}: {error}; write it as http://127.0.0.1:8500") from None
    if parts.scheme not in DEFAULT_PORTS or not host:
        raise ValueError(f"Consul URL {url!r} is not http://host:port or https://host:port")
    if "@" in parts.netloc:
        raise ValueError(f"Consul URL {host!r} has a user name in it; Consul takes a token, set that instead")
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise ValueError(f"Consul URL {url!r} has a path; write scheme, host and port only")
    if ":" in host:
        host = f"[{host}]"
    port = DEFAULT_PORTS[parts.scheme] if port is None else port
    return Address(f"{parts.scheme}://{host}:{port}", parts.scheme, host, port)


@dataclass(frozen=True)
class ConsulSettings:
    """Consul's addresses and credentials.

    ``urls`` are tried in turn, the nearest first. Either ``token`` or ``token_file`` (re-read while running), or neither.
    ``ca_file`` replaces the public authorities; ``cert_file`` and ``key_file`` are this client's certificate. Raises
    ValueError that names field, value and remedy.
    """

    urls: tuple[str, ...]
    token: str | None = field(default=None, repr=False)
    token_file: Path | None = None
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None

    def __post_init__(self) -> None:
        if not self.urls:
            raise ValueError("no Consul URL is set; one is needed, such as http://127.0.0.1:8500")
        for url in self.urls:
            parse_url(url)
        if self.token is not None and self.token_file is not None:
            raise ValueError(f"both a Consul token and the token file {self.token_file} are set; set one of them")
        if self.token is not None:
            check_token(self.token, "the Consul token")
        if self.key_file is not None and self.cert_file is None:
            raise ValueError(f"the Consul key file {self.key_file} is set without a certificate file; set both")

    @property
    def verify(self) -> bool | str:
        """What Consul's certificate is checked against: the public authorities (True) or those of a file."""
        return True if self.ca_file is None else str(self.ca_file)

    @property
    def addresses(self) -> tuple[Address, ...]:
        """The URLs, taken apart."""
        return tuple(parse_url(url) for url in self.urls)


def check_token(token: str, what: str) -> str:
    """The token; ValueError when no HTTP header could carry it. The message never shows it."""
    if not token:
        raise ValueError(f"{what} is empty")
    if not all("!" <= character <= "~" for character in token):
        raise ValueError(f"{what} has blanks or characters outside ASCII in it")
    return token
