# SPDX-License-Identifier: Apache-2.0
"""Telling from the logs why the key changed hands."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from kuutamo_localnet.soak_causes import Cause, CauseFigures, Story, Takeover, figures, read_logs, takeovers, tracebacks
from neard_standin.verdict import KeyInterval

NAMES = {Path("/a"): "node0", Path("/b"): "node1"}
WALL = 1_000_000.0  # Unix time is so much ahead of the boot clock here


def line(node: str, at: float, message: str, term: int | None = None) -> str:
    stamp = datetime.fromtimestamp(WALL + at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    field = "" if term is None else f"term={term} "
    return f'ts={stamp} level=info node={node} {field}msg="{message}" state=Voting next=0.5s'


def take(node: str, at: float, term: int, why: str) -> str:
    return line(node, at, f"taking the lock for term {term}: {why}", term - 1)


def interval(home: str, loaded_at: float, ended_at: float | None) -> KeyInterval:
    return KeyInterval(home, 1, 1, "fleet.near", "ed25519:key", loaded_at, loaded_at, ended_at)


PROOF = "it is released with proof"
ANEW = "the lock's key was missing; writing it anew, held by nobody: applied"
FREE = "it is free without the marker and has not moved for the guard time"
SECOND = [interval("/a", 10.0, 20.0), interval("/b", 22.0, None)]
FIRST_TAKE = take("node0", 9.0, 1, FREE)


@pytest.mark.parametrize(
    ("before", "how", "cause"),
    [
        (line("node0", 20.5, "released the lock: stopped: SIGTERM", 1), PROOF, Cause.CLEAN),
        (line("node0", 20.5, "released the lock: handover asked for by me@host: soak", 1), PROOF, Cause.ORDERED),
        (line("node0", 20.5, "released the lock: neard pid 7 ended (killed by SIGKILL)", 1), PROOF, Cause.FAILED),
        (line("node0", 20.5, "released the lock: no proof of holding the lock for 7 s", 1), PROOF, Cause.FENCED),
        (
            line("node0", 20.5, "released the lock: left over from an earlier life of this supervisor", 1),
            PROOF,
            Cause.HANDED_BACK,
        ),
        ("kuutamod: lock of term 1: release applied", PROOF, Cause.HANDED_BACK),
        (line("node0", 20.5, "the guard of neard pid 7 released the lock"), PROOF, Cause.GUARD),
        (
            line("node0", 20.5, "handing back the lock of term 1: no proof of holding the lock for 7 s", 1),
            PROOF,
            Cause.FENCED,
        ),
        (line("node0", 20.5, "handing back the lock of term 1: neard pid 7 ended (exit code 1)", 1), PROOF, Cause.FAILED),
        ("", PROOF, Cause.GUARD),
        ("", "its holder has not proved itself for the guard time", Cause.STEAL),
        ("", FREE, Cause.FREE),
        (
            line("node1", 20.5, ANEW, 1),
            FREE,
            Cause.MISSING,
        ),
        (line("node1", 20.5, ANEW, 0), FREE, Cause.FREE),
    ],
)
def test_each_takeover_has_its_cause(before: str, how: str, cause: Cause) -> None:
    logs = [("node0", f"{FIRST_TAKE}\nINFO neard: something else\n{before}\n"), ("node1", take("node1", 21.9, 2, how))]
    first, second = takeovers(SECOND, [19.5, 22.6], NAMES, read_logs(logs), WALL)
    assert (first.node, first.cause, first.gap, first.silent) == ("node0", Cause.FIRST, None, None)
    assert (second.node, second.before, second.term, second.cause) == ("node1", "node0", 2, cause)
    assert second.gap == pytest.approx(2.0)
    assert second.silent == pytest.approx(3.1)


def test_an_older_release_does_not_explain_a_later_takeover() -> None:
    logs = [
        ("node0", f"{FIRST_TAKE}\n{line('node0', 20.5, 'released the lock: stopped: SIGTERM', 1)}"),
        ("node1", f"{take('node1', 21.9, 2, PROOF)}"),
    ]
    logs[0] = ("node0", f"{logs[0][1]}\n{take('node0', 31.0, 3, PROOF)}")
    third = takeovers(
        [*SECOND[:1], interval("/b", 22.0, 30.0), interval("/a", 31.2, None)], [], NAMES, read_logs(logs), WALL
    )[2]
    assert (third.term, third.cause) == (3, Cause.GUARD)


def test_a_key_loaded_again_under_the_same_take_is_no_takeover() -> None:
    logs = [("node0", FIRST_TAKE), ("node1", take("node1", 21.9, 2, PROOF))]
    held = [*SECOND[:1], interval("/b", 22.0, 30.0), interval("/b", 33.0, None)]
    again = takeovers(held, [], NAMES, read_logs(logs), WALL)[2]
    assert (again.term, again.cause, again.gap) == (2, Cause.SAME_TERM, 3.0)


def test_a_takeover_that_an_operator_has_allowed_is_his() -> None:
    story = read_logs([("node0", FIRST_TAKE), ("node1", take("node1", 21.9, 2, PROOF))])
    assert [each.cause for each in takeovers(SECOND, [], NAMES, story, WALL, [21.0])] == [Cause.FIRST, Cause.CONFIRMED]
    assert takeovers(SECOND, [], NAMES, story, WALL, [19.0, 23.0])[1].cause is Cause.GUARD


def test_a_take_that_came_later_explains_nothing() -> None:
    story = read_logs([("node0", FIRST_TAKE), ("node1", take("node1", 25.0, 2, PROOF))])
    assert takeovers(SECOND, [], NAMES, story, WALL)[1].cause is Cause.UNKNOWN


def test_an_overlap_has_no_gap() -> None:
    held = [interval("/a", 10.0, 23.0), interval("/b", 22.0, None)]
    assert takeovers(held, [], NAMES, Story({}, {}), WALL)[1].gap == 0.0


def test_tracebacks_are_found_with_what_was_raised() -> None:
    log = """INFO neard: Traceback is a word
Traceback (most recent call last):
  File "a.py", line 5, in <module>
    main()
NameError: name 'x' is not defined
Traceback (most recent call last):
  File "a.py", line 5, in <module>
KeyError
INFO neard: more
"""
    assert tracebacks(log) == ["NameError: name 'x' is not defined", "KeyError"]
    assert tracebacks("") == []


def test_figures_by_cause() -> None:
    def takeover(cause: Cause, gap: float | None, silent: float | None) -> Takeover:
        return Takeover(1.0, "node0", "node1", 1, cause, gap, silent)

    found = [
        takeover(Cause.FIRST, None, None),
        takeover(Cause.STEAL, 8.0, 9.0),
        takeover(Cause.CLEAN, 0.25, 0.6),
        takeover(Cause.STEAL, 9.0, None),
    ]
    assert figures(found) == (
        CauseFigures(Cause.CLEAN.value, 1, 0.25, 0.25, 0.25, 0.6),
        CauseFigures(Cause.STEAL.value, 2, 8.0, 9.0, 9.0, 9.0),
    )
    assert figures([]) == ()
