# SPDX-License-Identifier: Apache-2.0
"""One running kuutamod with its guard and neard, and everything a test may do to them."""

from __future__ import annotations

import contextlib
import signal
from enum import Enum
from typing import Any

import requests

from neard_standin.control import Behaviour, set_behaviour

from .exporter import Exporter, Metrics
from .fleet_plan import FleetKeys, FleetSpec, NodePlan, arguments, environment
from .process import Process, lives, send_signal, stop
from .reaper import ProcessInfo
from .wait import eventually

STOP_DEADLINE = 30.0  # seconds for a graceful stop


class Part(Enum):
    """The processes of a node."""

    SUPERVISOR = "supervisor"
    GUARD = "guard"
    NEARD = "neard"


class FleetNode:
    """A node of a fleet. After its death it may be started again; what an earlier life left running stays."""

    def __init__(self, plan: NodePlan, spec: FleetSpec, keys: FleetKeys) -> None:
        self.plan = plan
        self.spec = spec
        self._argv = arguments(plan, spec, keys)
        self._lives: list[Process] = []
        self._known: dict[Part, ProcessInfo] = {}
        host = plan.site.host
        url = host.expose(plan.exporter_port) if host else f"http://{plan.address}:{plan.exporter_port}"
        self.exporter = Exporter(url)

    @property
    def name(self) -> str:
        """The node id."""
        return self.plan.name

    @property
    def process(self) -> Process:
        """The supervisor of the current life. Raises RuntimeError before the first start."""
        if not self._lives:
            raise RuntimeError(f"{self.name} was not started")
        return self._lives[-1]

    def start(self) -> None:
        """Start kuutamod; does not wait. Raises RuntimeError while its supervisor runs."""
        if self._lives and self.process.alive():
            raise RuntimeError(f"{self.name} already runs as pid {self.process.pid}")
        self._known.clear()
        self._lives.append(self.command().start())

    def command(self, *arguments: str) -> Process:
        """kuutamod on this node's host with its arguments and these, not started."""
        site = self.plan.site
        return Process(
            [*self._argv, *arguments],
            log=self.plan.directory / "kuutamod.log",
            env=environment(self.plan, self.spec),
            cwd=self.plan.directory,
            name=self.name,
            prefix=[*site.prefix(), *(site.host.popen_prefix() if site.host else ())],
        )

    def stop(self, deadline: float = STOP_DEADLINE) -> int:
        """SIGTERM to the supervisor; returns its exit code. Raises TimeoutError after `deadline` seconds."""
        self.process.terminate()
        return self.process.wait(deadline)

    def find(self, part: Part) -> ProcessInfo:
        """The process that is this part now. Raises LookupError when there is none.

        The guard is the supervisor's child, or neard's parent once the supervisor is dead. neard is what `/neard-pid`
        names, or the guard's child when the supervisor cannot answer. Once found a process is remembered until it dies.
        """
        known = self._known.get(part)
        if known is not None and lives(known):
            return known
        finders = {Part.SUPERVISOR: self._supervisor, Part.GUARD: self._guard, Part.NEARD: self._neard}
        found = finders[part](self.tree())
        if found is None:
            raise LookupError(f"{self.name} has no {part.value} now")
        self._known[part] = found
        return found

    def pid(self, part: Part) -> int:
        """The pid of this part. Raises LookupError when there is none."""
        return self.find(part).pid

    def kill(self, part: Part, sig: int = signal.SIGKILL) -> int:
        """Send `sig` to this part alone; returns its pid. Raises LookupError when there is none."""
        found = self.find(part)
        send_signal(found, sig)
        return found.pid

    def kill_supervisor(self) -> int:
        """SIGKILL the supervisor alone; returns its pid."""
        self._remember()
        return self.kill(Part.SUPERVISOR)

    def kill_guard(self) -> int:
        """SIGKILL the guard alone; returns its pid."""
        return self.kill(Part.GUARD)

    def kill_neard(self) -> int:
        """SIGKILL neard alone; returns its pid."""
        return self.kill(Part.NEARD)

    def freeze(self, part: Part) -> int:
        """SIGSTOP this part alone and wait until it stands still; returns its pid. Raises as `find` and `stop`."""
        self._remember()
        found = self.find(part)
        stop(found)
        return found.pid

    def thaw(self, part: Part) -> int:
        """SIGCONT this part alone; returns its pid."""
        return self.kill(part, signal.SIGCONT)

    def tree(self) -> list[ProcessInfo]:
        """All living processes of this node: supervisor, guard, neard, and orphans of earlier lives."""
        return [info for life in self._lives for info in life.tree()]

    def freeze_host(self) -> None:
        """Freeze the whole node and its client agent, as when a virtual machine is paused."""
        for process in self._host_processes():
            process.freeze_tree()

    def thaw_host(self) -> None:
        """Let the node and its client agent go on."""
        for process in reversed(self._host_processes()):
            process.thaw_tree()

    def lose_host(self) -> None:
        """SIGKILL the whole node and its client agent at once; nobody gets to react to another's death."""
        self.freeze_host()
        for process in self._host_processes():
            process.kill_tree()

    def return_host(self) -> None:
        """Bring the client agent and kuutamod back after `lose_host`."""
        if self.plan.site.agent is not None:
            self.plan.site.agent.restart()
        self.start()

    def metrics(self) -> Metrics:
        """One scrape. Raises requests.RequestException when kuutamod does not answer."""
        return self.exporter.metrics()

    def state(self) -> str:
        """The state kuutamod says it is in. Raises as `metrics`, and ValueError when it is not in exactly one."""
        return self.metrics().state()

    def wait_state(self, state: str, deadline: float) -> None:
        """Wait at most `deadline` seconds for a state. Raises AssertionError with the log's last lines."""
        seen = "no answer"

        def reached() -> bool:
            nonlocal seen
            seen = self.state()
            return seen == state

        try:
            eventually(reached, deadline, f"{self.name} is {state}")
        except AssertionError as error:
            error.add_note(f"last state: {seen}; log of {self.name}:\n{self.log_text()[-3000:]}")
            raise

    def behaviour(self, **changes: Any) -> Behaviour:
        """Make this node's stand-in neard behave differently (fields of neard_standin.control.Behaviour)."""
        return set_behaviour(self.plan.home, **changes)

    def log_text(self) -> str:
        """Everything kuutamod and its children have written, over all lives."""
        return self._lives[-1].log_text() if self._lives else ""

    def close(self) -> None:
        """End every process of every life of this node. The client agent is its owner's to end."""
        for life in self._lives:
            life.close()

    def _host_processes(self) -> list[Process]:
        agent = self.plan.site.agent
        return [*self._lives, *([agent.process] if agent is not None else [])]

    def _remember(self) -> None:
        """Look at all parts while they can still be told apart."""
        for part in Part:
            with contextlib.suppress(LookupError):
                self.find(part)

    def _supervisor(self, tree: list[ProcessInfo]) -> ProcessInfo | None:
        return next((info for info in tree if self._lives and info.pid == self.process.pid), None)

    def _guard(self, tree: list[ProcessInfo]) -> ProcessInfo | None:
        supervisor, neard = self._supervisor(tree), self._answered_neard(tree)
        children = [i for i in tree if supervisor and i.parent == supervisor.pid and not (neard and i.pid == neard.pid)]
        parents = [i for i in tree if neard and i.pid == neard.parent and i != supervisor]
        return next(iter([*parents, *children]), None)

    def _neard(self, tree: list[ProcessInfo]) -> ProcessInfo | None:
        guard = self._known.get(Part.GUARD)
        by_guard = [info for info in tree if guard and info.parent == guard.pid]
        return self._answered_neard(tree) or next(iter(by_guard), None)

    def _answered_neard(self, tree: list[ProcessInfo]) -> ProcessInfo | None:
        try:
            pid = self.exporter.neard_pid()
        except (requests.RequestException, ValueError):
            known = self._known.get(Part.NEARD)
            return next((i for i in tree if known and (i.pid, i.started) == (known.pid, known.started)), None)
        return next((info for info in tree if info.pid == pid), None)
