# SPDX-License-Identifier: Apache-2.0
"""The files around a fleet of hosts: images, archives, inventory, secrets, rules."""

from __future__ import annotations

import base64
import io
import subprocess
import sys
import tarfile
import uuid
from pathlib import Path

import pytest
import yaml

from kuutamo_fleet.archives import CURRENT, NEWER, RELEASES, neard_archive
from kuutamo_fleet.chain import ended, ensure_chain, genesis, write_genesis
from kuutamo_fleet.cli import main
from kuutamo_fleet.credentials import new_secrets
from kuutamo_fleet.errors import FleetError
from kuutamo_fleet.faults import partition_rules
from kuutamo_fleet.fleet import up
from kuutamo_fleet.hosts import Hosts, State
from kuutamo_fleet.image import DIRECTORIES, FILES, LINKS, bootstrap_command, finish, recipe
from kuutamo_fleet.inventory import Reach, hosts_file, to_yaml
from kuutamo_fleet.plan import Wish, make_plan
from kuutamo_fleet.podman import Podman
from kuutamo_fleet.site import Site
from neard_standin.keys import KeyFile
from neard_standin.ledger import Ledger


def _tar(names: dict[str, bytes]) -> io.BytesIO:
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w") as tar:
        for name, content in names.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    sink.seek(0)
    return sink


def test_an_image_shares_no_keys_and_no_machine_id() -> None:
    before = {"./etc/ssh/ssh_host_rsa_key": b"k", "./etc/machine-id": b"1", "./etc/passwd": b"p", "./dev/null": b""}
    sink = io.BytesIO()
    finish(_tar(before), sink)
    sink.seek(0)
    with tarfile.open(fileobj=sink) as tar:
        members = {member.name.removeprefix("./"): member for member in tar}
        machine_id = tar.extractfile(members["etc/machine-id"])
        assert machine_id is not None
        assert machine_id.read() == b""
    assert set(members) == {"etc/passwd", "etc/machine-id", "etc/hostname", *FILES, *LINKS, *DIRECTORIES}
    assert all(members[name].issym() for name in LINKS)


def test_an_image_is_made_anew_when_its_recipe_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    before = recipe("trixie")
    assert before != recipe("bookworm")
    monkeypatch.setattr("kuutamo_fleet.image.PACKAGES", ("systemd",))
    assert recipe("trixie") != before


@pytest.mark.parametrize(("root", "program"), [(True, "debootstrap"), (False, "mmdebstrap")])
def test_the_system_comes_from_the_mirror(root: bool, program: str) -> None:
    argv = bootstrap_command(root=root, suite="trixie", target=Path("/t"), mirror="http://mirror/debian")
    assert argv[0] == program
    assert argv[-3:] == ["trixie", "/t", "http://mirror/debian"]


def test_an_archive_has_the_same_bytes_every_time(tmp_path: Path) -> None:
    first, second = (neard_archive(tmp_path / name, CURRENT) for name in _made(tmp_path, "a", "b"))
    assert first.sha256 == second.sha256
    assert first.path.with_name(first.path.name + ".sha256").read_text() == f"{first.sha256}  {first.path.name}\n"


def _made(directory: Path, *names: str) -> tuple[str, ...]:
    for name in names:
        (directory / name).mkdir()
    return names


@pytest.mark.parametrize("release", RELEASES.values())
def test_an_archive_tells_its_release_with_the_standard_library_alone(tmp_path: Path, release: object) -> None:
    archive = neard_archive(tmp_path, release)  # type: ignore[arg-type]
    with tarfile.open(archive.path) as tar:
        assert tar.getnames() == ["neard"]
        tar.extractall(tmp_path, filter="data")
    argv = [sys.executable, "-I", "-S", str(tmp_path / "neard"), "--version"]
    said = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    assert f"(release {archive.version})" in said
    assert f"(protocol {release.protocol})" in said  # type: ignore[attr-defined]


