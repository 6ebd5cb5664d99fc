# SPDX-License-Identifier: Apache-2.0
"""The model neard and its chain: start, sync, SIGHUP, key, signatures, death."""

from __future__ import annotations

from dataclasses import dataclass

from kuutamod.core.model import Role, Status

from .setup import ACCOUNT, KEY

VERSION = "2.11.0"


class Chain:
    """The heights of the network. It goes on whether or not this validator signs: it is one of many."""

    def __init__(self, block_time: float) -> None:
        self.block_time = block_time
        self._base = 1000
        self._since = 0.0

    def height(self, true: float) -> int:
        """The highest block that exists at ``true``."""
        return self._base + int((true - self._since) / self.block_time)


@dataclass
class Troubles:
    """What may be wrong with the neard of one host; kept across its lives. Counters, so that faults may overlap."""

    hung: int = 0
    isolated: int = 0
    syncing: int = 0
    loses_hup: int = 0
    bad_reload: int = 0
    deaf: int = 0
    crashing: int = 0
    slow_start: int = 0
    veto: int = 0


class Neard:
    """One process. ``keyed``: the key was placed for it, so it can sign, or will, until it is dead."""

    def __init__(self, node: str, life: int, serial: int, pid: int, role: Role, rpc_at: float, synced_at: float) -> None:
        self.node = node
        self.life = life
        """Of which life of its supervisor; serial numbers begin anew with each."""
        self.serial = serial
        self.pid = pid
        self.role = role
        self.rpc_at = rpc_at
        self.synced_at = synced_at
        self.hup_at = rpc_at
        """From when on it handles SIGHUP; its RPC may answer before."""
        self.reloaded_at = 0.0
        self.keyed = False
        self.loaded = False
        self.paused = 0
        self.dormant = False
        """Its host is suspended, or SIGKILL is pending and it can't run any more: it exists and can't sign."""
        self.killed_at: float | None = None
        self.stopping = False
        self.dead = False
        self.stuck_height: int | None = None
        self.first_signed: int | None = None
        self.last_signed = 0

    @property
    def name(self) -> str:
        """For the story."""
        return f"neard {self.node}/{self.pid}"

    @property
    def may_sign(self) -> bool:
        """Could it sign now, or the moment it is scheduled again?"""
        return self.keyed and not self.dead and not self.dormant

    def signs(self, now: float) -> bool:
        """Does it sign?"""
        return self.loaded and not self.dead and not self.dormant and not self.stopping and now >= self.synced_at

    def status(self, height: int, syncing: bool) -> Status:
        """What ``/status`` answers."""
        role = "validatornode" if self.role is Role.VALIDATOR else "voternode"
        return Status(
            height=height,
            syncing=syncing,
            node_key=f"ed25519:{self.node}-{role}",
            validator_account=ACCOUNT if self.loaded else None,
            validator_key=KEY if self.loaded else None,
            version=VERSION,
            lock_pid=self.pid,
        )
