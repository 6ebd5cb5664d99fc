# SPDX-License-Identifier: Apache-2.0
"""The flags of `neard run`."""

from __future__ import annotations

import argparse
from dataclasses import dataclass


@dataclass(frozen=True)
class RunOptions:
    """What `neard run` was asked for; None leaves config.json's value."""

    rpc_addr: str | None = None
    network_addr: str | None = None
    boot_nodes: str | None = None
    disable_rpc: bool = False


def _boolean(text: str) -> bool:
    if text not in ("true", "false"):
        raise argparse.ArgumentTypeError(f"{text!r}: expected true or false")
    return text == "true"


def add_run_flags(parser: argparse.ArgumentParser) -> None:
    """Declare the flags of `neard run`; those without a meaning for a stand-in are accepted and ignored."""
    parser.add_argument("--rpc-addr", metavar="IP:PORT")
    parser.add_argument("--network-addr", metavar="IP:PORT")
    parser.add_argument("--boot-nodes", metavar="LIST")
    parser.add_argument("--disable-rpc", action="store_true")
    parser.add_argument("--archive", action="store_true")
    parser.add_argument("--connect-to-reliable-peers-on-startup", type=_boolean)
    parser.add_argument("--min-peers", type=int)
    parser.add_argument("--produce-empty-blocks", type=_boolean)
    parser.add_argument("--rpc-prometheus-addr", metavar="IP:PORT")
    parser.add_argument("--telemetry-url")
    parser.add_argument("--max-gas-burnt-view", type=int)


def run_options(arguments: argparse.Namespace) -> RunOptions:
    """The flags that matter, out of the parsed command line."""
    return RunOptions(arguments.rpc_addr, arguments.network_addr, arguments.boot_nodes, arguments.disable_rpc)
