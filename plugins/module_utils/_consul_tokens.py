# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Policies and tokens of a Consul cluster, brought to what is wanted. No secret ever gets into a result or a message."""

from __future__ import annotations

import grp
import json
import os
import pwd
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ._consul_http import ConsulHttp, ConsulHttpError

MANAGEMENT = "global-management"
"""The policy that every Consul has and that may do everything."""
SECRET_LENGTH = 36
"""Letters of a secret id, a UUID."""
KINDS = {"agent": ("agent",), "services": ("config_file_service_registration", "default")}
"""What an agent calls the tokens it uses itself; of several names the first that it knows."""


@dataclass
class Outcome:
    """What was changed, or would be: for the module's result and its diff."""

    changed: bool = False
    written: bool = False
    """A file of this host was changed, whatever failed after it."""
    policies: list[dict[str, Any]] = field(default_factory=list)
    tokens: list[dict[str, Any]] = field(default_factory=list)
    before: list[str] = field(default_factory=list)
    after: list[str] = field(default_factory=list)

    def note(self, before: str | None, after: str | None) -> None:
        """Something differs; either side is None when it is not there."""
        self.changed = True
        self.before += [before] if before else []
        self.after += [after] if after else []


def bootstrap(module: AnsibleModule, consul: ConsulHttp, outcome: Outcome) -> bool:
    """Make the module's token the management token of a cluster that has none yet; whether it had to be done.

    Consul before 1.14 chooses the secret itself. There the operator's token is made with it at once, and the chosen
    one deleted, so that it is never written anywhere. Raises ConsulHttpError.
    """
    if _self(consul) is not None:
        return False
    outcome.note(None, "management token: the operator's\n")
    if module.check_mode:
        return True
    wanted = consul.token or ""
    first = _first(consul, wanted)
    chosen = first["SecretID"]
    module.no_log_values.add(chosen)
    body = {"SecretID": wanted, "Description": "management", "Policies": [{"Name": MANAGEMENT}]}
    accessor = first["AccessorID"]
    try:
        if chosen == wanted:
            consul.call("PUT", f"acl/token/{accessor}", {**body, "AccessorID": accessor})
            return True
        try:
            consul.call("PUT", "acl/token", body, token=chosen, once=True)
        except ConsulHttpError as error:
            # Only the answer was lost if the token is known.
            if error.untouched or _self(consul) is None:
                raise
        consul.call("DELETE", f"acl/token/{accessor}")
    except ConsulHttpError as error:
        raise ConsulHttpError(
            error.reason,
            f"the cluster is bootstrapped, but the operator's management token could not be put in place of the first one "
            f"(accessor {accessor}), whose secret is gone: reset the ACL system; {error}",
            error.status,
        ) from None
    return True


def _self(consul: ConsulHttp) -> dict[str, Any] | None:
    """The module's token as Consul has it, if it knows it. Raises ConsulHttpError."""
    answer = consul.call("GET", "acl/token/self", accept=(403,))
    found: dict[str, Any] | None = answer.data if answer.status == 200 else None
    return found


def _first(consul: ConsulHttp, wanted: str) -> dict[str, Any]:
    """The first token of the cluster. Raises ConsulHttpError."""
    lost: ConsulHttpError | None = None
    refusal = ""
    try:
        answer = consul.call("PUT", "acl/bootstrap", {"BootstrapSecret": wanted}, accept=(403,), once=True)
    except ConsulHttpError as error:
        if error.untouched:
            raise
        lost = error
    else:
        if answer.status != 403:
            made: dict[str, Any] = answer.data
            return made
        refusal = answer.text.strip()[:100]
    # The answer of this request, or of one in a run before, may have been lost, and not the request.
    found = _self(consul)
    if found is not None:
        return found
    if lost is not None:
        raise lost
    raise ConsulHttpError(
        "forbidden",
        "it has a management token already, and it is not the one that was given. Give that one. If it is lost, or an"
        " earlier run was cut off while it bootstrapped a Consul before 1.14, which chooses its first token itself, see"
        f" 'reset the ACL system' in Consul's documentation ({refusal})",
        403,
    )


class PlaceFault(Exception):
    """A secret can't be put into its file; the message says which, why, and what to do."""


