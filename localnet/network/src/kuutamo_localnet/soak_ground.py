# SPDX-License-Identifier: Apache-2.0
"""The network to which a soak does its faults, and what is kept about it while it lasts."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

import requests

from kuutamod.core.protocol import lock_key

from .bench_arena import Arena
from .consul import ConsulCluster
from .consul_client import ConsulAnswerError, ConsulClient, KvEntry
from .soak_service import Service

T = TypeVar("T")

ASK_DEADLINE = 2.0  # seconds for one request to one Consul server


class Skip(Exception):
    """The fault cannot be done now; the message says why."""


@dataclass
class Ground:
    """What faults are done to. `lock_values` are the lock's values as a backup has them, by term and marker; `out` the
    Consul servers that are down or stopped by a fault. The guards keep others away from the servers, and from the lock's
    value.
    """

    arena: Arena
    services: Mapping[str, Service]
    lock_values: dict[tuple[int, bool], bytes] = field(default_factory=dict)
    out: set[str] = field(default_factory=set)
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
