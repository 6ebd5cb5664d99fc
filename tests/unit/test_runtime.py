# SPDX-License-Identifier: Apache-2.0
"""The shell around the rules: what neard is asked, that no answer of it ends the supervisor, and how a fault does."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from kuutamod import runtime
from kuutamod.clock import BootClock
from kuutamod.core import actions as ac
from kuutamod.core import events as ev
from kuutamod.core.desk import Windows
from kuutamod.core.model import Policy, first_state
from kuutamod.hooks.call import HookEvent
from kuutamod.hooks.runner import HookRunner
from kuutamod.neard.rpc import StatusClient
from kuutamod.runtime import Supervisor
from unit.core.rig import IDENTITY
from unit.hook_rig import QUESTION, Hooks, alive, call, until
from unit.neard.stub_rpc import StubRpc, client_of, status, text
from unit.neard.test_rpc import NONSENSE

PATIENCE = 30.0
LONG = 300.0
NOTHING = cast(Any, None)


def supervisor_of(client: StatusClient) -> Supervisor:
    """One that can ask neard, and nothing else; its account is `default`, its validator key another account's."""
    identity = replace(IDENTITY, account_id="default", validator_account="v.near")
    state = first_state(Policy(), identity, BootClock().now(), 0, "")
    queue: asyncio.Queue[ev.Event] = asyncio.Queue()
    return Supervisor(
        state,
        BootClock(),
        neard=NOTHING,
        status=client,
        consul=NOTHING,
        memory=NOTHING,
        log=NOTHING,
        notifier=NOTHING,
        hooks=NOTHING,
        exporter=NOTHING,
        events=queue,
    )


@contextmanager
def supervised(stub: StubRpc, home: Path) -> Iterator[Supervisor]:
    """It, with the neard that it asks."""
    with stub.served() as address, client_of(address, home) as client:
        yield supervisor_of(client)


def test_the_windows_of_the_keys_account_are_asked_for(tmp_path: Path) -> None:
    stub = StubRpc({"/": text({"result": [[5, 9]]})})
    with supervised(stub, tmp_path) as supervisor:
        event = asyncio.run(supervisor._result(ac.AskWindows(1)))
    assert isinstance(event, ev.WindowsSeen)
    assert event.windows == Windows(((5, 9),))
    assert json.loads(stub.asked[0][1])["params"] == {"account_id": "v.near"}


def test_no_answer_of_neard_ends_the_supervisor(tmp_path: Path) -> None:
    stub = StubRpc()
    with supervised(stub, tmp_path) as supervisor:

        async def ask() -> None:
            for body in NONSENSE:
                stub.replies = {"/status": body, "/": body}
                event = await supervisor._result(ac.PollStatus(1, PATIENCE))
                assert isinstance(event, ev.StatusFailed), body[:100]
                event = await supervisor._result(ac.AskWindows(1))
                assert isinstance(event, ev.WindowsSeen)
                assert event.windows.why, body[:100]
            stub.replies = {"/status": text(status())}
            assert isinstance(await supervisor._result(ac.PollStatus(1, PATIENCE)), ev.StatusAnswered)

        asyncio.run(ask())


# --- the end ---


class Doomed:
    """A supervisor whose loop fails as soon as a hook hangs, or just ends."""

    def __init__(self, hooks: Hooks, runner: HookRunner, fails: bool) -> None:
        self._hooks, self._runner, self._fails = hooks, runner, fails

    async def run(self) -> None:
        """Its loop."""
        self._runner.notify(call(HookEvent.DEMOTE))
        if not self._fails:
            return
        self._runner.notify(call(HookEvent.PAUSE))
        question = asyncio.create_task(self._runner.ask(QUESTION))
        await until(self._hooks.noted, "the hook hangs")
        assert not question.done()
        raise RuntimeError("a fault")


class Beside:
    """Notifier and exporter: what they were told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def stopping(self) -> None:
        """The notifier's."""
        self.told.append("stopping")

    def stop(self) -> None:
        """The exporter's."""
        self.told.append("stopped")


async def _end(hooks: Hooks, fails: bool) -> Beside:
    runner, beside = hooks.runner(LONG), Beside()
    doomed = Doomed(hooks, runner, fails)
    try:
        await runtime._to_the_end(cast(Any, doomed), cast(Any, beside), runner, cast(Any, beside))
    finally:
        assert beside.told == ["stopping", "stopped"]
    return beside


def test_a_fault_ends_a_hook_that_hangs_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "HOOKS_DEADLINE", LONG)
    monkeypatch.setattr("kuutamod.hooks.runner.GRACE", LONG)
    hooks = Hooks(tmp_path)
    hooks.add("10-hang", "note $$; trap '' TERM; while :; do sleep 1; done")
    begun = time.monotonic()
    with pytest.raises(RuntimeError, match="a fault"):
        asyncio.run(_end(hooks, fails=True))
    assert time.monotonic() - begun < LONG / 2
    (pid,) = hooks.noted()
    assert not alive(int(pid))


def test_an_orderly_end_lets_the_last_event_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "HOOKS_DEADLINE", LONG)
    hooks = Hooks(tmp_path)
    hooks.add("10-tell", "note $1")
    asyncio.run(_end(hooks, fails=False))
    assert hooks.noted() == ["demote"]
