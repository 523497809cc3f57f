"""Which of its answers an HTTP request gets: the paths that are the router's, and the table of credentials (architecture, the three
locks). Pure."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, auto

from moltbot_router.locks.credentials import Kind
from moltbot_router.path.readiness import Readiness

SAFE = frozenset({"GET", "HEAD"})


class Target(Enum):
    """Whose path it is."""

    HEALTH = auto()
    ASSET = auto()
    ADMIN = auto()
    LOGIN = auto()
    PAGE = auto()
    STATUS = auto()
    EVENTS = auto()
    SOCKET = auto()
    POD = auto()


class Answer(Enum):
    """What is done with a request that passed lock 2."""

    CLEAN_REDIRECT = auto()  # set the cookie, drop the token from the URL
    PAGE = auto()
    STATUS = auto()
    EVENTS = auto()
    WAITING_PAGE = auto()
    PROXY = auto()
    PAIRING_REQUIRED = auto()  # 403: the gateway token opens no pod
    FORBIDDEN_PAGE = auto()  # 403: the cookie opens no pod
    WRONG_METHOD = auto()


def classify(path: str, *, upgrade: bool) -> Target:
    """`path` without its query, as it came. Only exact forms are the router's: anything else is the pod's, behind every lock that has."""
    if path == "/healthz":
        return Target.HEALTH
    if path.startswith("/assets/") or path == "/favicon.ico":  # browsers ask for the latter by themselves: no reason to wake anybody
        return Target.ASSET
    if path == "/_admin" or path.startswith("/_admin/"):
        return Target.ADMIN
    if upgrade:
        return Target.SOCKET
    return {"/": Target.PAGE, "/api/login": Target.LOGIN, "/api/status": Target.STATUS, "/api/events": Target.EVENTS}.get(path, Target.POD)


def is_navigation(method: str, headers: Mapping[str, str]) -> bool:
    """A person opens a page: browsers say so themselves, older ones by what they accept. Prefetching is nobody's presence."""
    if method != "GET" or "prefetch" in headers.get("Sec-Purpose", headers.get("Purpose", "")):
        return False
    mode = headers.get("Sec-Fetch-Mode")
    if mode is not None:
        return mode == "navigate" and headers.get("Sec-Fetch-Dest", "document") == "document"
    return "text/html" in headers.get("Accept", "")


def wants_html(method: str, headers: Mapping[str, str]) -> bool:
    """Whether an error is read by a person."""
    return is_navigation(method, headers) or "text/html" in headers.get("Accept", "")


def decide_http(
    target: Target, *, method: str, kind: Kind, from_query: bool, http_mode: str, navigation: bool, readiness: Readiness
) -> Answer:
    """The table of credentials. `http_mode`: the Moltbot's `gateway.http`."""
    if kind is Kind.TOKEN and from_query and method in SAFE:
        return Answer.CLEAN_REDIRECT
    match target:
        case Target.PAGE | Target.STATUS | Target.EVENTS:
            if method not in SAFE:
                return Answer.WRONG_METHOD
            return {Target.PAGE: Answer.PAGE, Target.STATUS: Answer.STATUS, Target.EVENTS: Answer.EVENTS}[target]
        case _:
            pass
    match kind:
        case Kind.DEVICE:
            pass
        case Kind.TOKEN:
            if http_mode != "token":
                return Answer.PAIRING_REQUIRED
        case Kind.COOKIE:
            # Another site can make a browser send the cookie: it only ever reads, and only where the person wanted that.
            if http_mode != "token" or method not in SAFE:
                return Answer.FORBIDDEN_PAGE
    if navigation and readiness is not Readiness.AWAKE:
        return Answer.WAITING_PAGE
    return Answer.PROXY


def safe_next(path: str) -> str:
    """A path of this host to go on to after the login; `/` for anything that could lead elsewhere."""
    plain = path.startswith("/") and not path.startswith(("//", "/\\")) and "\\" not in path and path.isprintable() and " " not in path
    return path if plain and not path.startswith(("/api/", "/_admin")) else "/"
