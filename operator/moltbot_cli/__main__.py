"""The command line's grammar. Everything heavy is imported by the command that needs it."""

import argparse
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

EPILOG = """which cluster: --context or --kubeconfig, else KUBECONFIG, else the Moltbot that `moltbot up` runs on this machine,
else ~/.kube/config (as `kubectl moltbot` that one comes first). It is named before anything is changed."""


def main(argv: Sequence[str] | None = None) -> int:
    arguments = list(sys.argv[1:] if argv is None else argv)
    plugin = Path(sys.argv[0]).name.startswith("kubectl-")
    options = build_parser("kubectl moltbot" if plugin else "moltbot").parse_args(arguments)
    options.plugin = plugin
    if options.command == "up":
        try:
            from moltbot_local.up import run
        except ImportError as error:
            print(f"moltbot up: it is not installed with what it needs ({error}): pip install 'moltbot-operator[local]'", file=sys.stderr)
            return 1
        return run(options)
    from moltbot_cli.run import run_command

    return run_command(options)


def build_parser(program: str) -> argparse.ArgumentParser:
    # Given before the command or after it. Suppressed defaults let both places set them.
    shared = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    shared.add_argument("-n", "--namespace", help="namespace of the Moltbot (default: the context's)")
    shared.add_argument("--context", help="context of the kubeconfig")
    shared.add_argument("--kubeconfig", help="path of a kubeconfig")
    shared.add_argument("-o", "--output", choices=("text", "json"), help="how to print (default text)")
    parser = argparse.ArgumentParser(
        prog=program,
        description="Personal AI assistants on Kubernetes, and without.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=[shared],
    )
    parser.add_argument("--version", action="version", version=f"moltbot {own_version()}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)

    def add(name: str, words: str) -> argparse.ArgumentParser:
        return commands.add_parser(name, help=words, description=words[0].upper() + words[1:] + ".", parents=[shared])

    def add_named(name: str, words: str) -> argparse.ArgumentParser:
        command = add(name, words)
        command.add_argument("name", nargs="?", help="the Moltbot (may be left out when the namespace has one)")
        return command

    from moltbot_local.up import add_arguments

    up = commands.add_parser("up", help="run Moltbots on this machine, without a cluster")
    add_arguments(up)
    status = add_named("status", "how the Moltbots are")
    status.add_argument("-A", "--all-namespaces", action="store_true")
    admin = add("admin", "the administration: approve devices, back up, restart")
    admin.add_argument("--port", type=int, default=8081, help="local port of the forwarding (default 8081)")
    admin.add_argument("--system-namespace", help="namespace of operator and router (default: found)")
    admin.add_argument("--open", action="store_true", help="open it in the browser")
    devices = add("devices", "devices that asked to be let in")
    verbs = devices.add_subparsers(dest="verb", metavar="list|approve|remove", required=True)
    listing = verbs.add_parser("list", help="all of them", parents=[shared])
    listing.add_argument("name", nargs="?", help="of this Moltbot alone")
    approve = verbs.add_parser("approve", help="let devices in", parents=[shared])
    approve.add_argument("device", nargs="*", help="name, device id or the beginning of it")
    approve.add_argument("--all", action="store_true", help="all that wait")
    remove = verbs.add_parser("remove", help="shut devices out, at once", parents=[shared])
    remove.add_argument("device", nargs="+", help="name, device id or the beginning of it")
    for name, words in (
        ("wake", "wake a Moltbot now"),
        ("sleep", "put a Moltbot to sleep now"),
        ("restart", "restart a Moltbot"),
        ("refresh", "have its Secrets read again now"),
    ):
        command = add_named(name, words)
        command.add_argument("--no-wait", dest="wait", action="store_false", help="only ask for it")
    backup = add_named("backup", "take a snapshot now and wait until it is verified")
    backup.add_argument("--no-wait", dest="wait", action="store_false", help="only ask for it")
    token = add("token", "the gateway token, the key of the page")
    token.add_argument("words", nargs="*", metavar="[rotate] [NAME]", help="`rotate` makes a new one; the Moltbot's name")
    logs = add_named("logs", "what the gateway logs")
    logs.add_argument("-c", "--container", default="gateway", help="gateway (default) or state")
    logs.add_argument("-f", "--follow", action="store_true")
    logs.add_argument("-p", "--previous", action="store_true", help="of the process before this one")
    add("version", "versions of this command and of the API server")
    return parser


def own_version() -> str:
    try:
        return version("moltbot-operator")
    except PackageNotFoundError:
        return "unknown"


if __name__ == "__main__":
    sys.exit(main())
