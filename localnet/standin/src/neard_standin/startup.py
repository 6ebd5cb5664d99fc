# SPDX-License-Identifier: Apache-2.0
"""Everything a node does before it serves: signals, limits, configuration, keys, ledger, database lock."""

from __future__ import annotations

import fcntl
import os
import resource
import shutil
import signal
import socket
import sys
import time
from pathlib import Path

from neard_standin.chain import ChainView
from neard_standin.config import Address, ConfigError, Genesis, NodeConfig, override, read_config, read_genesis
from neard_standin.config import read_log_config as check_log_config
from neard_standin.control import LEDGER_VARIABLE, Behaviour
from neard_standin.journal import Event, JournalWriter
from neard_standin.keys import KeyFile, read_node_key
from neard_standin.ledger import LEDGER_FILE, Ledger, Validator
from neard_standin.log import Level, Log, panic
from neard_standin.options import RunOptions
from neard_standin.presence import announce
from neard_standin.procfs import boottime, own_process
from neard_standin.release import BUILT
from neard_standin.reload import read_validator_key
from neard_standin.state import NodeState

EXEC_TIME_VARIABLE = "NEARD_STANDIN_EXEC_TIME"
DATA_RESET_MARKER = ".EPOCH_SYNC_DATA_RESET"
PRIVATE_LEDGER = "standin-ledger"
_NOFILE = 65535


def default_signals() -> None:
    """Undo what Python did to the signals: until its handlers are up, neard dies of HUP, INT and TERM.

    SIGPIPE stays ignored, as Rust's runtime ignores it: a neard whose log pipe breaks lives on.
    """
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGABRT):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)


def raise_limits(log: Log, *, required: bool) -> None:
    """Raise the number of open files as neard does; without `required`, failing to is only logged.

    Core dumps are switched off: the crash modes would litter the working directory.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft >= _NOFILE:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (_NOFILE, max(hard, _NOFILE)))
    except (OSError, ValueError) as error:
        message = f"couldn't set the file descriptor limit to {_NOFILE}, hard limit {hard}: {error}"
        if required:
            sys.stderr.write(f"Error: {message}\n")
            sys.exit(1)
        log.write(Level.WARN, "neard", message)


def _load(
    home: Path, options: RunOptions, release: tuple[int, int], log: Log
) -> tuple[NodeConfig, Genesis, KeyFile, KeyFile | None]:
    """Configuration, genesis, node key and validator key; panics with all faults at once."""
    try:
        config = read_config(home, release)
        config = override(
            config,
            rpc_addr=options.rpc_addr,
            network_addr=options.network_addr,
            boot_nodes=options.boot_nodes,
            disable_rpc=options.disable_rpc,
        )
        check_log_config(home)
    except ValueError as error:
        panic(f"Error loading config: {error}")
    if config.unknown_fields:
        fields = ", ".join(config.unknown_fields)
        log.write(Level.WARN, "neard", f"{home}/config.json: encountered unrecognized fields: {fields}")
    faults = []
    validator_key = node_key = genesis = None
    try:
        validator_key = read_validator_key(home, config, release, log)
    except ValueError as error:
        faults.append(str(error))
    try:
        node_key = read_node_key(home / config.node_key_file)
    except (OSError, ValueError) as error:
        faults.append(f"Failed reading node key file from {home / config.node_key_file}: {error}")
    try:
        genesis = read_genesis(home, config)
    except ConfigError as error:
        faults.append(str(error))
    if genesis is None or node_key is None or faults:
        panic("Error loading config: " + "\n".join(faults))
    return config, genesis, node_key, validator_key


def open_ledger(home: Path, behaviour: Behaviour, genesis: Genesis) -> Ledger:
    """The ledger of the control file, the environment or the archive, else a private chain of the genesis validators."""
    if behaviour.ledger:
        return Ledger.open(home / behaviour.ledger)
    if shared := os.environ.get(LEDGER_VARIABLE):
        return Ledger.open(shared)
    if BUILT.chain is not None and (Path(BUILT.chain) / LEDGER_FILE).exists():
        return Ledger.open(BUILT.chain)
    path = home / PRIVATE_LEDGER
    try:
        ledger = Ledger.open(path)
    except FileNotFoundError:
        ledger = None
    # A genesis in the future is one from before the last boot of this machine.
    if ledger is not None and ledger.genesis_boottime <= boottime():
        return ledger
    shutil.rmtree(path, ignore_errors=True)
    return Ledger.create(
        path,
        epoch_length=genesis.epoch_length,
        validators=[Validator(account, key) for account, key in genesis.validators],
        chain_id=genesis.chain_id,
        protocol_version=genesis.protocol_version,
    )


def lock_database(data: Path) -> int:
    """Take the record lock on `data`/LOCK and return its descriptor; panics with RocksDB's text when it is held.

    The descriptor must stay the only one of that file in this process: closing another would drop the lock.
    """
    data.mkdir(parents=True, exist_ok=True)
    lock = data / "LOCK"
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        text = f"IO error: While lock file: {lock}: {os.strerror(error.errno or 0)}"
        panic(f'start_with_config: called `Result::unwrap()` on an `Err` value: Error {{ message: "{text}" }}')
    return descriptor


def _reset_data(data: Path) -> None:
    if not (data / DATA_RESET_MARKER).exists():
        return
    for entry in data.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        elif entry.name != "LOCK":
            entry.unlink()


def listen_for_peers(address: Address | None) -> socket.socket | None:
    """Occupy the network address as a node does, though nobody is ever answered; panics when it is taken."""
    if address is None:
        return None
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((address.host, address.port))
        listener.listen(16)
    except OSError as error:
        panic(f"start_with_config: failed to listen on network address {address}: {error.strerror}")
    return listener


def start(home: Path, options: RunOptions, behaviour: Behaviour) -> tuple[NodeState, KeyFile | None]:
    """Come up to the point where the node could sign, in neard's order; returns its state and the key to load.

    Every fault of configuration, keys, genesis and database panics (SIGABRT), as in neard.
    """
    log = Log()
    raise_limits(log, required=behaviour.require_nofile)
    config, genesis, node_key, validator_key = _load(home, options, behaviour.release, log)
    data = home / config.store_path
    lock_database(data)
    _reset_data(data)
    try:
        ledger = open_ledger(home, behaviour, genesis)
    except (OSError, ValueError) as error:
        sys.stderr.write(f"Error: no usable ledger for the stand-in: {error}\n")
        sys.exit(1)
    if BUILT.protocol is not None and BUILT.protocol < ledger.protocol_version:
        panic(
            f"The client protocol version {BUILT.protocol} is older than the protocol version of the network "
            f"{ledger.protocol_version}. Please update nearcore."
        )
    process = own_process(many_hosts=ledger.many_hosts)
    announce(ledger, process)
    state = NodeState(
        home=home.absolute(),
        config=config,
        genesis=genesis,
        node_key=node_key,
        ledger=ledger,
        chain=ChainView(ledger),
        journal=JournalWriter(ledger.journal_path),
        process=process,
        # A re-executed process keeps its pid and start time; its second life begins with the exec.
        started_at=float(os.environ.get(EXEC_TIME_VARIABLE, process.started_at)),
        log=log,
        behaviour=behaviour,
        host=socket.gethostname() if ledger.many_hosts else None,
        expected_shutdown=config.expected_shutdown,
    )
    state.refresh_term()
    state.record(Event.START)
    log.write(Level.INFO, "neard", f'version="{behaviour.version}" chain_id="{genesis.chain_id}" home="{home}"')
    time.sleep(behaviour.start_delay)
    return state, validator_key
