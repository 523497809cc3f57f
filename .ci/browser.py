"""Sees to it that a Chromium is there for the tests of the pages, and says where.

`browser.py` prints nothing when all is well; `browser.py --path` prints the program's path. Looked for, in this order: `$CHROMIUM`,
a Chromium or Chrome on PATH, the one that Playwright downloaded. Else Debian's package is installed (as root), else Playwright is
asked to download its own. Only the standard library is imported until Playwright is needed: this runs before every test run.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome", "chrome", "headless_shell")
INSTALLED_APPS = ("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome", "/Applications/Chromium.app/Contents/MacOS/Chromium")
MISSING = """\
No Chromium for the tests of the pages. One of these mends it:
  - install chromium or google-chrome with this machine's package manager,
  - CHROMIUM=/path/to/chrome make test,
  - .venv/bin/playwright install chromium
To leave those tests out: make test ARGS="-m 'not cluster and not browser'"."""


def find() -> str | None:
    """The path of a Chromium that is here already, or None."""
    named = os.environ.get("CHROMIUM")
    if named:
        path = shutil.which(named)
        if path is None:
            raise SystemExit(f"CHROMIUM={named}: there is no such program")
        return path
    for name in NAMES:
        if path := shutil.which(name):
            return path
    for app in INSTALLED_APPS:
        if Path(app).exists():
            return app
    return find_playwrights()


def find_playwrights() -> str | None:
    """The Chromium that `playwright install` put into its cache; None when there is none, or no Playwright."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        return None
    with sync_playwright() as playwright:
        path = playwright.chromium.executable_path
    return path if Path(path).exists() else None


def install() -> str | None:
    """Installs one and returns its path; None when that cannot be done here. What the installers say goes to stderr only if they fail."""
    if hasattr(os, "geteuid") and os.geteuid() == 0 and shutil.which("apt-get"):
        print("no Chromium here: installing Debian's …", file=sys.stderr)
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for command in (["apt-get", "update", "-qq"], ["apt-get", "install", "-y", "-qq", "--no-install-recommends", "chromium"]):
            done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                print(done.stdout[-2000:] + done.stderr[-2000:], file=sys.stderr)
                break
        if path := find():
            return path
    print("no Chromium here: asking Playwright for its own …", file=sys.stderr)
    command = [sys.executable, "-m", "playwright", "install", "chromium"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        print(done.stdout[-2000:] + done.stderr[-2000:], file=sys.stderr)
    return find()


def main() -> int:
    path = find() or install()
    if path is None:
        print(MISSING, file=sys.stderr)
        return 1
    if "--path" in sys.argv[1:]:
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
