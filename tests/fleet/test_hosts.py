# SPDX-License-Identifier: Apache-2.0
"""Two real hosts: booted, reached, struck; and the referee's word on what their neards do with one key."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from kuutamo_fleet.errors import FleetError
from kuutamo_fleet.faults import fill_disk, free_disk, heal, partition
from kuutamo_fleet.fleet import settle, up
from kuutamo_fleet.hosts import Hosts, State
from kuutamo_fleet.inventory import ssh_arguments
from kuutamo_fleet.plan import Wish
from kuutamo_fleet.verdict import find
from neard_standin.journal import Event, Record, read_journal
from neard_standin.procfs import ProcessId
from neard_standin.referee import Verdict

pytestmark = pytest.mark.fleet

HOME = "/home/neard/near"
UNIT = "test-neard"
DEADLINE = 20.0


def _ssh(hosts: Hosts, host: str, *argv: str) -> subprocess.CompletedProcess[str]:
    where = hosts.reach()[host]
    options = ["-i", str(hosts.site.key), "-p", str(where.ssh_port), *ssh_arguments(hosts.site.known_hosts)]
    command = ["ssh", *options, f"root@{where.ssh_host}", *argv]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


def _run(hosts: Hosts, host: str, script: str) -> str:
    return hosts.podman.exec(hosts.plan.container(host), ["sh", "-euc", script])


def _start_signer(hosts: Hosts, host: str) -> None:
    """Start a neard with the fleet's key, as a service that may write its home and the chain alone."""
    key = json.dumps(yaml.safe_load(hosts.site.secrets_file.read_text())["kuutamod_validator_key"])
    _run(
        hosts,
        host,
        f"rm -rf {HOME}; su neard -c 'mkdir -p {HOME}'; cat /root/genesis.json > {HOME}/genesis.json; "
        f"printf '%s' '{key}' > {HOME}/validator_key.json; chown neard {HOME}/*; "
        f"su neard -c 'neard --home {HOME} init'; "
        f"systemd-run --quiet --collect --unit {UNIT} --property User=neard --property UMask=0077 "
        f"--property ProtectSystem=strict --property 'ReadWritePaths={HOME} /chain' neard --home {HOME} run",
    )


def _kill_signer(hosts: Hosts, host: str, number: str = "KILL") -> None:
    _run(hosts, host, f"systemctl kill --signal {number} {UNIT} 2>/dev/null || true")


def _wait_verdict(hosts: Hosts, holders: int, running: int) -> Verdict:
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end:
        verdict = find(hosts.site.chain).verdict
        if (len(verdict.intervals), sum(item.ended_at is None for item in verdict.intervals)) == (holders, running):
            return verdict
        time.sleep(0.1)
    raise AssertionError(f"not {holders} holders of which {running} run\n{find(hosts.site.chain).story()}")


def _wait_death(hosts: Hosts, process: ProcessId) -> list[Record]:
    """The deaths in the journal, once the watcher, a process of its own, has written that of `process`."""
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end:
        deaths = [record for record in read_journal(hosts.site.chain / "journal.jsonl") if record.event is Event.DEATH]
        if any(record.process == process for record in deaths):
            return deaths
        time.sleep(0.1)
    raise AssertionError(f"nobody has told the death of {process}\n{find(hosts.site.chain).story()}")


@pytest.fixture
def quiet(pair: Hosts) -> Iterator[Hosts]:
    """The pair without a signer and with an empty journal."""

    def clear() -> None:
        for host in ("node0", "node1"):
            _run(pair, host, f"systemctl stop {UNIT} 2>/dev/null || true")

    clear()
    yield pair
    clear()


def test_hosts_boot_and_are_reached_by_ssh_and_by_name(pair: Hosts) -> None:
    for host, release, peer in (("node0", "13", "node1"), ("node1", "12", "node0")):
        answer = _ssh(pair, host, f"hostname; . /etc/os-release; echo $VERSION_ID; getent hosts {peer}")
        name, version, resolved = answer.stdout.splitlines()
        assert (name, version) == (host, release)
        assert resolved.split()[0] == pair.reach()[peer].address
    assert _run(pair, "node0", "systemctl is-system-running").strip() == "running"


def test_a_service_sees_its_credentials(pair: Hosts) -> None:
    script = (
        "echo secret > /root/credential; systemd-run --quiet --wait --pipe --property LoadCredential=it:/root/credential "
        "--property DynamicUser=yes sh -c 'cat $CREDENTIALS_DIRECTORY/it'"
    )
    for host in ("node0", "node1"):
        assert _run(pair, host, script) == "secret\n"


