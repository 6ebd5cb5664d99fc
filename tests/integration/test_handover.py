# SPDX-License-Identifier: Apache-2.0
"""Planned handovers on real processes: an operator's request from the command line to its one outcome."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from integration.operator_line import Asked, ctl, ended, in_order, request
from integration.scenario import SHORT_HOLD_OFF, Stage, boottime, heal, release_bound, rested, single, steal_bound
from kuutamo_localnet.fleet_node import Part
from kuutamo_localnet.fleet_plan import FleetSpec
from kuutamo_localnet.proxy import RefusingProxy
from kuutamo_localnet.wait import eventually
from kuutamod.cli.kuutamoctl import main
from kuutamod.core.protocol import Outcome, Step, TermRecord, history_key
from kuutamod.fleet import follow

pytestmark = [
    pytest.mark.integration,
    # python-consul2 warns of parts of Consul that are not used here.
    pytest.mark.filterwarnings("ignore::DeprecationWarning:consul.base"),
]


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with single(tmp_path_factory.mktemp("handover"), FleetSpec(environment=SHORT_HOLD_OFF)) as made:
        yield made


@pytest.fixture
def stage(fleet: Stage) -> Iterator[Stage]:
    heal(fleet)
    yield fleet
    fleet.safe()


def test_a_handover_to_a_named_node_tells_every_phase_and_ends_in_done(stage: Stage) -> None:
    holder = rested(stage)
    term, candidate = stage.term(), stage.fleet.standbys(holder)[-1]
    done = ctl(stage, "handover", "--to", candidate.name, "--reason", "new disk")
    assert done.returncode == 0, done.stdout + done.stderr
    told = done.stdout.splitlines()
    assert f"from {holder.name} (term {term}) to {candidate.name}" in told[0]
    assert in_order([line[10:].split(":")[0] for line in told[1:-1]]), told
    assert told[-1].startswith(f"done: {candidate.name} validates in term {term + 1} (no signer for ")
    assert stage.holder() is candidate
    assert stage.term() == term + 1
    old, new = stage.last_interval(holder), stage.last_interval(candidate)
    assert old.ended_at is not None
    assert old.ended_at <= new.loaded_at
    stage.healthy()
    record = TermRecord.from_json(getattr(stage.client().kv_get(history_key(stage.account, term + 1)), "value", None))
    assert record is not None
    assert (record.node, record.cause) == (candidate.name, "handover")
    assert "new disk" in record.began
    assert "@" in record.by
    assert 0 <= record.gap <= release_bound()
    before = TermRecord.from_json(getattr(stage.client().kv_get(history_key(stage.account, term)), "value", None))
    assert before is not None
    assert before.until > 0
    assert "new disk" in before.ended


def test_without_a_name_the_best_standby_is_chosen_and_a_dry_run_changes_nothing(stage: Stage) -> None:
    holder = rested(stage)
    term = stage.term()
    done = ctl(stage, "handover", "--dry-run", "--json")
    assert done.returncode == 0, done.stderr
    plan = json.loads(done.stdout)
    assert (plan["holder"], plan["term"]) == (holder.name, term)
    assert plan["to"] in {node.name for node in stage.fleet.standbys(holder)}
    assert (stage.holder(), stage.term()) == (holder, term)
    done = ctl(stage, "handover", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["outcome"] == "done"
    assert stage.holder().name == plan["to"]


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--to", "node9"), "there is no node node9"),
        (("--expect-holder", "node9"), "holds the lock, not node9"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_happens(stage: Stage, words: tuple[str, ...], why: str) -> None:
    holder = rested(stage)
    done = ctl(stage, "handover", *words)
    assert done.returncode == 1
    assert why in done.stderr
    assert stage.holder() is holder


def test_a_window_that_never_comes_times_out_with_the_reason_and_nothing_has_changed(stage: Stage) -> None:
    holder = rested(stage)
    term = stage.term()
    done = ctl(stage, "handover", "--at", "window", "--min-window", "900000", "--timeout", "3")
    assert done.returncode == 5, done.stdout + done.stderr
    assert "no window of 900000 blocks" in done.stdout
    assert (stage.holder(), stage.term()) == (holder, term)


def test_two_operators_at_once_and_one_is_told_of_the_other(stage: Stage) -> None:
    rested(stage)
    first = Asked(stage, "handover", "--at", "window", "--min-window", "900000", "--timeout", "8")
    first.reaches(Step.WAITING)
    second = ctl(stage, "handover")
    assert second.returncode == 1
    assert second.stderr.startswith("kuutamoctl: refused: a handover of ")
    assert "one request at a time" in second.stderr
    assert first.ended(60)[0] == 5


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_command_line_that_is_killed_endangers_nothing(stage: Stage, number: signal.Signals) -> None:
    holder = rested(stage)
    command = Asked(stage, "handover", "--at", "window", "--min-window", "1", "--timeout", "60")
    command.reaches(None)
    command.process.send_signal(number)
    code, out = command.ended(30)
    asked = request(stage)
    assert asked is not None
    assert code == (130 if number is signal.SIGINT else -signal.SIGKILL)
    said = f"request {asked.id} goes on without this command; `kuutamoctl status` shows it"
    assert (said in out) == (number is signal.SIGINT)
    assert "Traceback" not in out
    assert ended(stage).outcome is Outcome.DONE
    assert stage.holder() is not holder


def test_a_candidate_that_dies_before_it_is_ready_leaves_everything_as_it_was(stage: Stage) -> None:
    holder = rested(stage)
    candidate = stage.fleet.standbys(holder)[0]
    candidate.freeze(Part.SUPERVISOR)
    done = ctl(stage, "handover", "--to", candidate.name, "--timeout", "3")
    assert done.returncode in (1, 5), done.stdout + done.stderr
    assert stage.holder() is holder


def test_a_height_is_waited_for(stage: Stage) -> None:
    holder = rested(stage)
    term = stage.term()
    height = stage.fleet.referee.ledger.height_at(boottime()) + 15
    done = ctl(stage, "handover", "--at", str(height))
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"at height {height}" in done.stdout.splitlines()[0]
    assert f"  {Step.WAITING.value}\n" in done.stdout
    assert stage.holder() is not holder
    before = TermRecord.from_json(getattr(stage.client().kv_get(history_key(stage.account, term)), "value", None))
    assert before is not None
    assert before.last_height >= height


def test_without_waiting_the_fleet_goes_on_by_itself(stage: Stage) -> None:
    holder = rested(stage)
    done = ctl(stage, "handover", "--no-wait")
    asked = request(stage)
    assert asked is not None
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, f"asked for, request {asked.id}")
    assert ended(stage).outcome is Outcome.DONE
    assert stage.holder() is not holder


def test_a_candidate_that_dies_while_a_height_is_waited_for_changes_nothing(stage: Stage) -> None:
    holder = rested(stage)
    term, candidate = stage.term(), stage.fleet.standbys(holder)[0]
    # So far away that the candidate's session has ended by then.
    height = stage.fleet.referee.ledger.height_at(boottime()) + 60
    command = Asked(stage, "handover", "--to", candidate.name, "--at", str(height), "--timeout", "60")
    command.reaches(Step.WAITING)
    candidate.lose_host()
    code, out = command.ended(90)
    candidate.return_host()
    found = ended(stage)
    assert found.outcome in (Outcome.REFUSED, Outcome.EXPIRED), out
    assert code == (1 if found.outcome is Outcome.REFUSED else 5), out
    assert candidate.name in found.why
    assert (stage.holder(), stage.term()) == (holder, term)


@pytest.mark.parametrize("step", [Step.CONFIRMED, Step.STOPPED, Step.RELEASED, Step.ACQUIRED, Step.LOADED, Step.PRODUCING])
def test_a_candidate_that_dies_in_any_phase_leaves_one_outcome_and_one_validator(stage: Stage, step: Step) -> None:
    holder = rested(stage)
    candidate = stage.fleet.standbys(holder)[0]
    command = Asked(stage, "handover", "--to", candidate.name)
    command.reaches(step)
    candidate.lose_host()
    code, out = command.ended(steal_bound() + 240)
    candidate.return_host()
    found = ended(stage)
    # It may have been quicker than the blow.
    assert found.outcome in (Outcome.DONE, Outcome.ROLLED_BACK), out
    assert code == (0 if found.outcome is Outcome.DONE else 4), out
    stage.healthy()


def test_a_candidate_that_is_gone_when_the_lock_is_released_is_replaced(stage: Stage) -> None:
    holder = rested(stage)
    candidate = stage.fleet.standbys(holder)[0]
    holder.behaviour(close_delay=3.0)
    command = Asked(stage, "handover", "--to", candidate.name)
    command.reaches(Step.UNLOADING)
    candidate.freeze_host()
    code, out = command.ended(steal_bound() + 120)
    candidate.thaw_host()
    assert (code, f"rolled back: {candidate.name} did not take the lock" in out) == (4, True), out
    assert stage.holder() is not candidate


def test_a_command_line_that_is_cut_off_says_that_it_does_not_know(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The link is cut after the point of no return: no rollback, a plain message, a code of its own."""
    monkeypatch.setattr(follow, "FINISH", 3.0)
    monkeypatch.setattr(follow, "ANSWER", 1.0)
    holder = rested(stage)
    holder.behaviour(close_delay=5.0)
    candidate, before = stage.fleet.standbys(holder)[0], request(stage)
    consul = urlsplit(stage.client().url)
    with RefusingProxy(str(consul.hostname), int(consul.port or 80)) as link:

        def cut() -> None:
            def begun() -> bool:
                found = request(stage)
                new = found is not None and found.id != (before.id if before is not None else "")
                return found is not None and new and found.marked(Step.UNLOADING) is not None

            eventually(begun, 60, "neard is told to drop the key", interval=0.01)
            link.refuse()

        threading.Thread(target=cut, daemon=True).start()
        words = ["handover", "--to", candidate.name, "--timeout", "6", "--account-id", stage.account]
        assert main([*words, "--consul-url", link.url]) == 6
    assert "unknown: " in capsys.readouterr().out
    assert ended(stage).outcome is Outcome.DONE
    assert stage.holder() is candidate


