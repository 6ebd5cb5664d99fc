# SPDX-License-Identifier: Apache-2.0
"""The control file of a stand-in."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from neard_standin.control import CONTROL_FILE, Behaviour, BehaviourWatch, read_behaviour, set_behaviour
from neard_standin.procfs import boottime


def test_missing_file_means_defaults(tmp_path: Path) -> None:
    assert read_behaviour(tmp_path) == Behaviour()


def test_changes_keep_other_fields(tmp_path: Path) -> None:
    set_behaviour(tmp_path, hang=True, apply_delay=(0.5, 1))
    set_behaviour(tmp_path, slow=2.0)
    behaviour = read_behaviour(tmp_path)
    assert (behaviour.hang, behaviour.slow, behaviour.apply_delay) == (True, 2.0, (0.5, 1.0))
    set_behaviour(tmp_path, hang=False)
    assert json.loads((tmp_path / CONTROL_FILE).read_text()).keys() == {"slow", "apply_delay"}


def test_one_shots_carry_the_moment_they_were_asked_for(tmp_path: Path) -> None:
    before = boottime()
    first = set_behaviour(tmp_path, crash="abort")
    second = set_behaviour(tmp_path, crash="abort")
    assert before <= first.crash_id < second.crash_id <= boottime()
    assert set_behaviour(tmp_path, hang=True).crash_id == second.crash_id


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"hnag": True}, "unknown behaviour hnag"),
        ({"crash": "explode"}, "crash: 'explode'"),
        ({"crash": "exit:x"}, "exit:N"),
        ({"crash_at": "later"}, "crash_at"),
        ({"apply_delay": (2, 1)}, "apply_delay"),
        ({"close_delay": -1}, "close_delay"),
    ],
)
def test_mistakes_are_named_and_change_nothing(tmp_path: Path, changes: dict[str, object], complaint: str) -> None:
    set_behaviour(tmp_path, slow=1.0)
    with pytest.raises(ValueError, match=complaint):
        set_behaviour(tmp_path, **changes)
    assert read_behaviour(tmp_path) == Behaviour(slow=1.0)


def test_unknown_field_in_the_file_is_named(tmp_path: Path) -> None:
    (tmp_path / CONTROL_FILE).write_text('{"hnag": true}')
    with pytest.raises(ValueError, match=r"standin\.json: unknown field hnag"):
        read_behaviour(tmp_path)


def test_watch_reports_each_change_once(tmp_path: Path) -> None:
    watch = BehaviourWatch(tmp_path)
    assert not watch.poll()
    set_behaviour(tmp_path, freeze=True)
    assert watch.poll()
    assert watch.current.freeze
    assert not watch.poll()
    (tmp_path / CONTROL_FILE).unlink()
    assert watch.poll()
    assert watch.current == Behaviour()


@pytest.mark.parametrize(
    ("behaviour", "frozen"),
    [
        (Behaviour(), False),
        (Behaviour(freeze=True), True),
        (Behaviour(isolated=True), True),
        (Behaviour(desync=True), True),
        (Behaviour(hang=True), True),
        (Behaviour(hang=True, hang_signs=True), False),
        (Behaviour(syncing=True), False),
    ],
)
def test_which_faults_freeze_the_head(behaviour: Behaviour, frozen: bool) -> None:
    assert behaviour.head_frozen is frozen


def test_release_is_read_from_the_version() -> None:
    assert Behaviour(version="2.13.1-rc.2").release == (2, 13)
