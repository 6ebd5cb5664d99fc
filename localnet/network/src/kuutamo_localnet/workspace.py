# SPDX-License-Identifier: Apache-2.0
"""The directory of one localnet: used by one at a time, and never somebody else's files."""

from __future__ import annotations

import fcntl
import os
import shutil
from pathlib import Path
from types import TracebackType
from typing import Self

LOCK_FILE = "localnet.lock"
CONTROL_SOCKET = "control"
NETWORK_DIRECTORY = "network"


class WorkspaceError(Exception):
    """The directory cannot be used; the message names it and the remedy."""


class Workspace:
    """`directory` while one localnet runs in it. As a context manager it locks it and clears what the last run left.

    The kernel drops the lock when this process ends, however it ends. Logs and keys of a run stay until the next.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory.absolute()
        self._descriptor: int | None = None

    @property
    def network(self) -> Path:
        """Everything the running network consists of."""
        return self.directory / NETWORK_DIRECTORY

    def open(self) -> Self:
        """Lock the directory. Raises WorkspaceError when another localnet runs in it or it is not a localnet's."""
        lock = self.directory / LOCK_FILE
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            # Only a directory that a localnet has made is ever cleared.
            if not lock.exists() and any(self.directory.iterdir()):
                raise WorkspaceError(
                    f"--dir {self.directory}: it has files that are no localnet's; choose a new or empty directory"
                )
            self._descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            self._take(lock)
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)
            if self.network.exists():
                shutil.rmtree(self.network)
        except OSError as error:
            self.close()
            raise WorkspaceError(
                f"--dir {self.directory}: cannot be used: {error.strerror} ({error.filename or lock})"
            ) from error
        except WorkspaceError:
            self.close()
            raise
        return self

    def close(self) -> None:
        """Give the directory free. May be called twice."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _take(self, lock: Path) -> None:
        assert self._descriptor is not None
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = lock.read_text().strip() or "unknown"
            raise WorkspaceError(
                f"--dir {self.directory}: a localnet already runs in it (pid {owner}); "
                "end it with Ctrl-C in its terminal, or choose another directory"
            ) from None

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
