# SPDX-License-Identifier: Apache-2.0
"""What is wrong with a configuration, as one sentence for each fault."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Subject:
    """A setting (flag and variable), its value, and where that came from.

    ``value`` is None where there is none to show: the setting is not set, or its value is a secret.
    """

    setting: str
    value: str | None
    origin: str

    def __str__(self) -> str:
        shown = "" if self.value is None else f" is {self.value!r}"
        return f"{self.setting}{shown} ({self.origin})"


@dataclass(frozen=True)
class Fault:
    """One fault: what it is about, what is wrong and the remedy. Numbers that don't go together are several subjects."""

    subjects: tuple[Subject, ...]
    problem: str
    remedy: str

    def __str__(self) -> str:
        return f"{', '.join(map(str, self.subjects))}: {self.problem}; {self.remedy}"


class ConfigFaults(Exception):
    """The configuration can't be used; ``faults`` has everything that is wrong with it, not only the first."""

    def __init__(self, faults: tuple[Fault, ...]) -> None:
        super().__init__("\n".join(str(fault) for fault in faults))
        self.faults = faults