def test_a_holder_that_is_killed_on_the_way_ends_in_one_outcome_all_the_same(stage: Stage) -> None:
    holder = rested(stage)
    candidate = stage.fleet.standbys(holder)[0]
    holder.behaviour(close_delay=5.0)
    command = Asked(stage, "handover", "--to", candidate.name)
    command.reaches(Step.UNLOADING)
    holder.kill(Part.SUPERVISOR, signal.SIGKILL)
    code, out = command.ended(steal_bound() + 120)
    assert code in (0, 4), out
    assert ended(stage).outcome in (Outcome.DONE, Outcome.ROLLED_BACK)
    stage.healthy()


def test_a_candidate_that_must_restart_its_neard_takes_the_lock_only_if_that_is_accepted(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    spec = FleetSpec(nodes=2, promotion="restart", environment=SHORT_HOLD_OFF)
    with single(tmp_path_factory.mktemp("restart-promotion"), spec) as stage:
        holder = rested(stage)
        (candidate,) = stage.fleet.standbys(holder)
        pid = candidate.pid(Part.NEARD)
        refused = ctl(stage, "handover")
        assert refused.returncode == 1
        assert f"{candidate.name} would have to restart its neard to get the key; --allow-restart" in refused.stderr
        done = ctl(stage, "handover", "--allow-restart")
        assert done.returncode == 0, done.stdout + done.stderr
        assert stage.holder() is candidate
        assert candidate.pid(Part.NEARD) != pid
        stage.safe()
