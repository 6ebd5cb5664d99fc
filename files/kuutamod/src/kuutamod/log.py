# SPDX-License-Identifier: Apache-2.0
"""One line per decision or event: what happened, why, and what comes next.

A line is logfmt (``ts=... level=info node=a term=3 msg="..." why="..."``) or one JSON object. Every value is quoted so that
it can be read back whatever it holds, secrets are masked (see ``redact``), and the same line is printed at most once a
minute, with the number of repeats in between. Logging never waits and never raises (see ``log_writer``).
"""

from __future__ import annotations

import collections
import enum
import json
import math
import re
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TextIO

from .clock import BootClock, Clock
from .log_writer import CAPACITY, Writer
from .redact import MASK, SECRET_NAMES, redact

REPEAT_WINDOW = 60.0
"""Seconds in which the same line is printed once."""

REMEMBERED = 256
"""Different lines whose repeats are counted."""

VALUE_LIMIT = 4000
"""Characters of one value; the rest is cut off."""

VOLATILE = frozenset({"next", "age"})
"""Fields that don't make a line a different one: the next deadline and ages in seconds."""

_RESERVED = frozenset({"ts", "level", "node", "msg", "repeated"})
_BARE = re.compile(r"[A-Za-z0-9_.:/@+,*%()\[\]-]+")

Scalar = str | int | float | bool
Pairs = tuple[tuple[str, Scalar], ...]


class Level(enum.IntEnum):
    """How much a line matters."""

    DEBUG = 10
    INFO = 20
    WARNING = 30
    ERROR = 40


class Format(enum.Enum):
    """How a line is written."""

    LOGFMT = "logfmt"
    JSON = "json"


@dataclass
class _Recent:
    printed: float
    repeats: int = 0


class Log:
    """The supervisor's log; usable from every thread. See the module."""

    def __init__(
        self,
        format: Format,
        level: Level,
        stream: TextIO | None,
        *,
        node: str,
        clock: Clock | None = None,
        wall: Callable[[], float] = time.time,
        capacity: int = CAPACITY,
        volatile: frozenset[str] = VOLATILE,
    ) -> None:
        """``clock`` counts the repeat window, boottime by default.

        ``wall`` (Unix seconds) is printed as ``ts`` and decides nothing. ``capacity``: lines that may wait for the stream.
        ``volatile``: fields that don't make a line a different one.
        """
        self._format = format
        self._level = level
        self._node = node
        self._clock = clock or BootClock()
        self._wall = wall
        self._volatile = volatile
        self._recent: collections.OrderedDict[tuple[Level, Pairs], _Recent] = collections.OrderedDict()
        self._lock = threading.RLock()
        self._writer = Writer(stream, self._loss, capacity)

    @property
    def dropped(self) -> int:
        """Lines that were lost since the start because the stream was blocked or broken."""
        return self._writer.dropped

    def debug(self, msg: str, /, **fields: object) -> bool:
        """For finding faults in kuutamod itself. See ``write``."""
        return self.write(Level.DEBUG, msg, fields.items())

    def info(self, msg: str, /, **fields: object) -> bool:
        """What an operator wants to read afterwards. See ``write``."""
        return self.write(Level.INFO, msg, fields.items())

    def warning(self, msg: str, /, **fields: object) -> bool:
        """Something is wrong and the supervisor goes on by itself. See ``write``."""
        return self.write(Level.WARNING, msg, fields.items())

    def error(self, msg: str, /, **fields: object) -> bool:
        """Somebody has to do something. See ``write``."""
        return self.write(Level.ERROR, msg, fields.items())

    def write(self, level: Level, msg: str, fields: Iterable[tuple[str, object]]) -> bool:
        """One line; a field that is None is left out, ``term`` goes to the front. False: it is a repeat, held back."""
        if level < self._level:
            return True
        pairs = _pairs(msg, fields)
        repeats = self._repeats(level, pairs)
        if repeats is None:
            return False
        self._writer.put(self._line(level, (*pairs, ("repeated", repeats)) if repeats else pairs))
        return True

    def flush(self, timeout: float) -> bool:
        """Wait at most ``timeout`` seconds until all lines are out; False when they are not. Blocks: not on a loop."""
        return self._writer.flush(timeout)

    def _repeats(self, level: Level, pairs: Pairs) -> int | None:
        """How often the line was held back since it was last printed; None: hold it back now."""
        key = (level, tuple(pair for pair in pairs if pair[0] not in self._volatile))
        with self._lock:
            now = self._clock.now()
            known = self._recent.get(key)
            if known is not None and now - known.printed < REPEAT_WINDOW:
                known.repeats += 1
                return None
            self._recent[key] = _Recent(now)
            self._recent.move_to_end(key)
            if len(self._recent) > REMEMBERED:
                self._recent.popitem(last=False)
            return known.repeats if known is not None else 0

    def _line(self, level: Level, pairs: Pairs) -> bytes:
        head = (("ts", _timestamp(self._wall())), ("level", level.name.lower()), ("node", redact(self._node)))
        encode = _json if self._format is Format.JSON else _logfmt
        return (encode((*head, *pairs)) + "\n").encode()

    def _loss(self, count: int) -> bytes:
        pairs = _pairs("log lines were lost: the stream was blocked or broken", [("lost", count)])
        return self._line(Level.WARNING, pairs)


def _pairs(msg: str, fields: Iterable[tuple[str, object]]) -> Pairs:
    named = {_name(name): _scalar(name, value) for name, value in fields if value is not None}
    term = {"term": named.pop("term")} if "term" in named else {}
    return tuple({**term, "msg": _scalar("msg", msg), **named}.items())


def _name(name: str) -> str:
    safe = re.sub(r"[^A-Za-z0-9_.-]", "_", name) or "_"
    return f"{safe}_" if safe in _RESERVED else safe


def _scalar(name: str, value: object) -> Scalar:
    """The value as it is compared and printed: masked, of bounded length, and of a type that JSON has."""
    if name.lower() in SECRET_NAMES:
        return MASK
    if isinstance(value, enum.Enum):
        value = value.value
    if isinstance(value, bool):
        return value
    if isinstance(value, int) and abs(value) < 2**63:
        return int(value)
    if isinstance(value, float) and math.isfinite(value):
        return round(float(value), 3)
    text = redact(_text(value)[: 16 * VALUE_LIMIT])
    return text if len(text) <= VALUE_LIMIT else f"{text[:VALUE_LIMIT]}... ({len(text)} characters)"


def _text(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode(errors="backslashreplace")
    try:
        return str(value)
    except Exception as error:  # a value that can't be printed must not end the supervisor
        return f"<unprintable {type(value).__name__}: {type(error).__name__}>"


def _timestamp(wall: float) -> str:
    try:
        moment = datetime.fromtimestamp(wall, UTC)
    except (OverflowError, ValueError, OSError):
        return f"{wall:.3f}"
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _json(pairs: Pairs) -> str:
    return json.dumps(dict(pairs), separators=(",", ":"))


def _logfmt(pairs: Pairs) -> str:
    return " ".join(f"{name}={_quoted(value)}" for name, value in pairs)


def _quoted(value: Scalar) -> str:
    """The value bare where that is unambiguous, else as a JSON string in which only printable characters stand plain."""
    if isinstance(value, bool):
        return "true" if value else "false"
    text = str(value)
    if _BARE.fullmatch(text):
        return text
    quoted = json.dumps(text, ensure_ascii=False)
    return "".join(char if char.isprintable() else json.dumps(char)[1:-1] for char in quoted)
