# SPDX-License-Identifier: Apache-2.0
"""The faults and rarities which the stand-in shows on demand, so that tests can count on them."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from conformance.neard_process import ACCOUNT, COMMAND, NeardProcess, standin_only, until
from neard_standin import base58
from neard_standin.control import set_behaviour
from neard_standin.journal import Event, Record
from neard_standin.keys import generate_key_file, read_key_file
from neard_standin.ledger import Ledger, Validator
from neard_standin.procfs import boottime
from neard_standin.referee import Referee

pytestmark = standin_only


def _signatures(node: NeardProcess) -> list[Record]:
    return [record for record in node.journal() if record.event is Event.SIGNATURE]


def _until_it_signs(node: NeardProcess) -> None:
    before = len(_signatures(node))
    until(lambda: len(_signatures(node)) > before, "a signature")


def _assert_signs_nothing(node: NeardProcess, slots: int = 5) -> None:
    """The chain's time goes on for some slots, the journal does not."""
    ledger = Ledger.open(node.ledger_path)
    before = len(_signatures(node))
    end = ledger.height_at(boottime()) + slots
    until(lambda: ledger.height_at(boottime()) >= end, "the slots pass")
    assert len(_signatures(node)) == before


def _times_out(node: NeardProcess, path: str = "/status") -> bool:
    try:
        node.http("GET", path, timeout=0.3)
    except TimeoutError:
        return True
    return False


# Start


def test_hup_before_the_handlers_kills(node: NeardProcess) -> None:
    node.behave(start_delay=60)
    node.start(wait=False)
    until((node.home / "data" / "LOCK").exists, "the lock is taken")
    assert not node.catches_hup()
    node.signal(signal.SIGHUP)
    assert node.wait_end() == -signal.SIGHUP


def test_rpc_answers_before_the_handlers_are_up(node: NeardProcess) -> None:
    node.behave(handler_gap=60)
    node.start(wait=False)
    until(node.status_or_none, "the RPC answers")
    assert not node.catches_hup()
    node.signal(signal.SIGTERM)
    assert node.wait_end() == -signal.SIGTERM


def test_starts_as_awaiting_peers(node: NeardProcess) -> None:
    node.behave(sync_delay=0.5)
    node.start()
    assert node.status()["sync_info"]["syncing"] is True
    assert node.http("GET", "/health")[0] == 503
    until(lambda: node.status()["sync_info"]["syncing"] is False, "in sync")


# RPC faults


def test_hung_node_accepts_never_answers_and_does_not_sign(node: NeardProcess) -> None:
    node.start()
    _until_it_signs(node)
    node.behave(hang=True)
    until(lambda: _times_out(node), "the RPC hangs")
    _assert_signs_nothing(node)
    node.behave(hang=False)
    until(node.status_or_none, "the RPC answers again")
    _until_it_signs(node)


def test_reload_of_a_hung_node_waits(node: NeardProcess) -> None:
    node.start()
    node.behave(hang=True, apply_delay=(0, 0))
    until(lambda: _times_out(node), "the RPC hangs")
    node.key_path.unlink()
    node.signal(signal.SIGHUP)
    until(lambda: "no validator key" in node.log(), "the reload is read")
    _assert_signs_nothing(node)
    assert not [record for record in node.journal() if record.event is Event.KEY_UNLOADED]
    node.behave(hang=False)
    until(lambda: node.account() is None, "the reload is applied")


def test_rpc_may_hang_alone(node: NeardProcess) -> None:
    node.start()
    node.behave(hang=True, hang_signs=True)
    until(lambda: _times_out(node), "the RPC hangs")
    _until_it_signs(node)


def test_slow_answers(node: NeardProcess) -> None:
    node.start()
    node.behave(slow=1.0)
    until(lambda: _times_out(node), "answers take longer than the client waits")
    assert node.http("GET", "/status", timeout=10)[0] == 200


