# SPDX-License-Identifier: Apache-2.0
"""A soak counts how an operator's commands end, and takes no answer that none of them may ever give."""

from __future__ import annotations

import pytest

from kuutamo_localnet.soak_ground import CONSUL_FAILED, EXPECTED, KILLED, Orders
from kuutamo_localnet.soak_orders import ORDERS
from kuutamo_localnet.soak_plan import TRAITS, Kind, Subject
from kuutamod.cli.ordering import Exit


def test_commands_are_counted_by_how_they_end() -> None:
    orders = Orders()
    for code in (Exit.DONE, Exit.ROLLED_BACK, Exit.DONE, KILLED, CONSUL_FAILED):
        orders.note(("handover", "--to", "node1"), code, "")
    orders.note(("undrain", "node1"), Exit.DONE, "")
    assert orders.counts() == {
        "handover: Consul failed": 1,
        "handover: done": 2,
        "handover: killed": 1,
        "handover: rolled back": 1,
        "undrain: done": 1,
    }
    assert orders.surprises == []


@pytest.mark.parametrize(("code", "said"), [(2, "faulty options"), (-11, ""), (0, "Traceback (most recent call last):\nX")])
def test_a_crash_or_a_usage_error_of_a_command_fails_the_soak(code: int, said: str) -> None:
    orders = Orders()
    orders.note(("pause", "--for", "60s"), code, said)
    (surprise,) = orders.surprises
    assert surprise.startswith(f"kuutamoctl pause --for 60s ended with {code}")
    assert said in surprise


def test_every_documented_way_to_end_is_expected_and_every_order_has_its_strike() -> None:
    assert set(Exit) <= EXPECTED
    assert set(ORDERS) == {kind for kind, traits in TRAITS.items() if traits.subject is Subject.FLEET}
    assert Kind.HAND_OVER in ORDERS
