# SPDX-License-Identifier: Apache-2.0
"""Sessions: how ours must look, and the read-back that proves it. All functions block; see ``answers``."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

from . import transactions
from .answers import transact
from .faults import ConsulError, Fault


def create(client: Any, name: str, ttl_seconds: float, lock_delay: float) -> str:
    """Create a session without checks and read it back: Consul ignores misspelt fields and bends others silently.

    Both numbers in seconds. Returns its id. Raises ConsulError; a session that is not as asked for is destroyed.
    """
    ttl, delay = _number(ttl_seconds), _number(lock_delay)
    session = str(client.session.create(name=name, checks=[], lock_delay=delay, behavior="release", ttl=ttl))
    found = read(client, session)
    if found is None:
        why = f"the new session {session} cannot be read back; the Consul token needs session:read on this node"
    elif wrong := _differences(found, f"{ttl}s", lock_delay):
        why = f"the new session is not as asked for: {', '.join(wrong)}"
    else:
        return session
    with contextlib.suppress(Exception):
        client.session.destroy(session)
    raise ConsulError(Fault.UNUSABLE, why)


def read(client: Any, session: str) -> dict[str, Any] | None:
    """One session as Consul gives it; None when it does not exist, or when the token may not read it."""
    _unused, found = client.session.info(session, consistency="consistent")
    if found is not None and found.get("ID") != session:
        raise ConsulError(Fault.UNUSABLE, f"asked for session {session}, answered with {found.get('ID')}")
    return None if found is None else dict(found)


def renew(client: Any, session: str) -> None:
    """Restart the session's TTL; raises the library's NotFound when Consul does not know it."""
    found = client.session.renew(session)
    if found is None or found.get("ID") != session:
        raise ConsulError(Fault.UNUSABLE, f"renewed session {session}, answered with something else")


def destroy(client: Any, session: str, member_key: str) -> None:
    """End the session; the member record goes first, because a key held by an ended session gets a lock delay."""
    with contextlib.suppress(Exception):
        transact(client, transactions.withdraw(member_key, session))
    if client.session.destroy(session) is not True:
        raise ConsulError(Fault.UNUSABLE, f"session {session} was not destroyed")


def _differences(found: Mapping[str, Any], ttl: str, delay: float) -> list[str]:
    wrong = []
    if found.get("TTL") != ttl:
        wrong.append(f"TTL is {found.get('TTL')}, not {ttl}")
    if found.get("LockDelay") != round(delay * 1e9):
        wrong.append(f"LockDelay is {found.get('LockDelay')} ns, not {delay:g} s")
    if found.get("Behavior") != "release":
        wrong.append(f"Behavior is {found.get('Behavior')}, not release")
    checks = [name for field in ("Checks", "NodeChecks", "ServiceChecks") for name in found.get(field) or ()]
    if checks:
        wrong.append(f"it is bound to the checks {checks}")
    return wrong


def _number(seconds: float) -> int | float:
    """Whole seconds as int: the libraries write the number into Consul's duration as it is."""
    return int(seconds) if float(seconds).is_integer() else seconds
