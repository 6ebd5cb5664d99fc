# SPDX-License-Identifier: Apache-2.0
"""Consul: one register that changes in single steps, by the production transactions, and the sessions that may hold it.

The transactions are those of ``kuutamod.consul.transactions``, carried out verb by verb as measured on Consul 1.8.7. Two
things are left out, and both only make life harder for the rules: the lock delay, and that sessions expire by themselves
(any session may end at any moment instead).
"""

from __future__ import annotations

from exhaustive.world import CURRENT, Consul, Register, Request
from kuutamod.consul import transactions
from kuutamod.core import actions as ac
from kuutamod.core.change import replace
from kuutamod.core.events import Outcome

KEY = "lock"
Transaction = Request | ac.ReleasePlan


def operations(request: Transaction) -> list[transactions.Operation]:
    """The production transaction for a request; its value is the request's record, see ``applied``."""
    match request:
        case ac.Heartbeat():
            return transactions.heartbeat(KEY, request.session, "")
        case ac.Take():
            return transactions.take(request.kind, KEY, request.session, request.view.index, "")
        case ac.CreateKey():
            return transactions.create(KEY, "")
        case ac.Release() | ac.ReleasePlan():
            return transactions.release(KEY, request.session, "")


def applied(consul: Consul, request: Transaction) -> tuple[Consul, Outcome]:
    """What a request does, all of it or nothing; every one that is applied writes the key, and so moves its index."""
    held = consul.register
    for operation in operations(request):
        ok, held = _verb(consul, held, operation["KV"], request)
        if not ok:
            return consul, Outcome.REFUSED
    return replace(consul, register=held), Outcome.APPLIED


def _verb(
    consul: Consul, held: Register | None, fields: dict[str, object], request: Transaction
) -> tuple[bool, Register | None]:
    session = fields.get("Session")
    match fields["Verb"]:
        case "check-session":
            return held is not None and held.session == session, held
        case "check-index":
            return held is not None and fields["Index"] == CURRENT, held
        case "check-not-exists":
            return held is None, held
        case "delete":
            return True, None
        case "set":
            return True, Register(held.session if held is not None else None, request.record)
        case "lock":
            free = held is None or held.session in (None, session)
            return free and session in consul.sessions, Register(str(session), request.record)
        case "unlock":
            ours = held is not None and held.session == session
            return ours, Register(None, request.record)
    raise AssertionError(f"the production code uses a verb that is not modelled: {fields['Verb']}")


def ended(consul: Consul, session: str) -> Consul:
    """A session has ended: with behaviour release the key stays, free, with its last value and a new index."""
    held = consul.register
    if held is not None and held.session == session:
        held = replace(held, session=None)
    return replace(consul, register=held, sessions=consul.sessions - {session})
