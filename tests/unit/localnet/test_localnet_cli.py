# SPDX-License-Identifier: Apache-2.0
"""The command line `kuutamo-localnet`: what it passes on, and how it refuses."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import pytest

from kuutamo_localnet import cli
from kuutamo_localnet.bench import NAMES, BenchOptions
from kuutamo_localnet.fleet_plan import installed
from kuutamo_localnet.localnet import DEFAULT_DIRECTORY, Ended, UpOptions, ended_by_signals
from kuutamo_localnet.soak import SoakOptions


@pytest.fixture
def ups(monkeypatch: pytest.MonkeyPatch) -> list[UpOptions]:
    found: list[UpOptions] = []

    def up(options: UpOptions, _out: object) -> int:
        found.append(options)
        return 7

    monkeypatch.setattr(cli, "up", up)
    return found


def test_up_with_defaults(ups: list[UpOptions]) -> None:
    assert cli.main(["up"]) == 7
    (options,) = ups
    assert (options.real, options.directory) == (False, DEFAULT_DIRECTORY)
    assert (options.spec.nodes, options.spec.block_time_ms, options.spec.promotion) == (3, 600, "auto")


def test_up_with_everything(ups: list[UpOptions], tmp_path: Path) -> None:
    cli.main(["up", "--nodes", "5", "--block-time-ms", "200", "--promotion", "restart", "--dir", str(tmp_path)])
    (options,) = ups
    assert (options.directory, options.spec.nodes) == (tmp_path, 5)
    assert (options.spec.block_time_ms, options.spec.promotion) == (200, "restart")


def test_a_neard_is_looked_up_and_makes_its_own_chain(ups: list[UpOptions], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(Path(sys.prefix) / "bin"))
    cli.main(["up", "--neard", "neard"])
    (options,) = ups
    assert options.real
    assert options.spec.neard == installed("neard")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["up", "--nodes", "0"], "argument --nodes: '0': expected a whole number above 0"),
        (["up", "--nodes", "21"], "argument --nodes: 21: expected 1 to 20"),
        (["up", "--neard", "/no/neard"], "argument --neard: /no/neard: no such program, or it is not executable"),
        (["up", "--promotion", "hope"], "argument --promotion: invalid choice: 'hope'"),
        (["up", "--neard", sys.executable, "--block-time-ms", "100"], "--block-time-ms 100: --neard sets its own"),
        (["bench", "--runs", "x"], "argument --runs: 'x': expected a whole number above 0"),
        (["bench", "--cases", "clean_stop,sunspots"], "argument --cases: sunspots: unknown; there are handover, "),
        (["soak", "--minutes", "0.1"], "argument --minutes: '0.1': expected minutes, at least 0.17"),
        (["soak", "--minutes", "long"], "argument --minutes: 'long': expected minutes"),
        (["soak", "--minutes", "inf"], "argument --minutes: 'inf': expected minutes"),
        (["soak", "--seed", "-1"], "argument --seed: '-1': expected a whole number, 0 or above"),
        (["kill"], "the following arguments are required: NODE"),
        (["kill", "node0", "--part", "soul"], "argument --part: invalid choice: 'soul'"),
        ([], "the following arguments are required: COMMAND"),
    ],
)
def test_a_wrong_command_line_ends_with_2(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


def test_a_soak_repeats_a_seed_or_draws_a_fresh_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found: list[SoakOptions] = []

    def soak(options: SoakOptions, _out: object) -> int:
        found.append(options)
        return 0

    monkeypatch.setattr(cli, "soak", soak)
    out = tmp_path / "soak.json"
    assert cli.main(["soak", "--minutes", "0.5", "--seed", "7", "--out", str(out), "--dir", str(tmp_path)]) == 0
    assert found.pop() == SoakOptions(0.5, 7, out, tmp_path)
    for _unused in range(2):
        assert cli.main(["soak"]) == 0
    assert (found[0].minutes, found[0].out, found[0].directory) == (5.0, Path("build/soak.json"), Path("build/soak"))
    assert found[0].seed != found[1].seed


def test_bench_takes_some_cases(monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[BenchOptions] = []

    def bench(options: BenchOptions, _out: object) -> int:
        found.append(options)
        return 0

    monkeypatch.setattr(cli, "bench", bench)
    cli.main(["bench"])
    cli.main(["bench", "--runs", "3", "--cases", "partition, idle", "--out", "x.json"])
    assert (found[0].runs, found[0].cases, found[0].out) == (20, NAMES, Path("build/bench.json"))
    assert (found[1].runs, found[1].cases, found[1].out) == (3, ("partition", "idle"), Path("x.json"))


@pytest.mark.parametrize("arguments", [["kill", "holder"], ["thaw"], ["start", "node0"], ["stop", "node0"], ["status"]])
def test_without_a_running_localnet_commands_fail_with_1(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([*arguments, "--dir", str(tmp_path)]) == 1
    assert capsys.readouterr().err == (
        f"kuutamo-localnet: --dir {tmp_path}: no localnet runs in it; start one with `kuutamo-localnet up`\n"
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_first_signal_ends_and_further_ones_do_not_disturb(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    clearing_up = False
    with pytest.raises(Ended), ended_by_signals():
        try:
            signal.raise_signal(number)
        finally:
            for other in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.raise_signal(other)
            clearing_up = True
    assert clearing_up
    assert signal.getsignal(number) == before


def test_nohup_is_respected() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with ended_by_signals():
            signal.raise_signal(signal.SIGHUP)
            assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
