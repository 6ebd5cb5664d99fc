# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the conformance suite."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from conformance.neard_process import NeardProcess


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NeardProcess]:
    """A healthy node which tests only look at."""
    node = NeardProcess.make(tmp_path_factory.mktemp("running"))
    try:
        yield node.start()
    finally:
        node.stop()


@pytest.fixture
def node(tmp_path: Path) -> Iterator[NeardProcess]:
    """A fresh home whose node is not started yet; ended after the test, whatever its state."""
    node = NeardProcess.make(tmp_path / "home")
    try:
        yield node
    finally:
        node.stop()
