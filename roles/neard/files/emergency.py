# SPDX-License-Identifier: Apache-2.0
"""Starts neard with the validator's key by hand, for the case that no kuutamod can; see neard-emergency.service.

Standard library only and nothing of kuutamod's: it has to work when that does not. ``ask`` asks Consul, and only reads;
``run`` keeps kuutamod off neard's home and becomes neard; ``clear`` takes the key out of the home again.
"""

from __future__ import annotations

import base64
import fcntl
import json
import math
import os
import socket
import ssl
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

ANSWER_DEADLINE = 5.0
"""Seconds for one answer of Consul."""
GUARD_TIME = 9.0
"""Seconds that kuutamod lets a lock lie unmoved before it takes it, where nobody says more: docs/safety.md."""
BLIND = 7.0
"""Seconds between two answers after which nothing is known of what lay between them."""
LOOK_EVERY = 1.0
"""Seconds between two looks."""
KEY_FILE = "validator_key.json"
RISK = (
    "Consul can't promise that nobody else signs meanwhile: any kuutamod that is started now, on any host, may take "
    "the lock, and then two hosts sign with one key."
)


class Refused(Exception):
    """neard must not be started; the message says why and what to do."""


class Unanswered(Exception):
    """No Consul has given an answer that can be relied on."""


def now() -> float:
    """Seconds on a clock that never jumps and counts suspend."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def sleep(seconds: float) -> None:
    """Wait."""
    time.sleep(seconds)


def ask(env: Mapping[str, str]) -> str:
    """May an operator start neard here by hand? The answer is a word on the risk. :raises Refused: he must not.

    While Consul can't be asked the answer is no, unless the operator has confirmed; that is good for one start.
    """
    account = env.get("KUUTAMO_ACCOUNT_ID", "")
    if not account:
        raise Refused("/etc/kuutamod/environment names no account (KUUTAMO_ACCOUNT_ID), so nobody can be asked")
    confirmation = Path(env["NEARD_EMERGENCY_CONFIRMATION"])
    confirmed = confirmation.is_file() and confirmation.stat().st_uid == 0 and confirmation.read_text().strip() == account
    confirmation.unlink(missing_ok=True)
    try:
        _watch(env, account)
    except Unanswered as fault:
        if confirmed:
            return f"started on the operator's word alone, Consul can't be asked ({fault}). {RISK}"
        raise Refused(
            f"Consul can't be asked whether somebody signs ({fault}), and if somebody does, two hosts sign with one "
            "key. Make sure that kuutamod and neard are stopped on every other host, then: "
            f"echo {account} > {confirmation}, and start this again"
        ) from None
    return f"nobody holds the lock and no kuutamod lives. {RISK}"


def _watch(env: Mapping[str, str], account: str) -> None:
    """Wait as long as a kuutamod that has just come would.

    :raises Refused: somebody signs or may. :raises Unanswered: no answer.

    A lock without a holder is no proof that nobody signs: one that is cut off from Consul does until its fence, and the
    marker of a clean release may be one of the past, which a restored snapshot has brought back. Whoever has watched the
    lock lie unmoved for the guard time of the fleet, by his own clock, knows. A missing lock counts as unmoved: whoever
    would make it and take it meanwhile is seen as a node that lives, for he has to wait as long.
    """
    guard, seen, since, last = _own_guard_time(env), -1, 0.0, -math.inf
    while True:
        sent = now()
        lock, members = _look(env, account)
        _refuse_who_may_sign(lock, members)
        index, answered = (lock["ModifyIndex"] if lock else 0), now()
        guard = max([guard, *(_published(entry) for entry in (*members, *([lock] if lock else [])))])
        if answered - last > BLIND:
            seen, since = index, answered
            sys.stderr.write(f"nobody holds the lock; it is watched for {guard:g} s, in which nothing may move it\n")
        elif index != seen:
            raise Refused("the lock has changed while it was watched, so somebody writes to it; see kuutamoctl status who")
        # Only what was asked when the time was over counts.
        if sent - since >= guard:
            return
        last = answered
        sleep(min(LOOK_EVERY, max(0.0, since + guard - answered)))


def _refuse_who_may_sign(lock: Mapping[str, Any] | None, members: list[dict[str, Any]]) -> None:
    if lock is not None and lock.get("Session"):
        raise Refused(f"{_holder(lock)} holds the lock, and signs or may sign; there is nothing to start here")
    alive = sorted(member["Key"].rpartition("/")[2] for member in members if member.get("Session"))
    if alive:
        raise Refused(
            f"kuutamod runs on {', '.join(alive)} and may take the lock at any moment; see kuutamoctl status "
            "why it does not, or stop it there"
        )


def _own_guard_time(env: Mapping[str, str]) -> float:
    """Seconds, never less than kuutamod's default. :raises Refused: the setting is no number."""
    setting = env.get("KUUTAMO_GUARD_TIME") or str(GUARD_TIME)
    try:
        found = float(setting)
    except ValueError:
        found = math.nan
    if not math.isfinite(found):
        raise Refused(f'/etc/kuutamod/environment: KUUTAMO_GUARD_TIME is "{setting}"; give it in seconds, such as 9')
    return max(found, GUARD_TIME)


