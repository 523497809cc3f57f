"""The one Kubernetes adapter: plain dicts in and out, a small closed set of kinds, errors of our own.

Only this package imports the official client (its asyncio side, the low-level part: no generated models are loaded).
"""

from moltbot_kube.cache import Cache, Changed
from moltbot_kube.client import Kube, Listing
from moltbot_kube.connection import Connection, connect
from moltbot_kube.errors import (
    AlreadyExists,
    ApiError,
    BadRequest,
    Cause,
    Conflict,
    ConnectionSettingsError,
    Forbidden,
    Gone,
    Invalid,
    KubeError,
    NotFound,
    ServerError,
    Unauthorized,
    Unreachable,
)
from moltbot_kube.resources import Object, Resource
from moltbot_kube.watching import Change, Patience, Scope, WatchEvent, watch

__all__ = [
    "AlreadyExists",
    "ApiError",
    "BadRequest",
    "Cache",
    "Cause",
    "Change",
    "Changed",
    "Conflict",
    "Connection",
    "ConnectionSettingsError",
    "Forbidden",
    "Gone",
    "Invalid",
    "Kube",
    "KubeError",
    "Listing",
    "NotFound",
    "Object",
    "Patience",
    "Resource",
    "Scope",
    "ServerError",
    "Unauthorized",
    "Unreachable",
    "WatchEvent",
    "connect",
    "watch",
]
