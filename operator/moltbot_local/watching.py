"""Watches over HTTP: one JSON line an event, from a resourceVersion on, until the time is up, the client leaves or the server stops."""

from __future__ import annotations

import asyncio
import random

from aiohttp import web

from . import answers
from .call import Call
from .errors import ApiError
from .history import Watch, WatchEvent
from .resources import Object
from .store import Store, encode
from .table import table

# A client that names no time is asked to come again after 30 to 60 minutes, as the real API server does.
DEFAULT_SECONDS = 1800
# How often a quiet watch that allows it is told how far it is.
BOOKMARK_SECONDS = 60.0


class Watching:
    def __init__(self, store: Store) -> None:
        self._store = store
        self._open: set[asyncio.Task[None]] = set()
        self._closed = False

    async def serve(self, call: Call) -> web.StreamResponse:
        seconds = call.number("timeoutSeconds")
        if not seconds:
            seconds = DEFAULT_SECONDS + random.randrange(DEFAULT_SECONDS)  # noqa: S311 spreads reconnects
        response = web.StreamResponse(headers={"Content-Type": "application/json", "Cache-Control": "no-cache, private"})
        # Begin before the first await: nothing that happens from now on may be missed.
        try:
            watch: Watch | ApiError = self._begin(call)
        except ApiError as error:
            watch = error
        await response.prepare(call.request)
        stream = _Stream(self._store, call, response)
        if isinstance(watch, ApiError):
            await stream.error(watch)
            return response
        task = asyncio.ensure_future(stream.run(watch, seconds))
        # When the client leaves, this handler is cancelled and nobody else asks how the stream ended.
        task.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
        self._open.add(task)
        try:
            if self._closed:
                task.cancel()
            await asyncio.wait({task})
            if not task.cancelled() and (failure := task.exception()) is not None and not isinstance(failure, ConnectionError):
                raise failure
        finally:
            task.cancel()
            self._open.discard(task)
        return response

    def _begin(self, call: Call) -> Watch:
        since = call.number("resourceVersion") or 0
        initial = call.query.get("sendInitialEvents") == "true"
        if since and not initial:
            if since > self._store.version:
                # The real one waits for that version and then times out; here it cannot come from elsewhere.
                raise ApiError(410, f"too old resource version: {since} ({self._store.version})", reason="Expired")
            return self._store.watch(call.resource.key, call.namespace, since=since, selector=call.selector)
        return self._store.watch(call.resource.key, call.namespace, selector=call.selector)

    async def close(self) -> None:
        """End all watches: the server stops."""
        self._closed = True
        for task in list(self._open):
            task.cancel()


class _Stream:
    def __init__(self, store: Store, call: Call, response: web.StreamResponse) -> None:
        self._store = store
        self._call = call
        self._response = response
        self._form = answers.wanted(call.request)
        self._header = True
        self._bookmarks = call.flag("allowWatchBookmarks")

    async def run(self, watch: Watch, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        asked = self._call.query
        told_initial = not (asked.get("sendInitialEvents") == "true" or asked.get("resourceVersion") == "0")
        while True:
            try:
                events = watch.take()
            except ApiError as error:
                await self.error(error)
                return
            if events:
                await self._response.write(b"".join(self._line(event) for event in events))
            if not told_initial:
                told_initial = True
                if self._bookmarks:
                    await self._bookmark(watch.version, {"k8s.io/initial-events-end": "true"})
            left = end - loop.time()
            if left <= 0:
                break
            changed = await watch.wait(min(left, BOOKMARK_SECONDS))
            if not changed and self._bookmarks and end - loop.time() > 0:
                await self._bookmark(watch.version, {})
        if self._bookmarks:
            await self._bookmark(watch.version, {})

    async def error(self, error: ApiError) -> None:
        await self._response.write(encode({"type": "ERROR", "object": error.status()}) + b"\n")

    async def _bookmark(self, version: int, annotations: dict[str, str]) -> None:
        meta: Object = {"resourceVersion": str(version)}
        if annotations:
            meta["annotations"] = annotations
        resource = self._call.resource
        item: Object = {"kind": resource.kind, "apiVersion": resource.api_version, "metadata": meta}
        if self._form == "table":
            item = table(resource, [], meta, 0.0, "None", header=False)
        elif self._form == "metadata":
            item = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": meta}
        await self._response.write(encode({"type": "BOOKMARK", "object": item}) + b"\n")

    def _line(self, event: WatchEvent) -> bytes:
        match self._form:
            case "table":
                include = self._call.query.get("includeObject", "Metadata")
                meta = {"resourceVersion": event.object["metadata"]["resourceVersion"]}
                now = self._store.clock.epoch()
                body = encode(table(self._call.resource, [event.object], meta, now, include, header=self._header))
                self._header = False
            case "metadata":
                body = encode(answers.metadata_only(event.object))
            case _:
                body = event.entry.encoded
        return b'{"type":"' + event.type.encode() + b'","object":' + body + b"}\n"