def test_garbage_and_empty_bodies(node: NeardProcess) -> None:
    node.start()
    node.behave(garbage=True)
    until(lambda: not _is_json(node.http("GET", "/status")[1]), "garbage")
    node.behave(garbage=False, empty_body=True)
    until(lambda: node.http("GET", "/status")[:2] == (200, b""), "an empty body")


def _is_json(body: bytes) -> bool:
    try:
        json.loads(body)
    except ValueError:
        return False
    return True


def test_closed_port_opens_again(node: NeardProcess) -> None:
    node.start()
    node.behave(closed_port=True)
    host, _unused, port = node.rpc.partition(":")

    def refused() -> bool:
        try:
            socket.create_connection((host, int(port)), timeout=1).close()
        except ConnectionRefusedError:
            return True
        return False

    until(refused, "the port is closed")
    _until_it_signs(node)
    node.behave(closed_port=False)
    until(node.status_or_none, "the port is open")


# Chain faults


@pytest.mark.parametrize(("fault", "syncing"), [("freeze", False), ("isolated", False), ("desync", True)])
def test_frozen_heads(node: NeardProcess, fault: str, syncing: bool) -> None:
    config = node.read_config()
    # /health tolerates ten of these; neard's default would make it 20 s.
    config["consensus"]["min_block_production_delay"] = {"secs": 0, "nanos": 20_000_000}
    config["consensus"]["max_block_production_delay"] = {"secs": 0, "nanos": 50_000_000}
    node.write_config(config)
    node.start()
    until(lambda: node.http("GET", "/health")[0] == 200, "healthy")
    node.behave(**{fault: True})
    until(lambda: node.http("GET", "/health")[0] == 503, "/health tells the fault")
    assert node.status()["sync_info"]["syncing"] is syncing
    frozen_at = node.head()
    _assert_signs_nothing(node)
    assert node.head() == frozen_at
    assert node.account() == ACCOUNT
    peers = json.loads(node.http("GET", "/network_info")[1])["num_active_peers"]
    assert (peers == 0) == (fault == "isolated")
    node.behave(**{fault: False})
    until(lambda: node.head() > frozen_at, "the head moves")


def test_syncing_node_does_not_sign(node: NeardProcess) -> None:
    node.start()
    node.behave(syncing=True)
    until(lambda: node.status()["sync_info"]["syncing"], "the blip")
    _assert_signs_nothing(node)


# Reload faults


def test_refused_reload_keeps_the_key(node: NeardProcess) -> None:
    node.start()
    node.behave(refuse_key=True)
    node.key_path.unlink()
    node.signal(signal.SIGHUP)
    until(lambda: node.metric("near_config_correct") == 0, "the reload is refused")
    assert node.account() == ACCOUNT
    assert node.metric("near_config_reloads_total") == 1


def test_old_release_ignores_the_removal_of_the_key(node: NeardProcess) -> None:
    node.behave(ignore_key_removal=True)
    node.start()
    node.key_path.unlink()
    node.reload()
    until(lambda: node.log().count("updated validator key") == 1, "the reload is applied")
    assert node.account() == ACCOUNT


def test_one_hup_is_lost(node: NeardProcess) -> None:
    node.behave(lose_next_hup=True)
    node.start()
    node.signal(signal.SIGHUP)
    # The second signal would coalesce with the first, were that not yet taken.
    until(lambda: not _is_pending(node.pid, signal.SIGHUP), "the first signal is taken")
    assert node.metric("near_config_reloads_total") == 1
    node.reload()
    assert node.metric("near_config_reloads_total") == 2


def _is_pending(pid: int, number: int) -> bool:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    masks = [int(line.split()[1], 16) for line in lines if line.startswith(("SigPnd:", "ShdPnd:"))]
    return any(mask >> (number - 1) & 1 for mask in masks)


