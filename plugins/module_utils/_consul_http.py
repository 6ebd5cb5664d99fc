# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Consul's HTTP API for the modules that set Consul itself up, with nothing but what Ansible brings along.

The modules that look after the validator speak through the daemon's own client instead (``_connection``); these run
before there is a daemon on the host.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlencode

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.urls import ConnectionError as UrlsConnectionError
from ansible.module_utils.urls import SSLValidationError, open_url

from ._kuutamod.consul.settings import check_token

SPEC: dict[str, dict[str, Any]] = {
    "host": {"type": "str", "default": "127.0.0.1"},
    "port": {"type": "int", "default": 8501},
    "scheme": {"type": "str", "default": "https", "choices": ["http", "https"]},
    "validate_certs": {"type": "bool", "default": True},
    "ca_path": {"type": "path"},
    "client_cert": {"type": "path"},
    "client_key": {"type": "path", "no_log": False},
    "token": {"type": "str", "no_log": True},
    "token_file": {"type": "path", "no_log": False},
    "timeout": {"type": "float", "default": 10.0},
    "wait": {"type": "float", "default": 0.0},
}
SHORTEST_TOKEN = 8
"""Ansible hides a secret by replacing its letters everywhere; one of a few letters would spoil every message."""
NO_NEWLINE = "it ends in a newline, as from echo; give it to ansible-vault encrypt_string with printf %s"
PAUSE = 0.5
"""Seconds between two attempts while Consul has no leader yet."""
PASSING = (
    "no cluster leader",
    "not the leader",
    "leadership",
    "legacy mode",
    "failed to get conn",
    "stream closed",
    "no known consul servers",
    "eof",
    "i/o timeout",
    "connection refused",
)
"""What Consul answers with 500 or 503 while it elects a leader or has just started; it passes by itself."""
KEYRING = "operator/keyring"
"""Consul passes it on to all agents, and answers 500 when one of them needs longer than some 3 s; that passes as well."""
UNTOUCHED = ("no cluster leader", "legacy mode", "no known consul servers", "connection refused")
"""Those of them after which Consul has surely not done what it was asked."""


class ConsulHttpError(Exception):
    """Consul can't be asked, or refuses.

    ``reason``: ``unreachable``, ``no_leader``, ``forbidden``, ``refused``, ``answer`` or ``options``.
    ``status``: HTTP's, if any. ``untouched``: Consul has surely not done what it was asked.
    """

    def __init__(self, reason: str, message: str, status: int | None = None, untouched: bool = True) -> None:
        super().__init__(message)
        self.reason = reason
        self.status = status
        self.untouched = untouched


@dataclass(frozen=True)
class Answer:
    """An answer that Consul gave: HTTP status, text, and the object that the text is, if it is JSON."""

    status: int
    text: str
    data: Any


class ConsulHttp:
    """One agent's API. ``wait``: seconds for which a cluster without a leader, or an agent that starts, is asked again.

    ``changed``: Consul has done something else than to answer, or may have.
    """

    def __init__(self, module: AnsibleModule) -> None:
        given = module.params
        host = f"[{given['host']}]" if ":" in given["host"] else given["host"]
        self.url = f"{given['scheme']}://{host}:{given['port']}"
        self.token: str | None = given["token"]
        self.changed = False
        self._wait: float = given["wait"]
        self._options: dict[str, Any] = {
            "timeout": given["timeout"],
            "validate_certs": given["validate_certs"],
            "client_cert": given["client_cert"],
            "client_key": given["client_key"],
            "ca_path": given["ca_path"],
            "use_proxy": False,
        }

    def call(
        self,
        method: str,
        path: str,
        body: object = None,
        query: dict[str, str] | None = None,
        token: str | None = None,
        accept: tuple[int, ...] = (),
        once: bool = False,
    ) -> Answer:
        """Ask, again and again for ``wait`` seconds while Consul says that it will soon be able to.

        ``accept``: statuses besides 200 that are an answer. ``token``: instead of the module's. ``once``: what would be
        something else the second time, so it is repeated only if it was surely not done. Raises ConsulHttpError.
        """
        end = time.monotonic() + self._wait
        while True:
            try:
                answer = self._once(method, path, body, query or {}, token or self.token, accept)
                self.changed |= method != "GET" and answer.status not in accept
                return answer
            except ConsulHttpError as error:
                self.changed |= method != "GET" and not error.untouched
                if once and not error.untouched:
                    told = f"{error}; {method} /v1/{path} may have been done all the same and is not repeated: run it again"
                    raise ConsulHttpError(error.reason, told, error.status, untouched=False) from None
                if error.reason not in ("no_leader", "unreachable") or time.monotonic() > end:
                    raise
            time.sleep(PAUSE)

    def get(self, path: str, **options: Any) -> Any:
        """The object at ``path``. Raises ConsulHttpError."""
        return self.call("GET", path, **options).data

    def _once(
        self, method: str, path: str, body: object, query: dict[str, str], token: str | None, accept: tuple[int, ...]
    ) -> Answer:
        url = f"{self.url}/v1/{quote(path, safe='/:')}" + (f"?{urlencode(query)}" if query else "")
        headers = {"X-Consul-Token": token} if token else {}
        data = json.dumps(body) if body is not None else None
        what = f"{method} /v1/{path}"
        try:
            with open_url(url, data=data, headers=headers, method=method, **self._options) as reply:
                return _answer(reply.getcode(), reply.read())
        except HTTPError as error:
            answer = _answer(error.code, _rest(error, self.url))
            if answer.status in accept:
                return answer
            raise _refusal(what, self.url, answer) from None
        except SSLValidationError as error:
            raise ConsulHttpError("refused", f"{self.url} has not proved who it is: {error}") from None
        except (URLError, UrlsConnectionError, HTTPException, OSError) as error:
            cause = getattr(error, "reason", error)
            if "CERTIFICATE_VERIFY_FAILED" in str(cause):
                raise ConsulHttpError("refused", f"{self.url} has not proved who it is: {cause}") from None
            untouched = isinstance(cause, ConnectionRefusedError)
            raise ConsulHttpError("unreachable", f"{self.url} does not answer: {cause}", untouched=untouched) from None
        except ValueError:
            # Its text may show the token.
            told = f"{what} can't be asked of {self.url}: no request can carry its token or its address"
            raise ConsulHttpError("options", told) from None


