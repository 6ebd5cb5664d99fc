# SPDX-License-Identifier: Apache-2.0
"""What an operator asks of the fleet while a soak breaks everything else: real command lines, some of them killed."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping

from .fleet_plan import installed
from .soak_ground import Ground, Skip
from .soak_plan import Fault, Kind
from .soak_service import Service

Undo = Callable[[], None]

PATIENCE = 15  # seconds that a request may wait before it expires
LONGEST_PAUSE = 60  # seconds; a pause that nobody ends is over before a wave's bound is
QUICK_DEADLINE = 30.0  # seconds for a command that follows nothing, on a busy machine


class Command:
    """One command line, running beside the soak. It asks all Consul servers in turn."""

    def __init__(self, ground: Ground, *words: str) -> None:
        self._words, self._orders = words, ground.orders
        urls = ",".join(server.url for server in ground.cluster.servers)
        argv = [str(installed("kuutamoctl")), *words, "--account-id", ground.account, "--consul-url", urls]
        self._process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def end(self, deadline: float = 0.0) -> int:
        """Its exit code; killed if it has not ended within ``deadline`` seconds."""
        try:
            said, _unused = self._process.communicate(timeout=deadline)
        except subprocess.TimeoutExpired:
            self._process.kill()
            said, _unused = self._process.communicate()
        self._orders.note(self._words, self._process.returncode, said)
        return self._process.returncode


def _followed(words: Callable[[Fault, Service], tuple[str, ...]]) -> Callable[[Ground, Fault, Service], Undo]:
    """A command that waits for its outcome; killed when the fault's time is over."""

    def act(ground: Ground, fault: Fault, service: Service) -> Undo:
        command = Command(ground, *words(fault, service), "--timeout", str(PATIENCE), "--reason", "soak")
        return lambda: _end(command)

    return act


def _end(command: Command) -> None:
    command.end()


def _handover(fault: Fault, service: Service) -> tuple[str, ...]:
    words = ["handover", "--allow-restart"]
    if fault.pick < 0.3:
        words += ["--to", service.node.name]
    elif fault.pick < 0.5:
        words += ["--at", "window", "--min-window", "1"]
    return tuple(words)


def _pause(ground: Ground, _fault: Fault, _service: Service) -> Undo:
    Command(ground, "pause", "--for", f"{LONGEST_PAUSE}s", "--reason", "soak").end(QUICK_DEADLINE)
    return lambda: _quickly(ground, "resume")


def _drain(ground: Ground, _fault: Fault, service: Service) -> Undo:
    name = service.node.name
    drain = Command(ground, "drain", name, "--allow-restart", "--timeout", str(PATIENCE))

    def undo() -> None:
        drain.end()
        _quickly(ground, "undrain", name)

    return undo


def _quickly(ground: Ground, *words: str) -> None:
    Command(ground, *words).end(QUICK_DEADLINE)


def tidy(ground: Ground) -> None:
    """End the pauses and drains that are still there: a command may have failed, or been carried out late."""
    try:
        config = ground.config()
    except Skip:
        return
    for node in config.no_takeover:
        _quickly(ground, "undrain", node)
    if config.pauses:
        _quickly(ground, "resume")


ORDERS: Mapping[Kind, Callable[[Ground, Fault, Service], Undo]] = {
    Kind.HAND_OVER: _followed(_handover),
    Kind.ORDER_RESTART: _followed(lambda _fault, service: ("restart", service.node.name, "--allow-restart")),
    Kind.PAUSE: _pause,
    Kind.DRAIN: _drain,
}