def test_newer_release_refuses_a_secret_of_another_key(node: NeardProcess) -> None:
    node.behave(version="2.12.0")
    key = json.loads(node.key_path.read_text())
    secret = base58.decode(key["secret_key"].removeprefix("ed25519:"))
    key["secret_key"] = "ed25519:" + base58.encode(secret[:32] + bytes(31) + b"\x01")
    node.key_path.write_text(json.dumps(key))
    assert node.start(wait=False).wait_end() == -signal.SIGABRT
    assert "does not correspond to secret key" in node.log()


@pytest.mark.parametrize("moment", ["start", "hot swap"])
def test_validator_of_a_public_chain_must_not_track_all_shards(node: NeardProcess, moment: str) -> None:
    genesis = json.loads((node.home / "genesis.json").read_text())
    (node.home / "genesis.json").write_text(json.dumps({**genesis, "chain_id": "testnet"}))
    aside = node.home / "aside.json"
    if moment == "start":
        node.start(wait=False)
    else:
        node.key_path.rename(aside)
        node.start()
        aside.rename(node.key_path)
        node.signal(signal.SIGHUP)
    assert node.wait_end() == -signal.SIGABRT
    assert "must not track all shards" in node.log()


# End


def test_close_may_take_forever_and_holds_the_lock(node: NeardProcess) -> None:
    node.behave(close_delay="never")
    node.start()
    node.signal(signal.SIGTERM)
    until(lambda: "waiting for rocksdb" in node.log(), "the node is closing")
    until(lambda: node.status_or_none() is None, "the RPC is closed")
    node.signal(signal.SIGTERM)
    _assert_signs_nothing(node)
    second = subprocess.run(
        [*COMMAND, "--home", str(node.home), "run"], capture_output=True, text=True, timeout=10, check=False
    )
    assert "While lock file" in second.stderr
    assert node.process.poll() is None
    node.signal(signal.SIGKILL)
    assert node.wait_end() == -signal.SIGKILL


def test_term_may_be_ignored(node: NeardProcess) -> None:
    node.behave(ignore_term=True)
    node.start()
    node.signal(signal.SIGTERM)
    until(lambda: not _is_pending(node.pid, signal.SIGTERM), "the signal is taken")
    _until_it_signs(node)


@pytest.mark.parametrize(
    ("crash", "expected"),
    [("abort", -signal.SIGABRT), ("segv", -signal.SIGSEGV), ("oom", -signal.SIGKILL), ("exit:3", 3)],
)
def test_crash_now_happens_once(node: NeardProcess, crash: str, expected: int) -> None:
    node.start()
    node.behave(crash=crash)
    assert node.wait_end() == expected
    node.start()
    _until_it_signs(node)


def test_crash_at_a_height(node: NeardProcess) -> None:
    node.start()
    _until_it_signs(node)
    height = node.head() + 3
    node.behave(crash="abort", crash_at=height)
    assert node.wait_end() == -signal.SIGABRT
    assert max(record.height or 0 for record in _signatures(node)) < height
    node.start()
    _until_it_signs(node)


def test_crash_loop(node: NeardProcess) -> None:
    node.behave(crash="exit:1", crash_at="start")
    for _unused in range(2):
        assert node.start(wait=False).wait_end() == 1


def test_reexec_keeps_the_pid_and_begins_anew(node: NeardProcess) -> None:
    node.start().reload()
    (node.home / "data" / "000001.sst").touch()
    pid = node.pid
    aside = node.key_path.rename(node.home / "aside.json")
    node.behave(reexec=True)
    until(lambda: any(record.event is Event.REEXEC for record in node.journal()), "the re-exec")
    node.wait_up()
    until(lambda: node.metric("near_config_reloads_total") == 1, "a new life")
    assert node.pid == pid
    assert node.account() is None, "the key is read anew"
    assert not (node.home / "data" / "000001.sst").exists()
    aside.rename(node.key_path)
    node.reload()
    _until_it_signs(node)


# Logs


