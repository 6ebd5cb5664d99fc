# SPDX-License-Identifier: Apache-2.0
"""What an operator writes: the request, and the fleet's settings. Each write is a compare-and-set, so nothing is lost.

For programs without an event loop; every function returns or raises ConsulError within its own deadline (seconds).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar

from ..core.model import Policy
from ..core.protocol import Ask, FleetConfig, Outcome, Request, Step, config_key, request_key
from . import transactions
from .answers import read_key, transact
from .faults import ConsulError, Fault, Refusal, classify
from .once import ask_once
from .settings import ConsulSettings

T = TypeVar("T")

TRIES = 5
"""How often a key that changes between reading and writing is read anew."""
STALE = 60.0
"""Seconds after its end for which a request that was never begun is still its writer's to end."""
LOST = 600.0
"""Seconds after its end for which a request that was begun is left to the nodes to end."""
START = Policy().start_timeout
"""Seconds that a neard may take to start, unless the nodes are set to something else."""


class Unsure(ConsulError):
    """A write was sent and not answered: Consul may have it, now or a moment later."""


@dataclass(frozen=True)
class Placed:
    """A request as it is in Consul, at this ModifyIndex."""

    request: Request
    index: int


def begun(request: Request) -> bool:
    """Can it no longer be withdrawn? The holder acts once this mark is written."""
    return request.marked(Step.CONFIRMED) is not None


def place(settings: ConsulSettings, account_id: str, request: Request, deadline: float) -> Placed:
    """Write a new request.

    Raises ConsulError (CONFLICT) with a text for people while another one is pending, or when what is there is no request
    that this version knows; and Unsure when Consul may have it without having said so. Any other ConsulError: nothing was
    written, and nothing will be.
    """
    writes = _Writes()
    try:
        return ask_once(settings, deadline, lambda client: _place(client, account_id, request, writes))
    except ConsulError as error:
        # A conflict is found by reading: what was sent before has missed, for the key is another one's by now.
        if writes.close() and error.fault is not Fault.CONFLICT:
            raise Unsure(error.fault, error.why, error.refusals) from error
        raise
    finally:
        writes.close()


class _Writes:
    """Which writes of one order may have been applied. For several threads.

    A call that is not answered in time goes on in a thread of its own, and must not write once nobody waits for it.
    """

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._open = True
        self._unrefused = 0

    def begin(self) -> None:
        """A write is about to be sent. Raises ConsulError after ``close``."""
        with self._guard:
            if not self._open:
                raise ConsulError(Fault.TIMEOUT, "nobody waits for it any more")
            self._unrefused += 1

    def refused(self) -> None:
        """Consul's answer says that a write was not applied."""
        with self._guard:
            self._unrefused -= 1

    def close(self) -> bool:
        """No more writes. May one have been applied?"""
        with self._guard:
            self._open = False
            return self._unrefused > 0

    def send(self, write: Callable[[], T | None]) -> T | None:
        """What ``write`` returns; None: what it was to replace has changed, so nothing was written."""
        self.begin()
        try:
            done = write()
        except Exception as error:
            if classify(error).fault is Fault.FORBIDDEN:
                self.refused()
            raise
        if done is None:
            self.refused()
        return done


def _place(client: Any, account_id: str, request: Request, writes: _Writes) -> Placed:
    key = request_key(account_id)
    for _unused in range(TRIES):
        old, index = _read(client, key)
        if old is None and index:
            raise unknown(key)
        if old is not None and old.id == request.id:
            return Placed(old, index)  # written through another URL, whose answer was lost
        if old is not None and old.outcome is None:
            if why := obstacle(old, request.issued):
                raise ConsulError(Fault.CONFLICT, why)
            _swap(client, key, index, replace(old, outcome=Outcome.EXPIRED, why="nobody ended it"))
            continue
        placed = writes.send(partial(_swap, client, key, index, request))
        if placed is not None:
            return placed
    raise _busy(key)


def finish(request: Request, least: float) -> float:
    """Seconds after its end that a request may need to end in its outcome: ``least``, and more if a neard has to start."""
    slow = request.ask is Ask.RESTART or request.allow_restart
    return least + (START if slow and begun(request) else 0.0)


