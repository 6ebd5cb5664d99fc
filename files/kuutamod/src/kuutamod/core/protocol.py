# SPDX-License-Identifier: Apache-2.0
"""The protocol in Consul: key names and JSON shapes, shared by the daemon, kuutamoctl and the Ansible modules.

Standard library only (with ``codec``), so that it can be copied into an Ansible module's utilities as it is. Reading is
tolerant (unknown fields are kept out, missing ones take the documented default, a value that is not ours gives ``None``);
writing is exact. ``Hostname`` and ``NodeId`` in the lock's value are spelled as the Rust kuutamod spells them.

Heights are block heights. Moments are Unix seconds, durations seconds: hosts compare moments only where an error of some
seconds does no harm (when a pause ends, how old a request is), never where the lock is concerned.
"""

from __future__ import annotations

import enum
import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields

from .codec import dumps, filled, loads, number, text, whole

# --- the keys ---

TERMS_KEPT = 200
"""How many terms have a record; with each new one the oldest is deleted."""


def lock_key(account_id: str) -> str:
    """The key whose lock decides who holds the validator key."""
    return f"kuutamod-leader/{account_id}"


def members_prefix(account_id: str) -> str:
    """One record per node below it, bound to the node's session."""
    return f"kuutamod/{account_id}/members/"


def member_key(account_id: str, node_id: str) -> str:
    """The record of one node."""
    return f"{members_prefix(account_id)}{node_id}"


def config_key(account_id: str) -> str:
    """Fleet-wide settings, written by an operator."""
    return f"kuutamod/{account_id}/config"


def request_key(account_id: str) -> str:
    """The one request of an operator: the newest, pending or ended. Nodes answer in place."""
    return f"kuutamod/{account_id}/requests/current"


def maintenance_key(account_id: str) -> str:
    """The lock that keeps two operators' maintenance runs apart; held by a session of the run."""
    return f"kuutamod/{account_id}/maintenance"


def history_prefix(account_id: str) -> str:
    """One record per term below it."""
    return f"kuutamod/{account_id}/history/"


def history_key(account_id: str, term: int) -> str:
    """The record of one term; the names sort as the terms do."""
    return f"{history_prefix(account_id)}{term:010d}"


def newest_term(account_id: str, keys: Iterable[str]) -> int:
    """The highest term that has a record among these keys; 0 for none."""
    prefix = history_prefix(account_id)
    terms = [key.removeprefix(prefix) for key in keys if key.startswith(prefix)]
    return max((int(term) for term in terms if term.isascii() and term.isdecimal()), default=0)


# --- the lock ---


