# SPDX-License-Identifier: Apache-2.0
"""To which installed releases a fleet goes back."""

from __future__ import annotations

from typing import Any

from unit.playbooks.rig import node, rules
from unit.plays import Json


def host(runs: str, *installed: str, what: str = "neard", python: str = "3.13") -> Json:
    """A host with these releases of one component, in the order in which they came."""
    found = node(**{what: runs})
    found[what] = {**found[what], "current": runs, "releases": list(installed)}
    found["kuutamod"] = {**found["kuutamod"], "python": python}
    return found


def releases(nodes: dict[str, Json], *components: str, **more: Any) -> dict[str, Any]:
    """The filter's answer."""
    found: dict[str, Any] = rules("fleet_releases", "filter").fleet_releases(nodes, components or ("neard",), **more)
    return found


def test_it_goes_back_to_the_one_before() -> None:
    nodes = {name: host("n2", "n1", "n2") for name in "abc"}
    assert releases(nodes) == {"targets": {name: {"neard": "n1"} for name in "abc"}, "faults": []}


def test_it_goes_back_to_the_same_one_when_it_is_run_again_in_the_middle() -> None:
    nodes = {"a": host("n2", "n1", "n2"), "b": host("n1", "n1", "n2"), "c": host("n2", "n1", "n2")}
    assert releases(nodes)["targets"] == {name: {"neard": "n1"} for name in "abc"}


def test_a_release_that_does_not_even_start_is_the_one_to_go_back_from() -> None:
    broken = {**host("n2", "n1", "n2"), "running": None}
    nodes = {"a": host("n1", "n1", "n2"), "b": broken, "c": host("n1", "n1", "n2")}
    assert releases(nodes)["targets"] == {name: {"neard": "n1"} for name in "abc"}


def test_a_release_that_is_only_staged_is_nothing_to_go_back_from() -> None:
    nodes = {name: host("n2", "n1", "n2", "n3") for name in "abc"}
    assert releases(nodes)["targets"]["a"] == {"neard": "n1"}


def test_without_an_older_one_there_is_nowhere_to_go() -> None:
    found = releases({"a": host("n1", "n1", "n2"), "b": host("n1", "n1", "n2")})
    assert found["targets"] == {"a": {}, "b": {}}
    assert found["faults"][0] == "a: no release of neard fits 'previous'; installed are n1, n2"


def test_a_release_is_named_by_how_it_begins() -> None:
    nodes = {"a": host("2.12.1-ff", "2.11.0-aa", "2.11.1-bb", "2.12.1-ff")}
    assert releases(nodes, wanted="2.11.1")["targets"] == {"a": {"neard": "2.11.1-bb"}}
    assert releases(nodes, wanted="2.12.1-ff")["targets"] == {"a": {"neard": "2.12.1-ff"}}
    assert releases(nodes, wanted="2.11")["faults"] == [
        "a: more than one release of neard fits '2.11'; installed are 2.11.0-aa, 2.11.1-bb, 2.12.1-ff"
    ]
    assert releases(nodes, wanted="3")["faults"] == [
        "a: no release of neard fits '3'; installed are 2.11.0-aa, 2.11.1-bb, 2.12.1-ff"
    ]


def test_a_whole_name_wins_over_one_that_only_begins_so() -> None:
    nodes = {"a": host("n1-x", "n1", "n1-x")}
    assert releases(nodes, wanted="n1")["targets"] == {"a": {"neard": "n1"}}


def test_each_python_has_its_own_releases_of_kuutamod() -> None:
    nodes = {
        "a": host("k2", "k1", "k2", what="kuutamod"),
        "b": host("k2-old", "k1-old", "k2-old", what="kuutamod", python="3.11"),
        "c": host("k1-old", "k1-old", "k2-old", what="kuutamod", python="3.11"),
    }
    assert releases(nodes, "kuutamod")["targets"] == {
        "a": {"kuutamod": "k1"},
        "b": {"kuutamod": "k1-old"},
        "c": {"kuutamod": "k1-old"},
    }


def test_both_components_go_back_together() -> None:
    both = host("n2", "n1", "n2")
    both["kuutamod"] = {"current": "k2", "python": "3.13", "releases": ["k1", "k2"]}
    both["running"] = {**both["running"], "kuutamod": "k2"}
    assert releases({"a": both}, "neard", "kuutamod")["targets"] == {"a": {"neard": "n1", "kuutamod": "k1"}}
