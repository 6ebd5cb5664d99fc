# SPDX-License-Identifier: Apache-2.0
"""Consul servers for the adapter's tests, shared by all of them: every test has an account of its own."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from integration.consul_adapter.rig import Node
from kuutamo_localnet.consul import ConsulServer


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


@pytest.fixture(autouse=True)
def ended() -> Iterator[None]:
    """End the threads of the test's nodes."""
    yield
    while Node.made:
        Node.made.pop().adapter.close()
