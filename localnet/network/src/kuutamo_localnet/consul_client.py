# SPDX-License-Identifier: Apache-2.0
"""A small Consul client for tests: what an onlooker or an operator does, independent of the daemon's own adapter."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import requests

CONNECT_DEADLINE = 1.0  # seconds


class ConsulAnswerError(Exception):
    """Consul answered something else than success; `status` is the HTTP status."""

    def __init__(self, status: int, what: str, text: str) -> None:
        super().__init__(f"{what}: HTTP {status}: {text.strip()[:300]}")
        self.status = status


@dataclass(frozen=True)
class KvEntry:
    """One key as Consul stores it; `session` is empty when nobody holds the key."""

    key: str
    value: bytes
    session: str
    create_index: int
    modify_index: int
    lock_index: int
    flags: int

    @classmethod
    def from_api(cls, item: Mapping[str, Any]) -> Self:
        """From one object of the KV endpoint's answer."""
        return cls(
            key=item["Key"],
            value=base64.b64decode(item["Value"] or ""),
            session=item.get("Session", ""),
            create_index=item["CreateIndex"],
            modify_index=item["ModifyIndex"],
            lock_index=item["LockIndex"],
            flags=item["Flags"],
        )

    def json(self) -> dict[str, Any]:
        """The value as a JSON object. Raises ValueError when it is none."""
        value = json.loads(self.value)
        if not isinstance(value, dict):
            raise ValueError(f"the value of {self.key} is not a JSON object: {self.value!r}")
        return value


@dataclass(frozen=True)
class TxnResult:
    """The outcome of a transaction: `ok` is False when it was refused as a whole, with the reasons in `errors`."""

    ok: bool
    entries: tuple[KvEntry, ...]
    errors: tuple[str, ...]


class ConsulClient:
    """Requests to one agent or server. `timeout` is seconds for each wait on the socket.

    Network errors are raised as requests' exceptions, unexpected answers as ConsulAnswerError.
    """

    def __init__(self, url: str, token: str | None = None, timeout: float = 5.0) -> None:
        self.url = url.rstrip("/")
        self.timeout = timeout
        self._http = requests.Session()
        self._http.trust_env = False
        if token is not None:
            self._http.headers["X-Consul-Token"] = token

    def request(
        self, method: str, path: str, *, params: Mapping[str, str] | None = None, body: object = None
    ) -> requests.Response:
        """One request to `/v1/PATH`; `body` is sent as it is when it is bytes, else as JSON. Any status is returned."""
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        return self._http.request(
            method, f"{self.url}/v1/{path}", params=params, data=data, timeout=(CONNECT_DEADLINE, self.timeout)
        )

    def call(self, method: str, path: str, *, params: Mapping[str, str] | None = None, body: object = None) -> Any:
        """As `request`, but returns the decoded JSON. Raises ConsulAnswerError for any status but 200."""
        answer = self.request(method, path, params=params, body=body)
        if answer.status_code != 200:
            raise ConsulAnswerError(answer.status_code, f"{method} {path}", answer.text)
        return answer.json()

    def kv_get(self, key: str, *, consistent: bool = True) -> KvEntry | None:
        """The key, or None when it does not exist."""
        answer = self.request("GET", f"kv/{key}", params={"consistent": ""} if consistent else None)
        if answer.status_code == 404:
            return None
        if answer.status_code != 200:
            raise ConsulAnswerError(answer.status_code, f"GET {key}", answer.text)
        return KvEntry.from_api(answer.json()[0])

    def kv_list(self, prefix: str) -> list[KvEntry]:
        """All keys that start with `prefix`, read consistently."""
        answer = self.request("GET", f"kv/{prefix}", params={"recurse": "", "consistent": ""})
        if answer.status_code == 404:
            return []
        if answer.status_code != 200:
            raise ConsulAnswerError(answer.status_code, f"GET {prefix}", answer.text)
        return [KvEntry.from_api(item) for item in answer.json()]

    def kv_put(self, key: str, value: bytes | str, **params: str) -> bool:
        """Write a key; `params` such as `acquire`, `release` and `cas` go into the query. True when it was written."""
        return bool(self.call("PUT", f"kv/{key}", params=params, body=value.encode() if isinstance(value, str) else value))

    def kv_delete(self, key: str) -> bool:
        """Delete a key, held or not."""
        return bool(self.call("DELETE", f"kv/{key}"))

    def session_create(self, name: str, **fields: object) -> str:
        """Create a session from API fields such as `TTL="10s"`; returns its id."""
        return str(self.call("PUT", "session/create", body={"Name": name, **fields})["ID"])

    def session_list(self) -> list[dict[str, Any]]:
        """All sessions the token may see."""
        return list(self.call("GET", "session/list", params={"consistent": ""}))

    def session_info(self, session: str) -> dict[str, Any] | None:
        """One session, or None when it does not exist (or the token may not see it)."""
        found = self.call("GET", f"session/info/{session}", params={"consistent": ""})
        return dict(found[0]) if found else None

    def session_renew(self, session: str) -> bool:
        """Renew a session; False when Consul says that it is gone."""
        answer = self.request("PUT", f"session/renew/{session}")
        if answer.status_code not in (200, 404):
            raise ConsulAnswerError(answer.status_code, "session renew", answer.text)
        return answer.status_code == 200

    def session_destroy(self, session: str) -> bool:
        """Destroy a session, as an operator would. True also when there was none."""
        return bool(self.call("PUT", f"session/destroy/{session}"))

    def txn(self, operations: Sequence[Mapping[str, object]]) -> TxnResult:
        """A transaction of KV operations in the API's form; `Value` is given as plain bytes or text.

        A refused transaction (HTTP 409) is a result, not an error.
        """
        answer = self.request("PUT", "txn", body=[{"KV": _encoded(operation)} for operation in operations])
        if answer.status_code not in (200, 409):
            raise ConsulAnswerError(answer.status_code, "txn", answer.text)
        content = answer.json()
        return TxnResult(
            ok=answer.status_code == 200,
            entries=tuple(KvEntry.from_api({"Value": None, **item["KV"]}) for item in content.get("Results") or ()),
            errors=tuple(str(error["What"]) for error in content.get("Errors") or ()),
        )

    def leader(self) -> str:
        """The raft address `ip:port` of the leader the agent knows of, empty when there is none."""
        return str(self.call("GET", "status/leader"))

    def raft_servers(self) -> list[dict[str, Any]]:
        """The raft configuration's servers (`Node`, `Leader`, `Voter`, ...), as the leader has it."""
        return list(self.call("GET", "operator/raft/configuration")["Servers"])

    def healthy_nodes(self) -> set[str]:
        """The names of the nodes in the catalog whose gossip check passes."""
        checks = self.call("GET", "health/state/passing")
        return {str(check["Node"]) for check in checks if check["CheckID"] == "serfHealth"}

    def close(self) -> None:
        """Close the connections."""
        self._http.close()


def _encoded(operation: Mapping[str, object]) -> dict[str, object]:
    value = operation.get("Value")
    if value is None:
        return dict(operation)
    raw = value.encode() if isinstance(value, str) else value
    assert isinstance(raw, bytes)
    return {**operation, "Value": base64.b64encode(raw).decode()}
