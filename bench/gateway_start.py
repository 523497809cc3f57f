"""The gateway process: exec to ready and resident memory, beside a trivial aiohttp server started the same way.

Ready is the state opened: conversations, jobs, what the last process left. What the first turn needs (the workspace's files, skills, what
confinement there is) is prepared beside it and belongs to the memory. The processor's time until then is a second figure of the same
thing: other work on the machine does not count in it.
"""

from __future__ import annotations

import http.client
import os
import secrets
import signal
import ssl
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.measure import free_port, in_turn, processor_seconds, resident_mib, table
from moltbot_trust.keys import GATEWAY_PURPOSES, MasterKeys
from tests.fakes.certificate import make_certificate

# Seconds in which what is prepared beside the start has come to its end, on a busy machine too.
PREPARED = 2.0
FLOOR = """
import aiohttp.web as w, os
app = w.Application()
async def ok(_): return w.Response(text="ok")
app.router.add_get("/readyz", ok)
w.run_app(app, host="127.0.0.1", port=int(os.environ["PORT"]), print=None)
"""


def _until_ready(port: int, *, tls: bool, began: float) -> float:
    """Milliseconds from `began` to the first 200 of /readyz, asked every 5 ms."""
    context = ssl._create_unverified_context()  # the floor of a handshake: what is pinned is measured elsewhere
    while time.monotonic() - began < 30:
        connection = (
            http.client.HTTPSConnection("127.0.0.1", port, timeout=2, context=context)
            if tls
            else http.client.HTTPConnection("127.0.0.1", port, timeout=2)
        )
        try:
            connection.request("GET", "/readyz")
            if connection.getresponse().status == 200:
                return (time.monotonic() - began) * 1000
        except OSError:
            pass
        finally:
            connection.close()
        time.sleep(0.005)
    raise TimeoutError(f"nothing is ready on port {port} after 30 s")


def _measured(command: list[str], environment: dict[str, str], port: int, *, tls: bool) -> dict[str, tuple[float, str]]:
    began = time.monotonic()
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=None)
    try:
        ready = _until_ready(port, tls=tls, began=began)
        worked = processor_seconds(process.pid) * 1000
        time.sleep(PREPARED)
        return {"exec → ready": (ready, "ms"), "processor": (worked, "ms"), "resident": (resident_mib(process.pid), "MiB")}
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


def _floor() -> dict[str, tuple[float, str]]:
    port = free_port()
    return _measured([sys.executable, "-c", FLOOR], {**os.environ, "PORT": str(port)}, port, tls=False)


def _gateway() -> dict[str, tuple[float, str]]:
    port = free_port()
    certificate, private_key = make_certificate()
    uid = "00000000-0000-4000-8000-000000000001"
    ring = MasterKeys.generate().key_ring(GATEWAY_PURPOSES, uid)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "state").mkdir()
        environment = {
            "PATH": os.environ["PATH"],
            "MOLTBOT_NAME": "ada",
            "MOLTBOT_NAMESPACE": "default",
            "MOLTBOT_UID": uid,
            "MOLTBOT_POD_UID": secrets.token_hex(8),
            "MOLTBOT_POD_IP": "127.0.0.1",
            "MOLTBOT_STATE_DIR": f"{folder}/state",
            "MOLTBOT_KEYS": ring.to_json(),
            "MOLTBOT_TLS_CERTIFICATE": certificate,
            "MOLTBOT_TLS_PRIVATE_KEY": private_key,
            "MOLTBOT_MODEL_ADAPTER": "anthropic",
            "MOLTBOT_MODEL_NAME": "claude-sonnet-5-5",
            "MOLTBOT_MODEL_API_KEY": "never asked",
            "MOLTBOT_LISTEN_PORT": str(port),
            "MOLTBOT_LISTEN_CONTROL_PORT": "0",
            "MOLTBOT_LOG_LEVEL": "error",
        }
        return _measured([sys.executable, "-m", "moltbot_gateway"], environment, port, tls=True)


def main(runs: int) -> None:
    print(table(in_turn([("trivial aiohttp server", _floor), ("gateway", _gateway)], runs), floor="trivial aiohttp server"))
