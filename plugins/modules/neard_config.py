#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Change single fields of neard's config.json."""

from __future__ import annotations

DOCUMENTATION = r"""
module: neard_config
short_description: Change single fields of neard's config.json
version_added: 0.1.0
description:
  - Sets and removes the named fields of C(config.json) and leaves every other byte of it as it is, comments
    (C(//), C(#), C(/* */)) and layout included.
  - The file is replaced atomically and keeps its owner and mode. A file that is not JSON is refused, and never written.
  - C(neard validate-config) judges the new content before it comes to its place, if O(validate_with) names a neard.
  - C(network.addr) belongs to kuutamod and is refused.
attributes:
  check_mode:
    description: Can run in check mode and return changed status prediction without modifying target.
    support: full
    details: In check mode C(neard validate-config) is not asked, it needs files.
  diff_mode:
    description: Will return details on what has changed (or possibly needs changing in check_mode), when in diff mode.
    support: full
options:
  path:
    description:
      - The file. It has to exist; C(neard init) makes it.
    type: path
    default: /var/lib/neard/config.json
  set:
    description:
      - The fields to set, by their dotted names from the outermost object, such as C(rpc.addr).
      - A value is compared and set as a whole, also where it is a list or an object.
      - Missing objects on the way are made, but for C(rpc) and C(network), which neard accepts only when they are complete.
    type: dict
    default: {}
  absent:
    description:
      - The fields that must not be there, by their dotted names.
    type: list
    elements: str
    default: []
  read:
    description:
      - Fields whose values are to be returned, by their dotted names.
    type: list
    elements: str
    default: []
  validate_with:
    description:
      - The neard that is asked by C(validate-config) whether it would start with the new content.
      - Without a genesis or a node key beside the file, or with a neard that has no such command, nobody is asked;
        RV(not_validated) says so.
    type: path
  validate_as:
    description:
      - The user as which it is asked.
    type: str
    default: neard
  validate_timeout:
    description:
      - Seconds for the answer. neard reads the whole genesis for it.
    type: int
    default: 900
  node_key:
    description:
      - The node key for C(validate-config). The one that O(path) names, if not set.
    type: path
author:
  - The kuutamo.near engineers (@kuutamo)
"""

EXAMPLES = r"""
- name: Track the validator's shards on a standby, and serve RPC to this host alone
  kuutamo.near.neard_config:
    set:
      tracked_shards_config:
        ShadowValidator: validator.pool.near
      store.load_mem_tries_for_tracked_shards: true
      rpc.addr: 127.0.0.1:3030
      expected_shutdown: null
    absent:
      - tracked_shards
    validate_with: /opt/neard/current/neard
"""

RETURN = r"""
fields:
  description: The fields that change, by name, with C(before) and C(after); null for one that is not there.
  returned: success
  type: dict
  sample: {"rpc.addr": {"before": "0.0.0.0:3030", "after": "127.0.0.1:3030"}}
found:
  description: The values of the fields in O(read), in check mode as they would be; null for one that is not there.
  returned: success
  type: dict
validated:
  description: Whether C(neard validate-config) has accepted the new content. False when nothing has changed.
  returned: success
  type: bool
not_validated:
  description: Why nobody was asked; empty when somebody was, or when nothing has changed.
  returned: success
  type: str
"""

import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible_collections.kuutamo.near.plugins.module_utils._neard_program import ask
from ansible_collections.kuutamo.near.plugins.module_utils._program import Account, ProgramFault

try:
    from ansible_collections.kuutamo.near.plugins.module_utils._kuutamod.neard import edit, jsonc
    from ansible_collections.kuutamo.near.plugins.module_utils._kuutamod.neard.config import replace_file
except ImportError:
    LIBRARY = False
else:
    LIBRARY = True

_WHOLE = ("rpc", "network")
_OWNED = {"network.addr": "kuutamod owns it; set kuutamod's voter and validator network addresses instead"}
_NO_SUCH_COMMAND = ("unrecognized subcommand", "invalid choice", "wasn't recognized")
_USAGE = 2


class ConfigRefused(Exception):
    """The change can't be made; the message has file, field, value and remedy."""


def _path_of(field: str) -> tuple[str, ...]:
    names = tuple(field.split("."))
    if not all(names):
        raise ConfigRefused(f"{field!r} is not a field; name it by its dotted path, such as rpc.addr")
    return names


def _read(path: Path) -> tuple[str, dict[str, Any]]:
    """Text and content of the file. :raises ConfigRefused: it is not one that neard would start with."""
    try:
        text, data = jsonc.parse(path.read_bytes())
    except FileNotFoundError:
        raise ConfigRefused(f"{path}: there is no such file; make it with neard init") from None
    except OSError as error:
        raise ConfigRefused(f"{path}: it can't be read: {error.strerror}") from None
    except jsonc.JsonFault as fault:
        raise ConfigRefused(f"{path}: it is not JSON: {fault}; repair it there, neard would not start either") from None
    if not isinstance(data, dict):
        raise ConfigRefused(f"{path}: it does not hold a JSON object; repair it there, or make it anew with neard init")
    return text, data


def _value(data: object, field: str) -> tuple[bool, Any]:
    """Is the field there, and what is its value?"""
    for name in field.split("."):
        if not isinstance(data, Mapping) or name not in data:
            return False, None
        data = data[name]
    return True, data


