# SPDX-License-Identifier: Apache-2.0
"""What the supervisor relies on in any neard: runs against the stand-in, or with NEARD=/path against a real binary."""

from __future__ import annotations

import fcntl
import json
import re
import signal
import socket
from pathlib import Path

import pytest

from conformance.neard_process import ACCOUNT, CHAIN, NeardProcess, free_address, neard, until

_LOG_LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z +(?:INFO|WARN|ERROR) [\w:]+: .+")


# Command line


def test_version_names_release_and_build(tmp_path: Path) -> None:
    answer = neard(tmp_path, "--version")
    assert answer.returncode == 0
    assert re.search(r"\(release [^)]+\) \(build [^)]+\)", answer.stdout)


def test_unknown_flag_is_a_usage_error(node: NeardProcess) -> None:
    assert neard(node.home, "run", "--no-such-flag").returncode == 2


def test_init_makes_private_key_files(node: NeardProcess) -> None:
    for name in ("validator_key.json", "node_key.json"):
        assert (node.home / name).stat().st_mode & 0o777 == 0o600
    assert json.loads(node.key_path.read_text())["account_id"] == ACCOUNT


def test_init_again_changes_nothing(node: NeardProcess) -> None:
    before = {path.name: path.read_bytes() for path in node.home.iterdir() if path.is_file()}
    assert neard(node.home, "init").returncode == 0
    assert {path.name: path.read_bytes() for path in node.home.iterdir() if path.is_file()} == before


def test_init_replaces_only_the_missing_key(node: NeardProcess) -> None:
    kept = node.key_path.read_bytes()
    (node.home / "node_key.json").unlink()
    assert neard(node.home, "init").returncode == 0
    assert (node.home / "node_key.json").exists()
    assert node.key_path.read_bytes() == kept


def test_init_refuses_another_account(node: NeardProcess) -> None:
    assert neard(node.home, "init", "--account-id", "other.test").returncode == 1


def test_init_refuses_an_empty_chain_id(tmp_path: Path) -> None:
    assert neard(tmp_path, "init", "--chain-id", "").returncode == 1


def test_validate_config_exits_by_its_findings(node: NeardProcess) -> None:
    assert neard(node.home, "validate-config").returncode == 0
    node.key_path.write_text("{")
    assert neard(node.home, "validate-config").returncode == 1


@pytest.mark.parametrize("form", ["separate", "joined"])
def test_flag_values_may_be_separate_or_joined(node: NeardProcess, form: str) -> None:
    node.rpc = free_address()
    node.start(*(["--rpc-addr", node.rpc] if form == "separate" else [f"--rpc-addr={node.rpc}"]))
    assert node.status()["rpc_addr"] == node.rpc


# Answers of a healthy node


def test_status_has_the_documented_types(running: NeardProcess) -> None:
    until(lambda: running.head() > 0, "the first block")
    status = running.status()
    key = json.loads(running.key_path.read_text())
    assert status["chain_id"] == CHAIN
    assert status["validator_account_id"] == ACCOUNT
    assert status["validator_public_key"] == key["public_key"]
    node_key = json.loads((running.home / "node_key.json").read_text())
    assert status["node_public_key"] == node_key["public_key"]
    assert {"account_id": ACCOUNT} in status["validators"]
    assert isinstance(status["uptime_sec"], int)
    assert isinstance(status["protocol_version"], int)
    assert {"version", "build"} <= status["version"].keys()
    sync = status["sync_info"]
    assert sync["syncing"] is False
    assert isinstance(sync["latest_block_height"], int)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z", sync["latest_block_time"])


def test_health_of_a_healthy_node_is_null(running: NeardProcess) -> None:
    until(lambda: running.head() > 0, "the first block")
    code, body, _unused = running.http("GET", "/health")
    assert (code, body) == (200, b"null")


@pytest.mark.parametrize("path", ["/status", "/health"])
def test_head_requests_have_no_body(running: NeardProcess, path: str) -> None:
    until(lambda: running.head() > 0, "the first block")
    code, body, _unused = running.http("HEAD", path)
    assert (code, body) == (200, b"")


def test_metrics_are_text_and_count_the_load_at_start(running: NeardProcess) -> None:
    code, _unused, headers = running.http("GET", "/metrics")
    assert code == 200
    assert headers["content-type"].startswith("text/plain")
    assert running.metric("near_config_reloads_total") == 1
    assert running.metric("near_config_correct") == 1


def test_produced_blocks_are_counted(running: NeardProcess) -> None:
    until(lambda: (running.metric("near_block_produced_total") or 0) > 0, "a produced block is counted")


def test_network_info_has_the_documented_fields(running: NeardProcess) -> None:
    code, body, _unused = running.http("GET", "/network_info")
    content = json.loads(body)
    assert code == 200
    assert isinstance(content["num_active_peers"], int)
    assert isinstance(content["known_producers"], list)


