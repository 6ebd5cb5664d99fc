# SPDX-License-Identifier: Apache-2.0
"""The program behind neard-emergency.service, against a real Consul, kuutamod's own lock of the home, and the stand-in."""

from __future__ import annotations

import fcntl
import importlib.util
import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from integration.written_fleet import WrittenFleet
from kuutamo_localnet.consul import ConsulServer
from kuutamo_localnet.wait import eventually
from kuutamod.core.lease import LeaseLaw
from kuutamod.core.model import LockView
from kuutamod.core.protocol import LockRecord, lock_key
from kuutamod.core.takeover import guard_time, heed, opening, watch_lock
from kuutamod.neard.home import HomeBusy, HomeLock, Owner
from neard_standin.home import init

PROGRAM = Path(__file__).parents[2] / "roles/neard/files/emergency.py"
pytestmark = pytest.mark.integration


def _load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("emergency", PROGRAM)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


emergency = _load()


@pytest.fixture(scope="module")
def server() -> Iterator[ConsulServer]:
    with ConsulServer() as server:
        yield server


@pytest.fixture
def fleet(server: ConsulServer) -> Iterator[WrittenFleet]:
    fleet = WrittenFleet(server.client(), f"a{uuid.uuid4().hex[:8]}.near")
    yield fleet
    fleet.end()


class Clock:
    """Seconds that pass only while the program sleeps; ``at`` has what happens meanwhile."""

    def __init__(self) -> None:
        self.passed = 0.0
        self.at: dict[float, Callable[[], object]] = {}

    def now(self) -> float:
        return 1000.0 + self.passed

    def sleep(self, seconds: float) -> None:
        self.passed += seconds
        for moment in [moment for moment in self.at if moment <= self.passed]:
            self.at.pop(moment)()


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(emergency, "now", clock.now)
    monkeypatch.setattr(emergency, "sleep", clock.sleep)
    return clock


@pytest.fixture
def env(server: ConsulServer, fleet: WrittenFleet, tmp_path: Path) -> dict[str, str]:
    return {
        "KUUTAMO_ACCOUNT_ID": fleet.account,
        "KUUTAMO_CONSUL_URL": server.url,
        "NEARD_EMERGENCY_CONFIRMATION": str(tmp_path / "confirmed"),
        "NEARD_EMERGENCY_HOME": str(tmp_path / "home"),
    }


def confirm(env: dict[str, str], word: str | None = None) -> Path:
    path = Path(env["NEARD_EMERGENCY_CONFIRMATION"])
    path.write_text(f"{word or env['KUUTAMO_ACCOUNT_ID']}\n")
    return path


def test_a_held_lock_refuses_whatever_the_operator_says(env: dict[str, str], fleet: WrittenFleet) -> None:
    fleet.join("n1")
    fleet.hold("n1", 3)
    confirm(env)
    with pytest.raises(emergency.Refused, match="n1 holds the lock"):
        emergency.ask(env)


def test_a_living_kuutamod_refuses_though_the_lock_is_free(env: dict[str, str], fleet: WrittenFleet) -> None:
    fleet.join("n1")
    fleet.hold("n1", 3)
    fleet.join("n2")
    fleet.silence("n1")
    with pytest.raises(emergency.Refused, match="kuutamod runs on n2 and may take the lock at any moment"):
        emergency.ask(env)


def test_a_dead_fleet_may_be_helped_and_the_risk_is_told(env: dict[str, str], fleet: WrittenFleet) -> None:
    fleet.join("n1")
    fleet.hold("n1", 3)
    fleet.silence("n1")
    told = emergency.ask(env)
    assert told.startswith("nobody holds the lock and no kuutamod lives.")
    assert told.endswith(emergency.RISK)


@pytest.mark.parametrize("marked", [False, True])
def test_a_free_lock_is_believed_only_after_the_guard_time(
    env: dict[str, str], fleet: WrittenFleet, clock: Clock, marked: bool
) -> None:
    """A holder that is cut off signs until its fence; and a marker may be one of the past, in a restored snapshot."""
    fleet.join("n1")
    fleet.hold("n1", 3)
    if marked:
        fleet.release("n1", 3, "handed over")
    fleet.silence("n1")
    emergency.ask(env)
    assert clock.passed >= LeaseLaw().guard_time


@pytest.mark.parametrize(
    ("own", "lock", "member", "wait"),
    [("", 20.0, 9.0, 20.0), ("", 9.0, 30.0, 30.0), ("12.5", 9.0, 9.0, 12.5), ("2", 9.0, 9.0, 9.0)],
)
def test_the_largest_guard_time_of_all_is_waited_for(
    env: dict[str, str], fleet: WrittenFleet, clock: Clock, own: str, lock: float, member: float, wait: float
) -> None:
    fleet.join("n1", guard_time=member)
    assert fleet.client.kv_put(lock_key(fleet.account), LockRecord("h", "n1", 3, guard_time=lock).to_json())
    fleet.silence("n1")
    emergency.ask({**env, "KUUTAMO_GUARD_TIME": own})
    assert wait <= clock.passed < wait + 1


