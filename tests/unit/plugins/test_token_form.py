# SPDX-License-Identifier: Apache-2.0
"""A token that no request can carry: refused by its option, and its letters are nowhere in what is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kuutamo_localnet.consul import ConsulServer
from unit.plugins import rig
from unit.plugins.rig import Answer, address, refused, run

LETTERS = "5ec7e7aa-5ec7-4e7a-85ec-7e7a5ec7e7aa"
BAD = {
    "newline": f"{LETTERS}\n",
    "carriage return": f"{LETTERS}\r\n",
    "two lines": f"{LETTERS}\n{LETTERS}",
    "blank": f"{LETTERS} ",
    "control": f"{LETTERS}\x00",
    "accent": f"{LETTERS}\u00e9",
    "euro": f"{LETTERS}\u20ac",
}
MODULES: dict[str, dict[str, Any]] = {
    "consul_info": {},
    "consul_acl": {"bootstrap": True},
    "consul_autopilot": {"min_quorum": 3},
    "consul_keyring": {"key": "x"},
}


def hidden(answer: Answer) -> bool:
    return LETTERS not in json.dumps(answer.results)


@pytest.mark.parametrize("token", BAD.values(), ids=BAD)
@pytest.mark.parametrize("name", MODULES)
def test_a_token_is_refused_before_anything_is_asked(name: str, token: str) -> None:
    answer = run(name, token=token, port=1, **MODULES[name])
    refused(answer, "options", "token: the Consul token has blanks or characters outside ASCII in it")
    assert hidden(answer)
    assert ("printf %s" in answer["msg"]) == token.endswith("\n")


def test_the_newline_of_a_file_is_none_of_the_token(guarded: ConsulServer, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(f"{guarded.token}\n")
    assert run("consul_info", **address(guarded.url), token_file=str(file), wait=20.0).told == (False, False)


@pytest.mark.parametrize("token", ["two lines", "control", "accent"])
def test_a_file_is_refused_as_well(tmp_path: Path, token: str) -> None:
    file = tmp_path / "token"
    file.write_text(BAD[token], encoding="utf-8")
    answer = run("consul_info", token_file=str(file), port=1)
    refused(answer, "options", "token_file: ", "characters outside ASCII in it")
    assert hidden(answer) and "printf" not in answer["msg"]


def test_a_secret_for_a_new_token_is_refused_as_well() -> None:
    wanted = {"description": "reader", "secret_id": BAD["newline"]}
    answer = run("consul_acl", token=LETTERS[::-1], port=1, tokens=[wanted])
    refused(answer, "options", "secret_id of token reader", "printf %s")
    assert hidden(answer)


@pytest.mark.parametrize("token", BAD.values(), ids=BAD)
def test_what_python_says_of_it_is_never_told(server: ConsulServer, token: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever it slips through."""
    monkeypatch.setattr(rig.module_util("_consul_http"), "check_secret", lambda *_: None)
    answer = run("consul_info", **address(server.url), token=token)
    if "\n" in token:
        refused(answer, "options", "no request can carry its token")
    assert hidden(answer)


@pytest.mark.parametrize("token", ["two lines", "control", "accent", "euro"])
def test_a_hosts_token_is_not_told_by_node_info(server: ConsulServer, tmp_path: Path, token: str) -> None:
    file = tmp_path / "token"
    file.write_text(BAD[token], encoding="utf-8")
    asked: dict[str, Any] = {"units": [], "certificates": [], "neard_versions": False, "consul_url": server.url}
    answer = run("node_info", **asked, token_files=[str(file)])
    assert answer.told == (False, False) and hidden(answer)
    assert answer["tokens"][0]["fault"]
