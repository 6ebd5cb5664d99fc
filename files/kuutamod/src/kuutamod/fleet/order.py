# SPDX-License-Identifier: Apache-2.0
"""Giving the fleet an order: look at it, then place the request. ``follow`` tells how it goes on."""

from __future__ import annotations

import getpass
import os
import socket
import uuid
from collections.abc import Mapping
from dataclasses import dataclass

from ..consul import orders
from ..consul.faults import ConsulError, Fault
from ..consul.overview import Overview, read_overview
from ..consul.settings import ConsulSettings
from ..core.protocol import Ask, Request
from .verdict import unseen
from .words import MIN_WINDOW, TIMEOUT

DEADLINE = 10.0
"""Seconds for Consul to answer one question, all URLs together."""

WINDOWS = (
    "neard's windows tell of blocks and chunks only: endorsements are due in nearly every block, so some are missed "
    "all the same"
)
"""What an operator must know who waits for a window."""


@dataclass(frozen=True)
class Connection:
    """Whom to ask about which account. ``deadline``: seconds for Consul to answer one question, all URLs together."""

    account_id: str
    consul: ConsulSettings
    deadline: float = DEADLINE


@dataclass(frozen=True)
class Manner:
    """How an order is to be carried out: when, until when it may begin (seconds from now), who asks and why."""

    by: str
    reason: str = ""
    at: str = "now"
    min_window: int = MIN_WINDOW
    timeout: float = TIMEOUT
    allow_restart: bool = False


def operator(env: Mapping[str, str]) -> str:
    """Who asks, for the history: the user behind sudo, and this host."""
    try:
        user = env.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):  # a user id without a name
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"


def look(to: Connection, terms: int = 1) -> Overview:
    """The fleet, with lock and members readable, for nothing can be decided without them. Raises ConsulError."""
    overview = read_overview(to.consul, to.account_id, terms, to.deadline)
    if why := unseen(overview):
        raise ConsulError(Fault.FORBIDDEN, why)
    return overview


def new_request(wall: float, what: Ask, manner: Manner, *, holder: str, term: int, node: str) -> Request:
    """What is asked for, with an id that no other request has. ``wall``: now, in Unix seconds."""
    return Request(
        id=uuid.uuid4().hex[:8],
        ask=what,
        holder=holder,
        term=term,
        issued=wall,
        expires=wall + manner.timeout,
        node=node,
        when=manner.at,
        min_window=manner.min_window,
        allow_restart=manner.allow_restart,
        by=manner.by,
        reason=manner.reason,
    )


def place(to: Connection, request: Request) -> str:
    """Place the request; why it is not known whether Consul has it, empty when it has. Raises ConsulError if it has not."""
    try:
        orders.place(to.consul, to.account_id, request, to.deadline)
    except orders.Unsure as error:
        return f"it is not known whether Consul has request {request.id}: {error}"
    return ""
