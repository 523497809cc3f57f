"""`moltbot up`: what is checked before anything starts, signals, and what a person reads."""

import argparse
import asyncio
import errno
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from .home import Home, HomeInUse, default_home
from .own_command import OwnCommand, find_own_command

if TYPE_CHECKING:
    from .supervisor import Supervisor


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-f", "--filename", action="append", default=[], type=Path, metavar="FILE", help="Moltbots and what belongs to them"
    )
    parser.add_argument("--data-dir", type=Path, help="where everything is kept (default: MOLTBOT_HOME, else ~/.local/share/moltbot)")
    parser.add_argument("--port", type=int, default=8080, help="port of the pages (default 8080)")
    parser.add_argument("--admin-port", type=int, default=8081, help="port of the administration (default 8081)")
    parser.add_argument("--api-port", type=int, default=0, help="port of the Kubernetes API (default: any, the same one at every start)")
    parser.add_argument("-v", "--verbose", action="store_true", help="log what the miniature Kubernetes does")


class Teller:
    """Prints sentences with the time of day, in colour on a terminal."""

    def __init__(self, out: TextIO, own: OwnCommand) -> None:
        self._own = own
        self._out, self._colour = out, out.isatty() and "NO_COLOR" not in os.environ

    def _paint(self, code: str, text: str) -> str:
        return f"\033[{code}m{text}\033[0m" if self._colour else text

    def say(self, subject: str, sentence: str) -> None:
        now = self._paint("2", time.strftime("%H:%M:%S"))
        words = f"{self._paint('1', subject)} {sentence}" if subject else sentence
        print(now, words, file=self._out, flush=True)

    def links(self, links: dict[str, str], kubeconfig: Path, seconds: float) -> None:
        rows = [(name.removeprefix("default/"), link) for name, link in links.items() if name != "admin"]
        rows.append(("administration", links["admin"]))
        width = max(len(name) for name, _ in rows)
        lines = ["", *(f"  {self._paint('1', name.ljust(width))}  {self._paint('36', link)}" for name, link in rows), ""]
        if len(rows) == 1:
            lines += [
                f"  There is no Moltbot yet: `kubectl apply -f` one, or start with `{self._own.words} up -f examples/quickstart.yaml`.",
                "",
            ]
        if self._own.export:
            lines.append(f"  {self._own.export}     # then `moltbot` is found; without it: {self._own.words} devices list")
        lines += [
            f"  export KUBECONFIG={kubeconfig}     # then: kubectl get moltbots -w, moltbot devices list",
            f"  ready after {seconds:.1f} s; Ctrl-C stops everything, the next start finds its memory",
            "",
        ]
        print("\n".join(lines), file=self._out, flush=True)


def check_port(port: int, option: str) -> str | None:
    """A sentence when a port cannot be listened on."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return f"port {port} is taken by another program (`lsof -nP -i :{port}` names it); choose another one with {option}"
            return f"port {port} cannot be listened on ({error.strerror}); choose another one with {option}"
    return None


def run(options: argparse.Namespace) -> int:
    """The exit code: 0 stopped on request, 1 could not start or failed."""
    began = time.monotonic()
    home = Home((options.data_dir or default_home(os.environ)).expanduser().absolute())
    own = find_own_command(os.environ.get("PATH"), Path(sys.executable), Path.cwd())
    teller = Teller(sys.stdout, own)
    # Heavy imports only now: `moltbot status` must not pay for them.
    from .manifests import ManifestError, read_manifests, read_person
    from .supervisor import Broken, Options, Supervisor

    try:
        manifests = read_manifests(options.filename)
        home.make()
        with home.hold():
            ports = ((options.port, "--port"), (options.admin_port, "--admin-port"), (options.api_port, "--api-port"))
            problems = [check_port(port, option) for port, option in ports if port]
            if found := [problem for problem in problems if problem]:
                return _fail("; ".join(found))
            logging.basicConfig(level=logging.DEBUG if options.verbose else logging.WARNING, format="%(asctime)s %(name)s %(message)s")

            def make() -> Supervisor:
                settings = read_person(os.environ, Path.cwd())
                wanted = Options(options.port, options.admin_port, options.api_port, own.words)
                return Supervisor(home, wanted, manifests, settings, teller.say)

            _run_loop(lambda: _serve(make(), home, teller, began))
    except (HomeInUse, ManifestError, Broken) as error:
        return _fail(str(error))
    except OSError as error:
        return _fail(f"{home.path}: {error}")
    teller.say("", "stopped")
    return 0


def _fail(sentence: str) -> int:
    print(f"moltbot up: {sentence}", file=sys.stderr)
    return 1


def _run_loop(main: Callable[[], "object"]) -> None:
    async def start() -> None:
        await main()  # type: ignore[misc]

    try:
        import uvloop
    except ImportError:
        asyncio.run(start())
    else:
        uvloop.run(start())


async def _serve(supervisor: "Supervisor", home: Home, teller: Teller, began: float) -> None:
    loop = asyncio.get_running_loop()

    def stop() -> None:
        if supervisor.stopping.is_set():
            supervisor.hurry.set()
        supervisor.stopping.set()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop)
    telling = asyncio.create_task(_tell_links(supervisor, home, teller, began))
    try:
        await supervisor.run()
    finally:
        telling.cancel()
        home.running.unlink(missing_ok=True)


async def _tell_links(supervisor: "Supervisor", home: Home, teller: Teller, began: float) -> None:
    await supervisor.ready.wait()
    if not supervisor.links:
        teller.say("", f"it is not ready after a minute; what operator and router say is in {home.run}/operator.log and router.log")
        return
    home.write_running(
        {
            "pid": os.getpid(),
            "api": supervisor.api.url if supervisor.api else "",
            "kubeconfig": str(home.kubeconfig),
            "port": supervisor.options.port,
            "adminPort": supervisor.options.admin_port,
        }
    )
    teller.links(supervisor.links, home.kubeconfig, time.monotonic() - began)
    for subject, sentence in supervisor.present():
        teller.say(subject, sentence)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="moltbot up", description="Run Moltbots on this machine, without a cluster.")
    add_arguments(parser)
    return run(parser.parse_args(argv))


if __name__ == "__main__":
    sys.exit(main())
