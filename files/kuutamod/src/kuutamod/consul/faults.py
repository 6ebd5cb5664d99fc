# SPDX-License-Identifier: Apache-2.0
"""What a failed request to Consul means: every exception of the client library becomes one ``ConsulError``.

Pure. Source: the answers of a real Consul 1.8.7, for each request the adapter makes; the integration tests repeat them.
"""

from __future__ import annotations

import enum
import json
import re

import consul
import requests

from ..deadline import Overrun

DENIED = ("Permission denied", "ACL not found")


class Fault(enum.Enum):
    """Kinds of failure; the value is the label of the metric."""

    UNREACHABLE = "unreachable"
    TIMEOUT = "timeout"
    NO_LEADER = "no-leader"
    SERVER = "server-error"
    THROTTLED = "throttled"
    UNUSABLE = "unusable-answer"
    FORBIDDEN = "forbidden"
    SESSION_GONE = "session-gone"
    CONFLICT = "conflict"
    DUPLICATE = "duplicate"


ELSEWHERE = frozenset({Fault.UNREACHABLE, Fault.TIMEOUT, Fault.NO_LEADER, Fault.SERVER, Fault.THROTTLED, Fault.UNUSABLE})
"""Failures that another URL may not have."""


class Refusal(enum.Enum):
    """Why a transaction was rolled back as a whole; the value is for people."""

    NOT_OURS = "the key is not held by this session"
    SESSION_GONE = "Consul does not know this session"
    HELD = "another session holds the key"
    MISSING = "the key does not exist"
    EXISTS = "the key exists"
    MOVED = "the key's index has moved"
    LOCK_DELAY = "Consul's lock delay is running"
    OTHER = "Consul gave another reason"


_NEEDLES = (
    ("failed session check", Refusal.NOT_OURS),
    ("lock isn't held", Refusal.NOT_OURS),
    ("invalid session", Refusal.SESSION_GONE),
    ("lock is already held", Refusal.HELD),
    ("doesn't exist", Refusal.MISSING),
    ('" exists', Refusal.EXISTS),  # the quote: an account may be called exists.near
    ("failed index check", Refusal.MOVED),
    ("due to lock delay", Refusal.LOCK_DELAY),
)

LOST = frozenset({Refusal.NOT_OURS, Refusal.SESSION_GONE, Refusal.HELD, Refusal.MISSING})
"""Consul's definite word that the session does not hold the key.

The lock delay is not among them: the leader tests it, in its own memory, before it looks at the key, and refuses even the
holder. (A server that replays its log after a restart arms delays of long ago anew, and may then lead.) Nor are words
among them that this version does not know.
"""


class ConsulError(Exception):
    """A request failed. ``fault`` is its kind, ``refusals`` why a transaction was rolled back, the text is for people."""

    def __init__(self, fault: Fault, why: str, refusals: tuple[Refusal, ...] = ()) -> None:
        super().__init__(why)
        self.fault = fault
        self.why = why
        self.refusals = refusals

    @property
    def not_applied(self) -> bool:
        """Does Consul's answer say that nothing was written?"""
        return self.fault in (Fault.CONFLICT, Fault.SESSION_GONE)

    @property
    def lost(self) -> bool:
        """Does Consul's answer say that the session does not hold the key?"""
        return self.fault is Fault.SESSION_GONE or not LOST.isdisjoint(self.refusals)


def classify(error: Exception) -> ConsulError:
    """What an exception of a call to Consul means."""
    match error:
        case ConsulError():
            return error
        case Overrun():
            return ConsulError(Fault.TIMEOUT, str(error))
        case requests.Timeout() | consul.Timeout():
            return ConsulError(Fault.TIMEOUT, "no answer in time")
        case requests.exceptions.SSLError():
            return ConsulError(Fault.UNREACHABLE, f"TLS failed: {_root_cause(error)}")
        case requests.ConnectionError() | requests.exceptions.ChunkedEncodingError():
            return ConsulError(Fault.UNREACHABLE, _root_cause(error))
        case requests.TooManyRedirects():
            return ConsulError(Fault.UNUSABLE, "a redirect instead of an answer; this URL is not Consul")
        case consul.ACLPermissionDenied() | consul.ACLDisabled():
            return _forbidden(str(error))
        case consul.NotFound():
            return _not_found(str(error))
        case consul.ConsulException():
            return _by_status(str(error))
        case _:
            return ConsulError(Fault.UNUSABLE, _shorten(f"{type(error).__name__}: {error}"))


def _by_status(text: str) -> ConsulError:
    found = re.match(r"([45]\d\d) ?(.*)", text, re.DOTALL)
    if found is None:
        return ConsulError(Fault.UNUSABLE, _shorten(text))
    status, body = int(found[1]), found[2].strip()
    if any(word in body for word in DENIED):
        return _forbidden(body)
    if status == 409:
        return _conflict(body)
    if status == 429:
        return ConsulError(Fault.THROTTLED, _shorten(f"HTTP 429: {body}"))
    if status < 500:
        return ConsulError(Fault.UNUSABLE, _shorten(f"HTTP {status}: {body}"))
    # An agent that forwards prefixes the server's text, so the words may be anywhere in it.
    if "invalid session" in body:
        return ConsulError(Fault.SESSION_GONE, Refusal.SESSION_GONE.value, (Refusal.SESSION_GONE,))
    if "No cluster leader" in body or "not the leader" in body:
        return ConsulError(Fault.NO_LEADER, _shorten(body))
    return ConsulError(Fault.SERVER, _shorten(f"HTTP {status}: {body}"))


def _conflict(body: str) -> ConsulError:
    try:
        errors = [str(item["What"]) for item in json.loads(body)["Errors"]]
    except (ValueError, TypeError, KeyError):
        return ConsulError(Fault.UNUSABLE, _shorten(f"HTTP 409: {body}"))
    refusals = tuple(dict.fromkeys(_refusal(what) for what in errors)) or (Refusal.OTHER,)
    why = ", ".join(refusal.value for refusal in refusals)
    if Refusal.OTHER in refusals:
        why = _shorten("; ".join(errors)) or why
    return ConsulError(Fault.CONFLICT, why, refusals)


def _refusal(what: str) -> Refusal:
    return next((refusal for needle, refusal in _NEEDLES if needle in what), Refusal.OTHER)


def _forbidden(text: str) -> ConsulError:
    return ConsulError(Fault.FORBIDDEN, f"permission denied ({_shorten(text.strip())}); check the Consul token and policy")


def _not_found(text: str) -> ConsulError:
    # A 404 without Consul's words is some other server's; it must never pass for a lost session.
    if "Session id" in text:
        return ConsulError(Fault.SESSION_GONE, Refusal.SESSION_GONE.value, (Refusal.SESSION_GONE,))
    return ConsulError(Fault.UNUSABLE, _shorten(f"HTTP 404: {text.strip()}"))


def _root_cause(error: BaseException) -> str:
    """The operating system's words for a broken connection, without urllib3's wrapping."""
    seen: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and current not in seen:
        seen.append(current)
        if isinstance(current, OSError) and current.strerror:
            return current.strerror
        inner = [arg for arg in current.args if isinstance(arg, BaseException)]
        reason = getattr(inner[0], "reason", None) if inner else None
        wrapped = reason if isinstance(reason, BaseException) else next(iter(inner), None)
        current = wrapped or current.__cause__ or current.__context__
    return _shorten(f"{type(seen[-1]).__name__}: {seen[-1]}")


def _shorten(text: str, limit: int = 200) -> str:
    text = " ".join(text.split())
    return text if len(text) <= limit else text[: limit - 1] + "\u2026"
