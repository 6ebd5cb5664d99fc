# SPDX-License-Identifier: Apache-2.0
"""The secrets of a test fleet: made once, kept in its directory, worth nothing anywhere else."""

from __future__ import annotations

import base64
import secrets
import uuid
from dataclasses import asdict
from typing import Any

from neard_standin.keys import new_key


def new_secrets(account: str) -> dict[str, Any]:
    """Fresh secrets under the names of the roles' variables."""
    return {
        "consul_gossip_key": base64.b64encode(secrets.token_bytes(32)).decode(),
        "consul_management_token": str(uuid.uuid4()),
        "consul_operator_token": str(uuid.uuid4()),
        "consul_reader_token": str(uuid.uuid4()),
        "kuutamod_validator_key": asdict(new_key(account)),
        "kuutamod_validator_node_key": asdict(new_key("node")),
    }
