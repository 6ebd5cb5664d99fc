# SPDX-License-Identifier: Apache-2.0
"""Hot reload on SIGHUP: all or nothing, counted at once, applied a little later (nearcore: dyn_config.rs)."""

from __future__ import annotations

import os
import random
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path

from neard_standin.config import NodeConfig, read_config, read_log_config
from neard_standin.keys import KeyFile, read_key_file
from neard_standin.log import Level, Log
from neard_standin.procfs import boottime
from neard_standin.production import load_signer, refuse_all_shards
from neard_standin.state import MutableField, NodeState

_SECRET_CHECK_RELEASE = (2, 12)


def read_validator_key(home: Path, config: NodeConfig, release: tuple[int, int], log: Log) -> KeyFile | None:
    """The validator key of `home`, or None when there is no such file; ValueError for one that is no key.

    A broken link or an unsearchable directory counts as no file, as in Rust's Path::exists().
    """
    path = home / config.validator_key_file
    if not os.path.exists(path):  # noqa: PTH110 - Path.exists() raises where Rust's answers false
        log.write(Level.INFO, "config", f'no validator key path="{path}"')
        return None
    log.write(Level.INFO, "config", f'hot loading validator key path="{path}"')
    try:
        key = read_key_file(path)
    except (OSError, ValueError) as error:
        raise ValueError(f"Failed initializing validator signer from {path}") from error
    if release >= _SECRET_CHECK_RELEASE and not key.secret_matches_public():
        raise ValueError(f"{path}: public key does not correspond to secret key")
    return key


@dataclass(frozen=True)
class _Bundle:
    """What one reload brings; `due` is when the client gets to it (CLOCK_BOOTTIME, seconds)."""

    due: float
    expected_shutdown: int | None
    key: KeyFile | None
    keep_key: bool


class Reloader:
    """Reads configuration and key on SIGHUP and hands them to the client."""

    def __init__(self, state: NodeState) -> None:
        self._state = state
        self._pending: deque[_Bundle] = deque()
        state.reload_time = time.time()
        self._note("expected_shutdown", repr(state.expected_shutdown))

    @property
    def due(self) -> float:
        """When the next bundle has to be applied (CLOCK_BOOTTIME, seconds); infinity when none waits."""
        return self._pending[0].due if self._pending else float("inf")

    def reload(self) -> None:
        """Read everything anew. Any fault vetoes all of it; the old configuration and key stay in use."""
        state = self._state
        behaviour = state.behaviour
        try:
            if behaviour.refuse_key:
                raise ValueError("config.json: refused by the control file")
            read_log_config(state.home)
            config = read_config(state.home, behaviour.release)
            key = read_validator_key(state.home, config, behaviour.release, state.log)
        except (OSError, ValueError) as error:
            state.config_correct = False
            state.config_error = str(error)
            state.log.write(
                Level.WARN, "config", f"dynamically updatable configs are not valid. Please fix this. error={error}"
            )
            return
        state.config_correct = True
        state.config_error = None
        state.reloads += 1
        state.reload_time = time.time()
        due = boottime() + random.uniform(*behaviour.apply_delay)
        keep_key = key is None and behaviour.ignore_key_removal
        self._pending.append(_Bundle(due, config.expected_shutdown, key, keep_key))

    def apply_due(self) -> None:
        """Apply what is due, in the order of reading; nothing while the client hangs."""
        behaviour = self._state.behaviour
        if behaviour.hang and not behaviour.hang_signs:
            return
        while self.due <= boottime():
            self._apply(self._pending.popleft())

    def note_signer(self) -> None:
        """Show the present signer in near_config_mutable_field."""
        signer = self._state.signer
        self._note("validator_signer", repr(signer.key) if signer else "None")

    def _apply(self, bundle: _Bundle) -> None:
        state = self._state
        state.expected_shutdown = bundle.expected_shutdown
        self._note("expected_shutdown", repr(bundle.expected_shutdown))
        old = state.signer.key if state.signer else None
        key = old if bundle.keep_key else bundle.key
        if key != old:
            load_signer(state, key)
        self.note_signer()
        state.log.write(Level.INFO, "config", "updated validator key")
        if key != old:
            refuse_all_shards(state, key)

    def _note(self, name: str, value: str) -> None:
        state = self._state
        fields = state.mutable_fields
        if any(current and field.name == name and field.value == value for field, current in fields):
            state.log.write(
                Level.INFO, "config", f'mutable config field remains the same field_name="{name}" value={value}'
            )
            return
        state.log.write(Level.INFO, "config", f'updated config field field_name="{name}" new_value={value}')
        # A new list: the RPC threads may be going through the old one.
        past = [
            (field, current and field.name != name)
            for field, current in fields
            if (field.name, field.value) != (name, value)
        ]
        state.mutable_fields = [*past, (MutableField(name, value, int(time.time())), True)]
