# SPDX-License-Identifier: Apache-2.0
"""The preflight of a node's own side: settings, law, keys, home, neard, its config, hooks, clocks; and who may see what."""

from __future__ import annotations

import errno
import json
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from kuutamod.core.lease import LeaseLaw
from kuutamod.guard.child import MARKER, start_time
from kuutamod.neard import procfs
from kuutamod.preflight import inspect as inspecting
from kuutamod.preflight.clocks import judge_rate, judge_sync
from kuutamod.preflight.finding import Level, Topic
from kuutamod.preflight.neard import NotRun, version_line
from unit.preflight.rig import NO_CONSUL, RELEASE, Node, another_process, database_opened, secret_of
from unit.settings.node_files import NOBODY, unprivileged

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:consul.base")
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away, and up his rights")
PATIENCE = 60.0


# --- as a whole ---


def test_a_node_that_is_right(node: Node) -> None:
    findings = node.inspect()
    wrong = [each for each in findings if each.level is not Level.OK and each.topic is not Topic.CLOCK]
    assert [(each.level, each.topic) for each in wrong] == [(Level.FAULT, Topic.CONSUL)], wrong
    assert wrong[0].text == f"{NO_CONSUL}: Connection refused"
    assert {each.topic for each in findings} == set(Topic) - {Topic.RIGHTS, Topic.FLEET}
    assert all(each.remedy for each in findings if each.level is not Level.OK)
    keys = [each.text for each in findings if each.topic is Topic.KEYS]
    assert len(keys) == 3
    assert f"validator key {json.loads(node.files['validator-key'].read_text())['public_key']} of fleet.near in " in keys[0]
    assert "mode 0600" in keys[0]


def test_nothing_is_started_changed_or_left_behind(node: Node) -> None:
    def files() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in node.files.root.rglob("*") if path.is_file()}

    before = files()
    node.inspect()
    assert files() == before


@pytest.mark.parametrize("spoil", ["", "validator-key", "validator-node-key", "voter-node-key"])
def test_no_secret_is_ever_found(node: Node, spoil: str) -> None:
    names = ("validator-key", "validator-node-key", "voter-node-key")
    secrets = [secret_of(node.files[name]) for name in names]
    if spoil:
        node.files.edit_key(spoil, public_key="ed25519:" + secrets[0][:44], account_id=secrets[0])
    said = repr(node.inspect())
    for secret in secrets:
        assert secret not in said
    if not spoil:
        assert not any(secret[:40] in said for secret in secrets)


def test_a_faulty_setting_hides_nothing_else(node: Node) -> None:
    node.files.options |= {"guard-time": "5", "log-level": "loud", "node-id": "a/b"}
    node.files["validator-key"].unlink()
    findings = node.inspect()
    faults = {each.topic: each.text for each in findings if each.level is Level.FAULT}
    assert "--guard-time 5 * 0.99 = 4.950 s" in faults[Topic.LAW]
    assert "there is no such choice" in faults[Topic.SETTINGS]
    assert any("--node-id / KUUTAMO_NODE_ID is 'a/b'" in each.text for each in findings)
    assert "there is no such file" in faults[Topic.KEYS]
    assert {Topic.HOME, Topic.NEARD, Topic.CONFIG, Topic.PORTS, Topic.CLOCK, Topic.HOOKS} <= {
        each.topic for each in findings
    }
    assert not [each for each in findings if each.topic is Topic.LAW and each.level is Level.OK]


