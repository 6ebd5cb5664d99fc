# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the settings' tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from unit.settings.node_files import NodeFiles


@pytest.fixture
def node(tmp_path: Path) -> NodeFiles:
    """A node whose configuration is right."""
    return NodeFiles.make(tmp_path)
