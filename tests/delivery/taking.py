"""A process that takes from the outbox as channels will, and waits to be killed where it is told to.

python -m tests.delivery.taking <database> <log of what was delivered> <epoch seconds> <calls, after which it waits>
"""

from __future__ import annotations

import asyncio
import sys
import threading
from pathlib import Path

from moltbot_gateway.delivery.outbox import Outbox, parts_to_wire, read_exchange
from moltbot_gateway.store.database import Database
from moltbot_trust.clock import SystemClock


class FixedClock(SystemClock):
    def __init__(self, epoch: float) -> None:
        self._epoch = epoch

    def epoch(self) -> float:
        return self._epoch


async def live(path: Path, delivered: Path, epoch: float, calls: int) -> None:
    outbox = Outbox(await Database.open(path), FixedClock(epoch), lambda note: None)
    acknowledge: list[dict[str, object]] = []
    for _ in range(calls):
        answer = parts_to_wire(await outbox.exchange(read_exchange({"acknowledge": acknowledge, "limit": 2, "targets": ["telegram:"]})))
        for part in acknowledge:
            print("acknowledged", part["event"], part["part"], flush=True)
        parts = answer["parts"]
        assert isinstance(parts, list)
        acknowledge = [{"event": part["event"], "part": part["part"]} for part in parts]
        with delivered.open("a") as log:  # the platform has it from here on
            for part in parts:
                log.write(f"{part['event']} {part['part']} {part['takes']} {part['text']}\n")
    print("waiting", flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    asyncio.run(live(Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4])))
