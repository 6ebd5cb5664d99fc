# SPDX-License-Identifier: Apache-2.0
"""The command line of the stand-in: the part of neard's that a supervisor or an operator of a small network uses."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from neard_standin.control import read_behaviour
from neard_standin.ledger import DEFAULT_PROTOCOL_VERSION
from neard_standin.options import add_run_flags, run_options
from neard_standin.release import BUILT


def _print_version(version: str) -> None:
    sys.stdout.write(
        f"neard (release {version}) (build {version}) (commit standin) (rustc 1.86.0) (protocol "
        f"{BUILT.protocol or DEFAULT_PROTOCOL_VERSION}) (db 47)\nfeatures: [standin]\n"
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="neard", description="A stand-in for neard", allow_abbrev=False)
    default_home = Path(os.environ.get("NEAR_HOME") or Path.home() / ".near")
    parser.add_argument("--home", type=Path, default=default_home)
    parser.add_argument("--verbose", nargs="?", const="")
    parser.add_argument("--unsafe-fast-startup", action="store_true")
    parser.add_argument("--color", choices=("always", "never", "auto"))
    parser.add_argument("--opentelemetry", metavar="LEVEL")
    parser.add_argument("--log-span-events", action="store_true")
    parser.add_argument("--version", "-V", action="store_true")
    commands = parser.add_subparsers(dest="command")
    add_run_flags(commands.add_parser("run", allow_abbrev=False, help="run a node"))
    init = commands.add_parser("init", allow_abbrev=False, help="make or complete a home")
    init.add_argument("--chain-id")
    init.add_argument("--account-id")
    init.add_argument("--boot-nodes", default="")
    init.add_argument("--genesis", type=Path)
    init.add_argument("--fast", action="store_true")
    init.add_argument("--num-shards", type=int)
    init.add_argument("--max-gas-burnt-view", type=int)
    localnet = commands.add_parser("localnet", allow_abbrev=False, help="make the homes of a small network")
    localnet.add_argument("--validators", "-v", type=int, default=4)
    localnet.add_argument("--non-validators", "-n", type=int, default=0)
    localnet.add_argument("--shards", "-s", type=int, default=1)
    localnet.add_argument("--prefix", default="node")
    localnet.add_argument("--tracked-shards", default="all")
    commands.add_parser("validate-config", allow_abbrev=False, help="list the faults of a home")
    return parser


def _make(options: argparse.Namespace) -> int:
    """The commands that make or check homes: exit 1 with the reason when they cannot."""
    # Imported here: `run` starts faster without.
    from neard_standin import home  # noqa: PLC0415

    try:
        match options.command:
            case "init":
                home.init(options.home, options.chain_id, options.account_id, options.boot_nodes, options.genesis)
            case "localnet":
                home.localnet(options.home, options.validators, options.non_validators, options.prefix)
            case "validate-config":
                faults = home.validate(options.home, read_behaviour(options.home).release)
                sys.stderr.write("".join(f"Error: {fault}\n" for fault in faults))
                return 1 if faults else 0
    except (home.HomeError, OSError, ValueError) as error:
        sys.stderr.write(f"Error: {error}\n")
        return 1
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """The console script `neard`; `run` never returns."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.version:
        _print_version(read_behaviour(options.home).version)
        return 0
    if options.command is None:
        parser.error("a command is required")
    if options.command == "run":
        from neard_standin.node import run  # noqa: PLC0415 - the other commands do not need it

        run(options.home, run_options(options))
    return _make(options)


if __name__ == "__main__":
    sys.exit(main())