class Policies:
    """The policies by name, as Consul has them."""

    def __init__(self, module: AnsibleModule, consul: ConsulHttp, outcome: Outcome, blind: bool) -> None:
        self._check, self._consul, self._outcome = module.check_mode, consul, outcome
        listed = [] if blind else consul.get("acl/policies")
        self._ids: dict[str, str] = {policy["Name"]: policy["ID"] for policy in listed}

    def ensure(self, wanted: dict[str, Any]) -> None:
        """Create, change or delete one. Raises ConsulHttpError."""
        name, number = wanted["name"], self._ids.get(wanted["name"])
        now = self._consul.get(f"acl/policy/{number}") if number else None
        if wanted["state"] == "absent":
            action = self._remove(name, now)
        else:
            action = self._put(name, wanted, now)
        self._outcome.policies.append({"name": name, "id": self._ids.get(name), "action": action})

    def _remove(self, name: str, now: dict[str, Any] | None) -> str:
        if now is None:
            return "none"
        self._outcome.note(_policy_text(now), None)
        if not self._check:
            self._consul.call("DELETE", f"acl/policy/{now['ID']}")
        self._ids.pop(name)
        return "deleted"

    def _put(self, name: str, wanted: dict[str, Any], now: dict[str, Any] | None) -> str:
        body = {"Name": name, "Description": wanted["description"], "Rules": wanted["rules"].strip() + "\n"}
        if now is not None and all(now[part].strip() == body[part].strip() for part in ("Description", "Rules")):
            return "none"
        self._outcome.note(_policy_text(now) if now else None, _policy_text(body))
        if not self._check:
            path = f"acl/policy/{now['ID']}" if now else "acl/policy"
            self._ids[name] = self._consul.call("PUT", path, body, once=now is None).data["ID"]
        return "changed" if now else "created"


