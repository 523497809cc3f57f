"""Errors of this package.

TrustError
├── KeyRingError      a key ring, branch ring or master key does not parse, or lacks a purpose
├── CredentialError   a seal or an assertion is not valid for what it was shown for
├── CertificateError  a PEM or a fingerprint is not one
└── SettingsError     the environment does not describe a process (every problem at once)

The client's side of control calls has a tree of its own in `control` (ControlError), because that module alone needs aiohttp.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum


class TrustError(Exception):
    """Root of the tree."""


class KeyRingError(TrustError):
    """Key material that cannot be used; the message never contains a key."""


class CredentialFault(StrEnum):
    """Why a credential was refused: for logs and metrics, never for the caller, who learns only that it was."""

    MISSING = "missing"
    MALFORMED = "malformed"
    UNKNOWN_KEY = "unknown-key"
    SIGNATURE = "signature"
    EXPIRED = "expired"
    AUDIENCE = "audience"
    BINDING = "binding"


class CredentialError(TrustError):
    """A seal or an assertion was refused."""

    def __init__(self, fault: CredentialFault, detail: str = "") -> None:
        super().__init__(f"{fault.value}: {detail}" if detail else fault.value)
        self.fault = fault


class CertificateError(TrustError):
    """Not a certificate, not its key, or not a fingerprint."""


class SettingsError(TrustError):
    """All that is wrong with the environment, one sentence each."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("the settings are not right:\n" + "\n".join(f"  - {problem}" for problem in problems))
        self.problems = tuple(problems)