def connect(module: AnsibleModule) -> ConsulHttp:
    """The API that the module's options name; ends the module with one clear message when they are wrong."""
    given = module.params
    if given["token"] is not None and given["token_file"] is not None:
        fail_options(module, "both token and token_file are set; set one of them")
    consul = ConsulHttp(module)
    if given["token_file"] is not None:
        try:
            consul.token = Path(given["token_file"]).read_text(encoding="ascii").strip()
        except OSError as error:
            fail_options(module, f"token_file: {error}")
        except ValueError:
            fail_options(module, f"token_file: {given['token_file']} holds no token: it has characters outside ASCII in it")
    if consul.token is not None:
        check_secret(module, "token" if given["token"] is not None else "token_file", consul.token)
    return consul


def check_secret(module: AnsibleModule, name: str, secret: str) -> None:
    """Have a secret id hidden in all that is told; ends the module when it can be none. ``name``: the option's."""
    try:
        check_token(secret, "the Consul token")
    except ValueError as error:
        fail_options(module, f"{name}: {error}" + (f"; {NO_NEWLINE}" if secret.endswith("\n") else ""))
    if len(secret) < SHORTEST_TOKEN:
        fail_options(module, f"{name}: too short to be a secret id; a policy's or role's name is not one")
    module.no_log_values.add(secret)


def fail(module: AnsibleModule, error: ConsulHttpError, changed: bool = False, **results: Any) -> None:
    """End the module: Consul can't be asked, or refuses. ``reason`` in the result is a word for programs.

    ``changed`` and ``results``: what was done before.
    """
    module.fail_json(msg=f"Consul: {error}", reason=error.reason, changed=changed, **results)


def fail_options(module: AnsibleModule, message: str) -> None:
    """End the module: an option is wrong."""
    module.fail_json(msg=message, reason="options")


def _rest(error: HTTPError, url: str) -> bytes:
    """What follows the status of a refusal. Raises ConsulHttpError."""
    try:
        return error.read()
    except (HTTPException, OSError) as broken:
        told = f"{url} breaks off its answer {error.code}: {broken}"
        raise ConsulHttpError("unreachable", told, untouched=False) from None


def _answer(status: int, content: bytes) -> Answer:
    text = content.decode("utf-8", "replace")
    try:
        data = json.loads(text)
    except ValueError:
        data = None
    return Answer(status, text, data)


def _refusal(what: str, url: str, answer: Answer) -> ConsulHttpError:
    text = answer.text.strip()[:300]
    # The keyring's refusal comes as 500.
    if answer.status == 403 or any(word in text.lower() for word in ("permission denied", "denied by acl")):
        hint = "the token is unknown to Consul" if "not found" in text.lower() else "the token has not the right"
        return ConsulHttpError("forbidden", f"{what} is refused, {hint} ({text})", answer.status)
    if answer.status in (500, 502, 503) and any(word in text.lower() for word in PASSING):
        untouched = any(word in text.lower() for word in UNTOUCHED)
        return ConsulHttpError("no_leader", f"{url} has no cluster leader at hand: {text}", answer.status, untouched)
    # What the agents are told of the gossip key is the same a second time.
    if answer.status == 500 and what.endswith(f"/{KEYRING}") and "nodes reported success" in text.lower():
        told = f"{what}: an agent has not answered in time: {text}"
        return ConsulHttpError("unreachable", told, answer.status, untouched=False)
    if answer.status == 400 and "HTTPS server" in text:
        return ConsulHttpError("refused", f"{url} speaks https, not http", 400)
    return ConsulHttpError("answer", f"{what} answers {answer.status}: {text}", answer.status)
