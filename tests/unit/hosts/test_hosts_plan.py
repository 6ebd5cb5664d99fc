# SPDX-License-Identifier: Apache-2.0
"""What a fleet of hosts consists of, from the wish on the command line."""

from __future__ import annotations

import pytest

from kuutamo_fleet.errors import FleetError
from kuutamo_fleet.plan import DEFAULT_ACCOUNT, FleetPlan, Host, Wish, from_json, make_plan, to_json


def test_without_a_word_it_is_three_hosts_of_both_groups() -> None:
    plan = make_plan(Wish())
    assert [host.name for host in plan.hosts] == ["node0", "node1", "node2"]
    assert all(host.groups == ("consul_servers", "validators") and host.suite == "trixie" for host in plan.hosts)
    assert (plan.account, plan.internal, plan.disks) == (DEFAULT_ACCOUNT, False, False)


def test_hosts_have_suites_and_roles_of_their_own() -> None:
    plan = make_plan(Wish(hosts=("a:bookworm", "b"), suite="trixie", clients=("c:bookworm",), servers=("b",)))
    assert plan.hosts == (
        Host("a", "bookworm"),
        Host("b", "trixie", validator=False),
        Host("c", "bookworm", server=False),
    )


def test_addresses_do_not_move_when_a_host_is_added() -> None:
    plan = make_plan(Wish(count=2))
    more = make_plan(Wish(hosts=("late",)), plan)
    assert [more.address(name, "10.89.4.0/24") for name in ("node0", "node1", "late")] == [
        "10.89.4.10",
        "10.89.4.11",
        "10.89.4.12",
    ]


def test_a_wish_that_says_nothing_keeps_what_is_there() -> None:
    plan = make_plan(Wish(count=2, internal=True, disks=True, account="mine.near"))
    assert make_plan(Wish(), plan) == plan
    assert make_plan(Wish(hosts=("node1",)), plan) == plan


@pytest.mark.parametrize(
    ("wish", "said"),
    [
        (Wish(name="Demo"), "--name 'Demo': small letters"),
        (Wish(hosts=("-x",)), "--host '-x': small letters"),
        (Wish(hosts=("a:buster",)), "--host a:buster: suite 'buster': there are trixie, bookworm"),
        (Wish(suite="buster"), "--suite buster: there are"),
        (Wish(hosts=("a", "a")), "a host is named twice"),
        (Wish(hosts=("a",), count=2), "--hosts and --host are both given"),
        (Wish(count=0), "--hosts 0: 1 to 50"),
        (Wish(count=51), "--hosts 51: 1 to 50"),
        (Wish(clients=("a",), servers=("a",)), "--clients and --servers both name a"),
    ],
)
def test_a_bad_wish_is_refused_with_the_option(wish: Wish, said: str) -> None:
    with pytest.raises(FleetError, match=said):
        make_plan(wish)


@pytest.mark.parametrize(
    ("wish", "said"),
    [
        (Wish(internal=True), "--internal: the fleet demo was made with internal=False"),
        (Wish(account="other.near"), "--account: the fleet demo was made with account=fleet.near"),
        (Wish(hosts=("node0:bookworm",)), "node0: the fleet demo has it as trixie in consul_servers and validators"),
        (Wish(clients=("node0",)), "not trixie in validators"),
    ],
)
def test_what_is_there_is_not_changed_silently(wish: Wish, said: str) -> None:
    with pytest.raises(FleetError, match=said):
        make_plan(wish, make_plan(Wish(count=1)))


def test_a_plan_survives_its_file() -> None:
    plan = FleetPlan("x", (Host("a"), Host("b", "bookworm", server=False)), "v.near", internal=True, disks=True)
    assert from_json(to_json(plan)) == plan


def test_an_unknown_host_is_answered_with_the_known_ones() -> None:
    with pytest.raises(FleetError, match="node9: the fleet demo has no such host; it has node0, node1"):
        make_plan(Wish(count=2)).host("node9")
