# SPDX-License-Identifier: Apache-2.0
"""One question to Consul from a program without an event loop, within a deadline of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from .endpoint import Link, TokenSource
from .faults import ELSEWHERE, ConsulError
from .settings import ConsulSettings

T = TypeVar("T")


def ask_once(settings: ConsulSettings, deadline: float, call: Callable[[Any], T]) -> T:
    """What ``call`` returns when given a client: the first URL's answer; every URL gets an equal share of the deadline.

    ``deadline`` in seconds, all URLs together. Raises ConsulError with a text for people.
    """
    return asyncio.run(_ask_each(settings, deadline, call))


async def _ask_each(settings: ConsulSettings, deadline: float, call: Callable[[Any], T]) -> T:
    share = deadline / len(settings.urls)
    # A program that asks once has no lease to keep: a slow way to Consul may have all the time there is.
    link = Link("ctl", settings, TokenSource(settings), read_deadline=share, connect_deadline=share)
    failures: list[ConsulError] = []
    try:
        for _unused in settings.urls:
            try:
                return await link.ask(call, share)
            except ConsulError as error:
                failures.append(error)
                if error.fault not in ELSEWHERE:
                    break
    finally:
        link.close()
    raise ConsulError(failures[-1].fault, "; ".join(error.why for error in failures), failures[-1].refusals)
