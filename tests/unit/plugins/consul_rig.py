# SPDX-License-Identifier: Apache-2.0
"""The modules that set Consul itself up, against a real Consul."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from kuutamo_localnet.consul import ConsulServer
from unit.plugins.rig import Answer, address, run

Ask = Callable[..., Answer]


def secret() -> str:
    """A secret id that nobody has."""
    return str(uuid.uuid4())


def asking(server: ConsulServer, token: str | None, **always: Any) -> Ask:
    """Runs a module against ``server`` with a token, and waits while the server has no leader."""

    def ask(name: str, **options: Any) -> Answer:
        return run(f"consul_{name}", **{**address(server.url), "token": token, "wait": 20.0, **always, **options})

    return ask
