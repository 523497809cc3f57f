"""`make check`: every check that needs no test run, each named, all of them run, one line each, output only where one fails."""

from __future__ import annotations

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = ROOT / ".venv" / "bin"

CHECKS: tuple[tuple[str, list[str]], ...] = (
    ("types", [str(BIN / "mypy"), "operator", "gateway", "tests", "bench", ".ci/check.py", ".ci/browser.py", ".ci/live.py"]),
    ("the pages' types", [".ci/npm", "run", "check"]),
    ("lint", [str(BIN / "ruff"), "check", "."]),
    ("format", [str(BIN / "ruff"), "format", "--check", "."]),
    ("layers", [str(BIN / "lint-imports"), "--no-cache"]),
    ("crds/ is generated", [str(BIN / "python"), "-m", "moltbot_api.crd", "--check", "crds", "charts/moltbot-operator/files/crds"]),
    ("nothing of this machine is committed", [str(BIN / "python"), ".ci/hygiene.py"]),
)


def run(check: tuple[str, list[str]]) -> tuple[str, int, str, float]:
    """One check: its name, exit code, output and seconds."""
    name, command = check
    began = time.monotonic()
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return name, done.returncode, done.stdout + done.stderr, time.monotonic() - began


def main() -> int:
    failed = 0
    # two at a time: the long ones (types) stand first
    with ThreadPoolExecutor(2) as pool:
        for name, code, output, seconds in pool.map(run, CHECKS):
            print(f"{'ok  ' if code == 0 else 'FAIL'} {name} ({seconds:.1f} s)", flush=True)
            if code:
                failed += 1
                print(output.rstrip())
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
