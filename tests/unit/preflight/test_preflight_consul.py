# SPDX-License-Identifier: Apache-2.0
"""What a preflight makes of the answers of Consul. Those themselves are asked of a real one in the integration tests."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kuutamod.consul.probe import Agent
from kuutamod.core.lease import LeaseLaw
from kuutamod.preflight.consul import Seen, duration, urls
from kuutamod.preflight.finding import Finding, Level

SERVER = Agent("127.0.0.1:8300", 0.003, "1.8.7", "consul0", server=True, settings={})
CLIENT = replace(SERVER, node="host-a", server=False)
URL, OTHER = "http://127.0.0.1:8500", "http://127.0.0.2:8500"


def found(*seen: Seen, law: LeaseLaw | None = None) -> list[Finding]:
    return list(urls(seen, law or LeaseLaw()))


def wrong(agent: Agent, law: LeaseLaw | None = None) -> list[tuple[Level, str]]:
    return [(each.level, each.text) for each in found(Seen(URL, agent, True), law=law) if each.level is not Level.OK]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1s", 1.0),
        ("52ms", 0.052),
        ("1m30s", 90.0),
        ("2h45m0.5s", 9900.5),
        ("0s", 0.0),
        ("", None),
        (7, None),
        (None, None),
    ],
)
def test_a_duration_as_go_writes_it(text: object, seconds: float | None) -> None:
    assert duration(text) == (None if seconds is None else pytest.approx(seconds))


def test_an_agent_that_is_right() -> None:
    (fine,) = found(Seen(URL, SERVER, True))
    assert fine.text == f"{URL} answers in 3 ms: Consul 1.8.7, server consul0, leader 127.0.0.1:8300"
    assert fine.level is Level.OK


def test_one_url_of_two_that_does_not_answer_is_a_warning_and_all_of_them_a_fault() -> None:
    dead = [Seen(url, None, None, f"{url}: Connection refused") for url in (URL, OTHER)]
    assert [each.level for each in found(*dead)] == [Level.FAULT, Level.FAULT]
    assert [each.level for each in found(dead[0], Seen(OTHER, SERVER, True))] == [Level.WARNING, Level.OK]
    assert found(dead[0])[0].text == f"{URL}: Connection refused"
    assert found(Seen(URL, None, None, "permission denied"))[0].text == f"{URL}: permission denied"


@pytest.mark.parametrize(
    ("agent", "says"),
    [
        (replace(SERVER, seconds=1.5), "answers in 1500 ms"),
        (replace(SERVER, version="", node="", unseen="the token needs agent:read"), "version and settings are not seen"),
        (replace(SERVER, version="1.7.3"), "Consul 1.7.3 is older than 1.8.0"),
        (replace(CLIENT, settings={"LeaveOnTerm": True}), "the agent leaves the cluster when it is stopped"),
        (replace(SERVER, settings={"ConsulRaftElectionTimeout": "5s"}), "takes this server longer than the 4 s"),
    ],
)
def test_an_agent_that_is_doubtful(agent: Agent, says: str) -> None:
    ((level, text),) = wrong(agent)
    assert level is Level.WARNING
    assert says in text


@pytest.mark.parametrize(
    "agent",
    [
        replace(SERVER, version="1.20.2+ent"),
        replace(SERVER, settings=None),
        replace(SERVER, settings={"LeaveOnTerm": True}),
        replace(SERVER, settings={"ConsulRaftElectionTimeout": "1s", "SessionTTLMin": "0s"}),
        replace(CLIENT, settings={"LeaveOnTerm": False, "ConsulRaftElectionTimeout": "5s", "SessionTTLMin": "60s"}),
        replace(SERVER, settings={"LeaveOnTerm": "yes", "ConsulRaftElectionTimeout": 5, "SessionTTLMin": {}}),
    ],
)
def test_nothing_is_said_of_what_is_right_or_unknown(agent: Agent) -> None:
    assert not wrong(agent)


def test_a_session_ttl_that_the_servers_refuse() -> None:
    picky = replace(SERVER, settings={"SessionTTLMin": "20s"})
    ((level, text),) = wrong(picky)
    assert level is Level.FAULT
    assert "session_ttl_min is 20 s, more than --session-ttl 10" in text
    assert not wrong(picky, LeaseLaw(session_ttl=20.0))
