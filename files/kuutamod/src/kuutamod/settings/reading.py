# SPDX-License-Identifier: Apache-2.0
"""From the text of a setting to its value. A faulty one is noted and replaced by something harmless, so that all of a
configuration is read; the faults are raised before anybody gets to see a replacement.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path

from ..address import Address
from .faults import Fault
from .sources import NO_VALUE, Value

_NAME = re.compile(r"(?!\.+$)[A-Za-z0-9._-]+")
_NUMBER = re.compile(r"-?[0-9]{1,9}(\.[0-9]{1,9})?")
_COUNT = re.compile(r"[0-9]{1,9}")
_NOWHERE = Address("127.0.0.1", 1)


class Reader:
    """Reads values and notes faults and warnings."""

    def __init__(self, values: Mapping[str, Value]) -> None:
        self.values = values
        self.faults: list[Fault] = []
        self.warnings: list[str] = []
        self._unsound: set[str] = set()

    def reject(self, name: str, problem: str, remedy: str, shown: str | None = None) -> None:
        """Note a fault of the setting ``name``."""
        self._unsound.add(name)
        self.faults.append(Fault((self.values[name].subject(shown),), problem, remedy))

    def sound(self, *names: str) -> bool:
        """Have all these settings been found right so far?"""
        return self._unsound.isdisjoint(names)

    def text(self, name: str) -> str | None:
        """The text as it was given; None where it was not or is empty, which is a fault unless it may be."""
        value = self.values[name]
        if value.text == NO_VALUE:
            self.reject(name, "it is given without a value", f"write {value.setting.flag} {value.setting.form}")
        elif value.text is None and value.setting.required:
            setting = value.setting
            remedy = f"give {setting.flag} or {setting.variable}, or put it at {setting.fallback}"
            self.reject(name, "it is needed", remedy)
        elif value.text == "":
            self.reject(name, "it is empty", f"give a value ({value.setting.form}) or leave it out")
        else:
            return value.text
        return None

    def name(self, name: str) -> str:
        """A name that can be part of a key in Consul."""
        text = self.text(name)
        if text is not None and not _NAME.fullmatch(text):
            self.reject(
                name,
                "it becomes part of a key in Consul and has characters that don't fit there",
                "use letters, digits, '.', '_' and '-' only, and not dots alone",
            )
        return text or ""

    def choice(self, name: str) -> str:
        """One of the setting's choices."""
        text = self.text(name)
        choices = self.values[name].setting.choices
        if text is not None and text not in choices:
            self.reject(name, "there is no such choice", f"use one of {', '.join(choices)}")
        return text if text in choices else choices[0]

    def seconds(self, name: str, zero: bool = False) -> float:
        """Seconds, greater than 0 unless ``zero`` is allowed."""
        text = self.text(name)
        if text is None:
            return 1.0
        if not _NUMBER.fullmatch(text):
            self.reject(name, "it is not a number", "write seconds without a unit, such as 2 or 0.5")
            return 1.0
        if float(text) < 0 or not (zero or float(text)):
            least = "it must not be negative" if zero else "it must be greater than 0"
            self.reject(name, least, f"write seconds, such as {self.values[name].setting.default}")
        return float(text)

    def count(self, name: str, least: int = 1) -> int:
        """A whole number from ``least`` (0 or 1) on."""
        text = self.text(name)
        if text is not None and not (_COUNT.fullmatch(text) and int(text) >= least):
            default = self.values[name].setting.default
            self.reject(name, f"it is not a whole number from {least} on", f"write a number such as {default}")
            return 1
        return int(text or 1)

    def address(self, name: str) -> Address:
        """An IP address and a port."""
        text = self.text(name)
        if text is None:
            return _NOWHERE
        host, colon, port = text.rpartition(":")
        try:
            return Address.parse(f"127.0.0.1{colon}{port}" if host == "localhost" else text)
        except ValueError as error:
            self.reject(name, str(error), f"write IP:PORT, such as {self.values[name].setting.default}")
            return _NOWHERE

    def path(self, name: str) -> Path | None:
        """An absolute path; links are not followed, so that a link may be changed later."""
        text = self.text(name)
        if text is None:
            return None
        if "\0" in text:
            self.reject(name, "it has a null byte in it", "write a path")
            return None
        return Path(os.path.abspath(text))  # noqa: PTH100  resolve() would follow links

    def file(self, name: str) -> Path | None:
        """The path of a file that this process can read."""
        path = self.path(name)
        if path is None:
            return None
        try:
            if not stat.S_ISREG(path.stat().st_mode):
                self.reject(name, "it is not a regular file", "name a file")
            elif not os.access(path, os.R_OK, effective_ids=True):
                self.reject(name, "it can't be read", "let kuutamod's user read it")
        except OSError as error:
            self.reject(name, f"it can't be read: {error.strerror}", "name an existing file that kuutamod's user can read")
        return path
