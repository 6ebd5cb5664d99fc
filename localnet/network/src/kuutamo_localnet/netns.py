# SPDX-License-Identifier: Apache-2.0
"""Hosts of their own on this machine: network namespaces on a bridge, whose cables can be pulled (root and iproute2).

A cut here is what a cut is in life: packets vanish, nobody is told. The bridge has a namespace of its own, so that
nothing of the machine's own network is touched.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import queue
import secrets
import shutil
import socket
import subprocess
import threading
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType
from typing import Self

from .proxy import RefusingProxy

COMMAND_DEADLINE = 10.0  # seconds for one `ip` command
CLONE_NEWNET = 0x40000000
NAMESPACES = Path("/run/netns")


class NetnsError(Exception):
    """An `ip` or `bridge` command failed; the message has the command and its complaint."""


def _run(*argv: str) -> None:
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=COMMAND_DEADLINE, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NetnsError(f"{' '.join(argv)}: {error}") from None
    if done.returncode:
        raise NetnsError(f"{' '.join(argv)}: {done.stderr.strip() or f'exit code {done.returncode}'}")


def available() -> bool:
    """Whether a `NetworkLab` works here: found out by building one and sending a packet through it."""
    if os.geteuid() != 0 or shutil.which("ip") is None or shutil.which("bridge") is None:
        return False
    try:
        with NetworkLab() as lab:
            return lab.host("a").reaches(lab.host("b"))
    except (NetnsError, OSError):
        return False


class _Namespace:
    """A thread that lives in a network namespace and makes sockets there; a socket stays in the namespace it was
    made in, whichever thread uses it.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._requests: queue.Queue[tuple[int, Future[socket.socket]] | None] = queue.Queue()
        self._thread = threading.Thread(target=self._serve, name=f"netns-{name}", daemon=True)
        self._thread.start()

    def socket(self, kind: int = socket.SOCK_STREAM) -> socket.socket:
        """A new IPv4 socket of the namespace. Raises OSError."""
        answer: Future[socket.socket] = Future()
        self._requests.put((kind, answer))
        return answer.result(COMMAND_DEADLINE)

    def close(self) -> None:
        """End the thread, which would keep the namespace alive."""
        self._requests.put(None)
        self._thread.join(COMMAND_DEADLINE)

    def _serve(self) -> None:
        failure = self._enter()
        while (request := self._requests.get()) is not None:
            kind, answer = request
            try:
                if failure is not None:
                    raise failure
                answer.set_result(socket.socket(socket.AF_INET, kind))
            except OSError as error:
                answer.set_exception(error)

    def _enter(self) -> OSError | None:
        libc = ctypes.CDLL(None, use_errno=True)
        descriptor = os.open(NAMESPACES / self._name, os.O_RDONLY | os.O_CLOEXEC)
        try:
            if libc.setns(descriptor, CLONE_NEWNET):
                return OSError(ctypes.get_errno(), f"cannot enter the network namespace {self._name}")
        finally:
            os.close(descriptor)
        return None


