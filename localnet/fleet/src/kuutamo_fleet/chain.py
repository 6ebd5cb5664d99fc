# SPDX-License-Identifier: Apache-2.0
"""The simulated chain of a fleet: a directory which all hosts share, and the genesis that tells of it."""

from __future__ import annotations

import contextlib
import json
import shutil
from pathlib import Path
from typing import Any

from neard_standin.files import write_object
from neard_standin.keys import new_key
from neard_standin.ledger import Ledger, Validator
from neard_standin.presence import prepare
from neard_standin.procfs import boottime

# Simulated validators beside the fleet's own account: so many that there are windows without a block or chunk of ours.
OTHERS = 15
MOUNT_POINT = "/chain"  # on the hosts; the stand-in's archive looks for it there
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_BOOT_ID_FILE = "boot-id"


def ended(directory: Path) -> bool:
    """Is there a chain of an earlier boot of this machine? Its height counts seconds since boot, so it has gone back."""
    try:
        ledger = Ledger.open(directory)
    except FileNotFoundError:
        return False
    kept, now = directory / _BOOT_ID_FILE, BOOT_ID.read_text()
    # An earlier version has kept none; then the boot shows only as long as the machine ran for longer before it.
    return (kept.read_text() if kept.exists() else now) != now or ledger.genesis_boottime > boottime()


def ensure_chain(directory: Path, account: str, public_key: str) -> Ledger:
    """The chain in `directory`, made when there is none or when it is older than this machine's last boot."""
    if not ended(directory):
        with contextlib.suppress(FileNotFoundError):
            return Ledger.open(directory)
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True, exist_ok=True)
    (directory / _BOOT_ID_FILE).write_text(BOOT_ID.read_text())  # before the ledger, so that none is without
    seats = [Validator(account, public_key)]
    for number in range(OTHERS):
        name = f"other{number}.near"
        seats.append(Validator(name, new_key(name).public_key, virtual=True))
    ledger = Ledger.create(directory, validators=seats, many_hosts=True)
    prepare(ledger)
    # Each host's neard user appends, whatever its number is there.
    directory.chmod(0o777)
    ledger.journal_path.chmod(0o666)
    return ledger


def genesis(ledger: Ledger) -> dict[str, Any]:
    """The genesis.json of the chain."""
    return {
        "chain_id": ledger.chain_id,
        "protocol_version": ledger.protocol_version,
        "epoch_length": ledger.epoch_length,
        "genesis_height": 0,
        "validators": [{"account_id": seat.account_id, "public_key": seat.public_key} for seat in ledger.validators],
        "records": [],
    }


def write_genesis(ledger: Ledger, path: Path) -> None:
    """Put the chain's genesis into `path`, unless it is there already."""
    content = genesis(ledger)
    if not path.exists() or json.loads(path.read_text()) != content:
        write_object(path, content)
