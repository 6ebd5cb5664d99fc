# SPDX-License-Identifier: Apache-2.0
"""Connections to Consul: one ``Link`` for each kind of call, with its own thread, sockets and choice of URL.

Works with python-consul2 and py-consul alike. Both take timeouts differently, let the environment override what they are
given and differ in where they send the token; so none of the three is left to them.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

import consul
import requests
from requests.adapters import HTTPAdapter

from ..deadline import Lane, Overrun
from .faults import ELSEWHERE, ConsulError, Fault, classify
from .settings import Address, ConsulSettings, check_token

T = TypeVar("T")

CONNECT_DEADLINE = 0.5
"""Seconds to connect, for the daemon: a host that is not there must not use up a request's whole deadline."""

TOKEN_AGE = 1.0
"""Seconds for which a token read from a file is used without looking again."""


class _Transport(HTTPAdapter):
    """Puts our socket timeouts on every request, whatever the library asks for."""

    def __init__(self, connect_deadline: float, read_deadline: float) -> None:
        super().__init__()
        self._timeout = (connect_deadline, read_deadline)

    def send(  # type: ignore[override]
        self, request: requests.PreparedRequest, **options: Any
    ) -> requests.Response:
        return super().send(request, **{**options, "timeout": self._timeout})


class TokenSource:
    """The ACL token, fixed or from a file that may be replaced while this process runs. For several threads."""

    def __init__(self, settings: ConsulSettings) -> None:
        self._file = settings.token_file
        self._token = settings.token
        self._read_at = float("-inf")
        self._guard = threading.Lock()

    def current(self) -> str | None:
        """The token; blocks for a file read at most once a second. Keeps the last one while the file is unreadable.

        Raises ConsulError when there is a file and it was never readable.
        """
        if self._file is None:
            return self._token
        with self._guard:
            if time.monotonic() - self._read_at >= TOKEN_AGE:
                self._token = self._read()
                self._read_at = time.monotonic()
            return self._token

    def denied(self) -> None:
        """Consul refused the token: look into the file again before the next request."""
        with self._guard:
            self._read_at = float("-inf")

    def _read(self) -> str:
        assert self._file is not None
        try:
            return check_token(self._file.read_text().strip(), f"the Consul token in {self._file}")
        except (OSError, ValueError) as error:
            if self._token is not None:
                return self._token
            raise ConsulError(Fault.FORBIDDEN, f"no Consul token: {error}") from None


def connect(
    address: Address, settings: ConsulSettings, token: str | None, connect_deadline: float, read_deadline: float
) -> Any:
    """A client of the library for one URL. Sends nothing yet.

    ``connect_deadline``: seconds to connect, ``read_deadline``: seconds for each wait on the socket.
    """
    _forget_environment()
    client = consul.Consul(
        host=address.host, port=address.port, scheme=address.scheme, verify=settings.verify, cert=_certificate(settings)
    )
    session: requests.Session = client.http.session
    session.trust_env = False  # no proxies, no netrc, no certificate bundles from the environment
    session.max_redirects = 0
    for scheme in ("http://", "https://"):
        session.mount(scheme, _Transport(connect_deadline, read_deadline))
    if token is not None:
        session.headers["X-Consul-Token"] = token
    return client


def _forget_environment() -> None:
    """Both libraries let these variables win over an explicit URL and token."""
    for name in [name for name in os.environ if name.startswith("CONSUL_HTTP_")]:
        os.environ.pop(name, None)


def _certificate(settings: ConsulSettings) -> str | tuple[str, str] | None:
    if settings.cert_file is None:
        return None
    return str(settings.cert_file) if settings.key_file is None else (str(settings.cert_file), str(settings.key_file))


class Link:
    """One kind of call. Remembers the URL that last worked; after a failure that another URL may not have, the next
    request goes to the next URL.
    """

    def __init__(
        self,
        name: str,
        settings: ConsulSettings,
        tokens: TokenSource,
        read_deadline: float,
        connect_deadline: float = CONNECT_DEADLINE,
    ) -> None:
        self._settings = settings
        self._tokens = tokens
        self._deadlines = (connect_deadline, read_deadline)
        self._addresses = settings.addresses
        self._current = 0
        self._lane = Lane(f"consul-{name}")
        self._clients: dict[Address, tuple[str | None, Any]] = {}

    async def ask(self, call: Callable[[Any], T], deadline: float) -> T:
        """What ``call`` returns when given a client, within ``deadline`` seconds in all; raises ConsulError."""
        address, clients = self._addresses[self._current], self._clients
        try:
            return await self._lane.run(lambda: call(self._client(address, clients)), deadline)
        except Exception as error:
            failure = classify(error)
            if isinstance(error, Overrun):
                self._clients = {}  # the abandoned thread still uses these connections
            if failure.fault is Fault.FORBIDDEN:
                self._tokens.denied()
            if failure.fault in ELSEWHERE:
                self._current = (self._current + 1) % len(self._addresses)
            where = f"{address.url}: " if failure.fault in ELSEWHERE or failure.fault is Fault.FORBIDDEN else ""
            raise ConsulError(failure.fault, where + failure.why, failure.refusals) from error
        except BaseException:
            self._clients = {}
            raise

    def close(self) -> None:
        """Let the thread end."""
        self._lane.abandon()

    def _client(self, address: Address, clients: dict[Address, tuple[str | None, Any]]) -> Any:
        token = self._tokens.current()
        known = clients.get(address)
        if known is None or known[0] != token:
            known = clients[address] = (token, connect(address, self._settings, token, *self._deadlines))
        return known[1]
