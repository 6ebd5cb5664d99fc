# SPDX-License-Identifier: Apache-2.0
"""`neard localnet`, `neard validate-config`, and the private chain of a lone node."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest

from neard_standin import home
from neard_standin.cli import main
from neard_standin.config import Genesis
from neard_standin.control import Behaviour, read_behaviour
from neard_standin.keys import read_key_file
from neard_standin.ledger import Ledger
from neard_standin.log import Log
from neard_standin.procfs import boottime
from neard_standin.startup import PRIVATE_LEDGER, open_ledger, raise_limits

_GENESIS = Genesis("test", 10, 83, (("a.near", "ed25519:a"),))


def test_localnet_makes_homes_that_share_a_ledger(tmp_path: Path) -> None:
    assert main(["--home", str(tmp_path), "localnet", "-v", "2", "--non-validators=1", "--prefix", "n"]) == 0
    ledger = Ledger.open(tmp_path / "ledger")
    assert [seat.account_id for seat in ledger.validators] == ["n0", "n1"]
    for number in range(3):
        made = tmp_path / f"n{number}"
        assert home.validate(made, (2, 11)) == []
        assert read_behaviour(made).ledger == str(tmp_path / "ledger")
    assert ledger.on_chain_key("n1") == read_key_file(tmp_path / "n1" / "validator_key.json").public_key
    assert not (tmp_path / "n2" / "validator_key.json").exists()


def test_localnet_never_overwrites(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "node1").mkdir()
    assert main(["--home", str(tmp_path), "localnet"]) == 1
    assert "node1 exists" in capsys.readouterr().err
    assert not (tmp_path / "node0").exists()


def test_public_chains_get_a_validator_key_only_by_name(tmp_path: Path) -> None:
    home.init(tmp_path / "without", "testnet")
    home.init(tmp_path / "with", "testnet", "pool.near")
    assert not (tmp_path / "without" / "validator_key.json").exists()
    assert read_key_file(tmp_path / "with" / "validator_key.json").account_id == "pool.near"


def test_validate_lists_every_fault(tmp_path: Path) -> None:
    home.init(tmp_path, "test")
    (tmp_path / "validator_key.json").write_text("{}")
    (tmp_path / "node_key.json").unlink()
    (tmp_path / "genesis.json").unlink()
    faults = "\n".join(home.validate(tmp_path, (2, 11)))
    for name in ("validator_key.json", "node_key.json", "genesis.json"):
        assert name in faults


def test_private_ledger_is_kept_but_not_over_a_reboot(tmp_path: Path) -> None:
    first = open_ledger(tmp_path, Behaviour(), _GENESIS)
    assert open_ledger(tmp_path, Behaviour(), _GENESIS) == first
    for file in (tmp_path / PRIVATE_LEDGER).iterdir():
        file.unlink()
    Ledger.create(tmp_path / PRIVATE_LEDGER, validators=first.validators, genesis_boottime=boottime() + 1000)
    assert open_ledger(tmp_path, Behaviour(), _GENESIS).genesis_boottime <= boottime()


def test_shared_ledger_comes_from_the_control_file_or_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seats = open_ledger(tmp_path, Behaviour(), _GENESIS).validators
    for name in ("one", "two"):
        Ledger.create(tmp_path / name, validators=seats)
    monkeypatch.setenv("NEARD_STANDIN_LEDGER", str(tmp_path / "two"))
    assert open_ledger(tmp_path, Behaviour(), _GENESIS).path == tmp_path / "two"
    assert open_ledger(tmp_path, Behaviour(ledger=str(tmp_path / "one")), _GENESIS).path == tmp_path / "one"


def test_a_low_descriptor_limit_ends_the_start_only_where_asked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(kind: int, limits: tuple[int, int]) -> None:
        if kind == resource.RLIMIT_NOFILE:
            raise ValueError("not allowed to raise maximum limit")

    monkeypatch.setattr(resource, "setrlimit", refuse)
    monkeypatch.setattr(resource, "getrlimit", lambda _unused: (256, 1024))
    raise_limits(Log(), required=False)
    with pytest.raises(SystemExit) as ended:
        raise_limits(Log(), required=True)
    assert ended.value.code == 1
    assert "couldn't set the file descriptor limit" in capsys.readouterr().err
