# SPDX-License-Identifier: Apache-2.0
"""neard's config.json: what kuutamod needs to know of it, and the one field it owns, ``network.addr``.

Sources of the rules: nearcore's ``nearcore/src/config.rs`` (defaults, comments) and ``config_validate.rs`` (old and new
``tracked_*`` fields exclude each other, whatever their value).
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..address import Address
from . import jsonc
from .durable import write_atomically

CONFIG_FILE = "config.json"
DEFAULT_RPC_ADDR = "0.0.0.0:3030"
"""Where neard serves when config.json has no ``rpc`` at all."""

_MANAGED_NAMES = {"validator_key_file": "validator_key.json", "node_key_file": "node_key.json"}
_NEW_TRACKING = "tracked_shards_config"
_OLD_TRACKING = ("tracked_shards", "tracked_accounts", "tracked_shadow_validator", "tracked_shard_schedule")


@dataclass(frozen=True)
class ConfigProblem:
    """One thing that is wrong with config.json. ``field`` is empty when it is the file as a whole."""

    field: str
    value: str
    problem: str
    remedy: str

    def __str__(self) -> str:
        subject = f"{self.field} is {self.value}: " if self.field else ""
        return f"{subject}{self.problem}; {self.remedy}"


class ConfigFault(Exception):
    """config.json can't be used; ``problems`` has everything that is wrong with it."""

    def __init__(self, path: Path, problems: tuple[ConfigProblem, ...]) -> None:
        super().__init__("; ".join(f"{path}: {problem}" for problem in problems))
        self.path = path
        self.problems = problems


@dataclass(frozen=True)
class NeardConfig:
    """What kuutamod needs of config.json.

    ``rpc_addr`` is where neard is reached from this host. ``store`` is the database's directory. ``shadow`` is the account
    that neard tracks as if it were its validator; ``all_shards``: it tracks everything.
    """

    path: Path
    rpc_addr: Address
    network_addr: str
    store: Path
    shadow: str | None
    all_shards: bool


def read_config(home: Path) -> NeardConfig:
    """``<home>/config.json``. :raises ConfigFault: neard or kuutamod can't work with it; has all reasons at once."""
    path = home / CONFIG_FILE
    _unused, data = _load(path)
    problems = [*_name_problems(home, data), *_tracking_problems(data), *_network_problems(data)]
    rpc_addr = _rpc_addr(data, problems)
    store = _store(home, data, problems)
    if problems:
        raise ConfigFault(path, tuple(problems))
    network = data["network"]
    assert isinstance(network, dict)
    return NeardConfig(path, rpc_addr, network["addr"], store, _shadow(data), _all_shards(data))


def shadow_tracking(config: NeardConfig, account: str) -> bool:
    """Does neard follow this account's shards as if it were the validator? Hot swap needs it."""
    return config.shadow == account


def set_network_addr(home: Path, addr: str) -> bool:
    """Write ``network.addr`` and leave every other byte of config.json as it is; False when there was nothing to do.

    The file is replaced atomically, with its mode, and its owner where this user may keep it.
    :raises ConfigFault: the file has no such field. :raises OSError: it can't be written; it is as it was.
    """
    path = home / CONFIG_FILE
    text, data = _load(path)
    problems = _network_problems(data)
    span = jsonc.value_span(text, ("network", "addr"))
    if problems or span is None:
        raise ConfigFault(path, tuple(problems))
    start, end = span
    if json.loads(text[start:end]) == addr:
        return False
    replace_file(path, text[:start] + json.dumps(addr) + text[end:])
    return True


def _load(path: Path) -> tuple[str, dict[str, object]]:
    def fault(problem: str, remedy: str) -> ConfigFault:
        return ConfigFault(path, (ConfigProblem("", "", problem, remedy),))

    make = "make one with `neard init`, or point --neard-home to neard's home"
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise fault("there is no such file", make) from None
    except OSError as error:
        raise fault(f"it can't be read: {error.strerror}", "let kuutamod's user read it") from None
    if not data.strip():
        raise fault("it is empty", make)
    try:
        text, value = jsonc.parse(data)
    except jsonc.JsonFault as error:
        raise fault(f"it is not JSON: {error}", "repair it there; neard would not start either") from None
    if not isinstance(value, dict):
        raise fault("it does not hold a JSON object", make)
    return text, value


