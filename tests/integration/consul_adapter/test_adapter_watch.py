# SPDX-License-Identifier: Apache-2.0
"""The blocking query on real Consul."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable

import pytest

from integration.consul_adapter.rig import Node, holder, settings_of
from kuutamo_localnet.consul import ConsulServer
from kuutamo_localnet.wait import eventually
from kuutamod.core import events as ev
from kuutamod.core.model import LockView

pytestmark = [
    pytest.mark.integration,
    # python-consul2 warns of parts of Consul that are not used here.
    pytest.mark.filterwarnings("ignore::DeprecationWarning:consul.base"),
]


class Watching:
    """A watch in a thread of its own."""

    def __init__(self, node: Node, wanted: Callable[[], bool] = lambda: True) -> None:
        self.seen: list[ev.LockSeen] = []
        self._loop = asyncio.new_event_loop()
        self._task: asyncio.Task[None] | None = None
        self._thread = threading.Thread(target=self._run, args=(node, wanted), daemon=True)

    def _run(self, node: Node, wanted: Callable[[], bool]) -> None:
        self._task = self._loop.create_task(node.adapter.watch(self._post, wanted))
        with pytest.raises(asyncio.CancelledError):
            self._loop.run_until_complete(self._task)

    def _post(self, event: ev.Event) -> None:
        assert isinstance(event, ev.LockSeen)
        self.seen.append(event)

    def views(self) -> list[LockView]:
        return [event.view for event in list(self.seen)]

    def __enter__(self) -> Watching:
        self._thread.start()
        return self

    def __exit__(self, *_unused: object) -> None:
        assert self._task is not None
        self._loop.call_soon_threadsafe(self._task.cancel)
        self._thread.join(10)
        assert not self._thread.is_alive()
        self._loop.close()


def test_watch_sees_each_change(server: ConsulServer, account: str) -> None:
    node, onlooker = Node(settings_of(server), account), Node(settings_of(server), account, "n2")
    with Watching(onlooker) as watching:
        eventually(lambda: watching.views() == [LockView(0)], 10, "the missing key is seen", 0.01)
        session = holder(node)
        eventually(lambda: watching.views()[-1].session == session, 10, "the take is seen", 0.01)
        node.beat(session)
        beaten = node.view()
        eventually(lambda: watching.views()[-1] == beaten, 4, "the heartbeat is seen before the query's own end", 0.01)
        node.release(session)
        eventually(lambda: watching.views()[-1].released, 4, "the release is seen before the query's own end", 0.01)
    assert all(event.watched and event.sent <= event.at for event in watching.seen)


def test_watch_of_a_missing_key_does_not_spin(server: ConsulServer, account: str) -> None:
    node, client = Node(settings_of(server), account), server.client()
    with Watching(node) as watching:
        eventually(lambda: watching.seen, 10, "the watch has begun", 0.01)
        begun = time.monotonic()
        for number in range(60):
            client.kv_put(f"unrelated/{account}", str(number))
            time.sleep(0.02)
        queries = sum(operation == "watch" for operation, _unused in node.calls)
        assert queries <= (time.monotonic() - begun) / 1.0 + 2


def test_watch_rests_while_not_wanted(server: ConsulServer, account: str) -> None:
    node, wanted = Node(settings_of(server), account), threading.Event()
    with Watching(node, wanted.is_set) as watching:
        session = holder(node)
        assert not any(operation == "watch" for operation, _unused in node.calls)
        wanted.set()
        eventually(lambda: watching.seen, 10, "the watch has begun", 0.01)
    assert watching.views()[0].session == session