def test_validators_show_our_account_and_key(running: NeardProcess) -> None:
    for params in ([None], "latest"):
        code, answer = running.call("validators", params)
        assert code == 200
        ours = next(seat for seat in answer["result"]["current_validators"] if seat["account_id"] == ACCOUNT)
        assert ours["public_key"] == json.loads(running.key_path.read_text())["public_key"]
        assert isinstance(ours["stake"], str)
        assert isinstance(ours["num_produced_blocks"], int)
        assert isinstance(ours["num_expected_endorsements"], int)


def test_block_names_its_author(running: NeardProcess) -> None:
    until(lambda: running.head() > 0, "the first block")
    code, answer = running.call("block", {"finality": "optimistic"})
    assert code == 200
    assert answer["result"]["author"] == ACCOUNT
    height = answer["result"]["header"]["height"]
    assert running.call("block", {"block_id": height})[1]["result"]["header"]["height"] == height


def test_unknown_block_is_a_handler_error(running: NeardProcess) -> None:
    code, answer = running.call("block", {"block_id": 10**12})
    assert code in (200, 422)
    assert answer["error"]["name"] == "HANDLER_ERROR"
    assert answer["error"]["cause"]["name"] == "UNKNOWN_BLOCK"


def test_unknown_method_is_a_validation_error(running: NeardProcess) -> None:
    code, answer = running.call("no_such_method", {})
    assert code == 400
    assert answer["error"]["name"] == "REQUEST_VALIDATION_ERROR"
    assert answer["error"]["cause"]["name"] == "METHOD_NOT_FOUND"


def test_maintenance_windows_need_an_object(running: NeardProcess) -> None:
    code, answer = running.call("EXPERIMENTAL_maintenance_windows", {"account_id": "stranger.test"})
    assert code == 200
    window = answer["result"][0]
    start, end = (window["start"], window["end"]) if isinstance(window, dict) else window
    assert start < end


def test_protocol_config_tells_the_epoch_length(running: NeardProcess) -> None:
    code, answer = running.call("EXPERIMENTAL_protocol_config", {"finality": "final"})
    assert code == 200
    assert answer["result"]["epoch_length"] > 0


def test_log_is_on_stderr_in_tracing_format(running: NeardProcess) -> None:
    lines = [line for line in running.log().splitlines() if line]
    assert lines
    assert all(_LOG_LINE.fullmatch(line) for line in lines), lines
    assert (running.home / "stdout.log").read_bytes() == b""


# Start


def test_missing_config_aborts(node: NeardProcess) -> None:
    (node.home / "config.json").unlink()
    assert node.start(wait=False).wait_end() == -signal.SIGABRT
    assert "config.json" in node.log()


def test_malformed_config_aborts(node: NeardProcess) -> None:
    (node.home / "config.json").write_text('{"rpc":')
    assert node.start(wait=False).wait_end() == -signal.SIGABRT
    assert "Error loading config" in node.log()


def test_conflicting_tracking_settings_abort(node: NeardProcess) -> None:
    node.write_config({**node.read_config(), "tracked_shards_config": "NoShards", "tracked_shards": [0]})
    assert node.start(wait=False).wait_end() == -signal.SIGABRT
    assert "tracked_shards" in node.log()


def test_missing_node_key_aborts(node: NeardProcess) -> None:
    (node.home / "node_key.json").unlink()
    assert node.start(wait=False).wait_end() == -signal.SIGABRT
    assert "Failed reading node key file" in node.log()


def test_malformed_validator_key_aborts(node: NeardProcess) -> None:
    node.key_path.write_text('{"account_id": "validator.test"}')
    assert node.start(wait=False).wait_end() == -signal.SIGABRT
    assert "Failed initializing validator signer" in node.log()


def test_missing_validator_key_starts_without(node: NeardProcess) -> None:
    node.key_path.unlink()
    status = node.start().status()
    assert status["validator_account_id"] is None
    assert status["validator_public_key"] is None


def test_unknown_config_keys_only_warn(node: NeardProcess) -> None:
    node.write_config({**node.read_config(), "no_such_setting": 1})
    node.start()
    assert "no_such_setting" in node.log()


def test_comments_and_the_private_key_alias_are_read(node: NeardProcess) -> None:
    key = json.loads(node.key_path.read_text())
    key["private_key"] = key.pop("secret_key")
    node.key_path.write_text("// line\n# hash\n/* block\n */" + json.dumps(key))
    config = node.home / "config.json"
    config.write_text("# hash // slashes\n" + config.read_text())
    assert node.start().account() == ACCOUNT


