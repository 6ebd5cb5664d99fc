# SPDX-License-Identifier: Apache-2.0
"""neard's ``/status``, with what proves whose answer it is, its peers, and its windows. Blocking; run it in a lane."""

from __future__ import annotations

import http.client
import json
import os
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from ..address import Address
from ..clock import Clock
from ..core.desk import Windows
from ..core.model import Status
from .home import HomeLock
from .procfs import lock_holder

LONGEST_ANSWER = 1024 * 1024
PEERS_INTERVAL = 5.0
"""Seconds between two counts of the peers: the answer is large."""
PEERS_DEADLINE = 0.5
"""Seconds for the answer that has them."""
LARGEST_NUMBER = 2**63 - 1
_PIECE = 64 * 1024
_NONSENSE = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError)
"""What reading a JSON text can raise that is none, or says something else than it should."""


class BadAnswer(Exception):
    """neard answered, but not with a status."""


class StatusClient:
    """Asks the neard that listens on ``address`` and keeps its database in ``store``; ``key``: what it may be given."""

    def __init__(self, address: Address, store: Path, lock: HomeLock, clock: Clock, key: Path) -> None:
        self._address = address
        self._store = store
        self._lock = lock
        self._clock = clock
        self._key = key
        self._peers = _Peers(self._count_peers, clock)

    def ask(self, timeout: float) -> Status:
        """One answer; ``timeout`` in seconds is per socket operation. The peers are those of the last count, if any.

        :raises OSError, http.client.HTTPException: no answer. :raises BadAnswer: nonsense.
        """
        body = self._get("GET", "/status", None, timeout)
        holder, ours, wall = lock_holder(self._store / "LOCK"), self._lock.still_ours(), self._clock.wall()
        status = parse(body, holder, ours, self._peers.known(), wall)
        return replace(status, key_present=os.access(self._key, os.R_OK))

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
        except (OSError, http.client.HTTPException, BadAnswer, ValueError) as error:
            return Windows((), str(error) or type(error).__name__)

    def _count_peers(self) -> int | None:
        """How many peers neard has; None when it does not tell (that is no failure of ``/status``)."""
        try:
            return _whole(json.loads(self._get("GET", "/network_info", None, PEERS_DEADLINE))["num_active_peers"])
        except (OSError, http.client.HTTPException, BadAnswer, *_NONSENSE):
            return None

    def _get(self, method: str, path: str, body: bytes | None, timeout: float) -> bytes:
        connection = http.client.HTTPConnection(*self._address, timeout=timeout)
        try:
            headers = {"Connection": "close", **({"Content-Type": "application/json"} if body else {})}
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            content = _read(answer, self._clock, self._clock.now() + timeout)
        finally:
            connection.close()
        if answer.status != http.HTTPStatus.OK:
            raise BadAnswer(f"{path} answered {answer.status}")
        return content


class _Peers:
    """How many peers neard has, counted beside ``/status``, so that no answer of that waits for it."""

    def __init__(self, count: Callable[[], int | None], clock: Clock) -> None:
        self._count = count
        self._clock = clock
        self._last: int | None = None
        self._asked = float("-inf")
        self._counting = threading.Lock()

    def known(self) -> int | None:
        """The last count, None: unknown. Begins the next one when it is time; never two at once."""
        now = self._clock.now()
        if now - self._asked < PEERS_INTERVAL:
            return self._last
        if not self._counting.acquire(blocking=False):
            return None  # neard sends its answer by the drop; the last count is too old by now
        self._asked = now
        try:
            threading.Thread(target=self._work, name="peers", daemon=True).start()
        except RuntimeError:  # no more threads
            self._counting.release()
        return self._last

    def _work(self) -> None:
        try:
            self._last = self._count()
        finally:
            self._counting.release()


def _read(answer: http.client.HTTPResponse, clock: Clock, end: float) -> bytes:
    """The answer's body, as much as is taken of it. :raises TimeoutError: it is not all there at ``end``."""
    content = b""
    while len(content) < LONGEST_ANSWER and (piece := answer.read1(_PIECE)):
        content += piece
        if clock.now() >= end:
            raise TimeoutError("the answer came too slowly")
    return content


def parse_windows(body: bytes) -> Windows:
    """The windows in an answer's body, in both shapes that neard has had (pairs up to 2.6, objects since 2.7)."""
    try:
        data = json.loads(body)
        if "error" in data:
            return Windows((), f"neard refuses: {json.dumps(data['error'])[:200]}")
        spans = [(w["start"], w["end"]) if isinstance(w, dict) else (w[0], w[1]) for w in data["result"]]
        return Windows(tuple((_whole(start), _whole(end)) for start, end in spans))
    except _NONSENSE as error:
        return Windows((), f"not what neard answers: {error!r}")


def parse(body: bytes, lock_pid: int | None, home_locked: bool, peers: int | None = None, wall: float = 0.0) -> Status:
    """The status in an answer's body; ``wall``: Unix seconds now. :raises BadAnswer: it is not one."""
    try:
        data = json.loads(body)
        sync = data["sync_info"]
        return Status(
            height=_whole(sync["latest_block_height"]),
            syncing=bool(sync["syncing"]),
            node_key=str(data["node_public_key"]),
            validator_account=_optional(data.get("validator_account_id")),
            validator_key=_optional(data.get("validator_public_key")),
            version=str(data["version"]["version"]),
            lock_pid=lock_pid,
            home_locked=home_locked,
            peers=peers,
            head_age=_age(sync.get("latest_block_time"), wall),
            protocol=_version(data.get("protocol_version")),
            latest_protocol=_version(data.get("latest_protocol_version")),
        )
    except _NONSENSE as error:
        raise BadAnswer(f"/status is not what neard answers: {error!r}") from error


def _age(time: object, wall: float) -> float | None:
    """Seconds from a block's time to ``wall``; None when neard does not tell a time."""
    try:
        return wall - datetime.fromisoformat(str(time)).timestamp()
    except (ValueError, OverflowError):
        return None


def _whole(value: object) -> int:
    """A count or a height. :raises ValueError: it is none."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= LARGEST_NUMBER:
        raise ValueError(f"no number from 0 on: {value!r:.100}")
    return value


def _version(value: object) -> int:
    """A protocol version; 0 when neard does not tell one."""
    try:
        return _whole(value)
    except ValueError:
        return 0


def _optional(value: object) -> str | None:
    return None if value is None else str(value)
