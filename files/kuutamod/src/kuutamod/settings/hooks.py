# SPDX-License-Identifier: Apache-2.0
"""The settings about hooks, checked against what is on disk."""

from __future__ import annotations

from pathlib import Path

from ..hooks.directory import HookDirectoryFault, survey
from .reading import Reader

SETTING = "hook-dir"


def read_hook_dir(read: Reader, uid: int) -> Path | None:
    """The hook directory, in which nobody but root and the user ``uid`` can place anything; None: there are no hooks."""
    path = read.path(SETTING)
    if path is None:
        return None
    if not (read.values[SETTING].text or "").startswith("/"):
        read.reject(SETTING, "it is not an absolute path", "write it from the root on, such as /etc/kuutamod/hooks")
        return None
    try:
        faults = survey(path, uid).faulty
    except HookDirectoryFault as whole:
        faults = (whole,)
    for each in faults:
        read.reject(SETTING, each.problem, each.remedy)
    return path
