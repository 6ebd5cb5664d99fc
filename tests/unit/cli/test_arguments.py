# SPDX-License-Identifier: Apache-2.0
"""kuutamoctl's command line: options before and behind the command, whose they are, and the defaults."""

from __future__ import annotations

import argparse
from itertools import combinations

import pytest

from kuutamod.cli.arguments import parse
from kuutamod.cli.command import CONNECTION, Command, Context, option
from kuutamod.cli.kuutamoctl import COMMANDS
from kuutamod.settings import ConfigFaults
from kuutamod.settings.fields import OPERATION, Group, Setting


def nothing(_context: Context, _options: argparse.Namespace) -> int:
    """Stands for a command's work."""
    return 0


HOME = Setting("neard-home", "path", "neard's home", ".")
LOOK = Command(
    "look",
    "look at it",
    "",
    nothing,
    (
        option("--every", nargs="?", const="2", type=float, metavar="SECONDS"),
        option("--json", action="store_true"),
        option("-n", type=int, default=20),
    ),
)
MOVE = Command(
    "move",
    "move it",
    "",
    nothing,
    (
        option("node", metavar="NODE"),
        option("--at", default="now", choices=("now", "window")),
        option("--wait", action=argparse.BooleanOptionalAction, default=True),
        option("--json", action="store_true"),
        option("--reason", default=""),
    ),
)
CHECK = Command("check", "check it", "", nothing, (), (*CONNECTION, Group("neard", (HOME,)), OPERATION))
FAKES = (LOOK, MOVE, CHECK)


def parsed(*argv: str) -> tuple[str, dict[str, object]]:
    """The command, and all options but its name."""
    command, found = parse(argv, FAKES, "about", "epilog")
    return command.name, {name: value for name, value in vars(found).items() if name != "command"}


def faults(*argv: str) -> list[str]:
    """What is wrong with these arguments."""
    with pytest.raises(ConfigFaults) as caught:
        parse(argv, FAKES, "about", "epilog")
    return [str(fault) for fault in caught.value.faults]


@pytest.mark.parametrize(
    ("argv", "options"),
    [
        (["look"], {"every": None, "json": False, "n": 20}),
        (["look", "--every"], {"every": 2.0, "json": False, "n": 20}),
        (["look", "--every=5", "-n", "3"], {"every": 5.0, "json": False, "n": 3}),
        (["look", "-n3", "--json"], {"every": None, "json": True, "n": 3}),
        # Without a value of its own it does not take the command for one.
        (["--every", "look"], {"every": 2.0, "json": False, "n": 20}),
        (["--every=5", "--json", "-n3", "look"], {"every": 5.0, "json": True, "n": 3}),
        # The later one wins.
        (["-n3", "look", "-n4"], {"every": None, "json": False, "n": 4}),
        (["--account-id", "a", "look", "--account-id=b"], {"every": None, "json": False, "n": 20, "account_id": "b"}),
    ],
)
def test_options_before_and_behind_the_command(argv: list[str], options: dict[str, object]) -> None:
    assert parsed(*argv) == ("look", options)


def test_positional_and_negated_options() -> None:
    defaults = {"node": "n1", "at": "now", "wait": True, "json": False, "reason": ""}
    assert parsed("move", "n1") == ("move", defaults)
    assert parsed("--no-wait", "move", "--reason", "r", "n1") == ("move", {**defaults, "wait": False, "reason": "r"})
    assert parsed("--at", "window", "move", "n1", "--reason=r") == ("move", {**defaults, "at": "window", "reason": "r"})


def test_a_command_has_settings_of_its_own() -> None:
    assert parsed("check", "--neard-home", "/srv") == ("check", {"neard_home": "/srv"})
    assert parsed("--neard-home", "/srv", "check") == ("check", {"neard_home": "/srv"})
    assert faults("--neard-home", "/srv", "look") == ["--neard-home (flag): look does not take it; it belongs to check"]


@pytest.mark.parametrize(
    ("argv", "messages"),
    [
        ([], ["the following arguments are required: COMMAND"]),
        (["lok"], ["invalid choice: 'lok'"]),
        (["look", "--evry"], ["--evry (flag): there is no such option; did you mean --every?"]),
        (["--secret", "hunter2", "look"], ["--secret (flag): there is no such option"]),
        (["-x5", "look"], ["-x5 (flag): there is no such option"]),
        (["look", "--every", "5"], ["unrecognized arguments: 5"]),
        (["look", "--every=soon"], ["argument --every: invalid float value: 'soon'"]),
        (["look", "-n"], ["argument -n: expected one argument"]),
        (["move", "--reason", "n1"], ["the following arguments are required: NODE"]),
        (["--reason", "r", "look"], ["--reason (flag): look does not take it; it belongs to move"]),
        (["--json", "check"], ["--json (flag): check does not take it; it belongs to look, move"]),
        (
            ["--every", "-n3", "check"],
            [
                "--every (flag): check does not take it; it belongs to look",
                "-n (flag): check does not take it; it belongs to look",
            ],
        ),
        (["--no-wait", "look"], ["--no-wait (flag): look does not take it; it belongs to move"]),
        (["check", "--json"], ["unrecognized arguments: --json"]),
    ],
)
def test_faults(argv: list[str], messages: list[str]) -> None:
    found = faults(*argv)
    assert len(found) == len(messages)
    for fault, message in zip(found, messages, strict=True):
        assert message in fault
        assert "hunter2" not in fault


def test_options_of_one_name_have_one_form() -> None:
    """Before the command it is not known yet whose they are."""
    for one, other in combinations([each for command in COMMANDS for each in command.options if not each.positional], 2):
        if set(one.names) & set(other.names):
            assert one.names == other.names
            assert not one.form.get("required")
            assert {**one.form, "help": "", "default": None} == {**other.form, "help": "", "default": None}


def test_no_option_takes_the_name_of_a_setting() -> None:
    for command in COMMANDS:
        names = {setting.name.replace("-", "_") for group in command.groups for setting in group.settings}
        parser = argparse.ArgumentParser()
        assert names.isdisjoint(parser.add_argument(*each.names, **each.form).dest for each in command.options)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_every_command_tells_about_itself(
    command: Command, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "500")
    with pytest.raises(SystemExit) as ended:
        parse([command.name, "--help"], COMMANDS, "about", "epilog")
    assert ended.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    assert command.about in text
    assert "Exit codes: 0 " in command.exit_codes
    assert command.exit_codes in text
    assert all(each.form.get("help") for each in command.options)
