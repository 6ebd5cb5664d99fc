#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The keys of a validator host: checked, sealed at rest, and told by their public parts alone."""

from __future__ import annotations

DOCUMENTATION = r"""
module: kuutamod_keys
short_description: The keys of a validator host, checked and sealed at rest
version_added: 0.1.0
description:
  - Checks the validator's key and the validator's node key as the daemon does, and keeps them where the unit
    C(kuutamod.service) loads them from.
  - They are sealed with C(systemd-creds) through a pipe. No part of them is written in clear, returned, or shown in a diff.
  - A host whose validator key is another one than the given is refused, unless O(replace) is set.
  - Runs as root, on a host with systemd 250 or later. Needs pipelining, else Ansible itself writes its arguments to disk.
options:
  account_id:
    description: The validator's account; the key has to be its key.
    type: str
    required: true
  validator_key:
    description: The content of the validator's key file, as JSON text.
    type: str
    required: true
  validator_node_key:
    description: The content of the validator's node key file, as JSON text; the same on all hosts. Left alone if not given.
    type: str
  voter_node_key_file:
    description: The host's own node key file, which is only looked at.
    type: path
    required: true
  delivery:
    description:
      - V(sealed) keeps the keys encrypted in O(sealed_dir); only this host can open them.
      - V(plain_file) keeps them in clear in O(plain_dir), for root alone. Backups and disk images then have the key.
    type: str
    choices: [sealed, plain_file]
    default: sealed
  sealed_dir:
    description: Where systemd looks for sealed credentials.
    type: path
    default: /etc/credstore.encrypted
  plain_dir:
    description: Where the keys are with V(plain_file).
    type: path
    default: /etc/kuutamod/keys
  seal_with:
    description: What a sealed key is tied to; V(auto) takes the host's key and the TPM where there is one.
    type: str
    choices: [auto, host, tpm2, host+tpm2]
    default: auto
  tpm2_pcrs:
    description:
      - The TPM's registers (PCRs) whose present values a key is sealed to as well, where it is tied to a TPM. With none it
        is tied to the TPM alone. A key that is sealed already is left as it is.
      - Whatever changes one of them, such as an update of the firmware or of Secure Boot's keys with V(7), makes the key
        unreadable until this runs again.
    type: list
    elements: int
    default: []
  slot:
    description:
      - V(current) is what the unit loads. V(next) lies beside it until the validator's key is rotated; it is removed when
        the same key becomes the current one.
    type: str
    choices: [current, next]
    default: current
  replace:
    description: Take the validator's key even where the host has another one.
    type: bool
    default: false
  neard_home:
    description: Where to look for validator keys in clear.
    type: path
  other_homes:
    description:
      - Further folders to look in, as patterns. A neard that is started by hand without V(--home) takes the key from there.
      - Only looked at if O(neard_home) is given.
    type: list
    elements: str
    default: [/root/.near, /home/*/.near]
  remove_strays:
    description:
      - Remove copies of the validator's key in clear from O(neard_home) and O(other_homes). Keys of others are left alone.
    type: bool
    default: false
attributes:
  check_mode:
    description: Can run in check mode and tell what would change without changing it.
    support: full
  diff_mode:
    description: Returns what has changed.
    support: full
    details: Of a key the public part and where it is kept, nothing else.
author:
  - The kuutamo.near engineers (@kuutamo)
"""

EXAMPLES = r"""
- name: Seal the keys
  kuutamo.near.kuutamod_keys:
    account_id: validator.pool.near
    validator_key: "{{ kuutamod_validator_key | to_json }}"
    validator_node_key: "{{ kuutamod_validator_node_key | to_json }}"
    voter_node_key_file: /etc/neard/node_key.json
    neard_home: /var/lib/neard
"""

RETURN = r"""
public_keys:
  description: The public keys, by C(validator), C(validator_node) and C(voter_node); null where there is no file.
  returned: success
  type: dict
found:
  description: The validator's public key that the host had before; null where it had none that it can open.
  returned: success
  type: str
seal:
  description: What the keys are tied to; V(none) with O(delivery=plain_file).
  returned: success
  type: str
  sample: host+tpm2
files:
  description: The files that the unit loads, by the name of the credential.
  returned: success
  type: dict
stale:
  description: Which keys were kept anew, or would be in check mode.
  returned: success
  type: list
  elements: str
  sample: [validator, validator_node]
strays:
  description: The validator keys in clear that are in O(neard_home) and O(other_homes), with RV(strays[].path),
    RV(strays[].public_key) and whether they are this validator's.
  returned: success
  type: list
  elements: dict
  contains:
    path:
      description: The file.
      type: str
    public_key:
      description: Its public key.
      type: str
    ours:
      description: Is it the validator's key?
      type: bool
removed:
  description: The files that were removed.
  returned: success
  type: list
  elements: str
"""

