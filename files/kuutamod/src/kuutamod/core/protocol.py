# SPDX-License-Identifier: Apache-2.0
"""The protocol in Consul: key names and JSON shapes, shared by the daemon, kuutamoctl and the Ansible modules.

Standard library only, so that it can be copied into an Ansible module's utilities as it is. Reading is tolerant (unknown
fields are kept out, missing ones take the documented default, a value that is not ours gives ``None``); writing is exact.
``Hostname`` and ``NodeId`` in the lock's value are spelled as the Rust kuutamod spells them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field


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


TERMS_KEPT = 200
"""How many terms have a record; with each new one the oldest is deleted."""


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


@dataclass(frozen=True)
class LockRecord:
    """The value of the lock's key. Times are seconds, heights are block heights.

    ``released`` is the marker: it is written only by a transaction that also unlocks the key, and only after proof that no
    process of the writer holds the validator key. ``fault``: the writer gave the lock up by its own fault. ``last_height``:
    the highest that the writer has seen.
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
    since: str = ""

    def to_json(self) -> str:
        """The text that goes into Consul."""
        return _dumps(
            {
                "Hostname": self.hostname,
                "NodeId": self.node_id,
                "term": self.term,
                "heartbeat": self.heartbeat,
                "guard_time": self.guard_time,
                "fence_deadline": self.fence_deadline,
                "fingerprint": self.fingerprint,
                "phase": self.phase,
                "released": self.released,
                "fault": self.fault,
                "reason": self.reason,
                "last_height": self.last_height,
                "since": self.since,
            }
        )

    @property
    def digest(self) -> str:
        """Short and the same for the same record only."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()[:16]

    @classmethod
    def from_json(cls, text: bytes | str | None) -> LockRecord | None:
        """The record, or None when the text is not one of ours (missing, overwritten, the Rust product's)."""
        data = _loads(text)
        if data is None:
            return None
        term, guard_time = data.get("term"), data.get("guard_time")
        if not isinstance(term, int) or isinstance(term, bool) or not isinstance(guard_time, int | float):
            return None
        return cls(
            hostname=_text(data, "Hostname"),
            node_id=_text(data, "NodeId"),
            term=term,
            heartbeat=_int(data, "heartbeat"),
            guard_time=float(guard_time),
            fence_deadline=_float(data, "fence_deadline"),
            fingerprint=_text(data, "fingerprint"),
            phase=_text(data, "phase"),
            released=data.get("released") is True,
            fault=data.get("fault") is True,
            reason=_text(data, "reason"),
            last_height=_int(data, "last_height"),
            since=_text(data, "since"),
        )


@dataclass(frozen=True)
class MemberRecord:
    """What one node says of itself. ``life`` tells two processes with one node id apart; ``guard_time`` (seconds): how long
    others must see the lock unmoved before they take it from this node.
    """

    node_id: str
    hostname: str
    life: str
    state: str = ""
    term_seen: int = 0
    height: int = 0
    eligible: bool = False
    ineligible: tuple[str, ...] = ()
    guard_time: float = 0.0
    fingerprint: str = ""
    neard_version: str = ""
    kuutamod_version: str = ""
    address: str = ""
    home: str = ""

    def to_json(self) -> str:
        """The text that goes into Consul."""
        return _dumps({**self.__dict__, "ineligible": list(self.ineligible)})

    @classmethod
    def from_json(cls, text: bytes | str | None) -> MemberRecord | None:
        """The record, or None when the text is not one."""
        data = _loads(text)
        if data is None or not _text(data, "node_id"):
            return None
        reasons = data.get("ineligible")
        return cls(
            node_id=_text(data, "node_id"),
            hostname=_text(data, "hostname"),
            life=_text(data, "life"),
            state=_text(data, "state"),
            term_seen=_int(data, "term_seen"),
            height=_int(data, "height"),
            eligible=data.get("eligible") is True,
            ineligible=tuple(str(r) for r in reasons) if isinstance(reasons, list) else (),
            guard_time=_float(data, "guard_time"),
            fingerprint=_text(data, "fingerprint"),
            neard_version=_text(data, "neard_version"),
            kuutamod_version=_text(data, "kuutamod_version"),
            address=_text(data, "address"),
            home=_text(data, "home"),
        )


@dataclass(frozen=True)
class TermRecord:
    """Written in the transaction that takes the lock, so that no two takes have the same term."""

    term: int
    node: str

    def to_json(self) -> str:
        """The text that goes into Consul."""
        return _dumps({"term": self.term, "node": self.node})


@dataclass(frozen=True)
class FleetConfig:
    """Fleet-wide settings. ``fingerprint``: the validator's public key every node must hold, empty when not recorded.

    ``confirmed_term``, ``confirmed_record`` and ``confirmed_seen`` are an operator's word that nothing signs. A holder of
    that term need not wait for the chain. Nor need who takes the lock while it still has that record (its ``digest``), and
    its term may be lower than one already seen, up to ``confirmed_seen``, the highest that any member had seen then.
    Whoever takes it goes on from a higher term, so the word is good for one takeover.
    """

    fingerprint: str = ""
    confirmed_term: int | None = None
    confirmed_seen: int | None = None
    confirmed_record: str = ""
    extra: Mapping[str, object] = field(default_factory=dict, hash=False)

    def to_json(self) -> str:
        """The text that goes into Consul; fields this version does not know are kept."""
        data: dict[str, object] = dict(self.extra)
        for name in ("fingerprint", "confirmed_term", "confirmed_seen", "confirmed_record"):
            value = getattr(self, name)
            if value not in ("", None):
                data[name] = value
        return _dumps(data)

    @classmethod
    def from_json(cls, text: bytes | str | None) -> FleetConfig | None:
        """The settings; defaults when the key is missing, None when it holds something unreadable."""
        if text is None:
            return cls()
        data = _loads(text)
        if data is None:
            return None
        known = {"fingerprint", "confirmed_term", "confirmed_seen", "confirmed_record"}
        term, seen = data.get("confirmed_term"), data.get("confirmed_seen")
        return cls(
            fingerprint=_text(data, "fingerprint"),
            confirmed_term=term if isinstance(term, int) else None,
            confirmed_seen=seen if isinstance(seen, int) else None,
            confirmed_record=_text(data, "confirmed_record"),
            extra={k: v for k, v in data.items() if k not in known},
        )


def _dumps(data: Mapping[str, object]) -> str:
    return json.dumps(data, separators=(",", ":"), sort_keys=True)


def _loads(text: bytes | str | None) -> dict[str, object] | None:
    if text is None:
        return None
    try:
        data = json.loads(text)
    except (ValueError, UnicodeDecodeError):
        return None
    return data if isinstance(data, dict) else None


def _text(data: Mapping[str, object], name: str) -> str:
    value = data.get(name)
    return value if isinstance(value, str) else ""


def _int(data: Mapping[str, object], name: str) -> int:
    value = data.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def _float(data: Mapping[str, object], name: str) -> float:
    value = data.get(name)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else 0.0
