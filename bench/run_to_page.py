"""`make run` with its environment already made: start to page, and the memory of all its processes.

The floor is what cannot be had for less: three Python processes that import aiohttp and serve, started one after the other.
"""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.gateway_start import FLOOR
from bench.measure import free_port, in_turn, resident_mib, table

ROOT = Path(__file__).resolve().parent.parent


def _until_answered(port: int, path: str, began: float, expected: int) -> float:
    """Seconds from `began` until the path is answered with that status, asked every 10 ms."""
    while time.monotonic() - began < 60:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
        try:
            connection.request("GET", path, headers={"Host": f"localhost:{port}"})
            if connection.getresponse().status == expected:
                return time.monotonic() - began
        except OSError:
            pass
        finally:
            connection.close()
        time.sleep(0.01)
    raise TimeoutError(f"no page on port {port} after 60 s")


def _descendants(pid: int) -> list[int]:
    """A process and all that it started (Linux)."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
            children.setdefault(parent, []).append(int(entry.name))
    found, queue = [], [pid]
    while queue:
        current = queue.pop()
        found.append(current)
        queue += children.get(current, [])
    return found


def _floor() -> dict[str, tuple[float, str]]:
    began = time.monotonic()
    processes = []
    try:
        for _ in range(3):
            port = free_port()
            processes.append(subprocess.Popen([sys.executable, "-c", FLOOR], env={**os.environ, "PORT": str(port)}))
            _until_answered(port, "/readyz", time.monotonic(), 200)
        taken = time.monotonic() - began
        return {"start → page": (taken, "s"), "resident": (sum(resident_mib(p.pid) for p in processes), "MiB")}
    finally:
        for process in processes:
            process.kill()
            process.wait()


def _run() -> dict[str, tuple[float, str]]:
    with tempfile.TemporaryDirectory() as home:
        port, admin = free_port(), free_port()
        environment = {**os.environ, "MOLTBOT_HOME": home}
        began = time.monotonic()
        command = [str(Path(sys.executable).parent / "moltbot"), "up", "-f", str(ROOT / "examples/quickstart.yaml")]
        process = subprocess.Popen(
            [*command, "--port", str(port), "--admin-port", str(admin)],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            # without a token the router answers 401: everything that the page needs is there
            taken = _until_answered(port, "/", began, 401)
            time.sleep(5)  # until the assistant itself is awake
            return {"start → page": (taken, "s"), "resident": (sum(resident_mib(pid) for pid in _descendants(process.pid)), "MiB")}
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(timeout=60)


def main(runs: int) -> None:
    floor = "three trivial aiohttp servers"
    print(table(in_turn([(floor, _floor), ("make run", _run)], min(runs, 5)), floor=floor))
