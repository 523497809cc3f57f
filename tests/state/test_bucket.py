"""The S3 adapter against what is no S3 server at all."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from moltbot_state.bucket import ATTEMPTS, BODY_ATTEMPTS, Bucket, Place
from moltbot_state.errors import BucketUnreachable
from moltbot_trust.redaction import Secret

_SHORT = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\nETag: x\r\n\r\nhalf"


@contextmanager
def answering(what: bytes) -> Iterator[tuple[str, list[str]]]:
    """Every connection gets these bytes and is closed; (endpoint, the peers that came)."""
    came: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    peer, address = server.accept()
                except OSError:
                    return
                with peer:
                    came.append(str(address))
                    if peer.recv(65536):
                        peer.sendall(what)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}", came
        server.shutdown(socket.SHUT_RDWR)
    thread.join(5)


@pytest.mark.parametrize(("what", "times"), [(b"", ATTEMPTS), (_SHORT, BODY_ATTEMPTS)], ids=["no-answer", "half-an-answer"])
def test_person_is_told_after_one_round_of_attempts(what: bytes, times: int) -> None:
    """A connection that a NetworkPolicy drops takes its whole timeout each time: a round in every round would be most of a minute."""
    with answering(what) as (endpoint, came):
        bucket = Bucket(Place(endpoint, "us-east-1", "assistants", "x/"), Secret("a"), Secret("b"))
        with pytest.raises(BucketUnreachable):
            bucket.get("HEAD", 1000)
        assert len(came) == times
