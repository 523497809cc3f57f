"""`python -m moltbot_tools`: `host` serves the gateway over stdin and stdout, `probe` says what this machine can hold. Exit code 3: it
could not be confined, and so nothing was done."""

from __future__ import annotations

import json
import os
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

from moltbot_tools.confinement import Holds, confine, memory_limit, readable_places

NOT_CONFINED = 3


def main(arguments: list[str]) -> int:
    options = _parse(arguments)
    workspace = Path(os.path.realpath(options.workspace))
    temporary = workspace / ".tmp"
    memory = memory_limit()
    try:
        if options.command != "probe":
            temporary.mkdir(parents=True, exist_ok=True)
        holds = confine(workspace, wanted=not options.unconfined)
    except OSError as error:
        print(f"tools cannot be confined: {error}", file=sys.stderr)
        return NOT_CONFINED
    if options.command == "probe":
        print(json.dumps({"hello": holds.to_json()}))
    else:
        _serve(workspace, memory, holds)
    return 0


def _parse(arguments: list[str]) -> Namespace:
    parser = ArgumentParser(prog="moltbot_tools")
    parser.add_argument("command", choices=("host", "probe"))
    parser.add_argument("--workspace", default=".")
    parser.add_argument("--unconfined", action="store_true", help="a person's word that the pod is the boundary")
    return parser.parse_args(arguments)


def _serve(workspace: Path, memory: int, holds: Holds) -> None:
    from moltbot_tools.host import Host
    from moltbot_tools.paths import Places
    from moltbot_tools.worker import Setting

    readable = tuple(Path(os.path.realpath(place)) for place in readable_places())
    environment = {name: value for name, value in os.environ.items() if name != "LC_CTYPE"}  # Python's own coercion (PEP 538)
    Host(Setting(Places(workspace, readable), environment, memory, holds.landlock, os.getpid())).serve(holds.to_json())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
