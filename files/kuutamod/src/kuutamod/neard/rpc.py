# SPDX-License-Identifier: Apache-2.0
"""neard's ``/status``, together with what proves whose answer it is. Blocking; run it in a lane."""

from __future__ import annotations

import http.client
import json
from pathlib import Path

from kuutamod.address import Address
from kuutamod.core.model import Status
from kuutamod.neard.home import HomeLock
from kuutamod.neard.procfs import lock_holder

LONGEST_ANSWER = 1024 * 1024


class BadAnswer(Exception):
    """neard answered, but not with a status."""


class StatusClient:
    """Asks the neard that listens on ``address`` and keeps its database in ``store``."""

    def __init__(self, address: Address, store: Path, lock: HomeLock) -> None:
        self._address = address
        self._store = store
        self._lock = lock

    def ask(self, timeout: float) -> Status:
        """One answer; ``timeout`` in seconds is per socket operation.

        :raises OSError, http.client.HTTPException: no answer. :raises BadAnswer: nonsense.
        """
        connection = http.client.HTTPConnection(*self._address, timeout=timeout)
        try:
            connection.request("GET", "/status", headers={"Connection": "close"})
            answer = connection.getresponse()
            body = answer.read(LONGEST_ANSWER)
        finally:
            connection.close()
        if answer.status != http.HTTPStatus.OK:
            raise BadAnswer(f"/status answered {answer.status}")
        return parse(body, lock_holder(self._store / "LOCK"), self._lock.still_ours())


def parse(body: bytes, lock_pid: int | None, home_locked: bool) -> Status:
    """The status in an answer's body. :raises BadAnswer: it is not one."""
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
        )
    except (ValueError, KeyError, TypeError) as error:
        raise BadAnswer(f"/status is not what neard answers: {error!r}") from error


def _optional(value: object) -> str | None:
    return None if value is None else str(value)
