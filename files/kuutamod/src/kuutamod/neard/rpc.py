# SPDX-License-Identifier: Apache-2.0
"""neard's ``/status``, with what proves whose answer it is, its peers, and its windows. Blocking; run it in a lane."""

from __future__ import annotations

import http.client
import json
from datetime import datetime
from pathlib import Path

from kuutamod.address import Address
from kuutamod.clock import Clock
from kuutamod.core.desk import Windows
from kuutamod.core.model import Status
from kuutamod.neard.home import HomeLock
from kuutamod.neard.procfs import lock_holder

LONGEST_ANSWER = 1024 * 1024
PEERS_INTERVAL = 5.0
"""Seconds between two counts of the peers: the answer is large."""


class BadAnswer(Exception):
    """neard answered, but not with a status."""


class StatusClient:
    """Asks the neard that listens on ``address`` and keeps its database in ``store``."""

    def __init__(self, address: Address, store: Path, lock: HomeLock, clock: Clock) -> None:
        self._address = address
        self._store = store
        self._lock = lock
        self._clock = clock
        self._peers: int | None = None
        self._peers_asked = float("-inf")

    def ask(self, timeout: float) -> Status:
        """One answer; ``timeout`` in seconds is per socket operation.

        :raises OSError, http.client.HTTPException: no answer. :raises BadAnswer: nonsense.
        """
        body = self._get("GET", "/status", None, timeout)
        now = self._clock.now()
        if now - self._peers_asked >= PEERS_INTERVAL:
            self._peers_asked, self._peers = now, self._count_peers(timeout)
        return parse(body, lock_holder(self._store / "LOCK"), self._lock.still_ours(), self._peers, self._clock.wall())

    def windows(self, account_id: str, timeout: float) -> Windows:
        """The heights in which the validator has no block or chunk to produce; an error makes them unknown, not none."""
        question = {
            "jsonrpc": "2.0",
            "id": "kuutamod",
            "method": "maintenance_windows",
            "params": {"account_id": account_id},
        }
        try:
            return parse_windows(self._get("POST", "/", json.dumps(question).encode(), timeout))
        except (OSError, http.client.HTTPException, BadAnswer) as error:
            return Windows((), str(error) or type(error).__name__)

    def _count_peers(self, timeout: float) -> int | None:
        """How many peers neard has; None when it does not tell (that is no failure of ``/status``)."""
        try:
            return int(json.loads(self._get("GET", "/network_info", None, timeout))["num_active_peers"])
        except (OSError, http.client.HTTPException, BadAnswer, ValueError, KeyError, TypeError):
            return None

    def _get(self, method: str, path: str, body: bytes | None, timeout: float) -> bytes:
        connection = http.client.HTTPConnection(*self._address, timeout=timeout)
        try:
            headers = {"Connection": "close", **({"Content-Type": "application/json"} if body else {})}
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            content = answer.read(LONGEST_ANSWER)
        finally:
            connection.close()
        if answer.status != http.HTTPStatus.OK:
            raise BadAnswer(f"{path} answered {answer.status}")
        return content


def parse_windows(body: bytes) -> Windows:
    """The windows in an answer's body, in both shapes that neard has had (pairs up to 2.6, objects since 2.7)."""
    try:
        data = json.loads(body)
        if "error" in data:
            return Windows((), f"neard refuses: {json.dumps(data['error'])[:200]}")
        spans = [(w["start"], w["end"]) if isinstance(w, dict) else (w[0], w[1]) for w in data["result"]]
        return Windows(tuple((int(start), int(end)) for start, end in spans))
    except (ValueError, KeyError, TypeError, IndexError) as error:
        return Windows((), f"not what neard answers: {error!r}")


def parse(body: bytes, lock_pid: int | None, home_locked: bool, peers: int | None = None, wall: float = 0.0) -> Status:
    """The status in an answer's body; ``wall``: Unix seconds now. :raises BadAnswer: it is not one."""
    try:
        data = json.loads(body)
        sync = data["sync_info"]
        return Status(
            height=int(sync["latest_block_height"]),
            syncing=bool(sync["syncing"]),
            node_key=str(data["node_public_key"]),
            validator_account=_optional(data.get("validator_account_id")),
            validator_key=_optional(data.get("validator_public_key")),
            version=str(data["version"]["version"]),
            lock_pid=lock_pid,
            home_locked=home_locked,
            peers=peers,
            head_age=_age(sync.get("latest_block_time"), wall),
            protocol=_number(data.get("protocol_version")),
            latest_protocol=_number(data.get("latest_protocol_version")),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise BadAnswer(f"/status is not what neard answers: {error!r}") from error


def _age(time: object, wall: float) -> float | None:
    """Seconds from a block's time to ``wall``; None when neard does not tell a time."""
    try:
        return wall - datetime.fromisoformat(str(time)).timestamp()
    except ValueError:
        return None


def _number(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def _optional(value: object) -> str | None:
    return None if value is None else str(value)
