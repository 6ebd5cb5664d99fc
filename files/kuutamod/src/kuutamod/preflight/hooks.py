# SPDX-License-Identifier: Apache-2.0
"""The hook directory: which executables would be called, and which would not and why."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ..hooks.directory import HookDirectoryFault, survey
from .finding import Finding, Topic, ok
from .viewer import Viewer


def hooks(directory: Path | None, deadline: float, viewer: Viewer) -> Iterable[Finding]:
    """What is in the directory; what is wrong with it is a fault of the settings. ``deadline``: seconds for one event."""
    if directory is None:
        yield ok(Topic.HOOKS, "there are none")
        return
    try:
        listing = survey(directory, viewer.user)
    except HookDirectoryFault:
        return
    called = ", ".join(path.name for path in listing.hooks) or "none"
    yield ok(Topic.HOOKS, f"called from {directory}, within {deadline:g} s for an event: {called}")
    if listing.skipped:
        passed = "; ".join(f"{each.name} ({each.why})" for each in listing.skipped)
        yield ok(Topic.HOOKS, f"no hooks: {passed}")
