"""The verbs: get, list, watch, create, apply, patch, scale, delete, events; plain dicts in and out, errors of `errors.py`.

Every call is one HTTP request under one timeout and is safe to cancel: a cancelled write may or may not have happened. Nothing is
retried here; who calls knows whether it is safe. Following a collection over time is `watching.py` and `cache.py`.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlencode

import aiohttp
from kubernetes.aio.client.rest import RESTClientObject

from moltbot_kube.connection import Connection, connect
from moltbot_kube.errors import ApiError, Conflict, Invalid, NotFound, Unreachable, error_from_status
from moltbot_kube.resources import EVENTS, PODS, Object, Resource

REQUEST_SECONDS = 30.0  # as client-go's controllers; a slower answer is as good as none
LIST_PAGE = 500  # client-go's page size: bounds what the API and we hold at once
_MERGE_PATCH = "application/merge-patch+json"
_APPLY_PATCH = "application/apply-patch+yaml"  # JSON is YAML
_METADATA_ONLY = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json"


@dataclass(frozen=True, slots=True)
class Listing:
    """A collection at one moment: `resource_version` is where a watch goes on from."""

    items: list[Object]
    resource_version: str


class Kube:
    """One connection to one API server. Use as an async context manager, or call `close`."""

    def __init__(self, connection: Connection, *, user_agent: str = "moltbot") -> None:
        self.connection = connection
        self._rest = RESTClientObject(connection.configuration)
        self._user_agent = user_agent

    @classmethod
    async def connect(cls, kubeconfig: str | None = None, context: str | None = None, *, user_agent: str = "moltbot") -> Self:
        """As `connection.connect`. Raises ConnectionSettingsError; does not talk to the API yet."""
        return cls(await connect(kubeconfig, context), user_agent=user_agent)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections. Requests in flight fail as Unreachable."""
        await self._rest.close()

    # reading

    async def get(self, resource: Resource, name: str, namespace: str | None = None) -> Object | None:
        """One object, or None when there is none of that name. A missing *kind* (no CRD) is None too: nothing of it can exist."""
        return await self._get(resource.path(namespace, name))

    async def get_metadata(self, resource: Resource, name: str, namespace: str | None = None) -> Object | None:
        """The object's `metadata` without its contents (as PartialObjectMetadata), or None: what a Secret is asked for at every tick."""
        return await self._get(resource.path(namespace, name), accept=_METADATA_ONLY)

    async def list(
        self, resource: Resource, namespace: str | None = None, *, label_selector: str = "", field_selector: str = ""
    ) -> Listing:
        """All objects of a namespace (None: of all), read page by page. Raises Gone when the pages took too long to read: list again."""
        items: list[Object] = []
        token = ""
        while True:
            query = {"limit": str(LIST_PAGE), "continue": token, "labelSelector": label_selector, "fieldSelector": field_selector}
            page = await self.request("GET", resource.path(namespace), query=query)
            for item in page.get("items") or ():
                # the API leaves both out in lists
                item.setdefault("apiVersion", resource.api_version)
                item.setdefault("kind", resource.kind)
                items.append(item)
            metadata = page.get("metadata") or {}
            token = str(metadata.get("continue") or "")
            if not token:
                return Listing(items, str(metadata.get("resourceVersion") or ""))

    async def version(self) -> tuple[int, int]:
        """The API server's version as (major, minor). Raises ApiError or Unreachable."""
        answer = await self.request("GET", "/version")
        major, minor = (
            int("".join(c for c in str(answer.get(part, "0")) if c.isdigit()) or "0") for part in ("major", "minor")
        )  # minor may read "30+"
        return major, minor

    @asynccontextmanager
    async def open_watch(
        self,
        resource: Resource,
        namespace: str | None,
        resource_version: str,
        *,
        label_selector: str = "",
        field_selector: str = "",
        server_seconds: int,
        silence_seconds: float,
    ) -> AsyncIterator[AsyncIterator[Object]]:
        """One watch request, as an iterator of its raw events; ends when the server ends it. `watching.watch` resumes and lists again.

        Raises Gone, Unreachable (also after `silence_seconds` without a byte) or ApiError.
        """
        query = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": resource_version,
            "timeoutSeconds": str(server_seconds),
            "labelSelector": label_selector,
            "fieldSelector": field_selector,
        }
        timeout = aiohttp.ClientTimeout(total=None, connect=REQUEST_SECONDS, sock_connect=REQUEST_SECONDS, sock_read=silence_seconds)
        response = await self._send("GET", resource.path(namespace), query=query, timeout=timeout)
        try:
            yield _events(response)
        finally:
            response.close()  # not release: the rest of the stream is never read

    @asynccontextmanager
    async def open_log(
        self, pod: str, namespace: str, container: str, *, follow: bool = False, previous: bool = False
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """What a container has written, as chunks; with `follow` until it ends. Raises ApiError (400: none yet), Unreachable."""
        query = {"container": container, "follow": "true" if follow else "", "previous": "true" if previous else ""}
        timeout = aiohttp.ClientTimeout(total=None, connect=REQUEST_SECONDS, sock_connect=REQUEST_SECONDS)
        response = await self._send("GET", PODS.path(namespace, pod, "log"), query=query, accept="*/*", timeout=timeout)
        try:
            yield response.content.iter_any()
        finally:
            response.close()  # not release: the rest of a followed log is never read

    # writing

    async def create(self, resource: Resource, obj: Object, *, field_manager: str) -> Object:
        """POST. Raises AlreadyExists, Invalid, Forbidden (see `namespace_terminating`)."""
        path = resource.path(_namespace(resource, obj))
        return await self.request("POST", path, query={"fieldManager": field_manager}, body=obj)

    async def apply(
        self, resource: Resource, obj: Object, *, field_manager: str, force: bool = True, subresource: str | None = None
    ) -> Object:
        """Server-side apply of exactly the fields in `obj`; the answer is the object as it then stands.

        With `metadata.uid` in it, a missing object or one of another uid raises Conflict instead of being created.
        """
        path = resource.path(_namespace(resource, obj), str(obj["metadata"]["name"]), subresource)
        query = {"fieldManager": field_manager, "force": "true" if force else ""}
        return await self._patch(path, query, obj, _APPLY_PATCH)

    async def patch(
        self,
        resource: Resource,
        name: str,
        namespace: str | None,
        patch: Object,
        *,
        field_manager: str,
        subresource: str | None = None,
        resource_version: str | None = None,
        uid: str | None = None,
    ) -> Object:
        """JSON merge patch. With `resource_version` or `uid` it raises Conflict when the object is another by now; NotFound when gone."""
        if resource_version is not None or uid is not None:
            metadata = dict(patch.get("metadata") or {})
            if resource_version is not None:
                metadata["resourceVersion"] = resource_version
            if uid is not None:
                metadata["uid"] = uid
            patch = {**patch, "metadata": metadata}
        path = resource.path(namespace, name, subresource)
        return await self._patch(path, {"fieldManager": field_manager}, patch, _MERGE_PATCH)

    async def _patch(self, path: str, query: Mapping[str, str], body: Object, content_type: str) -> Object:
        try:
            return await self.request("PATCH", path, query=query, body=body, content_type=content_type)
        except Invalid as error:
            if (body.get("metadata") or {}).get("uid") and any(cause.field == "metadata.uid" for cause in error.causes):
                # a patch knows no uid precondition: the uid of another object reads as an edit of an immutable field (422)
                raise Conflict(str(error), status=error.status, reason=error.reason, causes=error.causes) from error
            raise

    async def get_scale(self, resource: Resource, name: str, namespace: str) -> Object | None:
        """The Scale of an object, or None. At 0 the API leaves `spec.replicas` out."""
        return await self._get(resource.path(namespace, name, "scale"))

    async def patch_scale(
        self, resource: Resource, name: str, namespace: str, replicas: int, *, field_manager: str, resource_version: str | None = None
    ) -> Object:
        """Write `spec.replicas` through the scale subresource. Raises Conflict when `resource_version` is not the object's."""
        patch: Object = {"spec": {"replicas": replicas}}
        return await self.patch(
            resource, name, namespace, patch, field_manager=field_manager, subresource="scale", resource_version=resource_version
        )

    async def delete(
        self,
        resource: Resource,
        name: str,
        namespace: str | None = None,
        *,
        uid: str | None = None,
        resource_version: str | None = None,
        propagation: str | None = None,
    ) -> bool:
        """Delete; False when it was not there. Raises Conflict when the object is not the one of `uid` and `resource_version`.

        `propagation`: Background | Foreground | Orphan, None for the kind's default. Deletion is only asked for.
        """
        preconditions = {key: value for key, value in (("uid", uid), ("resourceVersion", resource_version)) if value is not None}
        options: Object = {"apiVersion": "v1", "kind": "DeleteOptions"}
        if preconditions:
            options["preconditions"] = preconditions
        if propagation is not None:
            options["propagationPolicy"] = propagation
        try:
            await self.request("DELETE", resource.path(namespace, name), body=options)
        except NotFound:
            return False
        return True

    async def create_event(self, event: Object, *, field_manager: str) -> Object:
        """Write an Event object (core/v1); it must be in the namespace of what it is about."""
        return await self.create(EVENTS, event, field_manager=field_manager)

    # one request

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Object | None = None,
        content_type: str = "application/json",
        accept: str = "application/json",
        seconds: float = REQUEST_SECONDS,
    ) -> Object:
        """Any one JSON request; query values that are "" are left out. Raises ApiError or Unreachable."""
        timeout = aiohttp.ClientTimeout(total=seconds)
        response = await self._send(method, path, query=query, body=body, content_type=content_type, accept=accept, timeout=timeout)
        try:
            raw = await response.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unreachable(f"the Kubernetes API broke off while answering {method} {path}: {_words(error)}") from error
        return _json(raw)

    async def _get(self, path: str, *, accept: str = "application/json") -> Object | None:
        try:
            return await self.request("GET", path, accept=accept)
        except NotFound:
            return None

    async def _send(
        self,
        method: str,
        path: str,
        *,
        timeout: aiohttp.ClientTimeout,
        query: Mapping[str, str] | None = None,
        body: Object | None = None,
        content_type: str = "application/json",
        accept: str = "application/json",
    ) -> aiohttp.ClientResponse:
        configuration = self.connection.configuration
        headers = {"Accept": accept, "User-Agent": self._user_agent, "Content-Type": content_type}
        for setting in (await configuration.auth_settings()).values():
            headers["Authorization"] = str(setting["value"])
        url = configuration.host + path
        given = {key: value for key, value in (query or {}).items() if value}
        if given:
            url += "?" + urlencode(given)
        try:
            answer = await self._rest.request(method, url, headers=headers, body=body, _request_timeout=timeout)
            response: aiohttp.ClientResponse = answer.response
            if response.status < 400:
                return response
            raw = await response.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unreachable(f"the Kubernetes API at {configuration.host} does not answer {method} {path}: {_words(error)}") from error
        raise _api_error(response, raw, f"{method} {path}")