class LabHost:
    """One host of a lab. `address` is reachable from all other hosts of the lab and from nowhere else."""

    def __init__(self, lab: NetworkLab, name: str, number: int) -> None:
        self.name = name
        self.address = f"{lab.network}.{number}"
        self.namespace = f"{lab.prefix}-{name}"
        self._lab = lab
        self._port = f"p{number}"
        self._mac = f"02:77:00:00:00:{number:02x}"
        self._proxies: list[RefusingProxy] = []
        switch, namespace = lab.switch, self.namespace
        _run("ip", "netns", "add", namespace)
        try:
            peer = ("peer", "name", "eth0", "netns", namespace, "address", self._mac)
            _run("ip", "-n", switch, "link", "add", self._port, "type", "veth", *peer)
            _run("ip", "-n", switch, "link", "set", self._port, "master", "br0", "up")
            # The bridge is told each host's place instead of learning it, so that cut_incoming can move it.
            self._slave("learning", "off")
            self._place(self._port)
            _run("ip", "-n", namespace, "link", "set", "lo", "up")
            _run("ip", "-n", namespace, "address", "add", f"{self.address}/24", "dev", "eth0")
            _run("ip", "-n", namespace, "link", "set", "eth0", "up")
            for other in lab.hosts():
                self._knows(other)
                other._knows(self)
            self._inside = _Namespace(namespace)
        except NetnsError:
            _run("ip", "netns", "delete", namespace)
            raise

    def popen_prefix(self) -> list[str]:
        """What to put before an argument vector to run a program on this host; the pid stays the program's own."""
        return ["ip", "netns", "exec", self.namespace]

    def cut(self) -> None:
        """Cut the host off: nothing goes in or out, and as behind a broken switch its own cable still looks fine."""
        self._port_state("disabled")

    def cut_incoming(self) -> None:
        """Let the host send and not receive: the switch delivers what is addressed to it to nobody."""
        self._place(self._lab.drain)

    def heal(self) -> None:
        """Undo `cut` and `cut_incoming`. TCP connections go on when their next retransmission is due."""
        self._port_state("forwarding")
        self._place(self._port)

    def socket(self, kind: int = socket.SOCK_STREAM) -> socket.socket:
        """A new IPv4 socket of this host, usable from any thread. Raises OSError."""
        return self._inside.socket(kind)

    def reaches(self, other: LabHost, deadline: float = 1.0) -> bool:
        """Whether a packet sent here arrives at `other` within `deadline` seconds."""
        with other.socket(socket.SOCK_DGRAM) as receiver, self.socket(socket.SOCK_DGRAM) as sender:
            receiver.bind((other.address, 0))
            receiver.settimeout(deadline)
            sender.sendto(b"?", receiver.getsockname())
            try:
                return receiver.recv(1) == b"?"
            except TimeoutError:
                return False

    def expose(self, port: int) -> str:
        """Make `port` of this host reachable on loopback of the machine; returns the HTTP base URL.

        The proxy connects from within this host, so it works however the host is cut off.
        """
        proxy = RefusingProxy(self.address, port, target_socket=self.socket).start()
        self._proxies.append(proxy)
        return proxy.url

    def close(self) -> None:
        """Remove the host. Programs started on it must have been ended."""
        for proxy in self._proxies:
            proxy.close()
        self._inside.close()
        _run("ip", "netns", "delete", self.namespace)

    def _place(self, port: str) -> None:
        _run("bridge", "-n", self._lab.switch, "fdb", "replace", self._mac, "dev", port, "master", "static")

    def _slave(self, option: str, value: str) -> None:
        _run("ip", "-n", self._lab.switch, "link", "set", self._port, "type", "bridge_slave", option, value)

    def _port_state(self, state: str) -> None:
        # By `bridge`: `ip link` takes a state too, and iproute2 6.1 ignores it.
        number = {"disabled": "0", "forwarding": "3"}[state]
        _run("bridge", "-n", self._lab.switch, "link", "set", "dev", self._port, "state", number)

    def _knows(self, other: LabHost) -> None:
        # No ARP, so that after a cut the first packet arrives, not the one after the next ARP retry.
        entry = (other.address, "lladdr", other._mac, "dev", "eth0", "nud", "permanent")
        _run("ip", "-n", self.namespace, "neigh", "replace", *entry)


class NetworkLab:
    """A switch and the hosts on it. Several labs may exist at once: their names carry a random id and their networks
    never meet. As a context manager it removes exactly what it made.
    """

    def __init__(self, network: str = "10.77.0") -> None:
        self.network = network
        self.prefix = f"kuu-{secrets.token_hex(4)}"
        self.switch = f"{self.prefix}-switch"
        self.drain = "drain"
        self._hosts: dict[str, LabHost] = {}

    def start(self) -> Self:
        """Make the switch. Raises NetnsError, with nothing left behind."""
        _run("ip", "netns", "add", self.switch)
        try:
            _run("ip", "-n", self.switch, "link", "add", "br0", "type", "bridge", "mcast_snooping", "0")
            _run("ip", "-n", self.switch, "link", "set", "br0", "up")
            # A port whose far end is nowhere: what is sent there is lost without a trace.
            _run("ip", "-n", self.switch, "link", "add", self.drain, "type", "veth", "peer", "name", "nowhere")
            _run("ip", "-n", self.switch, "link", "set", "nowhere", "up")
            _run("ip", "-n", self.switch, "link", "set", self.drain, "master", "br0", "up")
        except NetnsError:
            _run("ip", "netns", "delete", self.switch)
            raise
        return self

    def hosts(self) -> list[LabHost]:
        """All hosts made so far."""
        return list(self._hosts.values())

    def host(self, name: str) -> LabHost:
        """The host of this name, made at the first call. Raises NetnsError."""
        if name not in self._hosts:
            self._hosts[name] = LabHost(self, name, len(self._hosts) + 1)
        return self._hosts[name]

    def close(self) -> None:
        """Remove all hosts and the switch; a failure to remove one does not keep the others."""
        failures: list[str] = []
        for host in self._hosts.values():
            try:
                host.close()
            except NetnsError as error:
                failures.append(str(error))
        self._hosts.clear()
        if (NAMESPACES / self.switch).exists():
            with contextlib.suppress(NetnsError):
                _run("ip", "netns", "delete", self.switch)
        if failures:
            raise NetnsError("; ".join(failures))

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
