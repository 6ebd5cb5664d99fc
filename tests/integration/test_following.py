# SPDX-License-Identifier: Apache-2.0
"""What the command line makes of a request whose end nobody tells it: on real Consul, with records written by the test."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import replace

import pytest

from integration.written_fleet import WrittenFleet
from kuutamo_localnet.consul import ConsulServer
from kuutamo_localnet.wait import eventually
from kuutamod.consul.orders import START
from kuutamod.consul.settings import ConsulSettings
from kuutamod.core.protocol import Ask, Mark, Outcome, Request, Step, request_key
from kuutamod.fleet.follow import FINISH, Follower
from kuutamod.fleet.order import Connection

pytestmark = [
    pytest.mark.integration,
    # python-consul2 warns of parts of Consul that are not used here.
    pytest.mark.filterwarnings("ignore::DeprecationWarning:consul.base"),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConsulServer]:
    with ConsulServer(tmp_path_factory.mktemp("following") / "consul") as server:
        yield server


class Scene:
    """A fleet in which n1 holds the lock in term 7, and the request that n1 hand over to n2."""

    def __init__(self, server: ConsulServer) -> None:
        self.fleet = WrittenFleet(server.client(), f"a{uuid.uuid4().hex[:10]}.near")
        self.fleet.join("n2", eligible=True)
        self.fleet.join("n1")
        self.fleet.hold("n1", 7)
        now = time.time()
        self.request = Request("r1", Ask.HANDOVER, holder="n1", term=7, issued=now, expires=now + 600, node="n2")
        self.said: list[str] = []
        self._to = Connection(self.fleet.account, ConsulSettings((server.url,)))

    def ask(self, request: Request) -> None:
        """Something is asked for."""
        assert self.fleet.client.kv_put(request_key(self.fleet.account), request.to_json())

    def pass_on(self, node: str) -> None:
        """n1 releases the lock, and the node takes it."""
        self.fleet.release("n1", 7, "handover")
        self.fleet.hold(node, 8)

    def follow(self, ahead: float = 0.0) -> tuple[Outcome | None, Request]:
        """Follow the request; the command line's clock is so many seconds ahead."""
        told = Follower(self._to, lambda: time.time() + ahead, self.said.append, self.said.append).follow(self.request)
        return told.outcome, told.request


@pytest.fixture
def scene(server: ConsulServer) -> Iterator[Scene]:
    scene = Scene(server)
    yield scene
    scene.fleet.end()


@pytest.mark.parametrize(("node", "outcome"), [("n2", Outcome.DONE), ("n3", Outcome.ROLLED_BACK)])
def test_when_another_request_has_taken_its_place_the_lock_shows_how_it_ended(
    scene: Scene, node: str, outcome: Outcome
) -> None:
    """Nobody waits for the end of a request that is over."""
    scene.fleet.join("n3")
    scene.pass_on(node)
    scene.ask(replace(scene.request, id="r2", holder=node, term=8))
    assert scene.follow()[0] is outcome
    assert time.time() < scene.request.expires
    assert f"{node} validates in term 8" in scene.said[-1]
    assert "the lock shows it, nobody told it" in scene.said[-1]


RESTART = {"ask": Ask.RESTART, "node": "n1"}
BEGUN = (Mark(Step.CONFIRMED, 1e9), Mark(Step.UNLOADING, 1e9))


@pytest.mark.parametrize("ask", [RESTART, {"allow_restart": True}])
def test_a_neard_that_has_to_start_gets_the_time_for_it(scene: Scene, ask: dict[str, object]) -> None:
    scene.request = replace(scene.request, **ask, marks=BEGUN)  # type: ignore[arg-type]
    scene.ask(scene.request)

    def end() -> None:
        eventually(lambda: any("unloading" in line for line in scene.said), 60, "the request is followed")
        scene.ask(replace(scene.request, outcome=Outcome.DONE, why="neard runs again"))

    ending = threading.Thread(target=end, daemon=True)
    ending.start()
    # 500 s behind the end of the request.
    assert scene.follow(ahead=1100)[0] is Outcome.DONE
    ending.join(60)


def test_a_restart_whose_end_nobody_tells_ends_in_a_clear_sentence(scene: Scene) -> None:
    scene.request = replace(scene.request, **RESTART, marks=BEGUN)  # type: ignore[arg-type]
    scene.ask(scene.request)
    assert scene.follow(ahead=600 + START + FINISH + 1)[0] is None
    assert "n1 has not said that its neard runs again; its log tells why" in scene.said[-1]


def test_a_restart_that_another_request_has_replaced_is_not_waited_for(scene: Scene) -> None:
    scene.request = replace(scene.request, **RESTART)  # type: ignore[arg-type]
    scene.ask(replace(scene.request, id="r2"))
    assert scene.follow()[0] is None
    assert time.time() < scene.request.expires
    assert "Another one has taken its place, so it has ended, but nothing shows how" in scene.said[-1]


def test_what_was_not_begun_in_time_is_withdrawn(scene: Scene) -> None:
    scene.ask(replace(scene.request, marks=(Mark(Step.PLANNED, time.time(), ""),)))
    outcome, request = scene.follow(ahead=700)
    assert (outcome, request.outcome) == (Outcome.EXPIRED, Outcome.EXPIRED)
    entry = scene.fleet.client.kv_get(request_key(scene.fleet.account))
    assert entry is not None
    left = Request.from_json(entry.value)
    assert left is not None
    assert left.outcome is Outcome.EXPIRED, "no holder that comes back later may act on it"


def test_what_was_begun_is_never_withdrawn_and_unknown_is_said_to_be(scene: Scene) -> None:
    marks = (
        Mark(Step.PLANNED, time.time(), ""),
        Mark(Step.CONFIRMED, time.time(), ""),
        Mark(Step.UNLOADING, time.time(), ""),
    )
    begun = replace(scene.request, marks=marks)
    scene.ask(begun)
    outcome, request = scene.follow(ahead=1000)
    assert (outcome, request) == (None, begun)
    assert "unloading is the last that was seen of request r1" in scene.said[-1]
    entry = scene.fleet.client.kv_get(request_key(scene.fleet.account))
    assert entry is not None
    assert Request.from_json(entry.value) == begun
    scene.pass_on("n2")
    assert scene.follow(ahead=1000)[0] is Outcome.DONE
