# SPDX-License-Identifier: Apache-2.0
"""The guard hands the lock back by itself, when its supervisor can't. Standard library only.

One transaction: the key must be locked by our session, then it is unlocked with the released marker. It is asked for only
after neard's exit status was collected.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import ssl
import time
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PATIENCE = 10.0
"""Seconds the guard tries; after that the others take the lock by the guard time."""
RELEASED = "released the lock"
NOT_OURS = "found the lock released or taken already"
PAUSE = 0.2
"""Seconds between two rounds over the URLs."""


@dataclass(frozen=True)
class ConsulAccess:
    """How to reach Consul; never printed, it carries a token."""

    urls: tuple[str, ...]
    deadline: float
    token: str | None = field(default=None, repr=False)
    token_file: str | None = None
    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None

    @classmethod
    def from_message(cls, data: Mapping[str, Any]) -> ConsulAccess:
        """From the supervisor's start message."""
        return cls(**{**data, "urls": tuple(data["urls"])})

    def headers(self) -> dict[str, str]:
        """With the token as it is now: a token file may have been renewed since the guard was started."""
        token = self.token
        if self.token_file is not None:
            with contextlib.suppress(OSError):
                token = Path(self.token_file).read_text(encoding="ascii").strip()
        return {"X-Consul-Token": token} if token else {}


def release(access: ConsulAccess, plan: Mapping[str, str], clock: int = time.CLOCK_BOOTTIME) -> str:
    """Unlock with the marker; returns what came of it. Never raises, ends after PATIENCE seconds."""
    operations = [
        {"KV": {"Verb": "check-session", "Key": plan["key"], "Session": plan["session"]}},
        {"KV": {"Verb": "unlock", "Key": plan["key"], "Session": plan["session"], "Value": _encoded(plan["value"])}},
    ]
    body = json.dumps(operations)
    end = time.clock_gettime(clock) + PATIENCE
    said = "not tried"
    while time.clock_gettime(clock) < end:
        for url in access.urls:
            status, said = _put(access, url, "/v1/txn", body)
            refused = status == http.HTTPStatus.CONFLICT and "ermission denied" not in said
            if status == http.HTTPStatus.OK or refused or "invalid session" in said:
                return RELEASED if status == http.HTTPStatus.OK else NOT_OURS
        time.sleep(PAUSE)
    return f"gave up releasing the lock after {PATIENCE:g} s, others wait for the guard time: {' '.join(said.split())}"


def destroy_session(access: ConsulAccess, session: str, member: str) -> None:
    """End the session of a supervisor that is gone; one try per URL, its TTL is the backstop.

    The member record goes first: a key that is still locked when its session ends would be under Consul's lock delay, and
    the next supervisor of this node would have to wait for it.
    """
    body = json.dumps(
        [
            {"KV": {"Verb": "check-session", "Key": member, "Session": session}},
            {"KV": {"Verb": "delete", "Key": member}},
        ]
    )
    for url in access.urls:
        _put(access, url, "/v1/txn", body)
        if _put(access, url, f"/v1/session/destroy/{session}", "")[0] == http.HTTPStatus.OK:
            return


def _encoded(value: str) -> str:
    return base64.b64encode(value.encode()).decode()


def _put(access: ConsulAccess, url: str, path: str, body: str) -> tuple[int, str]:
    try:
        headers = access.headers()
        connection = _connection(access, url)
        try:
            connection.request("PUT", path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read(2000).decode(errors="replace")
        finally:
            connection.close()
    except (OSError, http.client.HTTPException, ValueError) as error:
        return 0, f"{url}: {error}"


def _connection(access: ConsulAccess, url: str) -> http.client.HTTPConnection:
    parts = urllib.parse.urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme != "https":
        return http.client.HTTPConnection(host, parts.port or 80, timeout=access.deadline)
    context = ssl.create_default_context(cafile=access.ca_file)
    if access.cert_file:
        context.load_cert_chain(access.cert_file, access.key_file)
    return http.client.HTTPSConnection(host, parts.port or 443, timeout=access.deadline, context=context)
