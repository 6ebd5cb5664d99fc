# SPDX-License-Identifier: Apache-2.0
"""The demo: a fleet from nothing to a takeover, told step by step; it stays up for the user to try.

Every step is what an operator would do by hand, and prints how long it took. A fleet that is up already is used as it
is, so the demo may be repeated.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from neard_standin.procfs import boottime

from .errors import FleetError
from .fleet import settle, up
from .hosts import State
from .operate import Operator, holder_of, indented, standbys_of
from .plan import Wish
from .verdict import find

TAKEOVER_DEADLINE = 60.0  # seconds; the protocol's own bound is far below
WELL_DEADLINE = 180.0  # seconds for a host that was without power to be a standby again
STEPS = 8
_Answer = TypeVar("_Answer")


@dataclass
class Demo:
    """One run. `project` is the checkout, `say` prints a line."""

    project: Path
    root: Path
    wish: Wish
    say: Callable[[str], None]
    _step: int = 0
    _began: float = field(default_factory=time.monotonic)

    def run(self) -> None:
        """Run all steps. Raises FleetError with what went wrong."""
        hosts = self._timed("Three hosts that boot systemd, in containers", lambda: up(self.root, self.wish, self.say))
        operator = Operator(hosts, self.project, self.say)
        self._timed("Deploy Consul, neard and kuutamod: kuutamo.near.deploy", lambda: operator.playbook("deploy"))
        self._timed("How is the fleet? kuutamoctl status", lambda: self._show(operator, "status"))
        self._timed("Hand the validator over, in order: kuutamo.near.handover", lambda: self._hand_over(operator))
        killed = self._timed("Cut the power of the host that validates", lambda: self._take_over(operator))
        self._timed("What happened? kuutamoctl history", lambda: self._show(operator, "history"))
        self._timed(f"Power {killed} up again, until it could take over", lambda: self._bring_back(operator, killed))
        self._timed("What signed, and for how long nobody did: the referee", lambda: self._judge(operator))
        self.say(f"\nAll of it took {time.monotonic() - self._began:.0f} s. The fleet is up.")
        self.say(hints(operator))

    def _timed(self, what: str, act: Callable[[], _Answer]) -> _Answer:
        self._step += 1
        self.say(f"\n[{self._step}/{STEPS}] {what}")
        begun = time.monotonic()
        answer = act()
        self.say(f"      ({time.monotonic() - begun:.1f} s)")
        return answer

    def _show(self, operator: Operator, command: str) -> None:
        done = operator.ctl(command)
        if not done.stdout.strip():
            raise FleetError(f"kuutamoctl {command}: {done.stderr.strip() or f'exit code {done.returncode}'}")
        self.say(indented(done.stdout))

    def _hand_over(self, operator: Operator) -> None:
        operator.wait("a host validates and another could", lambda: _is_ready(operator), WELL_DEADLINE)
        before, since = operator.holder(), boottime()
        operator.playbook("handover", "-e", "confirm=true")
        operator.wait("a host validates", lambda: operator.holder() not in (None, before), TAKEOVER_DEADLINE)
        self.say(f"      {before} -> {operator.holder()}{self._unsigned(operator, since)}")

    def _take_over(self, operator: Operator) -> str:
        operator.wait("a host validates and another could", lambda: _is_ready(operator), WELL_DEADLINE)
        holder, since = operator.holder(), boottime()
        assert holder is not None
        operator.hosts.kill(holder)
        self.say(f"      {holder} is off")
        operator.wait("another host validates", lambda: operator.holder() not in (None, holder), TAKEOVER_DEADLINE)
        self.say(f"      {operator.holder()} has taken over{self._unsigned(operator, since)}")
        return holder

    def _bring_back(self, operator: Operator, host: str) -> None:
        if operator.hosts.state(host) is State.STOPPED:
            operator.hosts.start(host)
            settle(operator.hosts)
        operator.wait(f"{host} could take over", lambda: host in standbys_of(operator.status()), WELL_DEADLINE)
        self._show(operator, "status")

    def _judge(self, operator: Operator) -> None:
        if operator.hosts.plan.neard_archive:
            self.say("      a neard of yours keeps no journal for the referee; kuutamoctl history tells the gaps")
            return
        finding = find(operator.hosts.site.chain)
        self.say(indented(finding.story()))
        if not finding.verdict.safe:
            raise FleetError("two processes held the key at a time: this must never happen, please report it")

    @staticmethod
    def _unsigned(operator: Operator, since: float) -> str:
        """How long nobody could sign, as the referee saw it; nothing is known of a neard of the user's."""
        if operator.hosts.plan.neard_archive:
            return ""
        chain = operator.hosts.site.chain
        # The lock is taken before the key is loaded: until then the gap lasts.
        operator.wait("its neard has the key", lambda: find(chain).signer == operator.holder(), TAKEOVER_DEADLINE)
        return f"; nobody could sign for {find(chain, since).unsigned:.2f} s"


def _is_ready(operator: Operator) -> bool:
    status = operator.status()
    holder = holder_of(status)
    return holder is not None and any(node != holder for node in standbys_of(status))


def hints(operator: Operator) -> str:
    """What to try next, ready to be copied."""
    name = operator.hosts.plan.name
    fleet = f".venv/bin/kuutamo-fleet {{}} --name {name}"
    inventories = f"-i inventory/demo -i {_short(operator.hosts.site.inventory)}"
    collections = f"ANSIBLE_COLLECTIONS_PATH={_short(operator.hosts.site.root.resolve() / 'collections')}"
    lines = [
        ("follow the fleet", fleet.format("exec") + " node0 kuutamoctl status --watch"),
        ("a playbook", f"{collections} .venv/bin/ansible-playbook {inventories} kuutamo.near.status"),
        ("a shell on a host", fleet.format("exec") + " node0 bash"),
        ("cut a host's power", fleet.format("kill-host") + " node0"),
        ("switch it on", fleet.format("start-host") + " node0"),
        ("freeze a host", fleet.format("freeze") + " node1"),
        ("let it go on", fleet.format("thaw") + " node1"),
        ("cut it off the others", fleet.format("partition") + " node2"),
        ("heal that", fleet.format("heal") + " node2"),
        ("who signed what", fleet.format("referee")),
        ("remove everything", "make demo-down"),
    ]
    return "Try:\n" + "\n".join(f"  {what:<22} {command}" for what, command in lines)


def _short(path: Path) -> str:
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
