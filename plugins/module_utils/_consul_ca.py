# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A certificate authority in a directory: made once, and asked to sign what Consul's agents request."""

from __future__ import annotations

import datetime as dt
import ipaddress
import os
import tempfile
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

try:
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
except ImportError:
    LIBRARY_FAULT: str | None = traceback.format_exc()
else:
    LIBRARY_FAULT = None

CERTIFICATES, KEY = "ca.pem", "ca-key.pem"
NEW_KEY = f"{KEY}.new"
"""The key of an authority that is being made; without a certificate of it nobody has ever trusted it."""
BACKDATED = dt.timedelta(minutes=10)
"""How far back a certificate is good, for hosts whose clocks are late."""


class AuthorityError(Exception):
    """The authority is not there or not whole, or the request is not one; the message says what to do."""


@dataclass(frozen=True)
class Authority:
    """The authority that signs. ``bundle``: all that an agent has to trust, PEM."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey
    bundle: str

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the certificate, in hexadecimal digits."""
        return self.certificate.fingerprint(hashes.SHA256()).hex()

    @property
    def not_after(self) -> str:
        """Its end, ISO 8601."""
        return self.certificate.not_valid_after_utc.isoformat()

    def ends_within(self, days: int) -> bool:
        """Whether it ends within so many days."""
        return self.certificate.not_valid_after_utc - dt.datetime.now(dt.UTC) < dt.timedelta(days=days)


@dataclass(frozen=True)
class Wanted:
    """What an agent's certificate has to be. ``days``, ``renew_days``: its life, and how long before its end it goes."""

    dns_names: tuple[str, ...]
    ip_addresses: tuple[str, ...]
    days: int
    renew_days: int
    force: bool

    def names(self) -> x509.SubjectAlternativeName:
        """The names as a certificate has them. Raises AuthorityError."""
        try:
            addresses = [x509.IPAddress(ipaddress.ip_address(text)) for text in dict.fromkeys(self.ip_addresses)]
        except ValueError as error:
            raise AuthorityError(f"ip_addresses: {error}") from None
        return x509.SubjectAlternativeName([*map(x509.DNSName, dict.fromkeys(self.dns_names)), *addresses])


@dataclass(frozen=True)
class Paper:
    """An agent's certificate, and why it is a new one; ``pem`` is None for one that check mode would make."""

    pem: str | None
    not_after: str | None
    serial: str | None
    reasons: tuple[str, ...]


def _paper(pem: str, reasons: tuple[str, ...]) -> Paper:
    certificate = x509.load_pem_x509_certificate(pem.encode())
    serial = f"{certificate.serial_number:X}"
    # An even number of digits, as OpenSSL and with it Python's ssl show it.
    return Paper(
        pem, certificate.not_valid_after_utc.isoformat(), serial.rjust(len(serial) + len(serial) % 2, "0"), reasons
    )


def authority(directory: str, create: bool, name: str, days: int, check: bool) -> tuple[Authority | None, bool]:
    """The authority in ``directory`` and whether it is a new one; None when check mode would make it.

    Raises AuthorityError.
    """
    place = Path(directory)
    if _unfinished(place):
        if check:
            return None, True
        _finish(place)
    there = {file: (place / file).exists() for file in (CERTIFICATES, KEY)}
    if all(there.values()):
        return _load(place), False
    if any(there.values()):
        missing = next(file for file, exists in there.items() if not exists)
        raise AuthorityError(f"{place} has lost {missing}; restore it from your backup, nothing was changed")
    if not create:
        raise AuthorityError(
            f"there is no certificate authority in {place} ({CERTIFICATES}, {KEY}), and a new one would not be trusted by "
            "the agents that are there; restore it, or name its directory"
        )
    if check:
        return None, True
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    key, certificate = _make(name, days)
    secret = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    # The certificate is what makes it one: cut off before, it is made anew, cut off after, it is finished.
    _write(place / NEW_KEY, secret, 0o600)
    _write(place / CERTIFICATES, certificate.public_bytes(serialization.Encoding.PEM), 0o644)
    _finish(place)
    return _load(place), True


def _unfinished(place: Path) -> bool:
    return (place / NEW_KEY).exists() and (place / CERTIFICATES).exists() and not (place / KEY).exists()


def _finish(place: Path) -> None:
    """Take a new authority's key to its place, now that its certificate is there."""
    (place / NEW_KEY).replace(place / KEY)


def certificate(authority: Authority | None, text: str, wanted: Wanted, check: bool) -> Paper:
    """The certificate for the request in ``text``: the one in it if it is still good, else a new one.

    Raises AuthorityError.
    """
    blocks = _blocks(text)
    request = _request(blocks)
    now = dt.datetime.now(dt.UTC)
    present = next((block for kind, block in blocks if kind == "CERTIFICATE"), None)
    reasons: tuple[str, ...] = ("there is no certificate authority yet",) if authority is None else ()
    reasons = reasons or tuple(_faults(authority, request, present, wanted, now))
    if present is not None and not reasons:
        return _paper(present, ())
    if check or authority is None:
        return Paper(None, None, None, reasons)
    signed = _sign(authority, request, wanted, now)
    return _paper(signed.public_bytes(serialization.Encoding.PEM).decode(), reasons)


