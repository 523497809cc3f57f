"""`python -m moltbot_tools`: `host` serves the gateway over stdin and stdout, `probe` says what this machine can hold, `run -- …` confines
itself and becomes the program named (an MCP server by stdio). Exit code 3: it could not be confined, and so nothing was done."""

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
    match options.command:
        case "probe":
            print(json.dumps({"hello": holds.to_json()}))
        case "run":
            return _become(options, workspace)
        case _:
            _serve(workspace, memory, holds)
    return 0


def _parse(arguments: list[str]) -> Namespace:
    parser = ArgumentParser(prog="moltbot_tools")
    parser.add_argument("command", choices=("host", "probe", "run"))
    parser.add_argument("--workspace", default=".")
    parser.add_argument("--unconfined", action="store_true", help="a person's word that the pod is the boundary")
    # By hand: argparse takes what stands after -- for its own.
    end = arguments.index("--") if "--" in arguments else len(arguments)
    parser.set_defaults(program=arguments[end + 1 :])
    return parser.parse_args(arguments[:end])


def _serve(workspace: Path, memory: int, holds: Holds) -> None:
    from moltbot_tools.host import Host
    from moltbot_tools.paths import Places
    from moltbot_tools.worker import Setting

    readable = tuple(Path(os.path.realpath(place)) for place in readable_places())
    environment = {name: value for name, value in os.environ.items() if name != "LC_CTYPE"}  # Python's own coercion (PEP 538)
    Host(Setting(Places(workspace, readable), environment, memory, holds.landlock, os.getpid())).serve(holds.to_json())


def _become(options: Namespace, workspace: Path) -> int:
    if not options.program:
        print("run needs a program", file=sys.stderr)
        return 2
    os.chdir(workspace)
    try:
        os.execvp(options.program[0], options.program)  # noqa: S606 - what is confined is the program itself
    except OSError as error:
        print(f"{options.program[0]} cannot be started: {error.strerror}", file=sys.stderr)
        return 127


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