def _namespace(resource: Resource, obj: Object) -> str | None:
    if not resource.namespaced:
        return None
    return str(obj["metadata"]["namespace"])


def _words(error: BaseException) -> str:
    return str(error) or type(error).__name__


def _json(raw: bytes) -> Object:
    try:
        value = json.loads(raw)
    except ValueError as error:
        raise Unreachable("what answered is not a Kubernetes API: its body is not JSON") from error
    if not isinstance(value, dict):
        raise Unreachable("what answered is not a Kubernetes API: its body is not an object")
    return value


def _api_error(response: aiohttp.ClientResponse, raw: bytes, what: str) -> ApiError:
    body: dict[str, Any]
    try:
        parsed = json.loads(raw)
        body = parsed if isinstance(parsed, dict) else {}
    except ValueError:
        body = {}
    header = response.headers.get("Retry-After", "")
    fallback = f"{response.status} {response.reason or ''} for {what}"
    return error_from_status(response.status, body, fallback=fallback, retry_after=float(header) if header.isdigit() else None)


async def _events(response: aiohttp.ClientResponse) -> AsyncIterator[Object]:
    try:
        while line := await response.content.readline():
            event = _json(line)
            obj = event.get("object") or {}
            if event.get("type") == "ERROR":
                raise error_from_status(int(obj.get("code") or 500), obj, fallback="the watch ended with an error")
            yield event
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise Unreachable(f"the watch broke: {_words(error)}") from error
    except ValueError as error:  # aiohttp's word for a line beyond its buffer
        raise Unreachable(f"the watch sent a line that is too long: {_words(error)}") from error
