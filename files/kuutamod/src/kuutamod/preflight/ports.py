# SPDX-License-Identifier: Apache-2.0
"""The addresses of one node: are they this host's, and does anybody listen there already? No port of theirs is bound."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ..address import Address
from ..neard import procfs
from ..neard.config import NeardConfig
from ..neard.home import read_owner
from ..settings import Settings
from ..settings.reading import Reader
from ..trust import user_name
from .configuration import ADDRESS_SETTINGS
from .finding import Finding, Topic, fault, ok, warning
from .viewer import Viewer

TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
_LISTENING = "0A"
_ROOT = 0
_FIRST_FREE_PORT = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start")


@dataclass(frozen=True)
class Listener:
    """A listening socket of this host; ``inode`` names it."""

    address: Address
    uid: int
    inode: int


def ports(found: Settings, config: NeardConfig | None, read: Reader, viewer: Viewer) -> Iterable[Finding]:
    """All addresses that were right in themselves; neard's RPC is in its config."""
    wanted: dict[str, Address] = {}
    for name in ADDRESS_SETTINGS:
        if read.sound(name):
            wanted[read.values[name].setting.flag] = _address(found, name)
    if config is not None:
        wanted["neard's rpc.addr"] = config.rpc_addr
    taken = listeners()
    holders = _holders({each.inode for each in taken})
    for name, address in wanted.items():
        yield from _one(name, address, taken, holders, found, viewer)


def _address(found: Settings, name: str) -> Address:
    texts = {
        "exporter-address": str(found.exporter_address),
        "validator-network-addr": found.validator_network_addr,
        "voter-network-addr": found.voter_network_addr,
    }
    return Address.parse(texts[name])


def _one(
    name: str,
    address: Address,
    taken: Iterable[Listener],
    holders: Mapping[int, int],
    found: Settings,
    viewer: Viewer,
) -> Iterable[Finding]:
    if why := _foreign(address):
        yield fault(Topic.PORTS, f"{name} {address}: {why}", "name an address of this host")
        return
    other = next((each for each in taken if address.collides_with(each.address)), None)
    if other is None:
        yield ok(Topic.PORTS, f"{name} {address} is free")
        if viewer.user and address.port < _first_free_port():
            text = f"{name} {address}: ports as low need CAP_NET_BIND_SERVICE where kuutamod is not root"
            yield warning(Topic.PORTS, text, "give it the capability, or choose a higher port")
        return
    pid = holders.get(other.inode)
    if pid is None:
        text = f"{name} {address} is taken by a process of {user_name(other.uid)} that can't be seen"
        if viewer.blind:
            yield warning(Topic.PORTS, text, viewer.remedy)
        elif viewer.uid not in (_ROOT, other.uid):
            yield fault(Topic.PORTS, text, "look again as root to see which; end it, or give this node another port")
        else:
            yield fault(Topic.PORTS, text, "it is in another container or namespace; end it, or choose another port")
    elif (ours := _ours(pid, found)) is not None:
        yield ok(Topic.PORTS, f"{name} {address} is served by {ours} of this node, pid {pid}")
    else:
        command = procfs.command_line(pid) or "its command line is not visible"
        text = f"{name} {address} is taken by pid {pid} ({command}), which listens on {other.address}"
        yield fault(Topic.PORTS, text, "end it, or give this node another port")


def _ours(pid: int, found: Settings) -> str | None:
    owner = read_owner(found.neard_home)
    if owner is not None and owner.alive and owner.pid == pid:
        return "kuutamod"
    return "neard" if procfs.guarded_home(pid) == str(found.neard_home) else None


def _foreign(address: Address) -> str:
    """Why nothing of this host can listen there; empty when something can. No port is taken for it."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.bind((address.host, 0))
    except OSError as error:
        return error.strerror or str(error)
    return ""


def _first_free_port() -> int:
    try:
        return int(_FIRST_FREE_PORT.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return 1024


def listeners() -> tuple[Listener, ...]:
    """Every listening TCP socket of this network namespace; any user may see them."""
    found: list[Listener] = []
    for table in TABLES:
        with contextlib.suppress(OSError):  # there is no IPv6 on this host
            found += parse(table.read_text(encoding="ascii"))
    return tuple(found)


def parse(table: str) -> Iterable[Listener]:
    """The listening sockets of one table; the kernel's form (proc_net_tcp.rst): addresses as words of the host's order."""
    for line in table.splitlines()[1:]:
        fields = line.split()
        if len(fields) > 9 and fields[3] == _LISTENING:
            host, _unused, port = fields[1].partition(":")
            yield Listener(Address(_host(host), int(port, 16)), int(fields[7]), int(fields[9]))


def _host(text: str) -> str:
    words = [int(text[at : at + 8], 16) for at in range(0, len(text), 8)]
    address = ipaddress.ip_address(struct.pack(f"={len(words)}I", *words))
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(address)


def _holders(inodes: set[int]) -> Mapping[int, int]:
    """Which process has each of these sockets open, as far as this user may see."""
    found: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            for descriptor in (entry / "fd").iterdir():
                with contextlib.suppress(OSError, ValueError):
                    target = str(descriptor.readlink())
                    inode = int(target[8:-1]) if target.startswith("socket:[") else 0
                    if inode in inodes:
                        found.setdefault(inode, int(entry.name))
    return found
