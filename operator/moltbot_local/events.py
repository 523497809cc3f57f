"""Events as the controllers and the kubelet of a cluster write them: core/v1, repeated ones counted instead of written anew."""

import uuid
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from .clock import Clock, to_rfc3339
from .errors import ApiError
from .store import Store

# client-go's correlator remembers 4096; a machine for one person needs fewer.
REMEMBERED = 512


class Recorder:
    """`say(object, type, reason, message)` for one component. A refused event (its namespace is going) is dropped."""

    def __init__(self, store: Store, clock: Clock, component: str) -> None:
        self._store, self._clock, self._component = store, clock, component
        # (uid, type, reason, message) → (name, namespace, count)
        self._seen: OrderedDict[tuple[str, str, str, str], tuple[str, str, int]] = OrderedDict()

    def normal(self, about: Mapping[str, Any], reason: str, message: str, field: str = "") -> None:
        self._say(about, "Normal", reason, message, field)

    def warning(self, about: Mapping[str, Any], reason: str, message: str, field: str = "") -> None:
        self._say(about, "Warning", reason, message, field)

    def _say(self, about: Mapping[str, Any], kind: str, reason: str, message: str, field: str) -> None:
        meta = about["metadata"]
        key = (meta["uid"], kind, reason, message)
        now = to_rfc3339(self._clock.epoch())
        name, namespace, count = self._seen.pop(key, ("", meta.get("namespace") or "default", 0))
        try:
            if count:
                self._store.patch("events", name, namespace, {"count": count + 1, "lastTimestamp": now})
            else:
                name = f"{meta['name'][:200]}.{uuid.uuid4().hex[:16]}"
                involved = {"kind": about["kind"], "apiVersion": about["apiVersion"], "name": meta["name"], "uid": meta["uid"]}
                involved |= {"namespace": meta["namespace"]} if "namespace" in meta else {}
                involved |= {"resourceVersion": meta["resourceVersion"]} if "resourceVersion" in meta else {}
                involved |= {"fieldPath": field} if field else {}
                self._store.create(
                    "events",
                    {
                        "metadata": {"name": name, "namespace": namespace},
                        "involvedObject": involved,
                        "type": kind,
                        "reason": reason,
                        "message": message[:1024],
                        "source": {"component": self._component},
                        "reportingComponent": self._component,
                        "reportingInstance": "",
                        "firstTimestamp": now,
                        "lastTimestamp": now,
                        "eventTime": None,
                        "count": 1,
                    },
                )
        except ApiError:
            return
        self._seen[key] = (name, namespace, count + 1)
        while len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)
