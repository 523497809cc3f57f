"""How a module of `moltbot_tools` is started as a process of its own."""

from __future__ import annotations

import sys
from pathlib import Path


def own_program(module: str, *arguments: str) -> list[str]:
    """Arguments that run `main` of `moltbot_tools.<module>`. Isolated (-I): nothing that an environment or a working directory holds is
    imported in place of ours before the process has shut itself in."""
    place = str(Path(__file__).resolve().parents[2])
    begin = f"import sys; sys.path.insert(0, {place!r}); from moltbot_tools.{module} import main; sys.exit(main(sys.argv[1:]))"
    return [sys.executable, "-I", "-c", begin, *arguments]