def _edited(path: Path, text: str, data: Mapping[str, Any], wanted: Mapping[str, Any], absent: list[str]) -> str:
    """The text with all changes. :raises ConfigRefused: one of them can't be made; nothing is."""
    both = sorted(set(wanted) & set(absent))
    if both:
        raise ConfigRefused(f"{both[0]}: it is both in set and in absent; decide for one")
    for field in (*wanted, *absent):
        if field in _OWNED or field == "network":
            raise ConfigRefused(f"{path}: {field}: {_OWNED.get(field, 'name the single fields below it instead')}")
    for field in absent:
        text = edit.remove(text, _path_of(field))
    for field, value in wanted.items():
        names = _path_of(field)
        if len(names) > 1 and names[0] in _WHOLE and not isinstance(data.get(names[0]), Mapping):
            found = json.dumps(data[names[0]]) if names[0] in data else "missing"
            raise ConfigRefused(
                f"{path}: {names[0]} is {found}, so {field} can't be set: neard accepts {names[0]} only as a whole; "
                f"copy the object {names[0]} from a file that neard init makes"
            )
        try:
            text = edit.set_value(text, names, value)
        except edit.NotAnObject as fault:
            at = ".".join(fault.path)
            found = json.dumps(_value(data, at)[1])
            raise ConfigRefused(
                f"{path}: {at} is {found}, so {field} can't be set to {json.dumps(value)}: it is not an object; "
                f"remove {at} from the file, or set it as a whole"
            ) from None
    return text


def _validate(module: AnsibleModule, path: Path, text: str, data: Mapping[str, Any]) -> str:
    """Let neard judge the new content; the answer says why it was not asked. :raises ConfigRefused: it objects."""
    given, home = module.params, path.parent
    names = {
        name: data.get(name) or default
        for name, default in (("genesis_file", "genesis.json"), ("node_key_file", "node_key.json"))
    }
    needed = {names["genesis_file"]: home / names["genesis_file"]}
    needed[names["node_key_file"]] = Path(given["node_key"]) if given["node_key"] else home / names["node_key_file"]
    if records := data.get("genesis_records_file"):
        needed[records] = home / records
    for file in needed.values():
        if not file.exists():
            return f"there is no {file}"
    if (home / "log_config.json").exists():
        needed["log_config.json"] = home / "log_config.json"
    user = Account.of(given["validate_as"])
    scratch = Path(tempfile.mkdtemp(prefix=".neard_config-", dir=home))
    try:
        (scratch / "config.json").write_text(text, encoding="utf-8")
        for name, file in needed.items():
            if not Path(name).is_absolute():
                (scratch / name).symlink_to(file)
        if os.geteuid() == 0:
            os.chown(scratch, user.uid, user.gid)
            os.chown(scratch / "config.json", user.uid, user.gid)
        arguments = ["--home", str(scratch), "validate-config"]
        answer = ask(module, given["validate_with"], arguments, user, given["validate_timeout"])
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    if answer.code == _USAGE and any(word in answer.said for word in _NO_SUCH_COMMAND):
        return f"{given['validate_with']} has no validate-config"
    if answer.code != 0:
        said = answer.said.replace(str(scratch), str(home)) or f"exit code {answer.code}"
        raise ConfigRefused(f"{path}: neard would not start with this; nothing was changed. It says: {said}")
    return ""


def _run(module: AnsibleModule, given: dict[str, Any]) -> dict[str, Any]:
    path = Path(given["path"])
    text, data = _read(path)
    edited = _edited(path, text, data, given["set"], given["absent"])
    after: Any = jsonc.parse(edited.encode())[1]
    fields = {}
    for field in (*given["absent"], *given["set"]):
        was, is_now = _value(data, field), _value(after, field)
        if was[0] != is_now[0] or not edit.same(was[1], is_now[1]):
            fields[field] = {"before": was[1], "after": is_now[1]}
    changed = edited != text
    reason = ""
    if changed and not module.check_mode:
        reason = _validate(module, path, edited, after) if given["validate_with"] else "validate_with is not set"
        replace_file(path, edited)
    return {
        "changed": changed,
        "fields": fields,
        "found": {field: _value(after, field)[1] for field in given["read"]},
        "validated": changed and not module.check_mode and not reason,
        "not_validated": reason,
        "diff": {"before": text, "after": edited, "before_header": str(path), "after_header": str(path)},
    }


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "default": "/var/lib/neard/config.json"},
            "set": {"type": "dict", "default": {}},
            "absent": {"type": "list", "elements": "str", "default": []},
            "read": {"type": "list", "elements": "str", "default": []},
            "validate_with": {"type": "path"},
            "validate_as": {"type": "str", "default": "neard"},
            "validate_timeout": {"type": "int", "default": 900},
            "node_key": {"type": "path", "no_log": False},
        },
        supports_check_mode=True,
    )
    if not LIBRARY:
        module.fail_json(msg=missing_required_lib("Python 3.11 or later"))
    try:
        result = _run(module, module.params)
    except (ConfigRefused, ProgramFault) as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        module.fail_json(msg=f"{module.params['path']}: it can't be written: {error}")
    module.exit_json(**result)


if __name__ == "__main__":
    main()
