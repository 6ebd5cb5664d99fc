# SPDX-License-Identifier: Apache-2.0
"""`kuutamo-localnet up`: a whole network on this machine, watched until the user ends it."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import TextIO

from rich.console import Console
from rich.live import Live

from neard_standin.procfs import boottime

from .commands import Hints, NodeCommands
from .consul import ConsulServer
from .consul_binary import ConsulBinary, find_consul
from .control import ControlServer
from .fleet_plan import FleetSpec
from .observe import Observer
from .real_neard import real_network
from .simulated import Network, simulated
from .table import View, plain, render
from .takeovers import Judge, takeovers, unsigned_for, verdict_line
from .workspace import Workspace

DEFAULT_DIRECTORY = Path("build/localnet")
REDRAW = 0.5  # seconds between two pictures on a terminal
REPORT = 5.0  # seconds between two pictures elsewhere, when nothing changes
SETTLE = 0.3  # seconds after a change before it is told elsewhere: changes come in groups
EVENTS = 5
HOLD_OFF = 30.0  # seconds; with the default of minutes a few tries would leave no node that is eligible


class Ended(BaseException):
    """A signal asked for the end; derived like KeyboardInterrupt, so that no handler of errors swallows it."""


@dataclass(frozen=True)
class UpOptions:
    """What `up` was asked for. `real` is whether `spec.neard` makes its own homes and chain."""

    spec: FleetSpec
    real: bool = False
    directory: Path = field(default_factory=lambda: DEFAULT_DIRECTORY)


@contextlib.contextmanager
def ended_by_signals() -> Iterator[None]:
    """The first SIGINT, SIGTERM or SIGHUP raises Ended in here; further ones do not disturb the clearing up.

    A SIGHUP that is ignored already stays so: that is what nohup is for.
    """

    def end(_number: int, _frame: FrameType | None) -> None:
        for each in numbers:
            signal.signal(each, signal.SIG_IGN)
        raise Ended

    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    before = [signal.signal(number, end) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


class Screen:
    """Standard output, a terminal or not, which may be gone at any time (a closed terminal, a closed pipe)."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self.console = Console(file=out)
        self.live = self.console.is_terminal and not self.console.is_dumb_terminal

    def say(self, text: str) -> None:
        """Print lines as they are; long ones are left whole, so that they can be copied."""
        with contextlib.suppress(OSError, ValueError):
            self._out.write(text + "\n")
            self._out.flush()


def view_of(network: Network, observer: Observer, judge: Judge | None, *, fresh: bool = False) -> View:
    """What there is to draw now."""
    seen, now = observer.observation(), boottime()
    names = {node.plan.home: node.name for node in network.nodes}
    moved = now - seen.lock.moved if seen.lock.moved else None
    if judge is None:
        return View(
            seen.nodes, seen.lock, moved, (), "referee: none, a real neard keeps no journal of its signatures", True
        )
    verdict = judge.verdict(fresh=fresh)
    intervals = judge.intervals()
    return View(
        nodes=seen.nodes,
        lock=seen.lock,
        lock_moved=moved,
        events=[event.text() for event in takeovers(verdict.intervals, names)[-EVENTS:]],
        verdict=verdict_line(verdict),
        safe=verdict.safe,
        unsigned=unsigned_for(intervals, now),
    )


def watch(screen: Screen, draw: Callable[[], View], observer: Observer) -> None:
    """Show what happens until a signal ends it."""
    if not screen.live:
        while True:
            observer.changed.clear()
            screen.say(plain(draw()) + "\n")
            if observer.changed.wait(REPORT):
                time.sleep(SETTLE)
    with Live(render(draw()), console=screen.console, auto_refresh=False, vertical_overflow="visible") as live:
        while True:
            time.sleep(REDRAW)
            live.update(render(draw()), refresh=True)


def locate_consul(say: Callable[[str], None]) -> ConsulBinary:
    """Find a Consul program and say what happens meanwhile. Raises ConsulNotFoundError."""
    say("Looking for Consul: CONSUL_BIN, PATH, the cache; otherwise it is downloaded, which takes a while ...")
    found = find_consul()
    say(f"Consul {'.'.join(map(str, found.version))}: {found.path} ({found.origin})")
    return found


def up(options: UpOptions, out: TextIO) -> int:
    """Run a localnet until SIGINT, SIGTERM or SIGHUP; returns the exit code, 1 when the network was not safe.

    Raises WorkspaceError, ConsulNotFoundError, NeardError, and AssertionError when Consul does not come up.
    """
    screen = Screen(out)
    safe = True
    begun = None
    workspace = Workspace(options.directory)
    try:
        with ended_by_signals(), workspace, contextlib.ExitStack() as stack:
            try:
                safe = _run(options, screen, stack, workspace)
            finally:
                begun = time.monotonic()
                screen.say("\nStopping everything that this localnet started ...")
                stack.close()
    except Ended:
        pass
    if begun is not None:
        screen.say(f"Stopped in {time.monotonic() - begun:.1f} s. Logs stay in {workspace.network}.")
    return 0 if safe else 1


def _run(options: UpOptions, screen: Screen, stack: contextlib.ExitStack, workspace: Workspace) -> bool:
    """Build the network on `stack` and watch it until the signal; returns whether it was safe."""
    binary = locate_consul(screen.say)
    server = stack.enter_context(ConsulServer(workspace.network / "consul", binary=binary))
    screen.say(f"Consul answers at {server.url}. Making keys and homes ...")
    network_of = real_network if options.real else simulated
    network = stack.enter_context(network_of(workspace.network, server.url, options.spec))
    screen.say(f"Running: {network.summary}.")
    screen.say(f"All settings are the defaults, but KUUTAMO_HOLD_OFF={HOLD_OFF:g} so that you can go on breaking things.")
    observer = stack.enter_context(Observer(network.nodes, server.url, network.account, network.head))
    judge = Judge(network.referee, network.account) if network.referee is not None else None

    def status() -> str:
        return plain(view_of(network, observer, judge, fresh=True))

    commands = NodeCommands(network.nodes, observer.holder, status)
    stack.enter_context(ControlServer(workspace.directory, commands.execute))
    hints = Hints(workspace.directory, DEFAULT_DIRECTORY, network.account, server.url, workspace.network)
    screen.say(f"\n{hints.text()}")
    screen.say("Ctrl-C stops everything.\n")
    try:
        # A terminal that is gone ends the watching as its SIGHUP would.
        with contextlib.suppress(OSError):
            watch(screen, lambda: view_of(network, observer, judge), observer)
    except Ended:
        pass
    if judge is None:
        return True
    verdict = judge.verdict(fresh=True)
    screen.say(f"\n{verdict_line(verdict)}" if verdict.safe else f"\n{verdict.story()}")
    return verdict.safe
