# SPDX-License-Identifier: Apache-2.0
"""Keys are judged as the daemon does, kept for root alone, and told by their public parts; with real systemd-creds where
this machine has it.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from neard_standin.keys import generate_key_file, generate_node_key
from unit.plugins.rig import Answer, run

ACCOUNT = "fleet.near"
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="keys are kept as root")


@dataclass
class Host:
    """A host's folders, and the keys that the operator gives it."""

    root: Path
    validator: dict[str, str]
    node: dict[str, str]

    def key(self, name: str = "other.json", account: str = ACCOUNT) -> dict[str, str]:
        """A new validator key."""
        path = self.root / name
        path.unlink(missing_ok=True)
        generate_key_file(path, account)
        found: dict[str, str] = json.loads(path.read_text())
        path.unlink()
        return found

    def keep(self, **options: Any) -> Answer:
        """Run the module."""
        defaults = {
            "account_id": ACCOUNT,
            "validator_key": json.dumps(self.validator),
            "validator_node_key": json.dumps(self.node),
            "voter_node_key_file": str(self.root / "voter.json"),
            "delivery": "plain_file",
            "sealed_dir": str(self.root / "sealed"),
            "plain_dir": str(self.root / "plain"),
            "seal_with": "host",
            "neard_home": str(self.root / "home"),
            "other_homes": [],
        }
        return run("kuutamod_keys", **{**defaults, **options})

    def silent(self, *answers: Answer) -> None:
        """None of them has a part of a secret."""
        for answer in answers:
            for key in (self.validator, self.node):
                assert key["secret_key"].removeprefix("ed25519:")[:20] not in json.dumps(answer.results)


@pytest.fixture
def host(tmp_path: Path) -> Host:
    generate_node_key(tmp_path / "voter.json")
    generate_node_key(tmp_path / "node.json")
    (tmp_path / "home").mkdir()
    host = Host(tmp_path, {}, json.loads((tmp_path / "node.json").read_text()))
    host.validator = host.key()
    return host


def test_keys_are_kept_once_and_told_by_public_parts(host: Host) -> None:
    planned, first, second = host.keep(check=True), host.keep(diff=True), host.keep()
    assert [answer.told for answer in (planned, first, second)] == [(False, True), (False, True), (False, False)]
    assert first["public_keys"]["validator"] == host.validator["public_key"]
    assert (first["found"], second["found"]) == (None, host.validator["public_key"])
    kept = host.root / "plain/validator_key.json"
    assert json.loads(kept.read_text()) == host.validator
    assert stat.S_IMODE(kept.stat().st_mode) == 0o400
    assert stat.S_IMODE(kept.parent.stat().st_mode) == 0o700
    host.silent(planned, first, second)
    kept.chmod(0o644)
    assert host.keep().told == (False, True), "others could read it"


@pytest.mark.skipif(shutil.which("systemd-creds") is None, reason="this machine has no systemd-creds")
def test_sealed_keys_lie_in_clear_nowhere(host: Host) -> None:
    first, second = host.keep(delivery="sealed"), host.keep(delivery="sealed")
    assert (first.told, second.told, first["seal"]) == ((False, True), (False, False), "host")
    for path in (host.root / "sealed").iterdir():
        assert host.validator["secret_key"].removeprefix("ed25519:")[:20].encode() not in path.read_bytes()
    sealed = host.root / "sealed/kuutamod.validator_key.json"
    sealed.chmod(0o600)
    sealed.write_text("of another host")
    assert host.keep(delivery="sealed").told == (False, True), "what can't be opened is sealed anew"
    host.silent(first, second)


CREDS = """#!/bin/sh
echo "$@" >> {log}
case $1 in
has-tpm2) exit 0;;
encrypt) printf sealed; cat;;
decrypt) sed s/^sealed// "$3";;
esac
"""


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "--with-key=host+tpm2 --tpm2-pcrs= -"),
        ({"tpm2_pcrs": [7, 11, 7]}, "--with-key=host+tpm2 --tpm2-pcrs=7+11 -"),
        ({"seal_with": "tpm2"}, "--with-key=tpm2 --tpm2-pcrs= -"),
        ({"seal_with": "host"}, "--with-key=host -"),
    ],
)
def test_a_key_is_bound_to_the_tpm_s_registers_only_where_that_is_asked_for(
    host: Host, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], said: str
) -> None:
    log, programs = host.root / "log", host.root / "bin"
    programs.mkdir()
    (programs / "systemd-creds").write_text(CREDS.format(log=log))
    (programs / "systemd-creds").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    assert host.keep(**{"delivery": "sealed", "seal_with": "auto", **options}).told == (False, True)
    assert f"encrypt --name=validator_key.json {said} -" in log.read_text().splitlines()


