"""TLS of a pod (rule 3): the server's context from PEM in the environment, fingerprints, and the one place where a pod's URL is built.

Python loads a certificate only from a file. A memfd is one that never touches a disk; where there is none it is a 0600 file in a private
directory, removed at once.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import ssl
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from moltbot_trust.errors import CertificateError

GATEWAY_PORT = 18789
GATEWAY_CONTROL_PORT = 18790
STATE_CONTROL_PORT = 18791
_FINGERPRINT = re.compile(r"[0-9a-f]{64}")


def fingerprint_of(certificate_pem: str) -> str:
    """SHA-256 of the (first) certificate's DER, lower-case hex: what annotation `moltbot.dev/certificate` holds. Raises
    CertificateError."""
    match = re.search(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", certificate_pem, re.DOTALL)
    if match is None:
        raise CertificateError("no certificate in the PEM")
    try:
        der = ssl.PEM_cert_to_DER_cert(match[0])
    except ValueError as error:
        raise CertificateError("the certificate's PEM does not decode") from error
    return hashlib.sha256(der).hexdigest()


def parse_fingerprint(text: str) -> bytes:
    """32 bytes of a hex fingerprint; colons and case do not matter. Raises CertificateError."""
    plain = text.strip().lower().replace(":", "")
    if not _FINGERPRINT.fullmatch(plain):
        raise CertificateError("a certificate's fingerprint is its SHA-256 in hex: 64 digits")
    return bytes.fromhex(plain)


def server_context(certificate_pem: str, private_key_pem: str) -> ssl.SSLContext:
    """The context a pod serves with. TLS 1.3 only (every client is ours or a kubelet), no session tickets (nobody resumes). Raises
    CertificateError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.num_tickets = 0
    pem = (certificate_pem.rstrip() + "\n" + private_key_pem.rstrip() + "\n").encode()
    try:
        with _as_file(pem) as path:
            context.load_cert_chain(path)
    except (ssl.SSLError, ValueError) as error:
        raise CertificateError(f"the certificate and its key do not load: {getattr(error, 'reason', None) or 'not PEM'}") from error
    return context


def pod_url(address: str, port: int, path: str = "") -> str:
    """`https://address:port/path`. Always https: aiohttp ignores a fingerprint on an http URL without a word."""
    host = f"[{address}]" if ":" in address else address
    return f"https://{host}:{port}{path}"


@contextlib.contextmanager
def _as_file(content: bytes) -> Iterator[str]:
    if sys.platform == "linux" and hasattr(os, "memfd_create") and Path("/proc/self/fd").exists():
        descriptor = os.memfd_create("moltbot-tls", os.MFD_CLOEXEC)
        try:
            os.write(descriptor, content)
            os.lseek(descriptor, 0, os.SEEK_SET)
            yield f"/proc/self/fd/{descriptor}"
        finally:
            os.close(descriptor)
        return
    with tempfile.TemporaryDirectory(prefix="moltbot-") as directory:  # mkdtemp makes it 0700
        path = Path(directory) / "tls.pem"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.write(descriptor, content)
        finally:
            os.close(descriptor)
        yield str(path)
