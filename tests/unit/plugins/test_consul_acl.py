# SPDX-License-Identifier: Apache-2.0
"""consul_acl: bootstrap, policies, tokens and where their secrets go, against a real Consul."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kuutamo_localnet.consul import ConsulServer
from unit.plugins.consul_rig import Ask, asking, secret
from unit.plugins.rig import Answer, modes_of

READ = 'key_prefix "kuutamod/" { policy = "read" }'
WRITE = 'key_prefix "kuutamod/" { policy = "write" }'
CLOSED: dict[str, Any] = {"acl": {"enabled": True, "default_policy": "deny", "enable_token_persistence": True}}


@pytest.fixture(scope="module")
def server() -> Iterator[ConsulServer]:
    """ACLs on, default deny, and nobody has bootstrapped them."""
    with_data = ConsulServer(persistent=True, extra=CLOSED)
    try:
        yield with_data.start()
    finally:
        with_data.close()


@pytest.fixture(scope="module")
def management() -> str:
    return secret()


@pytest.fixture(scope="module")
def ask(server: ConsulServer, management: str) -> Ask:
    """With the management token, once the cluster is bootstrapped with it."""
    ask = asking(server, management)
    assert ask("acl", bootstrap=True, check=True).told == (False, True)
    done = ask("acl", bootstrap=True)
    assert done.told == (False, True) and done["bootstrapped"]
    return ask


@pytest.fixture
def name() -> str:
    """A name that no other test has."""
    return f"test-{secret()[:8]}"


def policy(name: str, rules: str = READ) -> dict[str, str]:
    return {"name": name, "rules": rules, "description": "of a test"}


def descriptions(server: ConsulServer, token: str) -> list[str]:
    return [each["Description"] for each in server.client(token).call("GET", "acl/tokens")]


def hidden(answer: Answer, *secrets: str) -> bool:
    return not any(each in json.dumps(answer.results) for each in secrets)


def test_bootstrap_makes_the_operators_token_the_only_one_that_manages(
    server: ConsulServer, ask: Ask, management: str
) -> None:
    assert ask("acl", bootstrap=True).told == (False, False)
    assert sorted(descriptions(server, management))[:2] == ["Anonymous Token", "management"]
    managing = [each for each in server.client(management).call("GET", "acl/tokens") if each.get("Policies")]
    assert [each["Description"] for each in managing if each["Policies"][0]["Name"] == "global-management"] == [
        "management"
    ]


def test_a_cluster_with_another_management_token_is_left_alone(server: ConsulServer, ask: Ask) -> None:
    refused = asking(server, secret())("acl", bootstrap=True)
    assert refused.failed and refused["reason"] == "forbidden"
    assert "has a management token already" in refused["msg"]


def test_policies_come_change_and_go(ask: Ask, name: str) -> None:
    assert ask("acl", policies=[policy(name)], check=True).told == (False, True)
    made = ask("acl", policies=[policy(name)])
    assert made.told == (False, True) and made["policies"][0]["action"] == "created"
    assert ask("acl", policies=[policy(name, READ + "\n\n")]).told == (False, False)
    changed = ask("acl", policies=[policy(name, WRITE)], diff=True)
    assert changed["policies"][0]["action"] == "changed"
    assert READ in changed["diff"]["before"] and WRITE in changed["diff"]["after"]
    assert ask("acl", policies=[{"name": name, "state": "absent"}])["policies"][0]["action"] == "deleted"
    assert ask("acl", policies=[{"name": name, "state": "absent"}]).told == (False, False)


def test_a_token_with_the_operators_secret(server: ConsulServer, ask: Ask, management: str, name: str) -> None:
    first, second = secret(), secret()
    wanted = {"description": name, "policies": [name], "secret_id": first}
    made = ask("acl", policies=[policy(name)], tokens=[wanted], diff=True)
    assert made.told == (False, True) and hidden(made, first, management)
    assert server.client(first).call("GET", "acl/token/self")["Description"] == name
    assert ask("acl", policies=[policy(name)], tokens=[wanted]).told == (False, False)
    changed = ask("acl", tokens=[{**wanted, "secret_id": second}])
    assert changed["tokens"][0]["others"] and descriptions(server, management).count(name) == 2
    assert ask("acl", tokens=[{**wanted, "secret_id": second}], prune=True)["tokens"][0]["deleted"]
    assert descriptions(server, management).count(name) == 1
    assert server.client(second).call("GET", "acl/token/self")["Description"] == name


def test_a_token_whose_secret_only_its_file_has(server: ConsulServer, ask: Ask, name: str, tmp_path: Path) -> None:
    path = tmp_path / "token"
    wanted = {"description": name, "policies": [name], "path": str(path), "mode": "0640"}
    assert ask("acl", policies=[policy(name)], tokens=[wanted], check=True).told == (False, True)
    assert not path.exists()
    made = ask("acl", policies=[policy(name)], tokens=[wanted], diff=True)
    kept = path.read_text().strip()
    assert hidden(made, kept) and path.stat().st_mode & 0o777 == 0o640
    assert server.client(kept).call("GET", "acl/token/self")["Description"] == name
    assert ask("acl", tokens=[wanted]).told == (False, False)
    path.chmod(0o644)
    assert ask("acl", tokens=[wanted]).told == (False, True) and path.stat().st_mode & 0o777 == 0o640
    path.write_text("something else\n")
    assert ask("acl", tokens=[wanted])["tokens"][0]["placed"] and path.read_text().strip() == kept


def test_a_tokens_file_is_never_open_to_others(ask: Ask, name: str, tmp_path: Path) -> None:
    path = tmp_path / "token"
    wanted = {"description": name, "path": str(path), "mode": "0640"}
    with modes_of(path) as seen:
        ask("acl", tokens=[wanted])
    assert seen == {"0640"}
    path.write_text("something else\n")
    path.chmod(0o600)
    with modes_of(path) as seen:
        ask("acl", tokens=[wanted])
    assert seen == {"0600", "0640"}


def test_a_tokens_file_that_cant_be_put_in_place_leaves_no_other(
    ask: Ask, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "token"

    def busy(_self: Path, _target: object) -> None:
        raise OSError(16, "Device or resource busy")

    with monkeypatch.context() as now:
        now.setattr(Path, "replace", busy)
        refused = ask("acl", tokens=[{"description": name, "path": str(path)}])
    assert refused.told == (True, True) and refused["reason"] == "file"
    assert "is made, and can't be kept" in refused["msg"] and "Device or resource busy" in refused["msg"]
    assert list(tmp_path.iterdir()) == []


def test_what_was_done_before_a_refusal_is_told(ask: Ask, name: str, tmp_path: Path) -> None:
    good, bad = policy(name), policy(f"{name}-bad", 'key "x" { policy = "wrote" }')
    assert ask("acl", policies=[bad]).told == (True, False)
    halfway = ask("acl", policies=[good, bad])
    assert halfway.told == (True, True)
    assert [(each["name"], each["action"]) for each in halfway["policies"]] == [(name, "created")]
    assert ask("acl", policies=[good, bad]).told == (True, False)
    token = {"description": name, "path": str(tmp_path / "token")}
    nowhere = {"description": f"{name} nowhere", "path": str(tmp_path / "none/token")}
    kept = ask("acl", tokens=[token, nowhere])
    assert kept.told == (True, True) and kept["reason"] == "file"
    assert [(each["description"], each["action"]) for each in kept["tokens"]] == [(name, "created")]
    (tmp_path / "token").chmod(0o644)
    assert ask("acl", tokens=[token, nowhere]).told == (True, True)
    assert ask("acl", tokens=[token, nowhere]).told == (True, False)


def test_rotation_keeps_the_token_before_until_it_is_pruned(
    server: ConsulServer, ask: Ask, name: str, tmp_path: Path
) -> None:
    path = tmp_path / "token"
    wanted = {"description": name, "policies": [name], "path": str(path)}
    ask("acl", policies=[policy(name)], tokens=[wanted])
    before = path.read_text().strip()
    assert ask("acl", tokens=[wanted], rotate=True, check=True).told == (False, True)
    assert path.read_text().strip() == before
    turned = ask("acl", tokens=[wanted], rotate=True)
    after = path.read_text().strip()
    assert after != before and hidden(turned, before, after)
    for each in (before, after):
        assert server.client(each).call("GET", "acl/token/self")["Description"] == name
    assert ask("acl", tokens=[wanted], prune=True)["tokens"][0]["deleted"]
    assert path.read_text().strip() == after
    gone = asking(server, before)("info")
    assert gone.failed and gone["reason"] == "forbidden" and "unknown to Consul" in gone["msg"]


@pytest.mark.parametrize(("kind", "kept"), [("agent", "agent"), ("services", "default")])
def test_the_agents_own_tokens(server: ConsulServer, ask: Ask, name: str, kind: str, kept: str) -> None:
    file = server.directory / "data" / "acl-tokens.json"
    wanted = {"description": name, "policies": [name], "agent": kind}
    options: dict[str, Any] = {"policies": [policy(name)], "tokens": [wanted], "agent_tokens_file": str(file)}
    made = ask("acl", **options)
    assert made["tokens"][0]["placed"]
    in_agent = json.loads(file.read_text())[kept]
    assert hidden(made, in_agent)
    assert server.client(in_agent).call("GET", "acl/token/self")["Description"] == name
    assert ask("acl", **options).told == (False, False)


def test_absent_deletes_every_token_of_the_description(server: ConsulServer, ask: Ask, management: str, name: str) -> None:
    for each in (secret(), secret()):
        ask("acl", tokens=[{"description": name, "secret_id": each}])
    assert len(ask("acl", tokens=[{"description": name, "state": "absent"}])["tokens"][0]["deleted"]) == 2
    assert name not in descriptions(server, management)


def test_absent_with_a_secret_deletes_that_token_alone(server: ConsulServer, ask: Ask, management: str, name: str) -> None:
    first, second = secret(), secret()
    for each in (first, second):
        ask("acl", tokens=[{"description": name, "secret_id": each}])
    gone = {"description": "whatever it is called", "secret_id": first, "state": "absent"}
    assert ask("acl", tokens=[gone], check=True)["tokens"][0]["deleted"]
    deleted = ask("acl", tokens=[gone])
    assert len(deleted["tokens"][0]["deleted"]) == 1 and hidden(deleted, first, second)
    assert descriptions(server, management).count(name) == 1
    assert server.client(second).call("GET", "acl/token/self")["Description"] == name
    assert ask("acl", tokens=[gone]).told == (False, False)


@pytest.mark.parametrize(
    ("where", "rights", "words"),
    [
        ("none/token", {}, "No such file or directory"),
        ("", {}, "is a directory"),
        ("token", {"group": "no-such-group"}, "no-such-group"),
        ("token", {"owner": "no-such-user"}, "no-such-user"),
    ],
)
def test_a_token_without_a_place_is_not_made(
    server: ConsulServer,
    ask: Ask,
    management: str,
    name: str,
    tmp_path: Path,
    where: str,
    rights: dict[str, str],
    words: str,
) -> None:
    path = tmp_path / where
    refused = ask("acl", policies=[policy(name)], tokens=[{"description": name, "path": str(path), **rights}])
    assert refused.failed and refused["reason"] == "file"
    assert words in refused["msg"] and str(path) in refused["msg"] and f"the token {name}" in refused["msg"]
    assert name not in descriptions(server, management)
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_is_full_is_told_and_costs_nothing(
    server: ConsulServer, ask: Ask, management: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "token"
    wanted = {"description": name, "path": str(path)}

    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as now:
        now.setattr("os.fsync", full)
        refused = ask("acl", tokens=[wanted])
    assert refused["reason"] == "file" and "No space left on device" in refused["msg"]
    assert name not in descriptions(server, management) and list(tmp_path.iterdir()) == []
    assert ask("acl", tokens=[wanted]).told == (False, True) and path.exists()


def test_bad_options_are_told_before_anything_is_asked(ask: Ask) -> None:
    lost = ask("acl", tokens=[{"description": "x"}])
    assert lost.failed and "nobody would know its secret" in lost["msg"]
    short = ask("acl", token="abc")
    assert short["reason"] == "options" and "too short" in short["msg"]
    assert ask("acl", token=None, bootstrap=True)["reason"] == "options"


def test_bad_rules_are_named(ask: Ask, name: str) -> None:
    refused = ask("acl", policies=[policy(name, 'key "x" { policy = "wrote" }')])
    assert refused.failed and "wrote" in refused["msg"]


def test_a_consul_that_is_not_there(ask: Ask) -> None:
    away = ask("acl", port=1, wait=0.0, policies=[])
    assert away.failed and away["reason"] == "unreachable" and ":1 does not answer" in away["msg"]
