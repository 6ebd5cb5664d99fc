# SPDX-License-Identifier: Apache-2.0
"""The operator's command line in tests: run it about a fleet, and look at the request in Consul."""

from __future__ import annotations

import json
import subprocess
from typing import Any

from integration.scenario import Stage
from kuutamo_localnet.fleet_node import FleetNode
from kuutamo_localnet.fleet_plan import installed
from kuutamo_localnet.wait import eventually
from kuutamod.core.protocol import Request, Step, request_key


def argv(stage: Stage, *words: str) -> list[str]:
    """A command line of kuutamoctl about this fleet."""
    return [str(installed("kuutamoctl")), *words, "--account-id", stage.account, "--consul-url", stage.client().url]


def ctl(stage: Stage, *words: str, timeout: float = 180.0) -> subprocess.CompletedProcess[str]:
    """Run one command to its end (``timeout`` in seconds)."""
    return subprocess.run(argv(stage, *words), capture_output=True, text=True, timeout=timeout, check=False)


def request(stage: Stage) -> Request | None:
    """The request in Consul."""
    entry = stage.client().kv_get(request_key(stage.account))
    return Request.from_json(entry.value) if entry is not None else None


def pending(stage: Stage) -> bool:
    """Is something asked for that has not ended?"""
    found = request(stage)
    return found is not None and found.outcome is None


def ended(stage: Stage, deadline: float = 90.0) -> Request:
    """The request, once it has its outcome (``deadline`` in seconds)."""
    eventually(lambda: not pending(stage), deadline, "the request has ended")
    found = request(stage)
    assert found is not None
    return found


class Asked:
    """A command line that was started, and the request that it makes."""

    def __init__(self, stage: Stage, *words: str) -> None:
        before = request(stage)
        self._stage, self._before = stage, before.id if before is not None else ""
        self.process = subprocess.Popen(argv(stage, *words), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def reaches(self, step: Step | None, deadline: float = 60.0) -> None:
        """Wait (``deadline`` in seconds) until its request has come to a phase (None: is there), or has ended."""

        def there() -> bool:
            found = request(self._stage)
            if found is None or found.id == self._before:
                return False
            return step is None or found.marked(step) is not None or found.outcome is not None

        eventually(there, deadline, f"the request has come to {step}", interval=0.01)

    def ended(self, deadline: float) -> tuple[int, str]:
        """Exit code and output (``deadline`` in seconds)."""
        out, _unused = self.process.communicate(timeout=deadline)
        return self.process.returncode, out


def view(stage: Stage) -> dict[str, Any]:
    """What `kuutamoctl status --json` shows."""
    seen: dict[str, Any] = json.loads(ctl(stage, "status", "--json").stdout)
    return seen


def flagged(stage: Stage, node: FleetNode, flag: str) -> bool:
    """Does the node's row have this flag?"""
    return any(each["node"] == node.name and flag in each["flags"] for each in view(stage)["nodes"])


def in_order(phases: list[str]) -> bool:
    """All phases in their order, but for "released": nothing orders the answer to the old holder's release and the take."""
    steps = [step.value for step in Step if step is not Step.WAITING]
    rest = [each for each in phases if each != Step.RELEASED.value]
    return sorted(phases) == sorted(steps) and rest == [each for each in steps if each != Step.RELEASED.value]
