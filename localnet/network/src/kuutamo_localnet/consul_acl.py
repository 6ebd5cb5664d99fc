# SPDX-License-Identifier: Apache-2.0
"""Tokens for the test clusters, with the least rights each part needs."""

from __future__ import annotations

from dataclasses import dataclass

from .consul_client import ConsulClient

NODE_RULES = """
session "{node}" {{ policy = "write" }}
key "kuutamod-leader/{account}" {{ policy = "write" }}
key_prefix "kuutamod/{account}/" {{ policy = "read" }}
key_prefix "kuutamod/{account}/members/" {{ policy = "write" }}
key_prefix "kuutamod/{account}/history/" {{ policy = "write" }}
key "kuutamod/{account}/requests/current" {{ policy = "write" }}
agent "{node}" {{ policy = "read" }}
node "{node}" {{ policy = "read" }}
"""

READER_RULES = """
session_prefix "" {{ policy = "read" }}
key "kuutamod-leader/{account}" {{ policy = "read" }}
key_prefix "kuutamod/{account}/" {{ policy = "read" }}
operator = "read"
"""

OPERATOR_RULES = """
session_prefix "" {{ policy = "write" }}
key "kuutamod-leader/{account}" {{ policy = "read" }}
key_prefix "kuutamod/{account}/" {{ policy = "read" }}
operator = "read"
key "kuutamod/{account}/requests/current" {{ policy = "write" }}
key "kuutamod/{account}/config" {{ policy = "write" }}
key "kuutamod/{account}/maintenance" {{ policy = "write" }}
"""
"""As in docs/operations.md."""


@dataclass(frozen=True)
class Token:
    """A token: `secret` is what clients send, `accessor` names it for revocation."""

    accessor: str
    secret: str


class AclAdmin:
    """Creates and revokes policies and tokens through a client that holds the management token."""

    def __init__(self, client: ConsulClient) -> None:
        self._client = client

    def policy(self, name: str, rules: str) -> str:
        """Create a policy from HCL rules; returns its name. Raises ConsulAnswerError when the name is taken."""
        self._client.call("PUT", "acl/policy", body={"Name": name, "Rules": rules})
        return name

    def token(self, *policies: str, description: str = "") -> Token:
        """Create a token with the named policies."""
        body = {"Description": description, "Policies": [{"Name": name} for name in policies]}
        answer = self._client.call("PUT", "acl/token", body=body)
        return Token(accessor=answer["AccessorID"], secret=answer["SecretID"])

    def node_token(self, account: str, node: str) -> Token:
        """A token for the kuutamod `node` of `account`: its own session, the account's lock and records.

        `node` is both kuutamod's node id and the Consul node name its sessions belong to.
        """
        return self._with_rules("node", account, node, NODE_RULES)

    def operator_token(self, account: str) -> Token:
        """A token for a person with kuutamoctl: requests and the fleet's settings, and a look at everything."""
        return self._with_rules("operator", account, "any", OPERATOR_RULES)

    def reader_token(self, account: str) -> Token:
        """A token for whoever may look, and nothing else."""
        return self._with_rules("reader", account, "any", READER_RULES)

    def revoke(self, token: Token) -> None:
        """Delete a token; servers refuse it at once."""
        self._client.call("DELETE", f"acl/token/{token.accessor}")

    def _with_rules(self, kind: str, account: str, node: str, rules: str) -> Token:
        # Policy names allow letters, digits, dashes and underscores only.
        name = f"{kind}-{account}-{node}".replace(".", "-")
        listed = self._client.call("GET", "acl/policies")
        if name not in {policy["Name"] for policy in listed}:
            self.policy(name, rules.format(account=account, node=node))
        return self.token(name, description=name)
