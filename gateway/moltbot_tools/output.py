"""What a program wrote, bounded: its beginning and its end are kept, and how much lies between."""

from __future__ import annotations

from collections import deque

# Bytes that are kept of the beginning and of the end: together somewhat less than the model is given of a result.
HEAD, TAIL = 10_000, 16_000


class Output:
    def __init__(self, head: int = HEAD, tail: int = TAIL) -> None:
        self._head_size, self._tail_size = head, tail
        self._head = bytearray()
        self._tail: deque[bytes] = deque()
        self._tail_bytes = 0
        self.total = 0
        self.binary = False

    def add(self, data: bytes) -> None:
        self.total += len(data)
        # Text has no NUL; what has some is not shown at all.
        self.binary = self.binary or b"\0" in data
        room = self._head_size - len(self._head)
        if room > 0:
            self._head += data[:room]
            data = data[room:]
        if data:
            self._tail.append(data[-self._tail_size :])
            self._tail_bytes += len(self._tail[-1])
            while self._tail_bytes - len(self._tail[0]) >= self._tail_size:
                self._tail_bytes -= len(self._tail.popleft())

    @property
    def left_out(self) -> int:
        return self.total - len(self._head) - min(self._tail_bytes, self._tail_size)

    def text(self) -> str:
        """For the model."""
        if self.binary:
            return f"[binary output, {self.total} bytes; it begins with {bytes(self._head[:16]).hex(' ')}. Write it into a file instead]"
        tail = b"".join(self._tail)[-self._tail_size :]
        if not self.left_out:
            return (bytes(self._head) + tail).decode("utf-8", "replace")
        return f"{self._head.decode('utf-8', 'replace')}\n[… {self.left_out} bytes left out …]\n{tail.decode('utf-8', 'replace')}"

    def end(self, size: int) -> str:
        """The last `size` bytes, for who watches."""
        if self.binary:
            return f"[binary output, {self.total} bytes]"
        return (bytes(self._head) + b"".join(self._tail))[-size:].decode("utf-8", "replace")
