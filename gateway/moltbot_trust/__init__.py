"""Derived keys, seals, assertions, verifiers, redaction, logging, settings.
Only `control` does I/O; the rest is light and pure enough for a cold start."""