def _faults(
    authority: Authority | None, request: x509.CertificateSigningRequest, pem: str | None, wanted: Wanted, now: dt.datetime
) -> Sequence[str]:
    """Why the present certificate can't stay."""
    if pem is None or authority is None:
        return ["there is none"]
    if wanted.force:
        return ["it was asked for"]
    try:
        present = x509.load_pem_x509_certificate(pem.encode())
    except ValueError as error:
        return [f"the present one is damaged: {error}"]
    found: list[str] = []
    end = present.not_valid_after_utc
    # No certificate outlives its authority, so near the end of that a new one would be no better.
    if end - now < dt.timedelta(days=wanted.renew_days) and (end < authority.certificate.not_valid_after_utc or end <= now):
        found.append(f"it ends on {end:%Y-%m-%d}")
    if present.public_key() != request.public_key():
        found.append("the host has another key")
    if present.subject != request.subject:
        found.append("the host has another name")
    if not _issued(present, authority.certificate):
        found.append("another authority has signed it")
    try:
        names = present.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        names = x509.SubjectAlternativeName([])
    if set(names) != set(wanted.names()):
        found.append("the host's names or addresses have changed")
    return found


def _issued(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _sign(
    authority: Authority, request: x509.CertificateSigningRequest, wanted: Wanted, now: dt.datetime
) -> x509.Certificate:
    end = min(now + dt.timedelta(days=wanted.days), authority.certificate.not_valid_after_utc)
    if end <= now:
        raise AuthorityError(f"the certificate authority ended on {authority.not_after}; follow it with a new one")
    issuer = authority.key.public_key()
    builder = x509.CertificateBuilder().subject_name(request.subject).issuer_name(authority.certificate.subject)
    builder = builder.public_key(request.public_key()).serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(now - BACKDATED).not_valid_after(end)
    usage = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    builder = (
        builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(sign_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(usage), critical=False)
        .add_extension(wanted.names(), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(request.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer), critical=False)
    )
    return builder.sign(authority.key, hashes.SHA256())


def _make(name: str, days: int) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    key = ec.generate_private_key(ec.SECP256R1())
    now = dt.datetime.now(dt.UTC)
    title = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = x509.CertificateBuilder().subject_name(title).issuer_name(title).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(now - BACKDATED).not_valid_after(now + dt.timedelta(days=days))
    builder = (
        builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(sign_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    return key, builder.sign(key, hashes.SHA256())


def _key_usage(*, sign_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=not sign_certificates,
        key_cert_sign=sign_certificates,
        crl_sign=sign_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _load(place: Path) -> Authority:
    try:
        bundle = (place / CERTIFICATES).read_text(encoding="ascii")
        key = serialization.load_pem_private_key((place / KEY).read_bytes(), password=None)
        certificates = x509.load_pem_x509_certificates(bundle.encode())
    except (OSError, ValueError, TypeError) as error:
        raise AuthorityError(f"the certificate authority in {place} can't be read: {error}") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise AuthorityError(f"{place / KEY} is no elliptic curve key; this authority can't be used here")
    for certificate in certificates:
        if certificate.public_key() == key.public_key():
            return Authority(certificate, key, bundle)
    raise AuthorityError(f"{place / KEY} belongs to no certificate in {place / CERTIFICATES}")


def _write(path: Path, content: bytes, mode: int) -> None:
    """Whole or not at all, and never readable for others meanwhile."""
    handle, new = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(handle, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    Path(new).chmod(mode)
    Path(new).replace(path)


def _blocks(text: str) -> list[tuple[str, str]]:
    """The PEM blocks in a text: what each is, and the block."""
    found: list[tuple[str, str]] = []
    lines: list[str] = []
    for line in text.splitlines():
        if line.startswith("-----BEGIN "):
            lines = []
        lines.append(line)
        if line.startswith("-----END "):
            found.append((line.removeprefix("-----END ").rstrip("-").strip(), "\n".join(lines) + "\n"))
    return found


def _request(blocks: Sequence[tuple[str, str]]) -> x509.CertificateSigningRequest:
    pem = next((block for kind, block in blocks if kind.endswith("CERTIFICATE REQUEST")), None)
    if pem is None:
        raise AuthorityError("request: there is no certificate request in it")
    try:
        request = x509.load_pem_x509_csr(pem.encode())
    except ValueError as error:
        raise AuthorityError(f"request: {error}") from None
    if not request.is_signature_valid:
        raise AuthorityError("request: it is not signed with its own key")
    return request
