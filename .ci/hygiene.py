"""What must never be committed: paths of a machine, hosts of package registries, an `__init__.py` that shadows the standard library."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# Written in parts, so that this file does not find itself.
FORBIDDEN = {
    "a path of one machine": re.compile("|".join(("/" + "root/", "/" + r"work/(main|shared|\.)"))),
    "the host of a package registry": re.compile(r"(pypi|registry\.npmjs|files\.pythonhosted|crates|repo1?\.maven)" + r"\.(org|io|apache)"),
    "a private key": re.compile("-----BEGIN " + "(EC |RSA |OPENSSH )?PRIVATE KEY-----\n[A-Za-z0-9+/]{40}"),
}


def main() -> int:
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    problems = []
    for name in listed.decode().split("\0"):
        path = ROOT / name
        if not name or not path.is_file() or path.is_symlink():
            continue
        if name == "operator/__init__.py" or name.startswith("tests/operator/"):
            problems.append(f"{name}: would shadow the standard library's `operator`")
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        for what, pattern in FORBIDDEN.items():
            found = pattern.search(text)
            if found:
                line = text.count("\n", 0, found.start()) + 1
                problems.append(f"{name}:{line}: {what}: {found.group()[:60]!r}")
    print("\n".join(problems), end="\n" if problems else "")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
