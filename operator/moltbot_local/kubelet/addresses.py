"""An address of its own for every pod, out of 127/8, all of which answers on Linux. Where only 127.0.0.1 does (macOS), all share it."""

import contextlib
import errno
import hashlib
import ipaddress
import itertools
import socket
from collections.abc import Iterable, Iterator
from pathlib import Path

SHARED = "127.0.0.1"
# 127.64.0.0/10: far from what resolvers (127.0.0.53) and people (127.0.1.1) use.
POOL = ipaddress.ip_network("127.64.0.0/10")
# So many addresses are looked at for one whose ports are free.
TRIES = 16


def whole_loopback_answers() -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        try:
            probe.bind((str(POOL[1]), 0))
        except OSError:
            return False
    return True


class Addresses:
    """Hands out addresses in turn, so that one that was given back is not soon somebody else's (rule 3: an address may be re-used).

    `kept`: a file that remembers the last one over a restart; None forgets. Two of these on one machine begin at different places
    of the pool (its path decides), and an address whose ports another program has is passed over.
    """

    def __init__(self, *, distinct: bool, kept: Path | None = None) -> None:
        self.distinct = distinct
        self._kept = kept
        self.last = 0
        self.used: set[str] = set()
        if kept is not None:
            self.last = int.from_bytes(hashlib.sha256(str(kept.absolute()).encode()).digest()[:4], "big") % POOL.num_addresses
            with contextlib.suppress(OSError, ValueError):
                self.last = int(kept.read_text()) % POOL.num_addresses

    def keep(self, address: str) -> None:
        """A pod has it already, from before this process started."""
        self.used.add(address)
        if self.distinct and ipaddress.ip_address(address) in POOL:
            self.last = max(self.last, int(ipaddress.ip_address(address)) - int(POOL[0]))

    def take(self, ports: Iterable[int] = ()) -> str:
        """An address of which none of these ports is taken, where one is found soon: a program on 0.0.0.0 takes a port of them all,
        and the kubelet then says so.
        """
        if not self.distinct:
            return SHARED
        free = list(itertools.islice(self._unused(), TRIES))
        if not free:
            raise RuntimeError(f"every address of {POOL} is in use")
        address = next((address for address in free if not taken_ports(address, ports)), free[0])
        self.last = int(ipaddress.ip_address(address)) - int(POOL[0])
        self.used.add(address)
        if self._kept is not None:
            self._kept.write_text(str(self.last))
        return address

    def _unused(self) -> Iterator[str]:
        """The addresses that no pod of ours has, in turn after the last one."""
        size = POOL.num_addresses
        for step in range(1, size):
            index = (self.last + step) % size
            if index % 256 not in (0, 255) and str(POOL[index]) not in self.used:
                yield str(POOL[index])

    def give_back(self, address: str) -> None:
        self.used.discard(address)


def taken_ports(address: str, ports: Iterable[int]) -> list[int]:
    """Which of these ports something else listens on."""
    taken = []
    for port in ports:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            # As servers do: a connection that lingers in TIME_WAIT is no obstacle.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((address, port))
            except OSError as error:
                if error.errno == errno.EADDRINUSE:
                    taken.append(port)
    return taken