def test_a_guard_time_that_is_no_number_is_refused_by_its_name(env: dict[str, str]) -> None:
    with pytest.raises(emergency.Refused, match='KUUTAMO_GUARD_TIME is "soon"'):
        emergency.ask({**env, "KUUTAMO_GUARD_TIME": "soon"})


@pytest.mark.parametrize(
    ("event", "told"),
    [
        (lambda fleet: fleet.hold("n2", 4), "n2 holds the lock"),
        (lambda fleet: fleet.join("n2"), "kuutamod runs on n2"),
        (lambda fleet: fleet.client.kv_put(lock_key(fleet.account), "{}"), "has changed while it was watched"),
        (lambda fleet: fleet.client.kv_delete(lock_key(fleet.account)), "has changed while it was watched"),
    ],
)
def test_what_happens_meanwhile_counts(
    env: dict[str, str], fleet: WrittenFleet, clock: Clock, event: Callable[[WrittenFleet], object], told: str
) -> None:
    fleet.join("n1")
    fleet.hold("n1", 3)
    fleet.silence("n1")
    fleet.sessions["n2"] = fleet.client.session_create("n2", NodeChecks=[], LockDelay="0s", Behavior="release")
    clock.at[8.5] = lambda: event(fleet)
    with pytest.raises(emergency.Refused, match=told):
        emergency.ask(env)


def test_a_missing_key_is_watched_as_well(env: dict[str, str], fleet: WrittenFleet, clock: Clock) -> None:
    emergency.ask(env)
    assert clock.passed >= LeaseLaw().guard_time
    clock.passed = 0.0
    clock.at[8.5] = lambda: fleet.client.kv_put(lock_key(fleet.account), "{}")
    with pytest.raises(emergency.Refused, match="has changed while it was watched"):
        emergency.ask(env)


def test_after_a_blind_moment_the_count_begins_anew(env: dict[str, str], fleet: WrittenFleet, clock: Clock) -> None:
    """It can't tell a lock that never moved from one that moved and was brought back."""

    def freeze() -> None:
        clock.passed += 60

    clock.at[4.0] = freeze
    emergency.ask(env)
    assert clock.passed >= 64 + LeaseLaw().guard_time


def test_a_consul_that_stops_answering_meanwhile_is_none(env: dict[str, str], clock: Clock) -> None:
    def gone() -> None:
        env["KUUTAMO_CONSUL_URL"] = "http://127.0.0.1:9"

    clock.at[4.0] = gone
    with pytest.raises(emergency.Refused, match="Consul can't be asked"):
        emergency.ask(env)


@pytest.mark.parametrize(
    "value", ["{", "[]", "{}", '{"guard_time": 1e999}', '{"guard_time": true}', '{"guard_time": "40"}']
)
def test_a_value_that_is_none_publishes_nothing(env: dict[str, str], fleet: WrittenFleet, clock: Clock, value: str) -> None:
    assert fleet.client.kv_put(lock_key(fleet.account), value)
    emergency.ask(env)
    assert clock.passed < LeaseLaw().guard_time + 1


@pytest.mark.parametrize("released", [False, True])
@pytest.mark.parametrize("published", [4.0, 9.0, 33.0])
@pytest.mark.parametrize("peer", [4.0, 45.0])
def test_it_waits_as_long_as_a_kuutamod_that_has_just_come(
    env: dict[str, str], fleet: WrittenFleet, clock: Clock, released: bool, published: float, peer: float
) -> None:
    """The program has nothing of kuutamod's, so that it works when that does not; the rule is the same one."""
    law = LeaseLaw()
    record = LockRecord("h", "n1", 3, guard_time=published, released=released)
    watch = heed(watch_lock(None, LockView(5, None, record), 1000.0, law), [peer])
    free = opening(watch, law)
    assert free is not None
    assert fleet.client.kv_put(lock_key(fleet.account), record.to_json())
    fleet.join("n1", guard_time=peer)
    fleet.silence("n1")
    emergency.ask(env)
    assert free.at - 1000.0 == guard_time(watch, law) <= clock.passed < guard_time(watch, law) + 1


def test_its_numbers_are_the_daemon_s() -> None:
    law = LeaseLaw()
    assert (law.guard_time, law.fence_deadline) == (emergency.GUARD_TIME, emergency.BLIND)


def test_a_second_url_is_asked_when_the_first_does_not_answer(env: dict[str, str], fleet: WrittenFleet) -> None:
    fleet.join("n1")
    fleet.hold("n1", 3)
    env["KUUTAMO_CONSUL_URL"] = f"http://127.0.0.1:9,{env['KUUTAMO_CONSUL_URL']}"
    with pytest.raises(emergency.Refused, match="n1 holds the lock"):
        emergency.ask(env)