def test_files_that_can_not_be_read_in_time(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    released = threading.Event()
    monkeypatch.setattr(inspecting, "DISK_DEADLINE", 0.2)
    monkeypatch.setattr(inspecting, "examine", lambda *_unused: released.wait(PATIENCE))
    (late,) = node.inspect()
    released.set()
    assert (late.level, late.topic) == (Level.FAULT, Topic.SETTINGS)
    assert "no answer within 0.2 s" in late.text


# --- settings, law and keys ---


def test_the_law_is_told_with_its_numbers(node: Node) -> None:
    (found,) = node.found(Topic.LAW)
    assert "(7 + 1 + 0.5) * 1.01 = 8.585 s, the others wait for 9 * 0.99 = 8.910 s: 0.325 s to spare" in found.text
    node.files.env["KUUTAMO_GUARD_TIME"] = "12"
    _unused, changed = node.found(Topic.LAW)
    assert changed.text == "not at their defaults: guard-time"


def test_an_account_that_was_left_out(node: Node) -> None:
    del node.files.options["account-id"]
    found = node.one(Topic.SETTINGS, Level.WARNING)
    assert "--account-id is left at 'default'" in found.text
    assert "set it to fleet.near" in found.remedy
    node.files.options["account-id"] = "fleet.near"
    assert not node.found(Topic.SETTINGS, Level.WARNING)


def test_a_key_that_others_could_read_or_replace(node: Node) -> None:
    node.files["validator-key"].chmod(0o644)
    found = node.one(Topic.KEYS, Level.WARNING)
    assert "others can read this key" in found.text
    assert "chmod 600" in found.remedy
    node.files["validator-key"].chmod(0o620)
    assert "could be replaced by others" in node.one(Topic.KEYS, Level.FAULT).text
    node.files["validator-key"].chmod(0o600)
    node.files.root.chmod(0o777)
    assert len(node.found(Topic.KEYS, Level.FAULT)) == 3


def test_keys_from_systemd_are_guarded_by_the_directory_above_them(node: Node) -> None:
    credentials = node.files.root / "credentials"
    credentials.mkdir(mode=0o770)
    for name in ("validator-key", "validator-node-key", "voter-node-key"):
        place = node.files[name].rename(credentials / f"{name.replace('-', '_')}.json")
        place.chmod(0o440)
        del node.files.options[name]
    node.files.env["CREDENTIALS_DIRECTORY"] = str(credentials)
    assert [each.level for each in node.found(Topic.KEYS)] == [Level.OK] * 3


# --- the home ---


def test_a_stranger_has_the_database(node: Node) -> None:
    with database_opened(node.files["neard-home"]) as pid:
        found = node.one(Topic.HOME, Level.FAULT)
    assert f"LOCK is held by pid {pid} (" in found.text
    assert "which kuutamod did not start" in found.text


def test_an_orphan_has_the_database(node: Node) -> None:
    home = node.files["neard-home"]
    with database_opened(home, **{MARKER: str(home)}) as pid:
        found = node.one(Topic.HOME, Level.WARNING)
        assert f"as pid {pid}, started by a kuutamod that is gone" in found.text
        owner = {"node_id": "node", "pid": os.getpid(), "started": start_time(os.getpid()), "hostname": "here"}
        (home / "kuutamod.lock").write_text(json.dumps(owner))
        assert [each.level for each in node.found(Topic.HOME)] == [Level.OK] * 4
        (home / "kuutamod.lock").write_text(json.dumps({**owner, "node_id": "other"}))
        assert "kuutamod of node other runs on it" in node.one(Topic.HOME, Level.FAULT).text


def test_what_kuutamod_keeps_is_broken(node: Node) -> None:
    memory = node.files["neard-home"] / "kuutamod.json"
    memory.write_text('{"term": 17, "session": ""}')
    assert any("the highest term this host has seen is 17" in each.text for each in node.found(Topic.HOME))
    memory.write_text("{")
    assert str(memory) in node.one(Topic.HOME, Level.FAULT).text


def test_a_key_that_lies_in_the_home(node: Node) -> None:
    stray = node.files["neard-home"] / "validator_key.json"
    stray.symlink_to(node.files["validator-key"])
    assert not node.found(Topic.HOME, Level.WARNING), "such a link is kuutamod's"
    stray.unlink()
    stray.write_bytes(node.files["validator-key"].read_bytes())
    assert "validates with it" in node.one(Topic.HOME, Level.WARNING).text


def test_others_can_write_in_the_home(node: Node) -> None:
    node.files["neard-home"].chmod(0o777)
    assert "is writable by others" in node.one(Topic.HOME, Level.WARNING).text


@pytest.mark.parametrize(
    ("change", "level", "says"),
    [
        ({"f_bavail": 0}, Level.FAULT, "0.0 GiB are free"),
        ({"f_bavail": 10 * 2**30 // 4096, "f_frsize": 4096}, Level.WARNING, "10.0 GiB are free"),
        ({"f_flag": os.ST_RDONLY}, Level.FAULT, "is read-only"),
        ({"f_files": 10_000, "f_favail": 9}, Level.WARNING, "less than 1 % of the inodes"),
    ],
)
def test_the_disk(node: Node, monkeypatch: pytest.MonkeyPatch, change: dict[str, int], level: Level, says: str) -> None:
    names = [name for name in dir(os.statvfs_result) if name.startswith("f_")]
    plenty = dict.fromkeys(names, 0) | {"f_bavail": 2**40, "f_frsize": 4096} | change
    monkeypatch.setattr(os, "statvfs", lambda _unused: type("Disk", (), plenty))
    assert says in node.one(Topic.HOME, level).text


def test_a_database_where_the_sandbox_lets_nobody_write(
    node: Node, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """On the disk of the home, and read-only all the same: so are all paths but those that a unit names."""
    store = tmp_path / "elsewhere"
    store.mkdir()
    node.files.edit_config(lambda data: data["store"].update(path=str(store)))
    names = [name for name in dir(os.statvfs_result) if name.startswith("f_")]
    plenty = dict.fromkeys(names, 0) | {"f_bavail": 2**40, "f_frsize": 4096}
    flags = {store: {"f_flag": os.ST_RDONLY}}
    monkeypatch.setattr(os, "statvfs", lambda path: type("Disk", (), plenty | flags.get(path, {})))
    said = node.one(Topic.HOME, Level.FAULT)
    assert f"{store} is read-only" in said.text
    assert "ReadWritePaths" in said.remedy


def test_a_lock_that_can_not_be_looked_at_hides_nothing_else(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    def read_only(_unused: Path) -> int | None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    before = node.found(Topic.HOME)
    monkeypatch.setattr(procfs, "lock_holder", read_only)
    found = node.found(Topic.HOME)
    (said,) = [each for each in found if each not in before]
    assert (said.level, len(found)) == (Level.WARNING, len(before))
    assert "LOCK can't be seen: Read-only file system" in said.text


# --- neard and its config ---


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("sleep 600", "it did not end within 1 s"),
        ("sleep 600 &", "it did not end within 1 s"),
        (f"echo '{RELEASE}'; sleep 600", "it did not end within 1 s"),
        ("yes", "it did not end within 1 s"),
        ("echo libssl is missing >&2; exit 127", "it ended with exit code 127, its last line: libssl is missing"),
        ("kill -11 $$", "it ended with exit code -11"),
        ("exit 0", "it printed nothing"),
    ],
)
def test_a_neard_that_does_not_tell_its_version(node: Node, body: str, says: str) -> None:
    node.program(body)
    with pytest.raises(NotRun) as caught:
        version_line(node.files["neard-bin"], node.files["neard-home"], {}, 1)
    assert str(caught.value) == says


def test_a_neard_for_another_kind_of_host(node: Node) -> None:
    node.files["neard-bin"].write_bytes(b"\x7fELF nonsense")
    found = node.one(Topic.NEARD, Level.FAULT)
    assert "--version: it can't be executed: " in found.text


def test_a_neard_that_others_could_replace(node: Node) -> None:
    node.program(f"echo ran > {node.files.root}/ran; echo '{RELEASE}'")
    node.files["neard-bin"].chmod(0o777)
    assert "others could put another neard there" in node.one(Topic.NEARD, Level.WARNING).text
    assert not (node.files.root / "ran").exists(), "it is not run"
    assert [each.level for each in node.found(Topic.NEARD)] == [Level.WARNING]


@AS_ROOT
def test_root_runs_neard_as_its_user(node: Node, tmp_path: Path) -> None:
    ids = tmp_path / "ids"
    ids.touch()
    node.program(f"{{ id -u; id -g; id -G; echo $HOME; }} > {ids}; echo '{RELEASE}'")
    everything_to(NOBODY, node)
    with reachable(node.files.root):
        assert any(RELEASE in each.text for each in node.found(Topic.NEARD, Level.OK)), node.found(Topic.NEARD)
    assert ids.read_text().split() == [str(NOBODY), str(NOBODY), str(NOBODY), "/"]


@AS_ROOT
def test_a_user_without_a_name_has_no_group_either(node: Node, tmp_path: Path) -> None:
    ids = tmp_path / "ids"
    ids.touch()
    node.program(f"{{ id -u; id -G; }} > {ids}; echo '{RELEASE}'")
    everything_to(4_000_000, node)
    with reachable(node.files.root):
        assert any(RELEASE in each.text for each in node.found(Topic.NEARD, Level.OK)), node.found(Topic.NEARD)
    assert ids.read_text().split() == ["4000000", "65534"]


@pytest.mark.parametrize(
    ("setting", "release", "level", "says"),
    [
        ("auto", "2.11.0", Level.OK, "by hot-swap: auto: config.json tracks this account"),
        ("auto", "1.40.0", Level.OK, "by restart: auto: neard 1.40.0 is older than 2.0.0"),
        ("auto", "trunk", Level.OK, "by restart: auto: neard's version 'trunk' does not tell"),
        ("restart", "2.11.0", Level.OK, "by restart: promotion is set to restart"),
        ("hot-swap", "1.40.0", Level.WARNING, "but neard 1.40.0 is not known to load a key while it runs"),
    ],
)
def test_how_neard_gets_the_key(node: Node, setting: str, release: str, level: Level, says: str) -> None:
    node.program(f"echo '{RELEASE.replace('2.11.0', release)}'")
    node.files.options["promotion"] = setting
    assert any(each.level is level and says in each.text for each in node.found(Topic.NEARD))


@pytest.mark.parametrize(
    ("change", "level", "says"),
    [
        ({"expected_shutdown": 123}, Level.FAULT, "expected_shutdown is 123: neard stops at that height"),
        ({"tracked_shards_config": "AllShards"}, Level.WARNING, "it tracks all shards; neard aborts"),
        ({"tracked_shards_config": "NoShards"}, Level.WARNING, "it tracks no ShadowValidator"),
        ({"tracked_shards_config": {"ShadowValidator": "x.near"}}, Level.WARNING, "tracks x.near as ShadowValidator, not"),
        ({"store": {}}, Level.WARNING, "load_mem_tries_for_tracked_shards is not true"),
        ({"genesis_file": "gone.json"}, Level.FAULT, "gone.json; neard does not start without"),
        ({"expected_shutdown": None}, None, ""),
    ],
)
def test_what_config_json_says(node: Node, change: dict[str, object], level: Level | None, says: str) -> None:
    node.files.edit_config(lambda data: data.update(change))
    wrong = [each for each in node.found(Topic.CONFIG) if each.level is not Level.OK]
    assert [each.level for each in wrong] == ([] if level is None else [level])
    assert all(says in each.text and each.remedy for each in wrong)


def test_a_config_json_that_can_not_be_used_is_told_once(node: Node) -> None:
    node.files.config.write_text("{")
    assert not node.found(Topic.CONFIG)
    assert "it is not JSON" in node.one(Topic.HOME, Level.FAULT).text


# --- ports ---


@pytest.mark.parametrize(
    ("listen", "want"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("0.0.0.0", "127.0.0.1"),
        ("127.0.0.1", "0.0.0.0"),
        ("::", "127.0.0.1"),
        ("::1", "[::1]"),
        ("::ffff:127.0.0.1", "127.0.0.1"),
    ],
)
def test_a_port_that_is_taken(node: Node, listen: str, want: str) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    code = (
        f"import socket\nlistener = socket.socket(socket.{'AF_INET6' if ':' in listen else 'AF_INET'})\n"
        + ("listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)\n" if ":" in listen else "")
        + f"listener.bind(({listen!r}, {port}))\nlistener.listen()"
    )
    node.files.options["exporter-address"] = f"{want}:{port}"
    with another_process(code) as pid:
        found = node.one(Topic.PORTS, Level.FAULT)
    assert f"--exporter-address {want}:{port} is taken by pid {pid} (" in found.text
    assert any(f"{want}:{port} is free" in each.text for each in node.found(Topic.PORTS))


def test_a_port_on_another_address_or_without_a_listener_is_free(node: Node) -> None:
    with socket.create_server(("127.0.0.2", 0)) as listener, socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        for port in (listener.getsockname()[1], bound.getsockname()[1]):
            node.files.options["exporter-address"] = f"127.0.0.1:{port}"
            assert [each.level for each in node.found(Topic.PORTS)] == [Level.OK] * 4


def test_an_address_of_another_host(node: Node) -> None:
    node.files.options["exporter-address"] = "192.0.2.1:2233"
    assert "--exporter-address 192.0.2.1:2233: Cannot assign" in node.one(Topic.PORTS, Level.FAULT).text


# --- clocks and hooks ---


@pytest.mark.parametrize(
    ("rate", "level"), [(0.0, Level.OK), (0.0005, Level.OK), (-0.0101, Level.FAULT), (0.1, Level.FAULT)]
)
def test_the_rate_of_the_clocks(rate: float, level: Level) -> None:
    found = judge_rate(rate, LeaseLaw())
    assert found.level is level
    assert f"{rate * 100:+.3f} %" in found.text


def test_the_wall_clock(node: Node) -> None:
    assert judge_sync(True, 16.0).level is Level.WARNING
    assert judge_sync(False, 0.012).text == "the clock is synchronised, within 0.012 s"
    assert any("the rate of the clocks" in each.text or "can't be seen" in each.text for each in node.found(Topic.CLOCK))


def test_hooks(node: Node) -> None:
    directory = node.files.root / "hooks"
    directory.mkdir(mode=0o755)
    for name, mode in (("10-a", 0o755), ("20-b", 0o755), ("README", 0o644)):
        (directory / name).write_text("#!/bin/sh\n")
        (directory / name).chmod(mode)
    node.files.options["hook-dir"] = directory
    called, passed = node.found(Topic.HOOKS)
    assert called.text == f"called from {directory}, within 10 s for an event: 10-a, 20-b"
    assert passed.text == "no hooks: README (it is not executable)"
    (directory / "20-b").chmod(0o777)
    assert "20-b is writable by others" in node.one(Topic.HOOKS, Level.FAULT).text


# --- who looks ---


@contextmanager
def reachable(place: Path) -> Iterator[None]:
    """Let every user come as far as ``place``, and to nothing beside it."""
    before = {path: path.stat().st_mode for path in place.parents if not path.stat().st_mode & 0o001}
    for path, mode in before.items():
        path.chmod(mode | 0o011)
    try:
        yield
    finally:
        for path, mode in before.items():
            path.chmod(mode)


def everything_to(uid: int, node: Node) -> None:
    """Give all files of a node to one user, as if kuutamod ran as him, and let others come near them."""
    node.files.root.chmod(0o755)
    for path in (node.files.root, *node.files.root.rglob("*")):
        os.chown(path, uid, uid)


@AS_ROOT
def test_another_user_is_told_what_he_can_not_see(node: Node) -> None:
    everything_to(1, node)
    (node.files["neard-home"] / "kuutamod.json").write_text('{"term": 3, "session": ""}')
    (node.files["neard-home"] / "kuutamod.json").chmod(0o600)
    with database_opened(node.files["neard-home"]), unprivileged(node.files.root):
        findings = node.inspect()
    assert not [each for each in findings if each.level is Level.FAULT and each.topic is not Topic.CONSUL], findings
    hidden = [each for each in findings if each.level is Level.WARNING and "as root or as daemon" in each.remedy]
    said = " ".join(each.text for each in hidden)
    for what in (
        "looked as nobody",
        "validator_key.json",
        "voter_node_key.json",
        "LOCK can't be seen",
        "kuutamod.json can't",
    ):
        assert what in said, said


@AS_ROOT
def test_a_home_that_another_user_can_not_even_reach(node: Node) -> None:
    everything_to(1, node)
    node.files["neard-home"].chmod(0o700)
    node.files.root.chmod(0o700)
    with unprivileged(node.files.root.parent):
        findings = node.inspect()
    assert not [each for each in findings if each.level is Level.FAULT and each.topic is not Topic.CONSUL], findings
    assert any("neard's home is somebody else's" in each.text for each in findings)


@AS_ROOT
def test_kuutamods_user_is_told_whose_process_has_its_port(node: Node) -> None:
    everything_to(NOBODY, node)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    node.files.options["exporter-address"] = f"127.0.0.1:{port}"
    code = f"import socket\nlistener = socket.create_server(('127.0.0.1', {port}))"
    with another_process(code), unprivileged(node.files.root):
        found = node.one(Topic.PORTS, Level.FAULT)
    assert "is taken by a process of root that can't be seen" in found.text
    assert found.remedy.startswith("look again as root"), found


@AS_ROOT
def test_what_is_plainly_wrong_is_a_fault_for_every_user(node: Node) -> None:
    everything_to(1, node)
    node.files.options["voter-node-key"] = node.files.root / "gone.json"
    with unprivileged(node.files.root):
        assert "gone.json" in node.one(Topic.KEYS, Level.FAULT).text


@AS_ROOT
def test_root_is_told_that_kuutamod_is_another(node: Node) -> None:
    everything_to(NOBODY, node)
    assert "neard's home is nobody's" in node.one(Topic.USER, Level.WARNING).text
    hooks = node.files.root / "hooks"
    hooks.mkdir(mode=0o755)
    os.chown(hooks, NOBODY, NOBODY)
    node.files.options["hook-dir"] = hooks
    assert [each.level for each in node.found(Topic.HOOKS)] == [Level.OK], "its own directory is right for it"


@AS_ROOT
@pytest.mark.parametrize("option", ["neard-home", "neard-bin"])
def test_the_settings_name_what_can_not_be_reached(node: Node, option: str) -> None:
    cellar = node.files.root / "cellar"
    cellar.mkdir(mode=0o700)
    node.files.options[option] = node.files[option].rename(cellar / "moved")
    with unprivileged(*(path for path in node.files.root.iterdir() if path != cellar)):
        for name in ("validator-key", "validator-node-key", "voter-node-key"):
            del node.files.options[name]
        said = " ".join(map(str, node.files.faults()))
    assert f"{cellar}/moved can't be reached: Permission denied; let kuutamod's user" in said


def test_settings_that_were_not_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = [each for each in inspecting.inspect({}, {}).findings if each.topic is Topic.SETTINGS]
    assert [each.level for each in found] == [Level.WARNING]
    assert "not the environment in which kuutamod runs" in found[0].text
