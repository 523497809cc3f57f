"""Probes: one attempt over HTTP, HTTPS (nothing verified, as the kubelet does), TCP or a command; and the counting of attempts."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import aiohttp

from .podspec import Container, Probe, port_number

# What the kubelet calls itself; servers are used to it.
AGENT = "kube-probe/1.36"
# Exec attempts run as processes of their own: (command, seconds) → exit code.
Execute = Callable[[tuple[str, ...], float], Awaitable[int]]


@dataclass
class Counter:
    """Turns attempts into a verdict: `threshold` equal attempts in a row change it."""

    probe: Probe
    verdict: bool
    in_row: int = 0
    latest: bool | None = None

    def count(self, success: bool) -> bool | None:
        """The new verdict when this attempt changed or confirmed it by its threshold, else None."""
        self.in_row = self.in_row + 1 if self.latest == success else 1
        self.latest = success
        needed = self.probe.success_threshold if success else self.probe.failure_threshold
        if self.in_row < needed:
            return None
        self.verdict = success
        return success


def open_session() -> aiohttp.ClientSession:
    """For probes: every attempt a fresh connection, no cookies, any certificate."""
    connector = aiohttp.TCPConnector(ssl=False, force_close=True, limit=0)
    return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar(), headers={"User-Agent": AGENT})


async def attempt(
    probe: Probe, container: Container, address: str, session: aiohttp.ClientSession, execute: Execute
) -> tuple[bool, str]:  # fmt: skip
    """One attempt: (success, the kubelet's words when it failed). Cancellation is safe."""
    try:
        if probe.command is not None:
            code = await execute(probe.command, probe.timeout)
            return code == 0, f"command {list(probe.command)!r} ended with {code}"
        wanted = probe.http.port if probe.http is not None else probe.tcp
        assert wanted is not None
        port = port_number(container, wanted)
        if port is None:
            return False, f"the container has no port named {wanted!r}"
        async with asyncio.timeout(probe.timeout):
            if probe.http is None:
                _, writer = await asyncio.open_connection(probe.tcp_host or address, port)
                writer.close()
                return True, ""
            path = probe.http.path if probe.http.path.startswith("/") else "/" + probe.http.path
            url = f"{probe.http.scheme.lower()}://{probe.http.host or address}:{port}{path}"
            async with session.get(url, headers=dict(probe.http.headers), allow_redirects=False) as response:
                good = 200 <= response.status < 400
                return good, f"HTTP probe failed with statuscode: {response.status}"
    except TimeoutError:
        return False, f"no answer within {probe.timeout:g} s"
    except (OSError, aiohttp.ClientError) as error:
        return False, str(error) or type(error).__name__