def test_without_consul_nothing_starts_but_on_the_operator_s_word_which_is_good_once(env: dict[str, str]) -> None:
    env["KUUTAMO_CONSUL_URL"] = "http://127.0.0.1:9"
    with pytest.raises(emergency.Refused, match="Make sure that kuutamod and neard are stopped on every other host"):
        emergency.ask(env)
    path = confirm(env, "another.near")
    with pytest.raises(emergency.Refused):
        emergency.ask(env)
    if os.geteuid() != 0:
        pytest.skip("the word has to be root's")
    path = confirm(env)
    assert "on the operator's word alone" in emergency.ask(env)
    assert not path.exists()
    with pytest.raises(emergency.Refused):
        emergency.ask(env)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_word_that_is_not_root_s_does_not_count(env: dict[str, str]) -> None:
    env["KUUTAMO_CONSUL_URL"] = "http://127.0.0.1:9"
    os.chown(confirm(env), 65534, 65534)
    with pytest.raises(emergency.Refused):
        emergency.ask(env)


def test_a_token_without_rights_is_no_answer(env: dict[str, str]) -> None:
    with ConsulServer(acl=True) as guarded:
        env["KUUTAMO_CONSUL_URL"] = guarded.url
        with pytest.raises(emergency.Refused, match="it answers 403"):
            emergency.ask(env)


def test_an_answer_that_is_not_consul_s_is_none(env: dict[str, str], server: ConsulServer) -> None:
    env["KUUTAMO_CONSUL_URL"] = f"{server.url}/v1/nothing"
    with pytest.raises(emergency.Refused, match=r"it answers 40[045]|not one of Consul's"):
        emergency.ask(env)


def test_without_an_account_nobody_can_be_asked(env: dict[str, str]) -> None:
    del env["KUUTAMO_ACCOUNT_ID"]
    with pytest.raises(emergency.Refused, match="names no account"):
        emergency.ask(env)


@pytest.fixture
def runnable(env: dict[str, str], tmp_path: Path) -> dict[str, str]:
    """A home and a key as the unit gives them."""
    home, credentials, other = Path(env["NEARD_EMERGENCY_HOME"]), tmp_path / "credentials", tmp_path / "other"
    credentials.mkdir()
    init(other, "testing", env["KUUTAMO_ACCOUNT_ID"])
    init(home, "testing", genesis=other / "genesis.json")
    (home / "validator_key.json").unlink()
    (home / "node_key.json").rename(tmp_path / "node_key.json")
    (other / "validator_key.json").rename(credentials / "validator_key.json")
    config = json.loads((home / "config.json").read_text())
    config["rpc"]["addr"] = "127.0.0.1:0"
    (home / "config.json").write_text(json.dumps(config))
    return {
        **env,
        "PATH": os.defpath,
        "CREDENTIALS_DIRECTORY": str(credentials),
        "NEARD_EMERGENCY_NODE_KEY": str(tmp_path / "node_key.json"),
        "NEARD_EMERGENCY_NETWORK_ADDR": "127.0.0.1:0",
        "NEARD_EMERGENCY_NEARD": str(Path(sys.executable).with_name("neard")),
    }


def start(env: dict[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, PROGRAM, "run"], env=env, stderr=subprocess.PIPE, text=True)


def test_kuutamod_is_kept_off_as_long_as_neard_lives(runnable: dict[str, str]) -> None:
    home = Path(runnable["NEARD_EMERGENCY_HOME"])
    process = start(runnable)
    try:
        eventually((home / "data/LOCK").exists, 20, "neard opens its database")
        command = Path(f"/proc/{process.pid}/cmdline").read_bytes()
        assert b"--network-addr\x00127.0.0.1:0" in command
        assert b"KUUTAMO_" not in Path(f"/proc/{process.pid}/environ").read_bytes()
        with pytest.raises(HomeBusy, match=f"in use by kuutamod node neard-emergency, pid {process.pid}"):
            HomeLock.acquire(home, Owner("n1", os.getpid(), 0, "host"))
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    HomeLock.acquire(home, Owner("n1", os.getpid(), 0, "host"))


def test_a_running_kuutamod_keeps_it_off(runnable: dict[str, str]) -> None:
    home = Path(runnable["NEARD_EMERGENCY_HOME"])
    with (home / "kuutamod.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        process = start(runnable)
        said = process.communicate(timeout=20)[1]
    assert process.returncode == 1
    assert "stop kuutamod.service first" in said
    assert not (home / "validator_key.json").is_symlink()


def test_another_account_s_key_is_refused(runnable: dict[str, str]) -> None:
    process = start({**runnable, "KUUTAMO_ACCOUNT_ID": "other.near"})
    assert "but this fleet validates for other.near" in process.communicate(timeout=20)[1]


def test_only_its_own_link_is_cleared(tmp_path: Path) -> None:
    link = tmp_path / "validator_key.json"
    for target, stays in (
        ("/run/credentials/neard-emergency.service/validator_key.json", False),
        ("/run/credentials/kuutamod.service/validator_key.json", True),
    ):
        link.unlink(missing_ok=True)
        link.symlink_to(target)
        emergency.clear({"NEARD_EMERGENCY_HOME": str(tmp_path)})
        assert link.is_symlink() is stays