def test_up_on_a_running_fleet_changes_nothing(pair: Hosts) -> None:
    def state() -> dict[Path, tuple[int, bytes]]:
        files = [path for path in pair.site.directory.rglob("*") if path.is_file() and "chain" not in path.parts]
        return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in files}

    before, said = state(), list[str]()
    booted = "cut -d ' ' -f 22 /proc/1/stat"  # when its first process began
    boots = {host: _run(pair, host, booted) for host in ("node0", "node1")}
    up(pair.site.root, Wish(pair.plan.name), said.append)
    assert state() == before
    assert {host: _run(pair, host, booted) for host in boots} == boots
    assert len(said) == 1, said


def test_secrets_are_their_owners_alone(pair: Hosts) -> None:
    assert pair.site.secrets_file.stat().st_mode & 0o777 == 0o600
    assert pair.site.key.stat().st_mode & 0o777 == 0o600


def test_a_partition_leaves_the_controller_its_way_in(pair: Hosts) -> None:
    ping = "ping -c1 -W1 node1 >/dev/null && echo reached || echo lost"
    assert _run(pair, "node0", ping) == "reached\n"
    partition(pair, "node0")
    try:
        assert _ssh(pair, "node0", ping).stdout == "lost\n"
        partition(pair, "node0")
    finally:
        heal(pair, "node0")
    heal(pair, "node0")
    assert _run(pair, "node0", ping) == "reached\n"


def test_a_host_comes_back_after_its_power_was_cut(pair: Hosts) -> None:
    network_card = _run(pair, "node0", "cat /sys/class/net/eth0/address")
    pair.kill("node0")
    assert pair.state("node0") is State.STOPPED
    with pytest.raises(FleetError, match="node0 is stopped: `start-host node0` starts it"):
        pair.container("node0", State.RUNNING)
    pair.start("node0")
    settle(pair)
    assert _ssh(pair, "node0", "getent hosts node1").returncode == 0
    assert _run(pair, "node0", "cat /sys/class/net/eth0/address") == network_card


def test_a_full_disk_is_full_for_its_host_alone(pair: Hosts) -> None:
    if not pair.plan.disks:
        pytest.skip("only root can mount file systems of a limited size")
    write = "touch /opt/consul/x && echo more > /opt/consul/x && echo written || echo full"
    fill_disk(pair, "node0")
    try:
        assert _run(pair, "node0", write).strip() == "full"
        assert _run(pair, "node1", write).strip() == "written"
    finally:
        free_disk(pair, "node0")
    assert _run(pair, "node0", write).strip() == "written"


def test_a_killed_signer_and_its_successor_on_another_host_do_not_overlap(quiet: Hosts) -> None:
    before = len(find(quiet.site.chain).verdict.intervals)
    _start_signer(quiet, "node0")
    _wait_verdict(quiet, before + 1, 1)
    time.sleep(1.5)
    _kill_signer(quiet, "node0")
    _start_signer(quiet, "node1")
    # Without the watcher's word the first one's end is only its last sign of life.
    deaths = _wait_death(quiet, _wait_verdict(quiet, before + 2, 1).intervals[-2].process)
    verdict = _wait_verdict(quiet, before + 2, 1)
    first, second = verdict.intervals[-2:]
    assert (first.host, first.how, second.host) == ("node0", "died", "node1")
    assert verdict.safe, verdict.story()
    assert first.ended_at is not None
    # The watcher saw the end itself: from the last sign of life it is its own period, and what a busy machine adds.
    assert first.ended_at - first.alive_at < 2.0
    assert deaths[-1].process == first.process


def test_a_stopped_signer_still_holds_its_key(quiet: Hosts) -> None:
    before = len(find(quiet.site.chain).verdict.intervals)
    _start_signer(quiet, "node0")
    _wait_verdict(quiet, before + 1, 1)
    _kill_signer(quiet, "node0", "STOP")
    _start_signer(quiet, "node1")
    verdict = _wait_verdict(quiet, before + 2, 2)
    assert len(verdict.overlaps) == 1
    overlap = verdict.overlaps[0]
    assert (overlap.first.host, overlap.second.host) == ("node0", "node1")
    assert overlap.first.process in overlap.second.others_alive, "node1 saw it at first hand"
    assert " of node0 " in verdict.story()