def test_registers_that_no_tpm_has_are_refused(host: Host) -> None:
    refused = host.keep(tpm2_pcrs=[7, 24])
    assert refused["msg"] == "kuutamod_tpm2_pcrs has 24; a TPM's registers are 0 to 23"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda host: {"validator_key": "[1]"}, "kuutamod_validator_key is not a JSON object"),
        (lambda host: {"validator_key": "{"}, "kuutamod_validator_key is not JSON"),
        (lambda host: {"account_id": "pool.near"}, "belongs to account fleet.near, not pool.near"),
        (
            lambda host: {"validator_key": json.dumps({**host.validator, "public_key": host.key()["public_key"]})},
            "secret_key does not belong to public_key",
        ),
        (lambda host: {"voter_node_key_file": str(host.root / "node.json")}, "is the validator's node key"),
    ],
)
def test_a_key_that_would_not_do_is_refused(host: Host, change: Callable[[Host], dict[str, Any]], said: str) -> None:
    answer = host.keep(**change(host))
    assert answer.failed
    assert said in answer["msg"]
    assert not (host.root / "plain").exists()
    host.silent(answer)


def test_another_key_than_the_hosts_is_refused(host: Host) -> None:
    host.keep()
    old, host.validator = host.validator["public_key"], host.key()
    answer = host.keep()
    assert f"this host has the validator key {old}" in answer["msg"]
    assert host.keep(replace=True).told == (False, True)


def test_the_next_key_lies_beside_the_current_one(host: Host) -> None:
    host.keep()
    old, new = host.validator, host.key()
    staged = host.keep(slot="next", validator_key=json.dumps(new), validator_node_key=None)
    assert (staged.told, staged["found"]) == ((False, True), old["public_key"])
    assert json.loads((host.root / "plain/validator_key.json").read_text()) == old
    activated = host.keep(validator_key=json.dumps(new), replace=True)
    assert (activated.told, activated["found"]) == ((False, True), old["public_key"])
    assert [path.name for path in sorted((host.root / "plain").iterdir())] == [
        "validator_key.json",
        "validator_node_key.json",
    ]
    assert host.keep(validator_key=json.dumps(new)).told == (False, False)


def test_keys_in_clear_are_found_and_only_copies_removed_when_asked_for(host: Host) -> None:
    home = host.root / "home"
    (home / "validator_key.json.bak").write_text(json.dumps(host.validator))
    (home / "validator_key.json").write_text(json.dumps(host.key()))
    (home / "link.json").symlink_to(home / "validator_key.json.bak")
    (home / "node_key.json").write_text(json.dumps(host.node))
    found = host.keep()["strays"]
    assert [(Path(each["path"]).name, each["ours"]) for each in found] == [
        ("validator_key.json", False),
        ("validator_key.json.bak", True),
    ]
    cleaned = host.keep(remove_strays=True)
    assert (cleaned.told, len(cleaned["strays"])) == ((False, True), 1)
    assert sorted(path.name for path in home.iterdir()) == ["link.json", "node_key.json", "validator_key.json"]


def test_keys_in_clear_are_found_where_neard_keeps_them_by_itself(host: Host) -> None:
    for user in ("ann", "bob"):
        (host.root / user / ".near").mkdir(parents=True)
    (host.root / "ann/.near/validator_key.json").write_text(json.dumps(host.validator))
    (host.root / "eve").mkdir()
    (host.root / "eve/.near").symlink_to(host.root / "ann/.near")
    places = [f"{host.root}/*/.near", f"{host.root}/none/.near"]
    found = host.keep(other_homes=places)["strays"]
    assert [(each["path"], each["ours"]) for each in found] == [(f"{host.root}/ann/.near/validator_key.json", True)]
    assert host.keep(other_homes=places, remove_strays=True)["strays"] == []
    assert not (host.root / "ann/.near/validator_key.json").exists()
