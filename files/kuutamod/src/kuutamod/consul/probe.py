# SPDX-License-Identifier: Apache-2.0
"""Looking at one URL of Consul before kuutamod uses it: what answers there, and what the token may do. All functions block.

Nothing is changed. A right to write is found out by requests that Consul checks for the right first, and then refuses for
what they say (measured on 1.8.7): a session with a behaviour that does not exist, and a transaction whose every operation
asks for a session that holds nothing, so that each by itself rolls all of it back.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..core.protocol import (
    config_key,
    history_key,
    history_prefix,
    lock_key,
    member_key,
    members_prefix,
    request_key,
)
from .answers import read_key
from .faults import DENIED, ConsulError, Fault

NO_SUCH_BEHAVIOR = "kuutamod-check"
"""Neither ``release`` nor ``delete``."""

STRANGER = "kuutamod-check"
"""Stands for any other node of the fleet."""

_OK, _CONFLICT, _FORBIDDEN, _UNAUTHORIZED = 200, 409, 403, 401


@dataclass(frozen=True)
class Agent:
    """Who answers at a URL. Fields are empty where the token may not read them, and ``unseen`` says why.

    ``seconds``: for one consistent read, as the lease makes them. ``settings``: what it says of its own configuration,
    under names that differ between versions.
    """

    leader: str
    seconds: float
    version: str = ""
    node: str = ""
    server: bool = False
    settings: Mapping[str, object] | None = None
    unseen: str = ""


@dataclass(frozen=True)
class Right:
    """One right that kuutamod needs: what for, the rule of a policy that grants it, and whether the token has it."""

    purpose: str
    rule: str
    granted: bool


@dataclass(frozen=True)
class TokenInfo:
    """What Consul says of the token. ``enforced``: it has ACLs at all. ``expires``: when, as Consul writes it, or empty."""

    enforced: bool
    description: str = ""
    policies: tuple[str, ...] = ()
    expires: str = ""


def agent(client: Any, account_id: str) -> Agent:
    """Who answers, and whether a consistent read gets through. Raises ConsulError, or what the library raises."""
    leader = client.status.leader()
    if not isinstance(leader, str):
        raise ConsulError(Fault.UNUSABLE, "the answer does not name Consul's leader")
    if not leader:
        raise ConsulError(Fault.NO_LEADER, "Consul has no leader")
    begun = time.monotonic()
    try:
        read_key(client, lock_key(account_id))
    except Exception as error:
        if not _denied(str(error)):
            raise
    seconds = time.monotonic() - begun
    code, body = _get(client, "/v1/agent/self")
    if code != _OK:
        return Agent(leader, seconds, unseen=f"the token needs agent:read to see it (HTTP {code})")
    try:
        about = json.loads(body)
        config, settings = about["Config"], about.get("DebugConfig")
        return Agent(
            leader=leader,
            seconds=seconds,
            version=str(config["Version"]),
            node=str(config["NodeName"]),
            server=bool(config.get("Server")),
            settings=settings if isinstance(settings, dict) else None,
        )
    except (ValueError, KeyError, TypeError):
        return Agent(leader, seconds, unseen="its answer is not in the known form")


def may_make_sessions(client: Any) -> bool:
    """May the token make sessions on the node of the agent that answers? Raises ConsulError, or what the library raises."""
    body = {"Name": STRANGER, "Behavior": NO_SUCH_BEHAVIOR, "TTL": "10s", "Checks": []}
    code, answer = _put(client, "/v1/session/create", body)
    if code == _OK:
        client.session.destroy(json.loads(answer)["ID"])
        raise ConsulError(Fault.UNUSABLE, "Consul made a session with a behaviour that there is not")
    if _denied(answer):
        return False
    if "Invalid Behavior" in answer:
        return True
    raise ConsulError(Fault.UNUSABLE, f"whether sessions may be made is not told by HTTP {code}: {answer[:200]}")


def key_rights(client: Any, account_id: str, node_id: str) -> tuple[Right, ...]:
    """The rights on keys that a node needs, each by itself. Raises ConsulError, or what the library raises."""
    asked = _asked(account_id, node_id)
    code, answer = _put(client, "/v1/txn", [{"KV": operation} for *_rest, operation in asked])
    try:
        errors = json.loads(answer)["Errors"] if code == _CONFLICT else []
        denied = {int(error["OpIndex"]) for error in errors if _denied(error["What"])}
        if code == _FORBIDDEN:
            denied = set(range(len(asked)))
        elif not errors:
            raise ValueError("it was not refused")
    except (ValueError, KeyError, TypeError):
        why = f"what the token may write is not told by HTTP {code}: {answer[:200]}"
        raise ConsulError(Fault.UNUSABLE, why) from None
    return tuple(Right(purpose, rule, at not in denied) for at, (purpose, rule, _unused) in enumerate(asked))


def _asked(account_id: str, node_id: str) -> Sequence[tuple[str, str, Mapping[str, object]]]:
    """Each right: what for, the rule that grants it, and an operation that needs it and is refused in any case."""
    nobody = str(uuid.uuid4())
    lock = _rule("key", lock_key(account_id), "write")
    below = _rule("key_prefix", f"kuutamod/{account_id}/", "read")
    members = _rule("key_prefix", members_prefix(account_id), "write")
    history = _rule("key_prefix", history_prefix(account_id), "write")
    answer = _rule("key", request_key(account_id), "write")

    def write(key: str) -> Mapping[str, object]:
        return {"Verb": "unlock", "Key": key, "Session": nobody, "Value": ""}

    def read(key: str) -> Mapping[str, object]:
        return {"Verb": "check-session", "Key": key, "Session": nobody}

    return [
        ("read the lock", lock, read(lock_key(account_id))),
        ("write the lock", lock, write(lock_key(account_id))),
        ("write its member record", members, write(member_key(account_id, node_id))),
        ("read the other nodes' records", below, read(member_key(account_id, STRANGER))),
        ("write the history", history, write(history_key(account_id, 0))),
        ("answer requests", answer, write(request_key(account_id))),
        ("read the fleet's config", below, read(config_key(account_id))),
    ]


def _rule(kind: str, name: str, policy: str) -> str:
    """A rule as a policy has it; together they are those of docs/operations.md, and no wider."""
    return f'{kind} "{name}" {{ policy = "{policy}" }}'


def token(client: Any) -> TokenInfo:
    """What Consul says of the token. Raises ConsulError when it does not know it, or what the library raises."""
    code, body = _get(client, "/v1/acl/token/self")
    if code == _UNAUTHORIZED and "disabled" in body:
        return TokenInfo(enforced=False)
    if code == _FORBIDDEN:
        raise ConsulError(Fault.FORBIDDEN, "Consul does not know the token")
    try:
        about = json.loads(body)
        policies = tuple(str(policy["Name"]) for policy in about.get("Policies") or ())
        return TokenInfo(True, str(about.get("Description") or ""), policies, str(about.get("ExpirationTime") or ""))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ConsulError(Fault.UNUSABLE, f"the answer about the token is not in the known form (HTTP {code})") from None


def _denied(text: str) -> bool:
    return any(words in text for words in DENIED)


def _get(client: Any, path: str) -> tuple[int, str]:
    answer: tuple[int, str] = client.http.get(_code_and_body, path)
    return answer


def _put(client: Any, path: str, body: object) -> tuple[int, str]:
    answer: tuple[int, str] = client.http.put(_code_and_body, path, data=json.dumps(body))
    return answer


def _code_and_body(response: Any) -> tuple[int, str]:
    return int(response.code), str(response.body)
