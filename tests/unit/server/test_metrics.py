# SPDX-License-Identifier: Apache-2.0
"""The exposition: upstream's metrics to the letter, the others by value, and all of them documented."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kuutamod.core.model import Child, NodeState, Phase, Role, Session, State, label
from kuutamod.core.readiness import NEW_WATCH, ineligible
from kuutamod.server.metrics import Metrics, upstream
from unit.server import snapshots

DOCUMENT = Path(__file__).parents[3] / "docs" / "metrics.md"
SERIES = re.compile(r"(?P<name>[a-z_]+)(?P<labels>\{[^}]*\})? (?P<value>\S+)")


def values(text: str) -> dict[str, float]:
    """Series with its labels as printed -> value."""
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    found = {series: float(value) for series, value in (line.rsplit(" ", 1) for line in lines)}
    assert len(found) == len(lines), "a series is there twice"
    return found


def scrape(state: NodeState, now: float, metrics: Metrics | None = None) -> dict[str, float]:
    return values((metrics or Metrics(lambda: 0)).render(state, now).decode())


def test_upstream_metrics_to_the_letter() -> None:
    lines = [line for line in upstream(replace(snapshots.VOTING, starts=2), 181.917).splitlines() if line[0] != "#"]
    assert lines == [
        'kuutamod_state{type="Startup"} 0',
        'kuutamod_state{type="Syncing"} 0',
        'kuutamod_state{type="Registering"} 0',
        'kuutamod_state{type="Voting"} 1',
        'kuutamod_state{type="Validating"} 0',
        'kuutamod_state{type="Shutdown"} 0',
        "kuutamod_neard_restarts 1",
        "kuutamod_uptime 81917",
    ]


def test_the_whole_text_begins_with_upstreams_metrics() -> None:
    text = Metrics(lambda: 0).render(snapshots.ACTIVE, 151.0).decode()
    assert text.startswith(upstream(snapshots.ACTIVE, 151.0))
    assert text.endswith("\n")


@pytest.mark.parametrize("milliseconds", [0, 999_999, 1_000_000, 10_000_000, 31_536_000_000, 10**16])
def test_uptime_is_a_plain_integer_however_long(milliseconds: int) -> None:
    state = replace(snapshots.FRESH, started=0.0)
    assert f"\nkuutamod_uptime {milliseconds}\n" in upstream(state, milliseconds / 1000)


@pytest.mark.parametrize(("starts", "restarts"), [(0, 0), (1, 0), (2, 1), (2_000_001, 2_000_000)])
def test_the_first_start_is_no_restart(starts: int, restarts: int) -> None:
    assert f"\nkuutamod_neard_restarts {restarts}\n" in upstream(replace(snapshots.FRESH, starts=starts), 101.0)


@pytest.mark.parametrize("name", State)
def test_each_state_is_shown(name: State) -> None:
    assert f'\nkuutamod_state{{type="{name.value}"}} 1\n' in upstream(snapshots.BY_STATE[name], 151.0)


CHILDREN = st.builds(
    Child,
    serial=st.just(1),
    role=st.sampled_from(Role),
    keyed=st.booleans(),
    started=st.just(100.0),
    status=st.sampled_from([None, snapshots.STATUS]),
    answered=st.sampled_from([None, 150.0]),
    identified=st.booleans(),
    synced=st.booleans(),
    key_live=st.booleans(),
    stopping=st.sampled_from([None, "handover"]),
    killed=st.sampled_from([None, "no proof"]),
)
STATES = st.builds(
    replace,
    st.just(snapshots.FRESH),
    child=st.none() | CHILDREN,
    lease=st.sampled_from([None, snapshots.LEASE, replace(snapshots.LEASE, lost="gone")]),
    session=st.sampled_from([None, Session("s", 1.0), Session("s", 1.0, member=True)]),
    stop_requested=st.sampled_from([None, "SIGTERM"]),
)


@given(STATES)
def test_exactly_one_state_and_at_most_one_phase_are_one(state: NodeState) -> None:
    found = scrape(state, 151.0)
    states = [series for series, value in found.items() if series.startswith("kuutamod_state{") and value == 1]
    phases = [series for series, value in found.items() if series.startswith("kuutamod_phase{") and value == 1]
    assert states == [f'kuutamod_state{{type="{label(state).value}"}}']
    assert len(phases) <= 1
    assert bool(phases) == (state.lease is not None or (state.child is not None and state.child.keyed))


@pytest.mark.parametrize("name", Phase)
def test_each_phase_is_shown(name: Phase) -> None:
    found = scrape(snapshots.BY_PHASE[name], 151.0)
    shown = {each.value: found[f'kuutamod_phase{{phase="{each.value}"}}'] for each in Phase if each is not Phase.NONE}
    assert shown == {each.value: float(each is name) for each in Phase if each is not Phase.NONE}


def test_the_lease_in_numbers() -> None:
    found = scrape(snapshots.ACTIVE, 151.5)
    assert found["kuutamod_lease_proof_age_seconds"] == 1.5
    assert found["kuutamod_fence_margin_seconds"] == 7.0 - 1.5
    assert found["kuutamod_lock_held_seconds"] == 11.5
    assert found["kuutamod_term"] == 5


LOST = replace(snapshots.ACTIVE, lease=replace(snapshots.LEASE, lost="refused"))


@pytest.mark.parametrize("state", [snapshots.VOTING, LOST])
def test_no_lease_numbers_without_a_lease(state: NodeState) -> None:
    names = set(scrape(state, 151.0))
    assert not names & {"kuutamod_lease_proof_age_seconds", "kuutamod_fence_margin_seconds", "kuutamod_lock_held_seconds"}


@given(STATES)
def test_eligible_agrees_with_the_reasons(state: NodeState) -> None:
    found = scrape(state, 151.0)
    codes = {reason.code for reason in ineligible(state, 151.0)}
    shown = {series for series in found if series.startswith("kuutamod_ineligible_reason")}
    assert shown == {f'kuutamod_ineligible_reason{{reason="{code}"}}' for code in codes}
    assert found["kuutamod_eligible"] == (0 if codes else 1)


@pytest.mark.parametrize(
    ("child", "now", "shown"),
    [
        (snapshots.FENCING.child, 161.0, 0),  # killed at 160, the law allows 1 s
        (snapshots.FENCING.child, 161.1, 1),
        (snapshots.ACTIVE.child, 999.0, 0),
        (replace(snapshots.SYNCED, killed="hung", killed_at=160.0), 999.0, 0),  # without a key nobody is endangered
        (None, 999.0, 0),
    ],
)
def test_cannot_fence(child: Child | None, now: float, shown: int) -> None:
    assert scrape(replace(snapshots.ACTIVE, child=child), now)["kuutamod_cannot_fence"] == shown


def test_neards_height_only_when_it_answered() -> None:
    assert scrape(snapshots.VOTING, 151.0)["kuutamod_neard_height"] == 4711
    assert "kuutamod_neard_height" not in scrape(snapshots.FRESH, 151.0)


def test_counters_go_up_between_scrapes() -> None:
    lost = 0
    metrics = Metrics(lambda: lost)
    before = scrape(snapshots.VOTING, 151.0, metrics)
    metrics.bind_failed()
    metrics.observe_consul("heartbeat", "applied", 0.02)
    metrics.observe_consul("heartbeat", "applied", 0.4)
    metrics.observe_consul("heartbeat", "unknown", 1.0)
    lost = 12
    after = scrape(snapshots.VOTING, 151.0, metrics)
    name = "kuutamod_exporter_bind_failures_total"
    assert (before[name], after[name]) == (0, 1)
    name = "kuutamod_log_lines_dropped_total"
    assert (before[name], after[name]) == (0, 12)
    name = "kuutamod_consul_request_seconds"
    assert after[f'{name}_count{{operation="heartbeat",outcome="applied"}}'] == 2
    assert after[f'{name}_bucket{{le="0.025",operation="heartbeat",outcome="applied"}}'] == 1
    assert after[f'{name}_sum{{operation="heartbeat",outcome="unknown"}}'] == 1.0


def test_the_version_is_shown() -> None:
    assert scrape(snapshots.FRESH, 151.0)['kuutamod_build_info{version="0.1.0"}'] == 1


def exported() -> dict[str, tuple[str, frozenset[str]]]:
    """Family -> type and labels, over snapshots that together show everything."""
    metrics = Metrics(lambda: 0)
    metrics.observe_consul("heartbeat", "applied", 0.02)
    text = metrics.render(snapshots.ACTIVE, 151.0).decode()
    types: dict[str, str] = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE))
    labels: dict[str, set[str]] = {name: set() for name in types}
    for line in text.splitlines():
        if not line.startswith("#"):
            match = SERIES.fullmatch(line)
            assert match, line
            family = re.sub(r"_(bucket|count|sum)$", "", match["name"])
            labels[family] |= set(re.findall(r'(\w+)="', match["labels"] or "")) - {"le"}
    return {name: (kind, frozenset(labels[name])) for name, kind in types.items()}


def documented() -> dict[str, tuple[str, frozenset[str]]]:
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| ([^|]*)\| ([^|]+) \| ([^|]+) \|$", DOCUMENT.read_text(), re.MULTILINE)
    for name, _, _, unit, meaning in rows:
        assert unit.strip(), name
        assert meaning.strip(), name
    return {name: (kind, frozenset(re.findall(r"`(\w+)`", labels))) for name, kind, labels, _, _ in rows}


def test_the_document_lists_exactly_what_is_exported() -> None:
    assert documented() == exported()


def test_the_document_names_every_reason() -> None:
    source = (Path(__file__).parents[3] / "files/kuutamod/src/kuutamod/core/readiness.py").read_text()
    used_in_ineligible = source.partition("def behind")[0]
    codes = set(re.findall(r'Reason\(\s*"([a-z-]+)"', used_in_ineligible)) | {NEW_WATCH}
    assert len(codes) >= 10
    listed = set(re.findall(r"^- `([a-z-]+)`: ", DOCUMENT.read_text(), re.MULTILINE))
    assert listed == codes
