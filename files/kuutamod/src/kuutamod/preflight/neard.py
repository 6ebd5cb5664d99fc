# SPDX-License-Identifier: Apache-2.0
"""The neard program: does it run, which one is it, and how will it get the key. And what its config.json says."""

from __future__ import annotations

import contextlib
import os
import pwd
import re
import select
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from ..core.model import Promotion
from ..core.promotion import HOT_SWAP_SINCE, choose_promotion, parse_version
from ..neard import jsonc
from ..neard.config import NeardConfig
from ..settings import Settings
from ..settings.reading import Reader
from ..trust import distrust
from .finding import Finding, Topic, fault, ok, warning
from .viewer import Viewer

VERSION_DEADLINE = 10.0
"""Seconds for `neard --version`."""

_LONGEST = 4096
_NOGROUP = 65534
_RELEASE = re.compile(r"\(release ([^)]*)\)|\b(\d+\.\d+\.\d+\S*)")


class NotRun(Exception):
    """A program did not tell its version; the message says why."""


def neard(found: Settings, read: Reader, viewer: Viewer, env: Mapping[str, str]) -> Iterable[Finding]:
    """The program; only for one that is there."""
    path = found.neard_bin
    with contextlib.suppress(OSError):
        if stranger := distrust(path, viewer.user):
            text = f"others could put another neard there, so it is not asked for its version: {stranger}"
            remedy = "let root or kuutamod's user own it, and nobody else write there: it gets the validator's key"
            yield warning(Topic.NEARD, text, remedy)
            return
    try:
        said = version_line(path, found.neard_home, env, VERSION_DEADLINE, _lesser(viewer))
    except NotRun as error:
        yield fault(Topic.NEARD, f"{path} --version: {error}", "install a neard that runs on this host")
        return
    release = _RELEASE.search(said)
    version = (release[1] or release[2]) if release else ""
    yield ok(Topic.NEARD, f"{path} is {said[:200]}")
    if read.sound("promotion", "neard-home", "validator-key"):
        yield _promotion(found, version)


def _lesser(viewer: Viewer) -> int | None:
    """As whom root runs what another user may have put there; None: as who looks."""
    return viewer.user if viewer.uid == 0 and viewer.user != 0 else None


def version_line(program: Path, home: Path, env: Mapping[str, str], deadline: float, uid: int | None = None) -> str:
    """The first line of `neard --version`, within ``deadline`` seconds. Blocks. :raises NotRun: there is none.

    ``uid``: run it as that user and in no group but his own, as only root can.
    """
    try:
        process = subprocess.Popen(
            [program, "--home", home, "--version"],
            env={"PATH": env.get("PATH") or os.defpath, "HOME": (env.get("HOME") or "/") if uid is None else "/"},
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            user=uid,
            group=None if uid is None else _group(uid),
            extra_groups=None if uid is None else [],
        )
    except OSError as error:
        raise NotRun(f"it can't be executed: {error.strerror}") from None
    assert process.stdout is not None
    try:
        said = _read(process.stdout.fileno(), deadline)
        # It has said what it is asked for, or closed its output; now it has to end.
        code = process.wait(deadline)
    except (TimeoutError, subprocess.TimeoutExpired):
        with contextlib.suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise NotRun(f"it did not end within {deadline:g} s") from None
    finally:
        process.stdout.close()
    lines = [line.strip() for line in said.decode(errors="replace").splitlines() if line.strip()]
    if code:
        raise NotRun(f"it ended with exit code {code}" + (f", its last line: {lines[-1][:200]}" if lines else ""))
    if not lines:
        raise NotRun("it printed nothing")
    return lines[0]


def _group(uid: int) -> int:
    """The user's own group; one that owns nothing where he has no name here."""
    try:
        return pwd.getpwuid(uid).pw_gid
    except KeyError:
        return _NOGROUP


def _read(descriptor: int, deadline: float) -> bytes:
    """Some bytes, until the end or until there are enough. :raises TimeoutError: neither came."""
    said, end = b"", time.monotonic() + deadline
    ready = select.poll()
    ready.register(descriptor, select.POLLIN)
    while len(said) < _LONGEST:
        if not ready.poll(max(0.0, end - time.monotonic()) * 1000):
            raise TimeoutError
        data = os.read(descriptor, _LONGEST)
        if not data:
            break
        said += data
    return said


def _promotion(found: Settings, version: str) -> Finding:
    policy = found.policy
    way, why = choose_promotion(policy.promotion, policy.shadow_tracking, version)
    text = f"neard gets the key by {way.value}: {why}"
    parsed = parse_version(version)
    if way is Promotion.HOT_SWAP and (parsed is None or parsed < HOT_SWAP_SINCE):
        unfit = f"neard {version or 'of unknown version'} is not known to load a key while it runs"
        return warning(Topic.NEARD, f"{text}, but {unfit}", "install neard 2.0.0 or later, or set --promotion auto")
    return ok(Topic.NEARD, text)


def config(found: Settings, read: NeardConfig) -> Iterable[Finding]:
    """config.json, once it is known to be usable."""
    account, addresses = found.keys.validator.account_id, (found.voter_network_addr, found.validator_network_addr)
    own = "as kuutamod has set it" if read.network_addr in addresses else f"kuutamod will set it to {addresses[0]}"
    yield ok(Topic.CONFIG, f"rpc.addr {read.rpc_addr}, network.addr {read.network_addr} ({own})")
    yield _tracking(read, account)
    try:
        data = jsonc.parse(read.path.read_bytes())[1]
    except (OSError, jsonc.JsonFault) as error:
        yield fault(Topic.CONFIG, f"{read.path} changed while it was looked at: {error}", "look again")
        return
    assert isinstance(data, dict)
    yield from _fields(read.path, data)


def _tracking(read: NeardConfig, account: str) -> Finding:
    wanted = f'set tracked_shards_config to {{"ShadowValidator": "{account or "ACCOUNT"}"}}'
    if read.shadow is not None and read.shadow == account:
        return ok(Topic.CONFIG, f"it tracks {account} as ShadowValidator, so a standby has the validator's shards at hand")
    if read.all_shards:
        text = (
            "it tracks all shards; neard aborts with that when it has the key of an active validator of mainnet or testnet"
        )
        return warning(Topic.CONFIG, text, wanted)
    what = f"it tracks {read.shadow} as ShadowValidator, not {account}" if read.shadow else "it tracks no ShadowValidator"
    return warning(Topic.CONFIG, f"{what}, so neard has to catch up after it got the key", wanted)


def _fields(path: Path, data: Mapping[str, object]) -> Iterable[Finding]:
    height = data.get("expected_shutdown")
    if height is not None:
        yield fault(
            Topic.CONFIG,
            f"expected_shutdown is {height}: neard stops at that height, and from then on right after every start",
            f"set it to null in {path}, or remove it",
        )
    store = data.get("store")
    if not (isinstance(store, dict) and store.get("load_mem_tries_for_tracked_shards") is True):
        yield warning(
            Topic.CONFIG,
            "store.load_mem_tries_for_tracked_shards is not true; validators need their tries in memory to keep up",
            f"set it to true in {path}",
        )
    name = data.get("genesis_file", "genesis.json")
    genesis = path.parent / name if isinstance(name, str) else None
    if genesis is None or not genesis.is_file():
        where = genesis or f"genesis_file {name!r}"
        yield fault(Topic.CONFIG, f"there is no {where}; neard does not start without", "make it with `neard init`")
