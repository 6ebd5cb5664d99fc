# SPDX-License-Identifier: Apache-2.0
"""A real Consul for the modules, and a fleet of one account in it, written by the test."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from integration.written_fleet import WrittenFleet
from kuutamo_localnet.consul import ConsulServer
from unit.plugins.rig import Answer, address, run


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # python-consul2 warns of parts of Consul that are not used here.
    for item in items:
        if "unit/plugins" in str(item.path):
            item.add_marker(pytest.mark.filterwarnings("ignore::DeprecationWarning:consul.base"))


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a developer has set is no part of a test."""
    for name in [name for name in os.environ if name.startswith(("CONSUL_", "KUUTAMO_"))]:
        monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def server() -> Iterator[ConsulServer]:
    """Without ACLs."""
    with ConsulServer() as server:
        yield server


@pytest.fixture(scope="session")
def guarded() -> Iterator[ConsulServer]:
    """With ACLs, default deny."""
    with ConsulServer(acl=True) as server:
        yield server


@pytest.fixture
def account() -> str:
    """An account that no other test has."""
    return f"a{uuid.uuid4().hex[:10]}.near"


@pytest.fixture
def fleet(server: ConsulServer, account: str) -> Iterator[WrittenFleet]:
    """n1 holds the lock in term 7; n2 and n3 could take it, n2 rather."""
    fleet = WrittenFleet(server.client(), account)
    able = {"eligible": True, "promotion": "hot-swap", "latest_protocol": 84}
    fleet.join("n1", promotion="hot-swap")
    fleet.join("n2", priority=10, **able)
    fleet.join("n3", **able)
    fleet.hold("n1", 7)
    yield fleet
    fleet.end()


@pytest.fixture
def ask(server: ConsulServer, account: str) -> Callable[..., Answer]:
    """Run a module about the test's account."""

    def asking(name: str, **options: Any) -> Answer:
        return run(name, **{"account_id": account, **address(server.url), **options})

    return asking
