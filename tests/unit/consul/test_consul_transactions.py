# SPDX-License-Identifier: Apache-2.0
"""The transactions' shape; what Consul makes of them is tested against a real one."""

from __future__ import annotations

import base64

import pytest

from kuutamod.consul import transactions
from kuutamod.core.actions import TakeKind
from unit.consul.answering import KEY, SESSION

VALUE = '{"Hostname": "h\u00f6st"}'


def verbs(operations: list[transactions.Operation]) -> list[object]:
    return [operation["KV"]["Verb"] for operation in operations]


def test_heartbeat_checks_before_it_writes() -> None:
    operations = transactions.heartbeat(KEY, SESSION, VALUE)
    assert verbs(operations) == ["check-session", "set"]
    assert operations[0]["KV"]["Session"] == SESSION
    assert all(operation["KV"]["Key"] == KEY for operation in operations)
    assert base64.b64decode(str(operations[1]["KV"]["Value"])).decode() == VALUE


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (TakeKind.FREE, ["check-index", "lock"]),
        (TakeKind.STEAL, ["check-index", "delete", "lock"]),
    ],
)
def test_take_is_guarded_by_what_was_seen(kind: TakeKind, expected: list[str]) -> None:
    operations = transactions.take(kind, KEY, SESSION, 42, VALUE)
    assert verbs(operations) == expected
    assert operations[0]["KV"]["Index"] == 42


def test_a_missing_key_is_created_without_a_lock_and_only_if_it_is_missing() -> None:
    operations = transactions.create(KEY, VALUE)
    assert verbs(operations) == ["check-not-exists", "set"]
    assert base64.b64decode(str(operations[1]["KV"]["Value"])).decode() == VALUE


def test_release_unlocks_only_what_is_ours_and_leaves_the_marker() -> None:
    operations = transactions.release(KEY, SESSION, VALUE)
    assert verbs(operations) == ["check-session", "unlock"]
    assert base64.b64decode(str(operations[1]["KV"]["Value"])).decode() == VALUE


def test_confirmation_is_guarded_by_lock_and_config() -> None:
    operations = transactions.confirm(KEY, 5, "config", 0, "{}")
    assert verbs(operations) == ["check-index", "cas"]
    assert [operation["KV"]["Index"] for operation in operations] == [5, 0]
