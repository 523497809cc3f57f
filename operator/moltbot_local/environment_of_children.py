"""The environment that every process of ours begins with: nothing of the person's enters it."""

import sys
from pathlib import Path

PATH = f"{Path(sys.executable).parent}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def base_environment(home: Path) -> dict[str, str]:
    return {"PATH": PATH, "HOME": str(home), "TMPDIR": str(home), "LANG": "C.UTF-8"}
