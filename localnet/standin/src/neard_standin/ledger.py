# SPDX-License-Identifier: Apache-2.0
"""The simulated chain which all stand-ins of one network share: who has to sign what, and when.

A ledger is a directory with `ledger.json`, written once, and the journal (see neard_standin.journal). Height is a
function of CLOCK_BOOTTIME alone, so nodes need no messages to agree on it: slot h lasts from genesis + h * T to
genesis + (h + 1) * T. Each slot has one elected block producer and one chunk producer, and every validator endorses.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

from neard_standin.files import read_object, write_object
from neard_standin.procfs import boottime

LEDGER_FILE = "ledger.json"
JOURNAL_FILE = "journal.jsonl"
DEFAULT_BLOCK_TIME_MS = 600
DEFAULT_EPOCH_LENGTH = 500
DEFAULT_PROTOCOL_VERSION = 83


class Kind(StrEnum):
    """What a validator signs."""

    BLOCK = "block"
    CHUNK = "chunk"
    ENDORSEMENT = "endorsement"


@dataclass(frozen=True)
class Validator:
    """A seat of the simulated chain; a virtual one is simulated by the ledger itself and never misses."""

    account_id: str
    public_key: str
    virtual: bool = False


@dataclass(frozen=True)
class Duty:
    """One signature which the chain expects from a validator."""

    height: int
    kind: Kind


@dataclass(frozen=True)
class Ledger:
    """The immutable facts of one simulated network; `path` is its directory.

    `many_hosts`: its nodes run on hosts with pids of their own, which share the directory and the kernel.
    """

    path: Path
    genesis_boottime: float
    block_time_ms: int
    epoch_length: int
    chain_id: str
    protocol_version: int
    validators: tuple[Validator, ...]
    many_hosts: bool = False

    @classmethod
    def create(
        cls,
        path: Path | str,
        *,
        block_time_ms: int = DEFAULT_BLOCK_TIME_MS,
        epoch_length: int = DEFAULT_EPOCH_LENGTH,
        validators: Sequence[Validator] = (),
        chain_id: str = "localnet",
        protocol_version: int = DEFAULT_PROTOCOL_VERSION,
        genesis_boottime: float | None = None,
        many_hosts: bool = False,
    ) -> Ledger:
        """Write a new ledger to the directory `path` and return it.

        Block time in milliseconds, epoch length in heights, genesis in seconds of CLOCK_BOOTTIME (None = now).
        Raises ValueError for a ledger nobody could produce for, FileExistsError when the directory has one already.
        """
        if not validators:
            raise ValueError("validators: a ledger needs at least one validator")
        if len({validator.account_id for validator in validators}) != len(validators):
            raise ValueError("validators: an account is listed twice; each account has one seat")
        if block_time_ms <= 0 or epoch_length <= 0:
            raise ValueError(f"block_time_ms ({block_time_ms}) and epoch_length ({epoch_length}) must be positive")
        directory = Path(path)
        directory.mkdir(parents=True, exist_ok=True)
        if (directory / LEDGER_FILE).exists():
            raise FileExistsError(f"{directory / LEDGER_FILE} exists; remove it to start a new chain")
        genesis = boottime() if genesis_boottime is None else genesis_boottime
        seats = tuple(validators)
        ledger = cls(directory, genesis, block_time_ms, epoch_length, chain_id, protocol_version, seats, many_hosts)
        ledger.journal_path.touch()
        content = asdict(ledger)
        del content["path"]
        write_object(directory / LEDGER_FILE, content)
        return ledger

    @classmethod
    def open(cls, path: Path | str) -> Ledger:
        """The ledger in the directory `path`. OSError or ValueError, naming the file, when there is none."""
        directory = Path(path)
        content = read_object(directory / LEDGER_FILE)
        try:
            return cls(
                path=directory,
                genesis_boottime=float(content["genesis_boottime"]),
                block_time_ms=int(content.get("block_time_ms", DEFAULT_BLOCK_TIME_MS)),
                epoch_length=int(content["epoch_length"]),
                chain_id=str(content["chain_id"]),
                protocol_version=int(content["protocol_version"]),
                validators=tuple(
                    Validator(str(seat["account_id"]), str(seat["public_key"]), bool(seat.get("virtual", False)))
                    for seat in content["validators"]
                ),
                many_hosts=bool(content.get("many_hosts", False)),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{directory / LEDGER_FILE}: not a ledger: {json.dumps(str(error))}") from error

    @property
    def journal_path(self) -> Path:
        """The append-only journal of everything the nodes of this network signed."""
        return self.path / JOURNAL_FILE

    @property
    def block_time(self) -> float:
        """The length of a slot in seconds."""
        return self.block_time_ms / 1000

    def height_at(self, at: float) -> int:
        """The height whose slot contains `at` (seconds of CLOCK_BOOTTIME); 0 before genesis."""
        height = max(0, math.floor((at - self.genesis_boottime) / self.block_time))
        # Division rounds, start_of() is the definition: correct by at most one slot.
        if self.start_of(height + 1) <= at:
            return height + 1
        return height - 1 if height and at < self.start_of(height) else height

    def start_of(self, height: int) -> float:
        """When the slot of `height` begins, in seconds of CLOCK_BOOTTIME."""
        return self.genesis_boottime + height * self.block_time

    @property
    def _chunk_offset(self) -> int:
        return (len(self.validators) + 1) // 2

    def block_producer(self, height: int) -> Validator:
        """The one validator that may produce the block of `height`."""
        return self.validators[height % len(self.validators)]

    def chunk_producer(self, height: int) -> Validator:
        """The one validator that may produce the chunk of `height`: half a round away from the block producer."""
        return self.validators[(height + self._chunk_offset) % len(self.validators)]

    def validator(self, account_id: str) -> Validator | None:
        """The seat of `account_id`, or None when it is no validator."""
        return next((seat for seat in self.validators if seat.account_id == account_id), None)

    def on_chain_key(self, account_id: str) -> str | None:
        """The public key which the chain accepts for `account_id`, or None when it is no validator."""
        seat = self.validator(account_id)
        return None if seat is None else seat.public_key

    def duties_at(self, account_id: str, height: int) -> tuple[Kind, ...]:
        """What `account_id` has to sign at `height`, in signing order; nothing when it is no validator."""
        if self.validator(account_id) is None:
            return ()
        kinds = []
        if self.block_producer(height).account_id == account_id:
            kinds.append(Kind.BLOCK)
        if self.chunk_producer(height).account_id == account_id:
            kinds.append(Kind.CHUNK)
        return (*kinds, Kind.ENDORSEMENT)

    def heights_of(self, account_id: str, kind: Kind, from_height: int, to_height: int) -> range:
        """The heights from_height <= h < to_height at which `account_id` has to sign a `kind`."""
        accounts = [seat.account_id for seat in self.validators]
        if account_id not in accounts:
            return range(0)
        if kind is Kind.ENDORSEMENT:
            return range(from_height, to_height)
        count = len(accounts)
        turn = accounts.index(account_id) - (self._chunk_offset if kind is Kind.CHUNK else 0)
        return range(from_height + (turn - from_height) % count, to_height, count)

    def expected_duties(self, account: str, from_height: int, to_height: int) -> tuple[Duty, ...]:
        """Every signature expected from `account` at the heights from_height <= h < to_height."""
        heights = range(from_height, to_height)
        return tuple(Duty(height, kind) for height in heights for kind in self.duties_at(account, height))

    def epoch_of(self, height: int) -> int:
        """The number of the epoch which contains `height`; the first epoch is 0."""
        return height // self.epoch_length

    def epoch_start(self, epoch: int) -> int:
        """The first height of `epoch`."""
        return epoch * self.epoch_length
