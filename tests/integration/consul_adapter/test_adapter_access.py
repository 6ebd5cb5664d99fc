# SPDX-License-Identifier: Apache-2.0
"""Tokens, TLS and the environment on real Consul."""

from __future__ import annotations

import contextlib
import uuid
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from integration.consul_adapter.rig import Node, entry_of, holder, settings_of
from kuutamo_localnet.consul import ConsulServer
from kuutamo_localnet.ports import PortPool
from kuutamod.consul.settings import ConsulSettings
from kuutamod.core import events as ev
from kuutamod.core.actions import (
    CreateSession,
    DestroySession,
    Publish,
    ReadFleet,
    ReadLock,
    RenewSession,
    TakeKind,
)
from kuutamod.core.model import LockView
from kuutamod.core.protocol import lock_key

pytestmark = [
    pytest.mark.integration,
    # python-consul2 warns of parts of Consul that are not used here.
    pytest.mark.filterwarnings("ignore::DeprecationWarning:consul.base"),
]


def token_for(server: ConsulServer, account: str) -> str:
    # Sessions belong to the agent's node, whose name the token's policy needs.
    return server.acl().node_token(account, server.agent.name).secret


def test_a_nodes_token_suffices(guarded: ConsulServer, account: str) -> None:
    node = Node(settings_of(guarded, token_for(guarded, account)), account)
    session = holder(node)
    assert isinstance(node.publish(session), ev.MemberPublished)
    assert node.beat(session).outcome is ev.Outcome.APPLIED
    assert isinstance(node.do(RenewSession(session)), ev.SessionRenewed)
    fleet = node.do(ReadFleet())
    assert isinstance(fleet, ev.FleetSeen)
    assert len(fleet.members) == 1
    assert node.release(session).outcome is ev.Outcome.APPLIED
    assert node.take(session, TakeKind.FREE).outcome is ev.Outcome.APPLIED
    assert node.do(DestroySession(session)) == ev.SessionGone(session)


@pytest.mark.parametrize("kind", ["none", "unknown", "of another account"])
def test_a_denied_token_proves_nothing(guarded: ConsulServer, account: str, kind: str) -> None:
    session = holder(Node(settings_of(guarded, guarded.token), account))
    token = {
        "none": None,
        "unknown": str(uuid.uuid4()),
        "of another account": guarded.acl().node_token("another.near", "another").secret,
    }[kind]
    node = Node(settings_of(guarded, token), account)
    before = entry_of(guarded, lock_key(account))
    beat = node.beat(session)
    assert beat.outcome is ev.Outcome.UNKNOWN
    assert "permission denied" in beat.why
    assert node.take(session, TakeKind.STEAL, LockView(before.modify_index, session)).outcome is ev.Outcome.UNKNOWN
    assert node.release(session).outcome is ev.Outcome.UNKNOWN
    for action, failure in (
        (ReadLock(), ev.LockReadFailed),
        (ReadFleet(), ev.FleetFailed),
        (CreateSession(), ev.SessionFailed),
        (RenewSession(session), ev.SessionFailed),
        (DestroySession(session), ev.SessionFailed),
        (Publish(session, node.member()), ev.MemberRefused),
    ):
        event = node.do(action)
        assert isinstance(event, failure), event
        assert "permission denied" in event.why
    assert entry_of(guarded, lock_key(account)) == before
    assert {outcome for _unused, outcome in node.calls} == {"forbidden"}


def test_a_denied_read_of_a_missing_key_is_not_missing(guarded: ConsulServer, account: str) -> None:
    node = Node(settings_of(guarded), account)
    assert isinstance(node.do(ReadLock()), ev.LockReadFailed)
    assert isinstance(node.do(ReadFleet()), ev.FleetFailed)


def test_a_replaced_token_file_is_used(guarded: ConsulServer, account: str, tmp_path: Path) -> None:
    admin, path = guarded.acl(), tmp_path / "token"
    first = admin.node_token(account, guarded.agent.name)
    path.write_text(first.secret + "\n")
    node = Node(ConsulSettings(urls=(guarded.url,), token_file=path), account)
    session = holder(node)
    admin.revoke(first)
    assert node.beat(session).outcome is ev.Outcome.UNKNOWN
    path.write_text(token_for(guarded, account) + "\n")
    assert node.beat(session).outcome is ev.Outcome.APPLIED


def test_the_environment_has_no_effect(guarded: ConsulServer, account: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONSUL_HTTP_ADDR", "192.0.2.1:nonsense:8500:1")
    monkeypatch.setenv("CONSUL_HTTP_TOKEN", str(uuid.uuid4()))
    monkeypatch.setenv("CONSUL_HTTP_SSL", "true")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    node = Node(settings_of(guarded, token_for(guarded, account)), account)
    session = holder(node)
    assert node.beat(session).outcome is ev.Outcome.APPLIED


@dataclass(frozen=True)
class Pair:
    """A certificate and its key, as files and for signing."""

    certificate: Path
    key_file: Path
    key: ec.EllipticCurvePrivateKey
    name: x509.Name


def certify(directory: Path, name: str, signer: Pair | None = None) -> Pair:
    """A certificate for 127.0.0.1, valid for a day; without a signer an authority's own."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(signer.name if signer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=signer is None, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False)
        .sign(signer.key if signer else key, hashes.SHA256())
    )
    pair = Pair(directory / f"{name}.pem", directory / f"{name}.key", key, subject)
    pair.certificate.write_bytes(certificate.public_bytes(Encoding.PEM))
    pair.key_file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return pair


def test_tls_with_client_certificates(account: str, tmp_path: Path) -> None:
    authority = certify(tmp_path, "authority")
    serving, client, stranger = (certify(tmp_path, name, authority) for name in ("server", "client", "stranger"))
    other = certify(tmp_path, "other-authority")
    with contextlib.closing(PortPool()) as pool:
        (port,) = pool.reserve(1)
        tls = {
            "ports": {"https": port},
            "ca_file": str(authority.certificate),
            "cert_file": str(serving.certificate),
            "key_file": str(serving.key_file),
            "verify_incoming_https": True,
        }
        with ConsulServer(extra=tls):
            full = ConsulSettings(
                urls=(f"https://127.0.0.1:{port}",),
                ca_file=authority.certificate,
                cert_file=client.certificate,
                key_file=client.key_file,
            )
            node = Node(full, account)
            session = holder(node)
            assert node.beat(session).outcome is ev.Outcome.APPLIED
            for wrong in (
                replace(full, ca_file=other.certificate),
                replace(full, ca_file=None),
                replace(full, cert_file=None, key_file=None),
                replace(full, key_file=stranger.key_file),
                replace(full, ca_file=tmp_path / "gone.pem"),
            ):
                beat = Node(wrong, account).beat(session)
                assert beat.outcome is ev.Outcome.UNKNOWN, wrong
                assert beat.why
            assert node.beat(session).outcome is ev.Outcome.APPLIED