def _name_problems(home: Path, data: Mapping[str, object]) -> list[ConfigProblem]:
    found = []
    for field, managed in _MANAGED_NAMES.items():
        value = data.get(field, managed)
        if not isinstance(value, str) or _joined(home, value) != _joined(home, managed):
            problem = f"kuutamod puts the key in place as {managed} and takes it away again"
            found.append(ConfigProblem(field, _shown(value), problem, f'set it to "{managed}" or remove it'))
    return found


def _tracking_problems(data: Mapping[str, object]) -> list[ConfigProblem]:
    if data.get(_NEW_TRACKING) is None:
        return []
    return [
        ConfigProblem(old, _shown(data[old]), f"neard does not start while {_NEW_TRACKING} is set too", f"remove {old}")
        for old in _OLD_TRACKING
        if data.get(old) is not None
    ]


def _network_problems(data: Mapping[str, object]) -> list[ConfigProblem]:
    network = data.get("network")
    if not isinstance(network, dict):
        problem = "kuutamod writes network.addr, and neard needs the other fields of the object with it"
        remedy = "add the object network as `neard init` writes it"
        return [ConfigProblem("network", _shown(network) if "network" in data else "missing", problem, remedy)]
    if not isinstance(network.get("addr"), str):
        value = _shown(network["addr"]) if "addr" in network else "missing"
        return [ConfigProblem("network.addr", value, "it is not a string", 'write "0.0.0.0:24567", kuutamod changes it')]
    return []


def _rpc_addr(data: Mapping[str, object], problems: list[ConfigProblem]) -> Address:
    """The address of neard's RPC; where there is none a problem is added and the default returned."""
    default = Address.parse(DEFAULT_RPC_ADDR).reached_at()
    if "rpc" not in data:
        return default
    rpc = data["rpc"]
    if rpc is None:
        problem = "kuutamod asks neard over its RPC whether it is healthy"
        problems.append(ConfigProblem("rpc", "null", problem, "add the object rpc as `neard init` writes it"))
        return default
    value = rpc.get("addr") if isinstance(rpc, dict) else None
    if not isinstance(value, str):
        shown = _shown(value) if isinstance(rpc, dict) and "addr" in rpc else "missing"
        problem = "kuutamod asks neard over its RPC whether it is healthy"
        problems.append(ConfigProblem("rpc.addr", shown, problem, 'write an address such as "127.0.0.1:3030"'))
        return default
    try:
        return Address.parse(value).reached_at()
    except ValueError as error:
        remedy = 'write IP:PORT such as "127.0.0.1:3030"'
        problems.append(ConfigProblem("rpc.addr", _shown(value), str(error), remedy))
        return default


def _store(home: Path, data: Mapping[str, object], problems: list[ConfigProblem]) -> Path:
    store = data.get("store")
    value = store.get("path") if isinstance(store, dict) else None
    if value is not None and not isinstance(value, str):
        problems.append(ConfigProblem("store.path", _shown(value), "it is not a string", "write a path or remove it"))
        value = None
    return _joined(home, value or "data")


def _shadow(data: Mapping[str, object]) -> str | None:
    new = data.get(_NEW_TRACKING)
    account = new.get("ShadowValidator") if isinstance(new, dict) else None
    if new is None:
        account = data.get("tracked_shadow_validator")
    return account if isinstance(account, str) else None


def _all_shards(data: Mapping[str, object]) -> bool:
    new = data.get(_NEW_TRACKING)
    return new == "AllShards" if new is not None else bool(data.get("tracked_shards"))


def _joined(home: Path, name: str) -> Path:
    """``name`` below ``home`` without dots; symlinks are left alone."""
    return Path(os.path.normpath(home / name))


def _shown(value: object) -> str:
    return json.dumps(value)


def replace_file(path: Path, text: str) -> None:
    """Put ``text`` in the file's place; a link keeps pointing to it. :raises OSError: nothing changed."""
    path = path.resolve(strict=True)
    write_atomically(path, text, path.stat())
