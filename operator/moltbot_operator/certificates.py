"""The certificate of a Moltbot's pod (rule 3): clients pin its fingerprint and look at nothing else, neither at names nor at dates."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field

from moltbot_trust.errors import CertificateError
from moltbot_trust.tls import fingerprint_of, server_context

# It is replaced by deleting its Secret, never by running out.
LIFETIME_YEARS = 100


@dataclass(frozen=True, slots=True)
class Certificate:
    """PEM of certificate and key, and the hex SHA-256 of the certificate's DER."""

    certificate_pem: str
    private_key_pem: str = field(repr=False)
    fingerprint: str = ""


def make_certificate(name: str, now: dt.datetime) -> Certificate:
    """A self-signed EC (P-256) certificate; a few milliseconds of CPU."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    # RFC 5280 upper bound of a common name
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=365 * LIFETIME_YEARS))
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM).decode("ascii")
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return Certificate(pem, private.decode("ascii"), fingerprint_of(pem))


def read_certificate(data: Mapping[str, bytes]) -> Certificate | None:
    """The certificate of a Secret, or None when it cannot be served with: then another one is made."""
    try:
        pem, private = data["tls.crt"].decode("ascii"), data["tls.key"].decode("ascii")
        server_context(pem, private)
        return Certificate(pem, private, fingerprint_of(pem))
    except (KeyError, UnicodeDecodeError, CertificateError):
        return None