def _published(entry: Mapping[str, Any]) -> float:
    """The guard time (seconds) in the value of the lock or of a node's record, 0 where there is none."""
    found = _value(entry).get("guard_time")
    if isinstance(found, bool) or not isinstance(found, int | float):
        return 0.0
    try:
        return float(found) if math.isfinite(found) else 0.0
    except OverflowError:
        return 0.0


def _look(env: Mapping[str, str], account: str) -> tuple[dict[str, Any] | None, list[dict[str, Any]]]:
    """The lock's entry, if there is one, and the nodes' entries, from Consul's leader. :raises Unanswered: no answer."""
    faults = []
    for url in (env.get("KUUTAMO_CONSUL_URL") or "http://127.0.0.1:8500").split(","):
        try:
            lock = _entries(env, url.strip(), f"kuutamod-leader/{account}", "consistent")
            members = _entries(env, url.strip(), f"kuutamod/{account}/members/", "consistent&recurse")
        except (OSError, ValueError) as error:
            faults.append(f"{url.strip()}: {error}")
            continue
        return (lock[0] if lock else None), members
    raise Unanswered("; ".join(faults))


def _entries(env: Mapping[str, str], url: str, key: str, query: str) -> list[dict[str, Any]]:
    """The entries of the key; none where there is none. :raises OSError, ValueError: no answer, or not one of Consul's."""
    request = urllib.request.Request(f"{url.rstrip('/')}/v1/kv/{urllib.parse.quote(key)}?{query}")  # noqa: S310
    if token := _token(env):
        request.add_header("X-Consul-Token", token)
    context = None
    if url.startswith("https://"):
        context = ssl.create_default_context(cafile=env.get("KUUTAMO_CONSUL_CA_FILE") or None)
        if certificate := env.get("KUUTAMO_CONSUL_CERT_FILE"):
            context.load_cert_chain(certificate, env.get("KUUTAMO_CONSUL_KEY_FILE") or None)
    try:
        with urllib.request.urlopen(request, timeout=ANSWER_DEADLINE, context=context) as answer:  # noqa: S310
            found = json.load(answer)
    except urllib.error.HTTPError as error:
        if error.code == 404 and error.headers.get("X-Consul-Index"):
            return []
        raise OSError(f"it answers {error.code}") from None
    if not isinstance(found, list) or not all(_is_entry(each) for each in found):
        raise ValueError("its answer is not one of Consul's")
    return found


def _is_entry(found: object) -> bool:
    return isinstance(found, dict) and isinstance(found.get("Key"), str) and isinstance(found.get("ModifyIndex"), int)