def _start_with_log_pipe(node: NeardProcess) -> int:
    """Start the node with its log going into a pipe; the descriptor of the reading end."""
    reader, writer = os.pipe()
    command = [*COMMAND, "--home", str(node.home), "run"]
    # As Python starts its children, unlike a shell: SIGPIPE at its default, which would kill.
    node.processes.append(subprocess.Popen(command, stderr=writer, restore_signals=True))
    os.close(writer)
    until(lambda: node.catches_hup() and node.status_or_none(), "the node is up")
    return reader


def test_an_undrained_log_pipe_does_not_stop_the_node(node: NeardProcess) -> None:
    node.behave(log_burst=2000)
    reader = _start_with_log_pipe(node)
    try:
        _until_it_signs(node)
    finally:
        os.close(reader)


def test_a_broken_log_pipe_does_not_end_the_node(node: NeardProcess) -> None:
    """Rust's runtime ignores SIGPIPE: a neard whose supervisor has died goes on signing."""
    os.close(_start_with_log_pipe(node))
    node.behave(log_burst=10)
    node.reload()
    _until_it_signs(node)


# A shared ledger


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[Ledger, NeardProcess, NeardProcess]]:
    """Two homes with one key on one ledger, where a virtual validator keeps the chain going."""
    nodes = [NeardProcess.make(tmp_path / name) for name in ("left", "right")]
    key = read_key_file(nodes[0].key_path)
    nodes[1].key_path.write_bytes(nodes[0].key_path.read_bytes())
    other = generate_key_file(tmp_path / "virtual.json", "virtual.test")
    seats = [
        Validator(ACCOUNT, key.public_key),
        Validator(other.account_id, other.public_key, virtual=True),
    ]
    ledger = Ledger.create(tmp_path / "ledger", block_time_ms=100, epoch_length=20, validators=seats)
    for node in nodes:
        set_behaviour(node.home, ledger=str(ledger.path))
    try:
        yield ledger, nodes[0], nodes[1]
    finally:
        for node in nodes:
            node.stop()


def test_handover_by_term_is_safe_and_loses_few_slots(pair: tuple[Ledger, NeardProcess, NeardProcess]) -> None:
    ledger, left, right = pair
    with Referee(ledger.path) as referee:
        left.start(environment={"KUUTAMO_TERM": "7"})
        referee.wait_for(lambda seen: seen.signatures(ACCOUNT), 10)
        left.signal(signal.SIGTERM)
        assert left.wait_end() == 0
        right.start()
        referee.wait_for(lambda seen: seen.signatures(ACCOUNT)[-1].pid == right.pid, 10)
        verdict = referee.verdict(ACCOUNT)
    verdict.assert_safe()
    assert [interval.how for interval in verdict.intervals] == ["died", "running"]
    assert verdict.gaps
    signatures = referee.signatures(ACCOUNT)
    assert signatures[0].term == 7
    duties = [(record.height, record.kind) for record in signatures]
    assert len(duties) == len(set(duties)), "each duty is done once"


def test_the_referee_convicts_two_real_nodes(pair: tuple[Ledger, NeardProcess, NeardProcess]) -> None:
    ledger, left, right = pair
    with Referee(ledger.path) as referee:
        left.start()
        right.start()
        referee.wait_for(lambda seen: seen.verdict(ACCOUNT).heights_signed_twice, 10)
        with pytest.raises(AssertionError, match="OVERLAP"):
            referee.verdict().assert_safe()


