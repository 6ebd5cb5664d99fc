# SPDX-License-Identifier: Apache-2.0
"""Files that a crash at any moment leaves whole, as they were or as they are to be."""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path


def write_atomically(path: Path, text: str, like: os.stat_result | None = None) -> None:
    """Put ``text`` in the place of ``path``. ``like``: whose owner and mode it gets. :raises OSError: nothing changed."""
    content = text.encode("utf-8")
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        descriptor = os.open(temporary, flags, 0o666 if like is None else 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            if like is not None:
                with contextlib.suppress(PermissionError):  # neard runs as this user, so it can read the file either way
                    os.fchown(descriptor, like.st_uid, like.st_gid)
                os.fchmod(descriptor, stat.S_IMODE(like.st_mode))
            file.flush()
            os.fsync(descriptor)
        temporary.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
