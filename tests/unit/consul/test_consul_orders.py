# SPDX-License-Identifier: Apache-2.0
"""How long a request is left to the nodes, and what may still be written once nobody waits for it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kuutamod.consul import orders
from kuutamod.consul.faults import ConsulError, Fault
from kuutamod.core.protocol import Ask, Mark, Request, Step

HANDOVER = Request("r1", Ask.HANDOVER, "n1", 7, issued=0.0, expires=60.0, node="n2")
BEGUN = (Mark(Step.CONFIRMED, 1.0),)


@pytest.mark.parametrize(
    ("request_", "seconds"),
    [
        (HANDOVER, 120.0),
        (replace(HANDOVER, marks=BEGUN), 120.0),
        (replace(HANDOVER, allow_restart=True), 120.0),
        (replace(HANDOVER, ask=Ask.RESTART), 120.0),
        # A neard may take that long to start.
        (replace(HANDOVER, allow_restart=True, marks=BEGUN), 120.0 + 900.0),
        (replace(HANDOVER, ask=Ask.RESTART, marks=BEGUN), 120.0 + 900.0),
    ],
)
def test_how_long_a_request_may_take_to_end(request_: Request, seconds: float) -> None:
    assert orders.finish(request_, 120.0) == seconds


@pytest.mark.parametrize(
    ("request_", "after"),
    [
        (HANDOVER, orders.STALE),
        (replace(HANDOVER, marks=BEGUN), orders.LOST),
        (replace(HANDOVER, ask=Ask.RESTART, marks=BEGUN), orders.LOST + 900.0),
    ],
)
def test_a_request_that_nobody_ends_is_given_up_only_when_no_node_can_be_at_it(request_: Request, after: float) -> None:
    assert not orders._abandoned(request_, request_.expires + after)
    assert orders._abandoned(request_, request_.expires + after + 1)


def test_nothing_is_written_once_nobody_waits_for_it() -> None:
    """A call that was not answered in time goes on in its own thread."""
    writes = orders._Writes()
    writes.begin()
    writes.refused()
    assert not writes.close()
    with pytest.raises(ConsulError) as caught:
        writes.begin()
    assert caught.value.fault is Fault.TIMEOUT
    assert not writes.close()


def test_a_write_that_was_not_refused_may_have_been_applied() -> None:
    writes = orders._Writes()
    writes.begin()
    writes.refused()
    writes.begin()
    assert writes.close()