def obstacle(request: Request | None, now: float) -> str:
    """Why no other request can be placed at ``now`` (Unix seconds), beside this one; empty when one can be."""
    if request is None or request.outcome is not None or _abandoned(request, now):
        return ""
    return f"{_pending(request)} is pending; one request at a time"


def obstructed(error: ConsulError) -> bool:
    """Was a new request refused because another one is pending? Other conflicts have the reasons of a transaction."""
    return error.fault is Fault.CONFLICT and not error.refusals


def unknown(key: str) -> ConsulError:
    """What is there may be a newer version's request, which its nodes are at: it must not be written over."""
    remedy = "a newer version has written it, then use that one; or it is nobody's, then delete the key"
    return ConsulError(Fault.CONFLICT, f"key {key} holds no request that this version knows: {remedy}", (Refusal.EXISTS,))


def _abandoned(request: Request, now: float) -> bool:
    return now > request.expires + finish(request, LOST if begun(request) else STALE)


def _pending(request: Request) -> str:
    newest = max(request.marks, key=lambda mark: mark.at, default=None)
    phase = f", {newest.step.value}" if newest is not None else ""
    return f"a {request.ask.value} of {request.node} asked for by {request.by or 'somebody'} ({request.id}{phase})"


def read(settings: ConsulSettings, account_id: str, deadline: float) -> Request | None:
    """The request as it is; None when there is none, or something unreadable."""
    return ask_once(settings, deadline, lambda client: _read(client, request_key(account_id))[0])


def withdraw(settings: ConsulSettings, account_id: str, request_id: str, why: str, deadline: float) -> Request | None:
    """End a request that was not begun yet; the request as it is then (None: another one, or none)."""
    return ask_once(settings, deadline, lambda client: _withdraw(client, account_id, request_id, why))


def _withdraw(client: Any, account_id: str, request_id: str, why: str) -> Request | None:
    key = request_key(account_id)
    for _unused in range(TRIES):
        request, index = _read(client, key)
        if request is None or request.id != request_id:
            return None
        if request.outcome is not None or begun(request):
            return request
        placed = _swap(client, key, index, replace(request, outcome=Outcome.EXPIRED, why=why))
        if placed is not None:
            return placed.request
    raise _busy(key)


def change_config(
    settings: ConsulSettings, account_id: str, change: Callable[[FleetConfig], FleetConfig], deadline: float
) -> FleetConfig:
    """Change the fleet's settings; what they are then. Fields this version does not know are kept.

    Raises Unsure, with a text for people, when the change may have been written. Any other ConsulError: it was not, and
    will not be.
    """
    writes = _Writes()
    try:
        return ask_once(settings, deadline, lambda client: _change(client, account_id, change, writes))
    except ConsulError as error:
        if writes.close():
            why = f"{error.why}; the change may have been written all the same: look with `kuutamoctl status`"
            raise Unsure(error.fault, why, error.refusals) from error
        raise
    finally:
        writes.close()


def _change(client: Any, account_id: str, change: Callable[[FleetConfig], FleetConfig], writes: _Writes) -> FleetConfig:
    key = config_key(account_id)
    for _unused in range(TRIES):
        entry = read_key(client, key).entry
        config = FleetConfig.from_json(entry.value if entry is not None else None)
        if config is None:
            raise ConsulError(Fault.CONFLICT, f"key {key} is not a JSON object; repair or delete it first")
        new = change(config)
        if new == config:
            return config
        index = entry.index if entry is not None else 0
        if writes.send(partial(_written, client, key, index, new.to_json())) is not None:
            return new
    raise _busy(key)


def _read(client: Any, key: str) -> tuple[Request | None, int]:
    entry = read_key(client, key).entry
    return (Request.from_json(entry.value), entry.index) if entry is not None else (None, 0)


def _swap(client: Any, key: str, index: int, request: Request) -> Placed | None:
    new = _written(client, key, index, request.to_json())
    return Placed(request, new) if new is not None else None


def _written(client: Any, key: str, index: int, value: str) -> int | None:
    """The key's new index, or None when it had changed meanwhile."""
    try:
        return transact(client, transactions.swap(key, index, value))
    except Exception as error:
        if classify(error).fault is not Fault.CONFLICT:
            raise
        return None


def _busy(key: str) -> ConsulError:
    return ConsulError(Fault.CONFLICT, f"key {key} keeps changing; try again", (Refusal.MOVED,))