def _token(env: Mapping[str, str]) -> str:
    """:raises OSError: the file with it can't be read."""
    if file := env.get("KUUTAMO_CONSUL_TOKEN_FILE"):
        return Path(file).read_text().strip()
    return env.get("KUUTAMO_CONSUL_TOKEN", "")


def _holder(lock: Mapping[str, Any]) -> str:
    """Who holds the lock, by the name in its value."""
    return str(_value(lock).get("NodeId") or "somebody")


def _value(entry: Mapping[str, Any]) -> dict[str, Any]:
    """The object in the value; an empty one where there is none."""
    try:
        found = json.loads(base64.b64decode(entry.get("Value") or ""))
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def run(env: Mapping[str, str]) -> NoReturn:
    """Become neard with the key, and keep kuutamod off the home as long as neard lives. :raises Refused: it must not."""
    home = Path(env["NEARD_EMERGENCY_HOME"])
    _keep_off_kuutamod(home)
    key = Path(env.get("CREDENTIALS_DIRECTORY", "/nonexistent")) / KEY_FILE
    account = _account(key)
    if account != env.get("KUUTAMO_ACCOUNT_ID"):
        raise Refused(f"the key is that of {account}, but this fleet validates for {env.get('KUUTAMO_ACCOUNT_ID')}")
    _place(home / KEY_FILE, key)
    _place(home / "node_key.json", Path(env["NEARD_EMERGENCY_NODE_KEY"]))
    neard = env.get("KUUTAMO_NEARD_BIN") or env["NEARD_EMERGENCY_NEARD"]
    command = [neard, "--home", str(home), "run", "--network-addr", env["NEARD_EMERGENCY_NETWORK_ADDR"]]
    if boot_nodes := env.get("KUUTAMO_NEARD_BOOTNODES"):
        command += ["--boot-nodes", boot_nodes]
    passed = {name: value for name, value in env.items() if not name.startswith(("KUUTAMO_", "NEARD_EMERGENCY_"))}
    os.execve(neard, command, passed)  # noqa: S606 - systemd watches this very process


def _keep_off_kuutamod(home: Path) -> None:
    """Take the lock that kuutamod takes of the home it works in; neard inherits it. :raises Refused: kuutamod has it."""
    descriptor = os.open(home / "kuutamod.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise Refused(
            f"kuutamod runs on {home}, or its guard still ends a neard there; stop kuutamod.service first"
        ) from None
    started = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
    owner = {"node_id": "neard-emergency", "pid": os.getpid(), "started": started, "hostname": socket.gethostname()}
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, json.dumps(owner).encode(), 0)
    os.set_inheritable(descriptor, True)


def _account(key: Path) -> str:
    try:
        return str(json.loads(key.read_text())["account_id"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Refused(f"there is no usable key in {key}: {type(error).__name__}; kuutamod's role seals it there") from None


def _place(link: Path, target: Path) -> None:
    if not link.is_symlink() and link.exists():
        raise Refused(f"{link} is a file of its own; move it away, it is not known whose key it is")
    temporary = link.with_name(f".{link.name}.{os.getpid()}")
    temporary.symlink_to(target)
    temporary.replace(link)


def clear(env: Mapping[str, str]) -> None:
    """Take the key out of the home, however neard has ended."""
    link = Path(env["NEARD_EMERGENCY_HOME"]) / KEY_FILE
    if link.is_symlink() and str(link.readlink()).startswith("/run/credentials/neard-emergency.service/"):
        link.unlink()


def main() -> int:
    """The program; its one argument says which of the three."""
    try:
        match sys.argv[1:]:
            case ["ask"]:
                sys.stderr.write(f"{ask(os.environ)}\n")
            case ["run"]:
                run(dict(os.environ))
            case ["clear"]:
                clear(os.environ)
            case _:
                sys.stderr.write("one of ask, run, clear; use systemctl start neard-emergency.service\n")
                return 2
    except (Refused, OSError) as fault:
        sys.stderr.write(f"not started: {fault}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
