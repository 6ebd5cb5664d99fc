# SPDX-License-Identifier: Apache-2.0
"""The control file `<home>/standin.json`: where a stand-in's ledger is and how the node misbehaves.

A node reads it at its start and again soon after each change. One-shot actions (crash now, re-exec, lose a SIGHUP, log
burst) carry the moment they were asked for, so that neither a restarted process nor a second reading repeats them.
"""

from __future__ import annotations

import math
import os
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

from neard_standin.files import read_object, write_object
from neard_standin.procfs import boottime
from neard_standin.release import BUILT

CONTROL_FILE = "standin.json"
LEDGER_VARIABLE = "NEARD_STANDIN_LEDGER"

# One-shot actions and the field that holds the moment (CLOCK_BOOTTIME, seconds) they were asked for.
ONE_SHOTS = {
    "crash": "crash_id",
    "reexec": "reexec_id",
    "lose_next_hup": "lose_next_hup_id",
    "log_burst": "log_burst_id",
}


@dataclass(frozen=True)
class Behaviour:
    """How a stand-in behaves. The defaults are a healthy, fast node; all times are in seconds."""

    ledger: str | None = (
        None  # directory of the ledger; None: the environment, the archive's, else a private chain in the home
    )
    version: str = BUILT.version  # behaviour follows it: 2.12 checks keys, 2.13 refuses ExternalStorage, ...
    term_file: str | None = None  # a file with the supervisor's term, stamped on journal records

    # Start
    start_delay: float = 0.0  # after LOCK is taken, before the RPC port is bound
    handler_gap: float = 0.0  # between RPC bind and the signal handlers
    sync_delay: float = 0.0  # `syncing: true` for this long after the RPC bind
    require_nofile: bool = False  # exit 1 when NOFILE cannot be raised, as neard does

    # Reload
    apply_delay: tuple[float, float] = (0.01, 0.1)  # between reload counter and the swapped signer
    lose_next_hup: bool = False  # one-shot: the next SIGHUP is swallowed
    ignore_key_removal: bool = False  # neard < 2.3: a missing key file keeps the old key
    refuse_key: bool = False  # every reload fails as if config.json were bad

    # RPC
    hang: bool = False  # ClientActor stuck: accepts, never answers, does not sign, does not apply reloads
    hang_signs: bool = False  # with `hang`: only the RPC is stuck, the node goes on signing
    slow: float = 0.0  # each answer takes this long
    garbage: bool = False  # 200 with a body that is not JSON
    empty_body: bool = False  # 200 with an empty body
    closed_port: bool = False  # RPC port closed while the process lives

    # Chain
    freeze: bool = False  # head frozen while peers stay
    isolated: bool = False  # no peers: head frozen, `syncing: false`, /health 503
    syncing: bool = False  # `syncing: true` though the head moves (a long blip)
    desync: bool = False  # fell behind: head frozen and `syncing: true`

    # Stop
    close_delay: float | Literal["never"] = 0.0  # database close after TERM, while LOCK is held
    ignore_term: bool = False  # TERM and INT are caught and forgotten

    # One-shots
    crash: str | None = None  # "abort" | "segv" | "oom" | "exit:N"
    crash_at: str | int = "now"  # "now" | "start" (at every start: a crash loop) | a height
    crash_id: float = 0.0
    reexec: bool = False  # same pid, data wiped, key read anew
    reexec_id: float = 0.0
    lose_next_hup_id: float = 0.0
    log_burst: int = 0  # lines written to stderr at once
    log_burst_id: float = 0.0

    def __post_init__(self) -> None:
        """Refuse values that no node could follow; ValueError names the field."""
        low, high = self.apply_delay
        if not 0 <= low <= high:
            raise ValueError(f"apply_delay: {self.apply_delay!r}: expected 0 <= min <= max")
        if self.close_delay != "never" and not 0 <= float(self.close_delay) <= math.inf:
            raise ValueError(f'close_delay: {self.close_delay!r}: expected seconds or "never"')
        if self.crash is not None and self.crash not in ("abort", "segv", "oom"):
            prefix, _unused, status = self.crash.partition(":")
            if prefix != "exit" or not status.isdecimal():
                raise ValueError(f"crash: {self.crash!r}: expected abort, segv, oom or exit:N")
        if isinstance(self.crash_at, str) and self.crash_at not in ("now", "start"):
            raise ValueError(f"crash_at: {self.crash_at!r}: expected now, start or a height")

    @property
    def release(self) -> tuple[int, int]:
        """Major and minor number of `version`."""
        major, minor, *_unused = self.version.split(".")
        return int(major), int(minor)

    @property
    def head_frozen(self) -> bool:
        """Whether the node learns of no new block."""
        return self.freeze or self.isolated or self.desync or (self.hang and not self.hang_signs)


def _from_json(content: dict[str, Any], path: Path) -> Behaviour:
    known = {field.name for field in fields(Behaviour)}
    if unknown := sorted(content.keys() - known):
        raise ValueError(f"{path}: unknown field {', '.join(unknown)}; known are {', '.join(sorted(known))}")
    values = dict(content)
    if "apply_delay" in values:
        low, high = values["apply_delay"]
        values["apply_delay"] = (float(low), float(high))
    try:
        return Behaviour(**values)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: {error}") from error


def read_behaviour(home: Path | str) -> Behaviour:
    """The behaviour set for the node in `home`: the defaults without a control file; ValueError for a bad one."""
    path = Path(home) / CONTROL_FILE
    try:
        return _from_json(read_object(path), path)
    except FileNotFoundError:
        return Behaviour()


def set_behaviour(home: Path | str, **changes: Any) -> Behaviour:
    """Change the given fields of the control file of `home` atomically, keep the others, return the result.

    Naming a one-shot action asks for it anew, even with the value it already has. ValueError for a bad field or value.
    Not for two writers at the same time: the later one wins.
    """
    path = Path(home) / CONTROL_FILE
    for action, identifier in ONE_SHOTS.items():
        if action in changes:
            changes.setdefault(identifier, boottime())
    known = {field.name for field in fields(Behaviour)}
    if unknown := sorted(changes.keys() - known):
        raise ValueError(f"unknown behaviour {', '.join(unknown)}; known are {', '.join(sorted(known))}")
    behaviour = replace(read_behaviour(home), **changes)
    defaults = asdict(Behaviour())
    content = {name: value for name, value in asdict(behaviour).items() if value != defaults[name]}
    write_object(path, content)
    return behaviour


class BehaviourWatch:
    """Re-reads the control file when it has changed."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._seen = self._stamp()
        self.current = read_behaviour(home)

    def _stamp(self) -> tuple[int, int] | None:
        try:
            status = os.stat(self._home / CONTROL_FILE)  # noqa: PTH116 - 20 times a second: the cheapest form
        except FileNotFoundError:
            return None
        return status.st_ino, status.st_mtime_ns

    def poll(self) -> bool:
        """Whether there was a change; `current` then is the new behaviour. ValueError for a bad file."""
        stamp = self._stamp()
        if stamp == self._seen:
            return False
        self._seen = stamp
        self.current = read_behaviour(self._home)
        return True
