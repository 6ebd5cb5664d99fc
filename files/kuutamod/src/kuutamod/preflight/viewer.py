# SPDX-License-Identifier: Apache-2.0
"""Who looks, and as whom kuutamod will run: what the one may not see need not be wrong for the other."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ..trust import user_name
from .finding import Finding, Topic, ok, warning

_ROOT = 0


@dataclass(frozen=True)
class Viewer:
    """``uid``: who looks. ``daemon``: as whom kuutamod runs, that is who owns neard's home; None where that is hidden."""

    uid: int
    daemon: int | None

    @classmethod
    def of(cls, home: Path | None) -> Viewer:
        """This process, at this home."""
        uid = os.geteuid()
        try:
            return cls(uid, uid if home is None else home.stat().st_uid)
        except PermissionError:
            return cls(uid, None)
        except OSError:  # there is no such home, so it is nobody's
            return cls(uid, uid)

    @property
    def user(self) -> int:
        """As whom kuutamod runs, as far as that is known."""
        return self.uid if self.daemon is None else self.daemon

    @property
    def blind(self) -> bool:
        """May kuutamod see more than this user?"""
        return self.uid not in (_ROOT, self.daemon)

    @property
    def remedy(self) -> str:
        """How to see it."""
        return "look again as root" + (f" or as {user_name(self.daemon)}" if self.daemon else "")

    def may_not_see(self, path: Path, write: bool = False) -> bool:
        """Is there something, for all that is known, which only this user can't read, or can't write to?"""
        if not self.blind:
            return False
        try:
            path.stat()
        except OSError as error:
            return isinstance(error, PermissionError)
        return not os.access(path, os.R_OK | (os.W_OK if write else 0), effective_ids=True)

    def findings(self) -> Iterable[Finding]:
        """Whether what was seen is what kuutamod will see."""
        me = user_name(self.uid)
        whose = "somebody else's" if self.daemon is None else f"{user_name(self.daemon)}'s"
        if self.uid == self.daemon:
            yield ok(Topic.USER, f"looked as {me}, as whom kuutamod is taken to run")
        elif self.blind:
            text = f"looked as {me}, but neard's home is {whose}: not all that kuutamod may see can be seen"
            yield warning(Topic.USER, text, self.remedy)
        else:
            text = (
                f"looked as root, but neard's home is {whose}: whether kuutamod may read all this as that user is not known"
            )
            yield warning(
                Topic.USER, text, f"look again as {user_name(self.user)}; files that systemd hands over are all right"
            )
