"""Wrong credentials, counted by address: ten in a minute, and that address waits five minutes (as the official gateway does). Memory is
bounded."""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from dataclasses import dataclass

ATTEMPTS, WINDOW_SECONDS, BLOCK_SECONDS = 10, 60.0, 300.0
# Addresses remembered; beyond it the one that was quiet longest is forgotten.
MAX_ADDRESSES = 10_000


@dataclass(slots=True)
class _Record:
    since: float
    wrong: int = 0
    blocked_until: float = 0.0


class AttemptLimit:
    """One per process and lock. Times are monotonic seconds."""

    def __init__(self, attempts: int = ATTEMPTS, window: float = WINDOW_SECONDS, block: float = BLOCK_SECONDS) -> None:
        self._attempts, self._window, self._block = attempts, window, block
        self._records: OrderedDict[str, _Record] = OrderedDict()

    def blocked_for(self, address: str, now: float) -> float:
        """Seconds that this address still has to wait; 0 when it may try. A blocked address is not even checked, so guessing on teaches
        nothing."""
        record = self._records.get(_network(address))
        return max(0.0, record.blocked_until - now) if record is not None else 0.0

    def count_wrong(self, address: str, now: float) -> None:
        """One more wrong credential from there."""
        key = _network(address)
        record = self._records.get(key)
        if record is None or (now - record.since > self._window and now >= record.blocked_until):
            record = self._records[key] = _Record(now)
        self._records.move_to_end(key)
        record.wrong += 1
        if record.wrong >= self._attempts:
            record.blocked_until = now + self._block
        while len(self._records) > MAX_ADDRESSES:
            self._records.popitem(last=False)

    def forget(self, address: str) -> None:
        """It showed a good one."""
        self._records.pop(_network(address), None)

    def __len__(self) -> int:
        return len(self._records)


def _network(address: str) -> str:
    """An IPv6 client owns a /64, so that is what is counted; anything that is no address is counted as it is."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)