@dataclass(frozen=True)
class LockRecord:
    """The value of the lock's key.

    ``released`` is the marker: it is written only by a transaction that also unlocks the key, and only after proof that no
    process of the writer holds the validator key. ``fault``: the writer gave the lock up by its own fault. ``last_height``:
    the highest that the writer has seen; ``final``: its neard had shown, before it was asked for that height, that it had
    no key any more, so it signed for none above the next. ``idle``: seconds from that moment to the release.
    ``successor``: the node that the release is meant for, ``request`` the operator's request that asked for it.
    """

    hostname: str
    node_id: str
    term: int
    heartbeat: int = 0
    guard_time: float = 0.0
    fence_deadline: float = 0.0
    fingerprint: str = ""
    phase: str = ""
    released: bool = False
    fault: bool = False
    reason: str = ""
    last_height: int = 0
    final: bool = False
    idle: float = 0.0
    successor: str = ""
    request: str = ""

    def to_json(self) -> str:
        """The text that goes into Consul."""
        return dumps({_SPELLED.get(name, name): value for name, value in vars(self).items()})

    @property
    def digest(self) -> str:
        """Short and the same for the same record only."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()[:16]

    @classmethod
    def from_json(cls, value: bytes | str | None) -> LockRecord | None:
        """The record, or None when the text is not one of ours (missing, overwritten, the Rust product's)."""
        data = loads(value)
        if data is None or whole(data.get("term")) is None or number(data.get("guard_time")) is None:
            return None
        return filled(cls, {**data, **{name: data.get(spelled) for name, spelled in _SPELLED.items()}})


_SPELLED = {"hostname": "Hostname", "node_id": "NodeId"}


# --- the nodes ---


@dataclass(frozen=True)
class MemberRecord:
    """What one node says of itself.

    ``life`` tells two processes with one node id apart. ``guard_time``: how long others must see the lock unmoved before
    they take it from this node. ``eligible``: nothing in ``ineligible``, which names each condition that fails.
    ``protocol`` and ``latest_protocol``: the chain's version at this node's head, and the newest its neard can follow.
    ``peers``: -1 while unknown. ``ready_for``: the request this node is ready to take the lock for.
    """

    node_id: str
    hostname: str
    life: str
    state: str = ""
    phase: str = ""
    term_seen: int = 0
    height: int = 0
    peers: int = -1
    priority: int = 0
    eligible: bool = False
    ineligible: tuple[str, ...] = ()
    ready_for: str = ""
    guard_time: float = 0.0
    fingerprint: str = ""
    promotion: str = ""
    neard_version: str = ""
    protocol: int = 0
    latest_protocol: int = 0
    kuutamod_version: str = ""
    address: str = ""
    home: str = ""

    def to_json(self) -> str:
        """The text that goes into Consul."""
        return dumps(vars(self))

    @classmethod
    def from_json(cls, value: bytes | str | None) -> MemberRecord | None:
        """The record, or None when the text is not one."""
        data = loads(value)
        return filled(cls, data) if data is not None and text(data.get("node_id")) else None


# --- fleet-wide settings ---


@dataclass(frozen=True)
class Pause:
    """No automatic takeover or handover until ``until``. ``node``: for that node alone, empty for the whole fleet."""

    until: float
    node: str = ""
    by: str = ""
    reason: str = ""


@dataclass(frozen=True)
class FleetConfig:
    """Fleet-wide settings. ``fingerprint``: the validator's public key every node must hold, empty when not recorded.

    ``no_takeover``: nodes that are drained. ``confirmed_term``, ``confirmed_record`` and ``confirmed_seen`` are an
    operator's word that nothing signs. A holder of that term need not wait for the chain. Nor need who takes the lock while
    it still has that record (its ``digest``), and its term may be lower than one already seen, up to ``confirmed_seen``,
    the highest that any member had seen then. Whoever takes it goes on from a higher term, so the word is good for one
    takeover.
    """

    fingerprint: str = ""
    pauses: tuple[Pause, ...] = ()
    no_takeover: tuple[str, ...] = ()
    confirmed_term: int | None = None
    confirmed_seen: int | None = None
    confirmed_record: str = ""
    extra: Mapping[str, object] = field(default_factory=dict, hash=False)

    def to_json(self) -> str:
        """The text that goes into Consul; fields this version does not know are kept."""
        known = {name: value for name, value in vars(self).items() if name != "extra" and value not in ("", None, ())}
        return dumps({**self.extra, **known, **({"pauses": [vars(p) for p in self.pauses]} if self.pauses else {})})

    @classmethod
    def from_json(cls, value: bytes | str | None) -> FleetConfig | None:
        """The settings; defaults when the key is missing, None when it holds something unreadable."""
        if value is None:
            return cls()
        data = loads(value)
        if data is None:
            return None
        known = {each.name for each in fields(cls)}
        pauses = data.get("pauses")
        found = [filled(Pause, item) for item in pauses if isinstance(item, dict)] if isinstance(pauses, list) else []
        extra = {name: value for name, value in data.items() if name not in known}
        return filled(cls, data, pauses=tuple(found), extra=extra)


# --- requests ---

LONGEST_WORD = 200
"""Letters; what an operator says goes through the guard's packets and into many a line of log."""
_MOMENT = re.compile(r"now|window|[0-9]{1,12}", re.ASCII)


class Ask(enum.Enum):
    """What an operator can ask a node for."""

    HANDOVER = "handover"
    RESTART = "restart"


class Outcome(enum.Enum):
    """How a request ended; nobody changes a request that has one."""

    DONE = "done"
    REFUSED = "refused"
    ROLLED_BACK = "rolled back"
    EXPIRED = "expired"


class Step(enum.Enum):
    """The phases of a handover, in their order; a restart passes through some of them."""

    PLANNED = "planned"
    WAITING = "waiting for window"
    CONFIRMED = "candidate confirmed"
    UNLOADING = "unloading"
    STOPPED = "stopped"
    RELEASED = "released"
    ACQUIRED = "acquired"
    LOADED = "key loaded"
    PRODUCING = "producing"
    DONE = "done"


@dataclass(frozen=True)
class Mark:
    """A phase was reached at ``at``; ``note`` is a word more about it."""

    step: Step
    at: float
    note: str = ""


@dataclass(frozen=True)
class Request:
    """What an operator asks for, and how far it is.

    Only the holder that is named, in the term that is named, acts on a handover, and only until ``expires``; so an old
    request never fires. ``node``: the candidate, or what to restart; empty: the best one. ``when``: now, window, or a
    height. ``min_window``: the shortest window in blocks. ``allow_restart``: the candidate may restart its neard to get the
    key. ``outcome`` None while it is pending; ``why`` explains it.
    """

    id: str
    ask: Ask
    holder: str
    term: int
    issued: float
    expires: float
    node: str = ""
    when: str = "now"
    min_window: int = 0
    allow_restart: bool = False
    by: str = ""
    reason: str = ""
    marks: tuple[Mark, ...] = ()
    outcome: Outcome | None = None
    why: str = ""

    def marked(self, step: Step) -> Mark | None:
        """The mark of a phase, if it was reached."""
        return next((mark for mark in self.marks if mark.step is step), None)

    def to_json(self) -> str:
        """The text that goes into Consul."""
        marks = [{"step": mark.step.value, "at": mark.at, "note": mark.note} for mark in self.marks]
        outcome = self.outcome.value if self.outcome is not None else ""
        return dumps({**vars(self), "ask": self.ask.value, "marks": marks, "outcome": outcome})

    @classmethod
    def from_json(cls, value: bytes | str | None) -> Request | None:
        """The request, or None when the text is not one. What people say in it is cut to ``LONGEST_WORD`` letters."""
        data = loads(value)
        try:
            if data is None or not text(data.get("id")) or not _MOMENT.fullmatch(text(data.get("when")) or "now"):
                return None
            words = {name: (text(data.get(name)) or "")[:LONGEST_WORD] for name in ("by", "reason")}
            ask = Ask(data.get("ask"))
            outcome = Outcome(data["outcome"]) if data.get("outcome") else None
            marks = [
                Mark(Step(mark["step"]), number(mark["at"]) or 0.0, text(mark.get("note")) or "")
                for mark in data.get("marks") or []
            ]
        except (ValueError, KeyError, TypeError, AttributeError):
            return None
        return filled(cls, data, ask=ask, outcome=outcome, marks=tuple(marks), **words)


# --- maintenance ---


@dataclass(frozen=True)
class MaintenanceRecord:
    """The value of the maintenance lock: who works on the fleet, since when, why. It counts while a session holds it."""

    by: str
    since: float
    reason: str = ""

    def to_json(self) -> str:
        """The text that goes into Consul."""
        return dumps(vars(self))

    @classmethod
    def from_json(cls, value: bytes | str | None) -> MaintenanceRecord | None:
        """The record, or None when the text is not one. What people say in it is cut to ``LONGEST_WORD`` letters."""
        data = loads(value)
        if data is None or number(data.get("since")) is None:
            return None
        return filled(cls, data, **{name: (text(data.get(name)) or "")[:LONGEST_WORD] for name in ("by", "reason")})


# --- history ---


@dataclass(frozen=True)
class TermRecord:
    """What is known of one term. ``since``: when the key was live, 0 if it never was; ``until``: 0 while it lasts.

    ``gap``: seconds without a signer before it, as far as its holder could see; -1 when it could not. ``by``: the operator
    who asked for it, empty when nobody did. ``fault``: the holder gave the lock up by its own fault.
    """

    term: int
    node: str
    taken: float
    since: float = 0.0
    until: float = 0.0
    cause: str = ""
    began: str = ""
    ended: str = ""
    fault: bool = False
    gap: float = -1.0
    first_height: int = 0
    last_height: int = 0
    by: str = ""

    def told(self) -> dict[str, object]:
        """As programs are told (``history --json``, ``/history``): None is "not known", or "not yet"."""
        blank = ("taken", "since", "until", "first_height", "last_height", "by")
        told = {name: (value or None) if name in blank else value for name, value in vars(self).items()}
        return told | {"gap": None if self.gap < 0 else self.gap}

    def to_json(self) -> str:
        """The text that goes into Consul."""
        return dumps(vars(self))

    @classmethod
    def from_json(cls, value: bytes | str | None) -> TermRecord | None:
        """The record, or None when the text is not one."""
        data = loads(value)
        return filled(cls, data) if data is not None and whole(data.get("term")) is not None else None
