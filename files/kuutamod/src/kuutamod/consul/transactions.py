# SPDX-License-Identifier: Apache-2.0
"""The transactions on the lock and the member records, as the body of ``/v1/txn``. Pure.

Each is applied whole or not at all, in one step of Consul's log; that is what the lease's argument rests on.
"""

from __future__ import annotations

import base64

from ..core.actions import TakeKind
from ..core.protocol import TERMS_KEPT, TermRecord, history_key

Operation = dict[str, dict[str, object]]


def _operation(verb: str, key: str, **fields: object) -> Operation:
    return {"KV": {"Verb": verb, "Key": key, **fields}}


def _encoded(value: str) -> str:
    return base64.b64encode(value.encode()).decode()


def _lock(key: str, session: str, value: str) -> Operation:
    return _operation("lock", key, Session=session, Value=_encoded(value))


def _check_session(key: str, session: str) -> Operation:
    return _operation("check-session", key, Session=session)


def heartbeat(key: str, session: str, value: str) -> list[Operation]:
    """Prove that ``session`` holds ``key``, and move its index with a new value.

    The check comes first: a bare lock by a late request would take a lock that was released meanwhile. The value is
    ``set``, not locked again: Consul refuses a ``lock`` while a lock delay runs for the key, even to its rightful holder
    (measured), and would hide its definite word that the session has ended. ``set`` keeps the session and moves the index.
    """
    return [_check_session(key, session), _operation("set", key, Value=_encoded(value))]


def take(kind: TakeKind, key: str, session: str, index: int, value: str) -> list[Operation]:
    """Lock ``key`` if it is still as it was seen at ``index``."""
    unchanged = _operation("check-index", key, Index=index)
    if kind is TakeKind.FREE:
        return [unchanged, _lock(key, session, value)]
    return [unchanged, _operation("delete", key), _lock(key, session, value)]


def create(key: str, value: str) -> list[Operation]:
    """Write ``key``, held by nobody, if it does not exist."""
    return [_operation("check-not-exists", key), _operation("set", key, Value=_encoded(value))]


def in_term(taking: list[Operation], account_id: str, term: TermRecord) -> list[Operation]:
    """The take together with the record of its term, which must be new: no two takes have the same term.

    The check of the lock's index stays first, so that who is just too late is told that. The oldest record is deleted; it
    need not exist.
    """
    record = create(history_key(account_id, term.term), term.to_json())
    oldest = _operation("delete", history_key(account_id, term.term - TERMS_KEPT))
    return [taking[0], *record, oldest, *taking[1:]]


def release(key: str, session: str, value: str) -> list[Operation]:
    """Unlock ``key`` and leave ``value`` in it, if ``session`` still holds it."""
    unlock = _operation("unlock", key, Session=session, Value=_encoded(value))
    return [_check_session(key, session), unlock]


def publish(key: str, session: str, value: str) -> list[Operation]:
    """Write a member record and bind it to ``session``; refused while another session holds it."""
    return [_lock(key, session, value)]


def displace(key: str, session: str, index: int, value: str) -> list[Operation]:
    """Take a member record over from a dead life of this node.

    Deleting the key arms no lock delay, and the dead life's session is left to expire by itself: ending it would move the
    lock's index if it still held that, and every contender's count would start anew.
    """
    return take(TakeKind.STEAL, key, session, index, value)


def withdraw(key: str, session: str) -> list[Operation]:
    """Delete a member record while its session lives, so that ending the session arms no lock delay on it."""
    return [_check_session(key, session), _operation("delete", key)]


def swap(key: str, index: int, value: str) -> list[Operation]:
    """Write ``key`` if it is still as it was at ``index`` (0: missing)."""
    return [_operation("cas", key, Index=index, Value=_encoded(value))]


def delete(key: str, index: int) -> list[Operation]:
    """Delete ``key`` if it is still as it was at ``index``, whoever holds it."""
    return [_operation("check-index", key, Index=index), _operation("delete", key)]


def confirm(lock_key: str, lock_index: int, config_key: str, config_index: int, value: str) -> list[Operation]:
    """Write the fleet's config if neither it (index 0: missing) nor the lock has changed."""
    write = _operation("cas", config_key, Index=config_index, Value=_encoded(value))
    return [_operation("check-index", lock_key, Index=lock_index), write]