import traceback
from dataclasses import replace
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

try:
    from ansible_collections.kuutamo.near.plugins.module_utils import _credentials as creds
    from ansible_collections.kuutamo.near.plugins.module_utils._kuutamod.neard.keys import (
        KeyFault,
        read_key_file,
        read_node_key_file,
    )
except ImportError:
    _IMPORT_FAULT: str | None = traceback.format_exc()
else:
    _IMPORT_FAULT = None

_NAMES = {"validator": "validator_key.json", "validator_node": "validator_node_key.json"}
_PREFIX = "kuutamod."
_LAST_PCR = 23


class Keys:
    """The keys of one host."""

    def __init__(self, module: AnsibleModule) -> None:
        self._module = module
        self._params = params = module.params
        self._sealed = params["delivery"] == "sealed"
        self._seal = self._chosen_seal() if self._sealed else None
        self.given = {
            "validator": creds.parse_validator_key(params["validator_key"], self.name, params["account_id"]),
        }
        if params["validator_node_key"]:
            self.given["validator_node"] = creds.parse_node_key(params["validator_node_key"], "kuutamod_validator_node_key")
        self.places = {which: self._place(_NAMES[which]) for which in self.given}
        self.kept = {which: place.read() for which, place in self.places.items()}

    @property
    def name(self) -> str:
        """The operator's variable with the validator's key."""
        return "kuutamod_next_validator_key" if self._params["slot"] == "next" else "kuutamod_validator_key"

    def _chosen_seal(self) -> Any:
        wish = self._params["seal_with"]
        return creds.best_seal(self._module) if wish == "auto" else creds.Seal(wish)

    def _place(self, name: str) -> Any:
        slot = ".next" if self._params["slot"] == "next" else ""
        if self._seal is not None:
            path = Path(self._params["sealed_dir"]) / f"{_PREFIX}{name}{slot}"
            return creds.Sealed(self._module, path, name, self._seal, tuple(sorted(set(self._params["tpm2_pcrs"]))))
        return creds.Plain(Path(self._params["plain_dir"]) / f"{name}{slot}")

    @property
    def seal(self) -> str:
        """What the keys are tied to."""
        return "none" if self._seal is None else self._seal.value

    def found(self) -> str | None:
        """The validator's public key that the unit loads on this host; one in the other delivery counts as well."""
        name = _NAMES["validator"]
        sealed = creds.Sealed(self._module, Path(self._params["sealed_dir"]) / f"{_PREFIX}{name}", name, creds.Seal.HOST)
        plain = creds.Plain(Path(self._params["plain_dir"]) / name)
        data = (sealed.read() or plain.read()) if self._sealed else (plain.read() or sealed.read())
        return creds.public_key_of(data, read_key_file)

    def voter(self) -> str | None:
        """The host's own node key, by its public part."""
        path = Path(self._params["voter_node_key_file"])
        if not path.exists():
            return None
        try:
            return str(read_node_key_file(path).public_key)
        except KeyFault as fault:
            raise creds.CredentialFault(str(fault)) from None

    def stale(self) -> list[str]:
        """Which keys have to be kept anew."""
        return [which for which, key in self.given.items() if not self._well_kept(which, key.data)]

    def _well_kept(self, which: str, data: bytes) -> bool:
        return creds.same(self.kept[which], data) and creds.private(self.places[which].path)

    def keep(self, which: str) -> None:
        """Keep one anew, and read it back."""
        place, data = self.places[which], self.given[which].data
        place.write(data)
        if not creds.same(place.read(), data):
            raise creds.CredentialFault(f"{place.path} can't be opened again right after it was sealed with {self.seal}")

    def leftovers(self) -> list[Path]:
        """The next key, once it is the current one."""
        path = self.places["validator"].path
        following = path.with_name(f"{path.name}.next")
        if self._params["slot"] == "next" or not following.exists():
            return []
        wanted = self.places["validator"]
        known = replace(wanted, path=following).read()
        return [following] if known is None or creds.same(known, self.given["validator"].data) else []


