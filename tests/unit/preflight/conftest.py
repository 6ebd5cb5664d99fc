# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the preflight's tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from unit.preflight.rig import Node


@pytest.fixture
def node(tmp_path: Path) -> Node:
    """A node that is right but for its Consul."""
    return Node.make(tmp_path)
