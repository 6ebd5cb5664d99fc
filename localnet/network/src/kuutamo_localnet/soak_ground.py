# SPDX-License-Identifier: Apache-2.0
"""The network to which a soak does its faults, and what is kept about it while it lasts."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

import requests

from kuutamod.cli.ordering import Exit
from kuutamod.core.protocol import FleetConfig, config_key, lock_key

from .bench_arena import Arena
from .consul import ConsulCluster
from .consul_client import ConsulAnswerError, ConsulClient, KvEntry
from .soak_service import Service

T = TypeVar("T")

ASK_DEADLINE = 2.0  # seconds for one request to one Consul server
CONSUL_FAILED, KILLED = 3, -9
EXPECTED = frozenset({*Exit, CONSUL_FAILED, KILLED})
"""Every exit code that a command may have, whatever happens to it."""
_ENDS: dict[int, str] = {
    CONSUL_FAILED: "Consul failed",
    KILLED: "killed",
    **{each.value: each.name.lower().replace("_", " ") for each in Exit},
}


class Skip(Exception):
    """The fault cannot be done now; the message says why."""


class Orders:
    """The commands that were run: how each ended, and in ``surprises`` what none of them may ever say."""

    def __init__(self) -> None:
        self.surprises: list[str] = []
        self._counts: Counter[str] = Counter()
        self._guard = threading.Lock()

    def note(self, words: tuple[str, ...], code: int, said: str) -> None:
        """A command has ended."""
        with self._guard:
            self._counts[f"{words[0]}: {_ENDS.get(code, str(code))}"] += 1
            if code not in EXPECTED or "Traceback" in said:
                self.surprises.append(f"kuutamoctl {' '.join(words)} ended with {code}: {said.strip()[-2000:]}")

    def counts(self) -> dict[str, int]:
        """How often which command ended how."""
        with self._guard:
            return dict(sorted(self._counts.items()))


@dataclass
class Ground:
    """What faults are done to. `lock_values` are the lock's values as a backup has them, by term and marker; `out` the
    Consul servers that are down or stopped by a fault; `orders` what an operator has asked for. The guards keep others away
    from the servers, and from the lock's value.
    """

    arena: Arena
    services: Mapping[str, Service]
    lock_values: dict[tuple[int, bool], bytes] = field(default_factory=dict)
    out: set[str] = field(default_factory=set)
    orders: Orders = field(default_factory=Orders)
    servers_guard: threading.Lock = field(default_factory=threading.Lock)
    values_guard: threading.Lock = field(default_factory=threading.Lock)

    @property
    def account(self) -> str:
        """The validator."""
        return self.arena.fleet.spec.account

    @property
    def cluster(self) -> ConsulCluster:
        """Consul."""
        assert self.arena.cluster is not None
        return self.arena.cluster

    def ask(self, question: Callable[[ConsulClient], T]) -> T:
        """The answer of the first Consul server that gives one. Raises Skip when none does."""
        said = ""
        for server in self.cluster.servers:
            client = ConsulClient(server.url, timeout=ASK_DEADLINE)
            try:
                return question(client)
            except (requests.RequestException, ConsulAnswerError) as error:
                said = f"{server.name}: {type(error).__name__}"
            finally:
                client.close()
        raise Skip(f"Consul does not answer ({said})")

    def lock_entry(self) -> KvEntry | None:
        """The lock's key now. Raises Skip."""
        return self.ask(lambda client: client.kv_get(lock_key(self.account)))

    def config(self) -> FleetConfig:
        """What operators have set for the whole fleet. Raises Skip."""
        entry = self.ask(lambda client: client.kv_get(config_key(self.account)))
        return FleetConfig.from_json(entry.value if entry is not None else None) or FleetConfig()
