# SPDX-License-Identifier: Apache-2.0
"""The metrics of one state: upstream's to the letter, the others by value. What adds up is in ``test_observed``."""

from __future__ import annotations

import ast
import inspect
import platform
from dataclasses import replace
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kuutamod.core import readiness
from kuutamod.core.desk import Desk
from kuutamod.core.model import Child, NodeState, Phase, Role, Session, State, label
from kuutamod.core.protocol import FleetConfig, Outcome, Pause
from kuutamod.core.readiness import ineligible
from kuutamod.server.guard_state import GuardState
from kuutamod.server.metrics import Metrics
from kuutamod.server.reasons import REASON_CODES
from kuutamod.server.snapshot import upstream
from unit.server import snapshots
from unit.server.exposition import scrape, scrape_view


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
    text = Metrics(lambda: 0).render(snapshots.view(snapshots.ACTIVE)).decode()
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
    shown = {code: found[f'kuutamod_ineligible_reason{{reason="{code}"}}'] for code in REASON_CODES}
    assert shown == {code: float(code in codes) for code in REASON_CODES}
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
    lost = 12
    after = scrape(snapshots.VOTING, 151.0, metrics)
    name = "kuutamod_exporter_bind_failures_total"
    assert (before[name], after[name]) == (0, 1)
    name = "kuutamod_log_lines_dropped_total"
    assert (before[name], after[name]) == (0, 12)


def test_the_versions_are_shown() -> None:
    python = platform.python_version()
    labels = f'neard_version="2.9.0",python_version="{python}",version="0.1.0"'
    assert scrape(snapshots.ELIGIBLE, 151.0)[f"kuutamod_build_info{{{labels}}}"] == 1
    assert f'kuutamod_build_info{{neard_version="",python_version="{python}",version="0.1.0"}}' in scrape(
        snapshots.FRESH, 151.0
    )


def test_neard_in_numbers() -> None:
    found = scrape(snapshots.ELIGIBLE, 151.0)
    assert found["kuutamod_neard_height"] == 4711
    assert found["kuutamod_neard_peers"] == 12
    assert found["kuutamod_neard_protocol_version"] == 79
    assert found["kuutamod_neard_latest_protocol_version"] == 80


@pytest.mark.parametrize("name", ["peers", "protocol_version", "latest_protocol_version"])
def test_what_neard_does_not_tell_is_absent(name: str) -> None:
    assert f"kuutamod_neard_{name}" not in scrape(snapshots.VOTING, 151.0)


def test_neards_start_does_not_tremble_with_the_wall_clock() -> None:
    metrics, name = Metrics(lambda: 0), "kuutamod_neard_start_time_seconds"
    view = snapshots.view(snapshots.ELIGIBLE)
    assert scrape_view(metrics, view)[name] == snapshots.WALL + snapshots.STARTED
    assert scrape_view(metrics, replace(view, wall=view.wall + 0.4))[name] == snapshots.WALL + snapshots.STARTED
    again = replace(snapshots.SYNCED, serial=2, started=140.0)
    restarted = replace(view, state=replace(view.state, child=again))
    assert scrape_view(metrics, restarted)[name] == snapshots.WALL + 140.0
    assert name not in scrape(snapshots.FRESH, 151.0)


@pytest.mark.parametrize(
    ("child", "state"),
    [
        (None, GuardState.NONE),
        (replace(snapshots.SYNCED, pid=None), GuardState.NONE),
        (snapshots.SYNCED, GuardState.IDLE),
        (snapshots.KEYED, GuardState.ARMED),
        (replace(snapshots.KEYED, guard_silent_since=150.5), GuardState.ARMED),  # asked a moment ago
        (replace(snapshots.KEYED, guard_silent_since=149.9), GuardState.SILENT),
        (replace(snapshots.SYNCED, guard_silent_since=149.9), GuardState.SILENT),
    ],
)
def test_the_guard(child: Child | None, state: GuardState) -> None:
    found = scrape(replace(snapshots.ELIGIBLE, child=child), 151.0)
    shown = {each: found[f'kuutamod_guard_state{{state="{each.value}"}}'] for each in GuardState}
    assert shown == {each: float(each is state) for each in GuardState}


def test_what_an_operator_has_switched_off() -> None:
    name = "kuutamod_pause_remaining_seconds"
    assert scrape(snapshots.ELIGIBLE, 151.0)[name] == 0
    assert scrape(snapshots.PAUSED, 151.0)[name] == 30
    assert scrape(snapshots.PAUSED, 182.0)[name] == 0, "a pause ends by itself"
    assert scrape(snapshots.ELIGIBLE, 151.0)["kuutamod_drained"] == 0
    assert scrape(snapshots.DRAINED, 151.0)["kuutamod_drained"] == 1


def test_a_pause_of_another_node_is_not_shown() -> None:
    fleet = FleetConfig(pauses=(Pause(snapshots.WALL + 181.0, "b"),), no_takeover=("b",))
    found = scrape(replace(snapshots.ELIGIBLE, fleet=fleet), 151.0)
    assert (found["kuutamod_pause_remaining_seconds"], found["kuutamod_drained"]) == (0, 0)


def test_an_unreadable_config_is_no_pause() -> None:
    found = scrape(replace(snapshots.PAUSED, fleet=None), 151.0)
    assert (found["kuutamod_pause_remaining_seconds"], found["kuutamod_drained"]) == (0, 0)


def test_a_request_is_pending_until_it_has_an_outcome() -> None:
    assert scrape(snapshots.ELIGIBLE, 151.0)["kuutamod_request_pending"] == 0
    assert scrape(snapshots.ASKED, 151.0)["kuutamod_request_pending"] == 1
    ended = replace(snapshots.REQUEST, outcome=Outcome.REFUSED)
    assert scrape(replace(snapshots.ASKED, desk=Desk(ended)), 151.0)["kuutamod_request_pending"] == 0


def test_the_priority() -> None:
    state = replace(snapshots.ELIGIBLE, policy=replace(snapshots.ELIGIBLE.policy, priority=-3))
    assert scrape(state, 151.0)["kuutamod_priority"] == -3


def codes_of(module: ModuleType, function: str) -> set[str]:
    """The codes of all reasons that a function of a module can give, itself or by what it calls there."""
    tree = ast.parse(inspect.getsource(module))
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    codes: set[str] = set()
    reached, waiting = {function}, [function]
    while waiting:
        for node in ast.walk(functions[waiting.pop()]):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
                continue
            name = node.func.id
            if name == "Reason":
                first = node.args[0]
                codes.add(str(first.value) if isinstance(first, ast.Constant) else getattr(module, ast.unparse(first)))
            elif name in functions and name not in reached:
                reached.add(name)
                waiting.append(name)
    return codes


def test_every_reason_has_its_series_and_no_other() -> None:
    assert len(set(REASON_CODES)) == len(REASON_CODES)
    assert set(REASON_CODES) == codes_of(readiness, "ineligible")
