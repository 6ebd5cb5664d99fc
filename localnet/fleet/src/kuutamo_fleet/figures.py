# SPDX-License-Identifier: Apache-2.0
"""What deploying and maintaining a fleet costs: a new fleet, measured step by step and judged by the referee."""

from __future__ import annotations

import re
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from neard_standin.procfs import boottime

from .archives import make_archives
from .errors import FleetError
from .fleet import down, up
from .operate import Operator, holder_of, standbys_of
from .plan import Wish
from .site import Site
from .strikes import is_well
from .verdict import find

WELL_DEADLINE = 240.0  # seconds until all validators are well, on a busy machine
UNITS = ("kuutamod.service", "consul.service")
_RECAP = re.compile(r"^\S+\s*: ok=\d+\s+changed=(\d+)", re.MULTILINE)
_EXPOSURE = re.compile(r"exposure level for \S+: ([\d.]+)")


@dataclass(frozen=True)
class Figures:
    """Seconds, but for what is counted. Of the handovers there is one number each."""

    hosts: int
    deploy: float
    deploy_again: float
    changed_again: int
    handover: list[float]
    handover_without_signer: list[float]
    upgrade: float
    upgrade_without_signer: float
    upgrade_missed_duties: int
    upgrade_duties: int
    overlaps: int
    signed_twice: int
    exposure: dict[str, float]

    def to_json(self) -> dict[str, Any]:
        """All of it, for programs."""
        return asdict(self)

    def table(self) -> str:
        """All of it as a table for the documents."""
        runs = len(self.handover)
        rows = [
            (f"deploy of {self.hosts} booted hosts", f"{self.deploy:.0f} s"),
            ("deploy again", f"{self.deploy_again:.0f} s, {self.changed_again} changed"),
            (f"handover playbook, end to end, median of {runs}", f"{statistics.median(self.handover):.1f} s"),
            ("the same, longest", f"{max(self.handover):.1f} s"),
            ("without a signer meanwhile, median", f"{statistics.median(self.handover_without_signer):.2f} s"),
            ("the same, longest", f"{max(self.handover_without_signer):.2f} s"),
            (f"upgrade of neard on {self.hosts} hosts", f"{self.upgrade:.0f} s"),
            ("without a signer meanwhile", f"{self.upgrade_without_signer:.2f} s"),
            ("duties missed meanwhile", f"{self.upgrade_missed_duties} of {self.upgrade_duties}"),
            ("two signers at a time; heights signed twice", f"{self.overlaps}; {self.signed_twice}"),
            *((f"systemd's exposure of {unit}", f"{score:.1f}") for unit, score in self.exposure.items()),
        ]
        return "\n".join(["| what | measured |", "|---|---|", *(f"| {what} | {value} |" for what, value in rows)])


@dataclass(frozen=True)
class Measurement:
    """Measures a new fleet of this name, which is removed afterwards. `project` is the checkout, `say` prints a line."""

    project: Path
    root: Path
    wish: Wish
    say: Callable[[str], None]

    def run(self, handovers: int) -> Figures:
        """Measure. Raises FleetError with what went wrong."""
        down(self.root, self.wish.name, self.say)
        try:
            operator = Operator(up(self.root, self.wish, self.say), self.project, self.say)
            return self._measure(operator, handovers)
        finally:
            down(self.root, self.wish.name, self.say)

    def _measure(self, operator: Operator, handovers: int) -> Figures:
        deploy, _told = self._timed(operator, "deploy")
        deploy_again, told = self._timed(operator, "deploy")
        moved = [self._hand_over(operator) for _each in range(handovers)]
        before, since = find(operator.hosts.site.chain).verdict, boottime()
        upgrade, _told = self._timed(operator, "upgrade", *self._newer())
        operator.wait("all validators are well", lambda: is_well(operator), WELL_DEADLINE)
        after = find(operator.hosts.site.chain, since)
        verdict = after.verdict
        return Figures(
            hosts=len(operator.hosts.plan.hosts),
            deploy=deploy,
            deploy_again=deploy_again,
            changed_again=changed_tasks(told),
            handover=[seconds for seconds, _gap in moved],
            handover_without_signer=[gap for _seconds, gap in moved],
            upgrade=upgrade,
            upgrade_without_signer=after.unsigned,
            upgrade_missed_duties=verdict.missed_duties - before.missed_duties,
            upgrade_duties=verdict.expected_duties - before.expected_duties,
            overlaps=len(verdict.overlaps),
            signed_twice=len(verdict.heights_signed_twice),
            exposure={unit: self._exposure(operator, unit) for unit in UNITS},
        )

    def _timed(self, operator: Operator, playbook: str, *arguments: str) -> tuple[float, str]:
        self.say(f"\n{playbook} {' '.join(arguments)}".rstrip())
        begun = time.monotonic()
        told = operator.playbook(playbook, *arguments)
        return time.monotonic() - begun, told

    def _hand_over(self, operator: Operator) -> tuple[float, float]:
        """How long the playbook took, and for how long nobody could sign."""

        def ready() -> bool:
            status = operator.status()
            others = len(operator.hosts.plan.hosts) - 1
            return is_well(operator) and len(set(standbys_of(status)) - {holder_of(status)}) == others

        operator.wait("all others could take over", ready, WELL_DEADLINE)
        holder, since = operator.holder(), boottime()
        seconds, _told = self._timed(operator, "handover", "-e", "confirm=true")
        chain = operator.hosts.site.chain
        operator.wait("another neard has the key", lambda: find(chain).signer not in (None, holder), WELL_DEADLINE)
        return seconds, find(chain, since).unsigned

    def _newer(self) -> list[str]:
        newer = make_archives(Site(self.root, "").archives)["neard_newer"]
        given = {"neard_version": newer.version, "neard_archive": newer.path.resolve(), "neard_sha256": newer.sha256}
        return ["-e", "components=neard", *(word for key, value in given.items() for word in ("-e", f"{key}={value}"))]

    @staticmethod
    def _exposure(operator: Operator, unit: str) -> float:
        host = operator.running()[0]
        told = operator.hosts.podman.exec(
            operator.hosts.plan.container(host), ["systemd-analyze", "security", "--no-pager", unit]
        )
        level = exposure_level(told)
        if level is None:
            raise FleetError(f"systemd-analyze security {unit} on {host} told no exposure: {told[-200:]}")
        return level


def changed_tasks(told: str) -> int:
    """How many tasks have changed something, on all hosts, by the recap of ansible-playbook."""
    return sum(map(int, _RECAP.findall(told)))


def exposure_level(told: str) -> float | None:
    """The overall exposure that `systemd-analyze security` has told."""
    found = _EXPOSURE.search(told)
    return None if found is None else float(found[1])
