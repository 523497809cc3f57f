"""Chromium as every test drives it: where it is, and with which flags it starts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def chromium_flags(resolver_rules: str) -> list[str]:
    """Nothing but what a page asks for; `resolver_rules` are those of --host-resolver-rules."""
    return [*_FLAGS, f"--host-resolver-rules={resolver_rules}"]


def find_chromium() -> str:
    """Its path, as .ci/browser.py finds it."""
    finder = [sys.executable, str(ROOT / ".ci/browser.py"), "--path"]
    return subprocess.run(finder, check=True, capture_output=True, text=True).stdout.strip()