def test_an_outdated_neard_refuses_the_chain(tmp_path: Path) -> None:
    archive = neard_archive(tmp_path, RELEASES["neard_too_old"])
    with tarfile.open(archive.path) as tar:
        tar.extractall(tmp_path, filter="data")
    home = tmp_path / "home"
    argv = [sys.executable, "-I", "-S", str(tmp_path / "neard"), "--home", str(home)]
    subprocess.run([*argv, "init", "--chain-id", "localnet", "--account-id", "a.near"], check=True)
    done = subprocess.run([*argv, "run"], capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode < 0
    assert "The client protocol version 80 is older than the protocol version of the network 83" in done.stderr


def test_the_inventory_has_the_groups_and_how_to_reach_the_hosts() -> None:
    plan = make_plan(Wish(hosts=("a",), clients=("b",), servers=("c",)))
    reach = {
        "a": Reach("10.0.0.1", "10.0.0.1"),
        "b": Reach("10.0.0.2", "127.0.0.1", 40022),
        "c": Reach("10.0.0.3", "10.0.0.3"),
    }
    content = yaml.safe_load(to_yaml(hosts_file(plan, reach, Path("/k"), Path("/known"))))["all"]
    assert list(content["children"]["consul_servers"]["hosts"]) == ["a", "c"]
    assert list(content["children"]["validators"]["hosts"]) == ["a", "b"]
    assert content["hosts"]["b"] == {"ansible_host": "127.0.0.1", "fleet_address": "10.0.0.2", "ansible_port": 40022}
    assert "ansible_port" not in content["hosts"]["a"]
    assert content["vars"]["ansible_ssh_private_key_file"] == "/k"
    assert "UserKnownHostsFile=/known" in content["vars"]["ansible_ssh_common_args"]


def test_secrets_have_the_shape_the_roles_expect() -> None:
    first, second = new_secrets("v.near"), new_secrets("v.near")
    assert len(base64.b64decode(first["consul_gossip_key"])) == 32
    for name in ("consul_management_token", "consul_operator_token", "consul_reader_token"):
        assert str(uuid.UUID(first[name])) == first[name] != second[name]
    key = KeyFile(**first["kuutamod_validator_key"])
    assert key.account_id == "v.near"
    assert key.secret_matches_public()


def test_the_chain_is_kept_and_its_genesis_names_its_validators(tmp_path: Path) -> None:
    chain = tmp_path / "chain"
    first = ensure_chain(chain, "v.near", "ed25519:x")
    assert ensure_chain(chain, "v.near", "ed25519:x") == first
    assert first.many_hosts
    assert first.journal_path.stat().st_mode & 0o777 == 0o666
    assert genesis(first)["validators"][0] == {"account_id": "v.near", "public_key": "ed25519:x"}
    write_genesis(first, tmp_path / "genesis.json")
    stamp = (tmp_path / "genesis.json").stat().st_mtime_ns
    write_genesis(first, tmp_path / "genesis.json")
    assert (tmp_path / "genesis.json").stat().st_mtime_ns == stamp


def test_a_chain_from_before_the_last_boot_is_made_anew(tmp_path: Path) -> None:
    chain = tmp_path / "chain"
    old = ensure_chain(chain, "v.near", "ed25519:x")
    (chain / "ledger.json").unlink()
    Ledger.create(chain, validators=old.validators, genesis_boottime=old.genesis_boottime + 1e9)
    assert ensure_chain(chain, "v.near", "ed25519:x").genesis_boottime < old.genesis_boottime + 1e6


def test_a_boot_is_noticed_however_long_ago_it_was(tmp_path: Path) -> None:
    """The machine runs for longer by now than it did when the chain was made: its clock alone shows nothing."""
    chain = tmp_path / "chain"
    old = ensure_chain(chain, "v.near", "ed25519:x")
    assert not ended(chain)
    old.journal_path.write_text("what was signed then")
    boot_another_time(chain)
    assert ended(chain)
    new = ensure_chain(chain, "v.near", "ed25519:x")
    assert (new.genesis_boottime > old.genesis_boottime, new.journal_path.read_text(), ended(chain)) == (True, "", False)
    assert not ended(tmp_path / "none")


def test_a_chain_that_does_not_know_its_boot_is_kept(tmp_path: Path) -> None:
    """An earlier version has made it; a fleet that runs must not lose it."""
    chain = tmp_path / "chain"
    old = ensure_chain(chain, "v.near", "ed25519:x")
    (chain / "boot-id").unlink()
    assert ensure_chain(chain, "v.near", "ed25519:x") == old


def boot_another_time(chain: Path) -> None:
    (chain / "boot-id").write_text("6d2f6b26-0f2a-4a4c-9f0e-0d7d3c1f3a55\n")


@pytest.mark.parametrize(
    ("states", "archive", "booted", "refused"),
    [
        ({"node0": State.STOPPED, "node1": State.MISSING}, None, True, True),
        ({"node0": State.RUNNING, "node1": State.RUNNING}, None, True, True),
        ({"node0": State.RUNNING, "node1": State.RUNNING}, None, False, False),
        ({"node0": State.MISSING, "node1": State.MISSING}, None, True, False),
        # A real neard's chain lies on its hosts and goes on by the time of day.
        ({"node0": State.STOPPED, "node1": State.STOPPED}, "neard.tar", True, False),
    ],
)
def test_hosts_that_remember_a_chain_of_an_earlier_boot_are_not_brought_up(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    states: dict[str, State],
    archive: str | None,
    booted: bool,
    refused: bool,
) -> None:
    class GoneOnError(Exception):
        pass

    def go_on(_hosts: Hosts) -> str:
        raise GoneOnError

    monkeypatch.setattr(Podman, "prepare", lambda _root: None)
    monkeypatch.setattr("kuutamo_fleet.fleet.ensure_image", lambda *_unused: False)
    monkeypatch.setattr(Hosts, "states", lambda _hosts: states)
    monkeypatch.setattr(Hosts, "ensure_network", go_on)
    chain = Site(tmp_path, "f").chain
    ledger = ensure_chain(chain, "v.near", "ed25519:x")
    if booted:
        boot_another_time(chain)
    with pytest.raises(FleetError if refused else GoneOnError) as caught:
        up(tmp_path, Wish("f", count=2, neard_archive=archive), print)
    if refused:
        assert "this machine was booted since the fleet f was made" in str(caught.value)
        assert "`kuutamo-fleet down --name f`, then again" in str(caught.value)
    assert Ledger.open(chain) == ledger


def test_a_partition_names_the_peers_in_both_directions() -> None:
    rules = partition_rules(["10.0.0.2", "10.0.0.1"])
    assert "ip saddr { 10.0.0.1, 10.0.0.2 } drop" in rules
    assert "ip daddr { 10.0.0.1, 10.0.0.2 } drop" in rules


@pytest.mark.parametrize("argv", [["status"], ["exec", "node0", "true"], ["freeze", "node0"], ["referee"]])
def test_without_a_fleet_the_remedy_is_named(tmp_path: Path, argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    name = ["--name", "nobody"]
    assert main(["--dir", str(tmp_path), argv[0], *name, *argv[1:]]) == 1
    assert "`kuutamo-fleet up --name nobody` makes one" in capsys.readouterr().err


def test_releases_differ_where_an_upgrade_needs_it() -> None:
    assert CURRENT.protocol is not None
    assert NEWER.protocol is not None
    assert NEWER.protocol > CURRENT.protocol