def test_key_file_setting_may_be_an_absolute_path(node: NeardProcess, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere.json"
    node.key_path.rename(elsewhere)
    node.write_config({**node.read_config(), "validator_key_file": str(elsewhere)})
    assert node.start().account() == ACCOUNT


def test_busy_rpc_port_aborts(node: NeardProcess) -> None:
    host, _unused, port = node.rpc.partition(":")
    with socket.create_server((host, int(port))):
        assert node.start(wait=False).wait_end() == -signal.SIGABRT


def test_second_node_on_one_home_aborts_with_rocksdbs_words(node: NeardProcess) -> None:
    node.start()
    second = neard(node.home, "run", "--rpc-addr", free_address(), "--network-addr", free_address())
    assert second.returncode == -signal.SIGABRT
    lock = node.home / "data" / "LOCK"
    assert f"IO error: While lock file: {lock}: Resource temporarily unavailable" in second.stderr
    assert node.account() == ACCOUNT


def test_database_lock_is_a_record_lock_which_a_stopped_node_keeps(node: NeardProcess) -> None:
    node.start()
    node.signal(signal.SIGSTOP)
    with (node.home / "data" / "LOCK").open("r+") as lock:
        with pytest.raises(BlockingIOError):
            fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        node.signal(signal.SIGKILL)
        node.wait_end()
        fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


# Reload


def test_key_arrives_by_hup(node: NeardProcess) -> None:
    aside = node.key_path.rename(node.home / "aside.json")
    node.start()
    assert node.account() is None
    aside.rename(node.key_path)
    node.reload()
    until(lambda: node.account() == ACCOUNT, "the key is loaded")
    assert node.metric("near_config_reloads_total") == 2


@pytest.mark.parametrize("removal", ["no file", "broken link"])
def test_missing_key_file_demotes(node: NeardProcess, removal: str) -> None:
    node.start()
    node.key_path.unlink()
    if removal == "broken link":
        node.key_path.symlink_to("nowhere.json")
    node.reload()
    until(lambda: node.account() is None, "the key is unloaded")
    assert node.status()["validator_public_key"] is None


def test_chain_stalls_without_its_only_key_and_goes_on_with_it(node: NeardProcess) -> None:
    node.start()
    until(lambda: node.head() > 0, "the first block")
    aside = node.key_path.rename(node.home / "aside.json")
    node.reload()
    until(lambda: node.account() is None, "the key is unloaded")
    produced = node.metric("near_block_produced_total")
    stalled_at = node.head()
    aside.rename(node.key_path)
    node.reload()
    until(lambda: node.head() > stalled_at + 1, "blocks again")
    assert (node.metric("near_block_produced_total") or 0) > (produced or 0)


@pytest.mark.parametrize("broken", ["config.json", "log_config.json", "validator_key.json"])
def test_any_broken_file_vetoes_the_whole_reload(node: NeardProcess, broken: str) -> None:
    node.start()
    if broken != "validator_key.json":
        # The removal of the key is what must not get through.
        node.key_path.unlink()
    path = node.home / broken
    intact = path.read_bytes() if path.exists() else None
    path.write_text('{"half":')
    node.signal(signal.SIGHUP)
    until(lambda: node.metric("near_config_correct") == 0, "the fault shows")
    assert node.account() == ACCOUNT
    assert node.metric("near_config_reloads_total") == 1
    if intact is None:
        path.unlink()
    else:
        path.write_bytes(intact)
    node.reload()
    assert node.metric("near_config_correct") == 1
    expected = ACCOUNT if broken == "validator_key.json" else None
    until(lambda: node.account() == expected, "the repaired files are in force")


def test_same_key_again_is_counted_and_changes_nothing(node: NeardProcess) -> None:
    node.start()
    before = node.status()
    node.reload()
    after = node.status()
    assert after["validator_public_key"] == before["validator_public_key"]
    assert node.metric("near_config_reloads_total") == 2


# End


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_term_and_int_stop_cleanly(node: NeardProcess, number: signal.Signals) -> None:
    node.start().signal(number)
    assert node.wait_end() == 0
    assert (node.home / "data" / "LOCK").exists()


def test_killed_node_leaves_lock_and_starts_again(node: NeardProcess) -> None:
    node.start()
    until(lambda: node.head() > 0, "the first block")
    node.signal(signal.SIGKILL)
    assert node.wait_end() == -signal.SIGKILL
    assert (node.home / "data" / "LOCK").exists()
    reached = node.start().head()
    until(lambda: node.head() > reached, "the restarted node produces")


def test_counters_begin_anew_with_each_process(node: NeardProcess) -> None:
    node.start().reload()
    node.signal(signal.SIGKILL)
    node.wait_end()
    assert node.start().metric("near_config_reloads_total") == 1


def test_expected_shutdown_by_hup_exits_0(node: NeardProcess) -> None:
    node.start()
    node.write_config({**node.read_config(), "expected_shutdown": node.head() + 1})
    node.signal(signal.SIGHUP)
    assert node.wait_end() == 0


def test_expected_shutdown_left_behind_ends_the_next_start(node: NeardProcess) -> None:
    node.write_config({**node.read_config(), "expected_shutdown": 0})
    assert node.start(wait=False).wait_end() == 0


def test_node_writes_no_pid_file_and_has_no_children(running: NeardProcess) -> None:
    children = Path(f"/proc/{running.pid}/task/{running.pid}/children").read_text()
    assert children == ""
    assert not list(running.home.glob("*.pid"))
