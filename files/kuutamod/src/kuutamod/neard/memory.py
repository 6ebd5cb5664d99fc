# SPDX-License-Identifier: Apache-2.0
"""What a host keeps on disk between two lives of its supervisor: the highest term seen, and the last Consul session."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from .durable import write_atomically

FILE = "kuutamod.json"


@dataclass(frozen=True)
class Memory:
    """``session``: the last session this host's supervisor used; the lock may still be booked on it."""

    term: int = 0
    session: str = ""


class MemoryFault(Exception):
    """The file can't be read; the message names it and the remedy."""


class MemoryFile:
    """``<home>/kuutamod.json``, replaced atomically."""

    def __init__(self, home: Path) -> None:
        self.path = home / FILE
        self._kept = Memory()

    def load(self) -> Memory:
        """What is kept; defaults when there is no file yet. :raises MemoryFault: unreadable or not ours."""
        try:
            data = json.loads(self.path.read_text(encoding="utf-8"))
            self._kept = Memory(term=int(data["term"]), session=str(data.get("session", "")))
        except FileNotFoundError:
            self._kept = Memory()
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise MemoryFault(
                f"{self.path} can't be read ({error}): it keeps the highest term this host has seen; "
                'restore it, or after checking `kuutamoctl active-validator` write {"term": N} with the term shown there'
            ) from error
        return self._kept

    def keep(self, term: int | None = None, session: str | None = None) -> None:
        """Keep a term (never a lower one) or a session. :raises OSError: the disk does not take it."""
        kept = self._kept
        if term is not None:
            kept = replace(kept, term=max(kept.term, term))
        if session is not None:
            kept = replace(kept, session=session)
        if kept != self._kept or not self.path.exists():
            write_atomically(self.path, json.dumps(asdict(kept)) + "\n")
            self._kept = kept