class Tokens:
    """The tokens, told apart by their description, and their secrets where this host needs them.

    ``rotate``: a token whose secret Consul chooses is made anew; the ones before are left until ``prune``.
    """

    def __init__(
        self, module: AnsibleModule, consul: ConsulHttp, outcome: Outcome, *, blind: bool, agent_file: Path | None
    ) -> None:
        self._module, self._check, self._consul, self._outcome = module, module.check_mode, consul, outcome
        self._agent_file = agent_file
        self._rotate: bool = module.params["rotate"]
        self._prune: bool = module.params["prune"]
        self._listed: list[dict[str, Any]] = [] if blind else consul.get("acl/tokens")

    def ensure(self, wanted: dict[str, Any]) -> None:
        """Create, change, place or delete one. Raises ConsulHttpError and PlaceFault."""
        same = [token for token in self._listed if token["Description"] == wanted["description"]]
        same.sort(key=lambda token: token["CreateIndex"], reverse=True)
        told: dict[str, Any] = {"description": wanted["description"], "accessor_id": None, "action": "none", "deleted": []}
        if wanted["state"] == "absent" and wanted["secret_id"]:
            known = self._current(wanted, same)
            told["deleted"] = self._delete([known] if known else [])
        elif wanted["state"] == "absent":
            told["deleted"] = self._delete(same)
        else:
            now = self._current(wanted, same)
            if wanted["path"] and not self._check and (now is None or self._placed(wanted) != now["SecretID"]):
                self._try_place(wanted)
            told["action"], now = self._put(wanted, now)
            told["accessor_id"] = now["AccessorID"] if now else None
            told["placed"] = self._place(wanted, now)
            others = [token for token in same if now and token["AccessorID"] != now["AccessorID"]]
            if self._prune:
                told["deleted"] = self._delete(others)
            else:
                told["others"] = [token["AccessorID"] for token in others]
        self._outcome.tokens.append(told)

    def _current(self, wanted: dict[str, Any], same: list[dict[str, Any]]) -> dict[str, Any] | None:
        """The token that is there already, with its secret: the operator's, the one in use here, else the newest."""
        if wanted["secret_id"]:
            answer = self._consul.call("GET", "acl/token/self", token=wanted["secret_id"], accept=(403,))
            return answer.data if answer.status == 200 else None
        if self._rotate:
            return None
        tokens = [self._consul.get(f"acl/token/{token['AccessorID']}") for token in same]
        self._module.no_log_values.update(token["SecretID"] for token in tokens)
        used = [self._placed(wanted), self._in_agent(wanted["agent"])]
        return next((token for token in tokens if token["SecretID"] in used), tokens[0] if tokens else None)

    def _put(self, wanted: dict[str, Any], now: dict[str, Any] | None) -> tuple[str, dict[str, Any] | None]:
        body: dict[str, Any] = {
            "Description": wanted["description"],
            "Policies": [{"Name": name} for name in wanted["policies"]],
            "Local": False,
        }
        if now is not None and now["Description"] == body["Description"] and _names(now) == sorted(wanted["policies"]):
            return "none", now
        self._outcome.note(_token_text(now) if now else None, _token_text(body))
        action = "changed" if now else ("rotated" if self._rotate and not wanted["secret_id"] else "created")
        if self._check:
            return action, now
        if now is None:
            if wanted["secret_id"]:
                body["SecretID"] = wanted["secret_id"]
            made = self._consul.call("PUT", "acl/token", body, once=True).data
        else:
            body |= {"AccessorID": now["AccessorID"], "SecretID": now["SecretID"]}
            made = self._consul.call("PUT", f"acl/token/{now['AccessorID']}", body).data
        self._module.no_log_values.add(made["SecretID"])
        return action, made

    def _delete(self, tokens: list[dict[str, Any]]) -> list[str]:
        for token in tokens:
            self._outcome.note(_token_text(token), None)
            if not self._check:
                self._consul.call("DELETE", f"acl/token/{token['AccessorID']}")
        return [token["AccessorID"] for token in tokens]

    def _place(self, wanted: dict[str, Any], now: dict[str, Any] | None) -> bool:
        """Put the secret where this host uses it: in a file, and into the agent. Whether something had to be done."""
        placed = False
        secret = now["SecretID"] if now else None
        if wanted["path"]:
            placed |= self._to_file(wanted, secret)
        if wanted["agent"] and (secret is None or self._in_agent(wanted["agent"]) != secret):
            self._outcome.note(None, f"the agent's token for {wanted['agent']}: {wanted['description']}\n")
            placed = True
            if secret is not None and not self._check:
                self._to_agent(wanted["agent"], secret)
        if placed and secret is not None and not self._check:
            # Consul itself says that it knows the token, before anybody deletes the one before.
            self._consul.call("GET", "acl/token/self", token=secret)
        return placed

    def _to_agent(self, kind: str, secret: str) -> None:
        *newer, last = KINDS[kind]
        for name in newer:
            if self._consul.call("PUT", f"agent/token/{name}", {"Token": secret}, accept=(400, 404)).status == 200:
                return
        self._consul.call("PUT", f"agent/token/{last}", {"Token": secret})

    def _try_place(self, wanted: dict[str, Any]) -> None:
        """Before there is a secret that could not be kept. Raises PlaceFault."""
        path = Path(wanted["path"])
        try:
            if wanted["owner"] and not wanted["owner"].isdigit():
                pwd.getpwnam(wanted["owner"])
            if wanted["group"] and not wanted["group"].isdigit():
                grp.getgrnam(wanted["group"])
            if path.is_dir():
                raise IsADirectoryError("it is a directory")
            self._write(path, SECRET_LENGTH * "-").unlink()
        except (OSError, KeyError) as error:
            raise PlaceFault(
                f"the token {wanted['description']} can't be kept in {path}: {_cause(error)}. Mend that and run it again; "
                "nothing was made or changed for this token"
            ) from None

    @staticmethod
    def _write(path: Path, content: str) -> Path:
        """A new file beside ``path``, so that a rename is atomic; only its owner can read it. Raises OSError."""
        handle, new = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "w") as file:
                file.write(content + "\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError:
            Path(new).unlink(missing_ok=True)
            raise
        return Path(new)

    def _to_file(self, wanted: dict[str, Any], secret: str | None) -> bool:
        path, changed = Path(wanted["path"]), False
        if secret is None or self._placed(wanted) != secret:
            self._outcome.note(None, f"{path}: token {wanted['description']}\n")
            changed = True
            if secret is not None and not self._check:
                try:
                    self._replace(wanted, path, secret)
                except OSError as error:
                    raise PlaceFault(
                        f"the token {wanted['description']} is made, and can't be kept in {path}: {_cause(error)}. Mend"
                        " that and run it again; the token that was used before is still good"
                    ) from None
                self._outcome.written = True
        if path.exists() and self._rights(wanted, str(path)):
            self._outcome.changed = changed = True
            self._outcome.written |= not self._check
        return changed

    def _replace(self, wanted: dict[str, Any], path: Path, secret: str) -> None:
        """In place with its owner and mode at once: AnsibleModule's atomic_move opens a new file to all for a moment."""
        new = self._write(path, secret)
        try:
            if self._module.selinux_enabled():
                self._module.set_context_if_different(str(new), self._module.selinux_default_context(str(path)), False)
            self._rights(wanted, str(new))
            new.replace(path)
        finally:
            new.unlink(missing_ok=True)

    def _rights(self, wanted: dict[str, Any], path: str) -> bool:
        module = self._module
        changed: bool = module.set_owner_if_different(path, wanted["owner"], False)
        changed = module.set_group_if_different(path, wanted["group"], changed)
        return bool(module.set_mode_if_different(path, wanted["mode"], changed))

    def _placed(self, wanted: dict[str, Any]) -> str | None:
        if not wanted["path"]:
            return None
        try:
            return Path(wanted["path"]).read_text(encoding="ascii").strip()
        except (OSError, ValueError):
            return None

    def _in_agent(self, kind: str | None) -> str | None:
        """The token that the agent has kept; it tells it to nobody, but it writes it to a file of its own."""
        if self._agent_file is None or kind is None:
            return None
        try:
            kept = json.loads(self._agent_file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        found = [kept.get(name) for name in KINDS[kind]] if isinstance(kept, dict) else []
        return next((token for token in found if isinstance(token, str) and token), None)


def _cause(error: Exception) -> str:
    """In a few words, without the name of a file that is there for a moment only."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error).strip("'\"")


def _names(token: dict[str, Any]) -> list[str]:
    return sorted(policy["Name"] for policy in token.get("Policies") or [])


def _policy_text(policy: dict[str, Any]) -> str:
    return f"policy {policy['Name']}: {policy['Description']}\n{policy['Rules'].strip()}\n"


def _token_text(token: dict[str, Any]) -> str:
    return f"token {token['Description']}: policies {', '.join(_names(token)) or 'none'}\n"
