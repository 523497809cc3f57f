"""The API's own certificate: kubectl sends a token only over TLS (client-go drops credentials for plain http), on loopback too.

Made once, kept in the data directory; whoever has the kubeconfig trusts exactly it.
"""

from __future__ import annotations

import datetime
import ipaddress
import os
import ssl
from dataclasses import dataclass
from pathlib import Path

# The files are made anew when they are missing, or when less than this is left of them.
VALID_DAYS = 3650
RENEW_DAYS = 30


@dataclass(frozen=True)
class Certificate:
    pem: str  # the certificate, which is its own authority
    context: ssl.SSLContext


def open_certificate(directory: Path) -> Certificate:
    """The kept certificate, or a new one. Blocking, some 2 ms (a new one 100 ms)."""
    chain, key = directory / "tls.crt", directory / "tls.key"
    if not _usable(chain, key):
        _make(chain, key)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(chain, key)
    return Certificate(chain.read_text(), context)


def _usable(chain: Path, key: Path) -> bool:
    if not key.exists():
        return False
    try:
        # Decoding by the standard library: `cryptography` is imported only to make one.
        facts = ssl._ssl._test_decode_cert(str(chain))  # type: ignore[attr-defined]
    except (OSError, ssl.SSLError):
        return False
    left = ssl.cert_time_to_seconds(facts["notAfter"]) - datetime.datetime.now(datetime.UTC).timestamp()
    return bool(left > RENEW_DAYS * 86400)


def _make(chain: Path, key: Path) -> None:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    secret = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "moltbot-local")])
    now = datetime.datetime.now(datetime.UTC)
    names = [x509.DNSName("localhost"), *(x509.IPAddress(ipaddress.ip_address(text)) for text in ("127.0.0.1", "::1"))]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(secret.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=VALID_DAYS))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(secret, hashes.SHA256())
    )
    private = secret.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    _write(key, private)
    _write(chain, certificate.public_bytes(serialization.Encoding.PEM))


def _write(path: Path, content: bytes) -> None:
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