def _homes(params: dict[str, Any]) -> list[Path]:
    """Where a neard may look for its key, each folder once."""
    if not params["neard_home"]:
        return []
    found: dict[Path, Path] = {}
    others = (path for pattern in params["other_homes"] for path in sorted(Path("/").glob(pattern.lstrip("/"))))
    for path in (Path(params["neard_home"]), *others):
        found.setdefault(path.resolve(), path)
    return list(found.values())


def _run(module: AnsibleModule) -> dict[str, Any]:
    params = module.params
    if odd := [each for each in params["tpm2_pcrs"] if not 0 <= each <= _LAST_PCR]:
        told = ", ".join(map(str, odd))
        raise creds.CredentialFault(f"kuutamod_tpm2_pcrs has {told}; a TPM's registers are 0 to {_LAST_PCR}")
    keys = Keys(module)
    ours = keys.given["validator"].public.public_key
    public: dict[str, str | None] = {which: key.public.public_key for which, key in keys.given.items()}
    public["voter_node"] = keys.voter()
    if public["voter_node"] is not None and public["voter_node"] == public.get("validator_node"):
        raise creds.CredentialFault(
            f"{params['voter_node_key_file']} is the validator's node key ({public['voter_node']}): two hosts would run as "
            "one peer; give the host a node key of its own"
        )
    found = keys.found()
    if found not in (None, ours) and not params["replace"] and params["slot"] == "current":
        raise creds.CredentialFault(
            f"this host has the validator key {found}, kuutamod_validator_key is {ours}; a new key needs the playbook "
            "kuutamo.near.rotate_validator_key, a host of another validator needs kuutamod_replace_validator_key=true"
        )
    stale, leftovers = keys.stale(), keys.leftovers()
    strays = creds.strays(_homes(params), ours)
    doomed = [each for each in strays if each.ours and params["remove_strays"]]
    removed = [str(path) for path in (*leftovers, *(each.path for each in doomed))]
    if not module.check_mode:
        for which in stale:
            keys.keep(which)
        for path in removed:
            Path(path).unlink(missing_ok=True)
    return {
        "changed": bool(stale or removed),
        "public_keys": public,
        "found": found,
        "seal": keys.seal,
        "files": {_NAMES[which]: str(place.path) for which, place in keys.places.items()},
        "stale": stale,
        "strays": [each.told() for each in strays if each not in doomed],
        "removed": removed,
        "diff": _diff(keys, found, stale, removed),
    }


def _diff(keys: Keys, found: str | None, stale: list[str], removed: list[str]) -> dict[str, str]:
    """Public parts and places only."""
    before = [f"validator key {found or 'none'}"] + [f"{path}: there" for path in removed]
    after = [f"validator key {keys.given['validator'].public.public_key}"]
    after += [f"{keys.places[which].path}: kept, tied to {keys.seal}" for which in stale]
    return {"before": "\n".join(before) + "\n", "after": "\n".join(after) + "\n"}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "account_id": {"type": "str", "required": True},
            "validator_key": {"type": "str", "required": True, "no_log": True},
            "validator_node_key": {"type": "str", "no_log": True},
            "voter_node_key_file": {"type": "path", "required": True, "no_log": False},
            "delivery": {"type": "str", "choices": ["sealed", "plain_file"], "default": "sealed"},
            "sealed_dir": {"type": "path", "default": "/etc/credstore.encrypted"},
            "plain_dir": {"type": "path", "default": "/etc/kuutamod/keys"},
            "seal_with": {"type": "str", "choices": ["auto", "host", "tpm2", "host+tpm2"], "default": "auto"},
            "tpm2_pcrs": {"type": "list", "elements": "int", "default": []},
            "slot": {"type": "str", "choices": ["current", "next"], "default": "current"},
            "replace": {"type": "bool", "default": False},
            "neard_home": {"type": "path"},
            "other_homes": {"type": "list", "elements": "str", "default": ["/root/.near", "/home/*/.near"]},
            "remove_strays": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    if _IMPORT_FAULT is not None:
        module.fail_json(msg="the collection kuutamo.near is not whole: its key reader is missing", exception=_IMPORT_FAULT)
    try:
        module.exit_json(**_run(module))
    except (creds.CredentialFault, OSError) as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
