"""What a parked socket is remembered by: its subscriptions, replayed on its next upstream (rule 4). Pure."""

from __future__ import annotations

import json
from collections import OrderedDict

from moltbot_protocol.frames import Request
from moltbot_protocol.methods import Method, Remembered

# Beyond this the oldest is forgotten: a client that subscribes without end must not be replayed without end.
MAX_SUBSCRIPTIONS = 64


class Subscriptions:
    """In the order in which they were made; the same one twice is one."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, tuple[str, object]] = OrderedDict()

    def note(self, method: Method, params: object) -> None:
        """A subscribing or unsubscribing frame went by."""
        match method.remembered:
            case Remembered.ADD:
                key = _key(method.name, params)
                self._kept[key] = (method.name, params)
                self._kept.move_to_end(key)
                while len(self._kept) > MAX_SUBSCRIPTIONS:
                    self._kept.popitem(last=False)
            case Remembered.REMOVE:
                self._kept.pop(_key(method.name.replace(".unsubscribe", ".subscribe"), params), None)
            case Remembered.NO:
                pass

    def replay(self, id_prefix: str) -> list[Request]:
        """The frames to send first on a new upstream; their ids begin with `id_prefix`, by which their answers are known and swallowed."""
        return [Request(f"{id_prefix}{number}", name, params) for number, (name, params) in enumerate(self._kept.values())]

    def __len__(self) -> int:
        return len(self._kept)


def _key(name: str, params: object) -> str:
    if isinstance(params, dict) and "key" in params:
        # What is subscribed to is the session and its agent; the other params are how.
        return json.dumps([name, params.get("key"), params.get("agentId")])
    return json.dumps([name])
