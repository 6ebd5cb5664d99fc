# SPDX-License-Identifier: Apache-2.0
"""The simulated chain of a fleet: a directory which all hosts share, and the genesis that tells of it."""

from __future__ import annotations

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


def ensure_chain(directory: Path, account: str, public_key: str) -> Ledger:
    """The chain in `directory`, made when there is none or when it is older than this machine's last boot."""
    try:
        ledger = Ledger.open(directory)
        if ledger.genesis_boottime <= boottime():
            return ledger
    except FileNotFoundError:
        pass
    shutil.rmtree(directory, ignore_errors=True)
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