def test_stopped_node_signs_the_present_height_when_it_goes_on(pair: tuple[Ledger, NeardProcess, NeardProcess]) -> None:
    ledger, left, _unused = pair
    with Referee(ledger.path) as referee:
        left.start()
        referee.wait_for(lambda seen: seen.signatures(ACCOUNT), 10)
        left.signal(signal.SIGSTOP)
        until(lambda: Path(f"/proc/{left.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T", "stopped")
        last = referee.signatures(ACCOUNT)[-1].height or 0
        until(lambda: ledger.height_at(boottime()) > last + 5, "slots pass")
        holder = referee.current_holder(ACCOUNT)
        assert holder is not None, "a stopped process still holds its key"
        assert holder.pid == left.pid
        resumed_at = ledger.height_at(boottime())
        left.signal(signal.SIGCONT)
        referee.wait_for(lambda seen: (seen.signatures(ACCOUNT)[-1].height or 0) > last, 10)
        heights = [record.height or 0 for record in referee.signatures(ACCOUNT)]
    # One duty may have been decided on before the stop; none of the slots in between is made up for.
    assert not [height for height in heights if last + 1 < height < resumed_at]


def test_key_loaded_within_a_slot_signs_from_the_next(node: NeardProcess, tmp_path: Path) -> None:
    seats = [Validator(ACCOUNT, read_key_file(node.key_path).public_key)]
    # The node loads its key soon after the start of a long slot, some slots into the chain.
    genesis = boottime() - 100.2
    ledger = Ledger.create(tmp_path / "slow", block_time_ms=1000, validators=seats, genesis_boottime=genesis)
    node.behave(ledger=str(ledger.path))
    node.start()
    with Referee(ledger.path) as referee:
        first = referee.wait_for(lambda seen: seen.signatures(ACCOUNT), 10)[0]
        loaded = referee.intervals(ACCOUNT)[0].loaded_at
    assert first.height is not None
    assert first.height > ledger.height_at(loaded)


def test_key_which_the_chain_does_not_know_signs_nothing(pair: tuple[Ledger, NeardProcess, NeardProcess]) -> None:
    ledger, left, _unused = pair
    generate_key_file(left.key_path, ACCOUNT)
    left.start()
    end = ledger.height_at(boottime()) + 5
    until(lambda: ledger.height_at(boottime()) > end, "slots pass")
    with Referee(ledger.path) as referee:
        assert referee.wait_for(lambda seen: seen.current_holder(ACCOUNT), 10)
        assert not referee.signatures(ACCOUNT)


def test_newer_release_aborts_at_the_next_epoch_with_a_foreign_key(
    pair: tuple[Ledger, NeardProcess, NeardProcess],
) -> None:
    _ledger, left, _right = pair
    generate_key_file(left.key_path, ACCOUNT)
    left.behave(version="2.12.0")
    left.start(wait=False)
    assert left.wait_end() == -signal.SIGABRT
    assert "validator key mismatch" in left.log()


def test_skipped_height_is_unprocessable(pair: tuple[Ledger, NeardProcess, NeardProcess]) -> None:
    ledger, _left, right = pair
    right.key_path.unlink()
    right.start()
    until(lambda: right.head() > len(ledger.validators), "the virtual validator produces")
    skipped = right.head() - 1
    assert ledger.block_producer(skipped).account_id == ACCOUNT
    code, answer = right.call("block", {"block_id": skipped})
    assert code == 422
    assert answer["error"]["cause"]["name"] == "UNKNOWN_BLOCK"


@pytest.mark.parametrize(("version", "form"), [("2.6.0", list), ("2.11.0", dict)])
def test_maintenance_windows_change_their_shape(
    pair: tuple[Ledger, NeardProcess, NeardProcess], version: str, form: type
) -> None:
    _ledger, left, _right = pair
    left.behave(version=version)
    left.start()
    _status, answer = left.call("maintenance_windows", {"account_id": "stranger.test"})
    assert [type(window) for window in answer["result"]] == [form]


def test_missing_signer_shows_in_the_tally(pair: tuple[Ledger, NeardProcess, NeardProcess]) -> None:
    ledger, _left, right = pair
    right.key_path.unlink()
    right.start()
    until(lambda: ledger.epoch_of(right.head()) > 0, "an epoch passes")
    _status, answer = right.call("validators", [None])
    lost = answer["result"]["prev_epoch_kickout"]
    assert [kickout["account_id"] for kickout in lost] == [ACCOUNT]
    assert "NotEnoughBlocks" in lost[0]["reason"]
