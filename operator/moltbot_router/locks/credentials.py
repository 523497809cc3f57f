"""What a request shows for lock 2: token, device token or cookie, and where it stood. Reading only; whether it counts is `gateway_token`
and `devices`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import parse_qsl, urlencode

from moltbot_router.locks.device_tokens import PREFIX as DEVICE_PREFIX

TOKEN_PARAMETER = "token"  # noqa: S105 - a name
SECURE_COOKIE, PLAIN_COOKIE = "__Host-moltbot", "moltbot"
ADMIN_COOKIE = "moltbot-admin"
OWN_COOKIES = frozenset({SECURE_COOKIE, PLAIN_COOKIE, ADMIN_COOKIE})
# Identity proxies' cookies that a pod has no business with.
ACCESS_COOKIES = frozenset({"CF_Authorization", "CF_AppSession"})


class Kind(StrEnum):
    """How lock 2 was passed."""

    TOKEN = "token"  # noqa: S105 - a name
    COOKIE = "cookie"
    DEVICE = "device"


@dataclass(frozen=True, slots=True)
class Presented:
    """Everything that a request shows; any of it may be wrong."""

    query: str = field(default="", repr=False)
    bearer: str = field(default="", repr=False)
    cookie: str = field(default="", repr=False)

    @property
    def any(self) -> bool:
        """Whether something was shown at all: nothing shown is no wrong guess."""
        return bool(self.query or self.bearer or self.cookie)

    @property
    def guess(self) -> bool:
        """Whether a token was shown that could be a guess: a stale cookie is none."""
        return bool(self.query or self.bearer)


def read_presented(raw_query: str, authorization: str, cookies: Mapping[str, str], *, secure: bool) -> Presented:
    """`secure`: the request came over https, so that only the cookie that an https page could set counts."""
    query = next((value for name, value in parse_qsl(raw_query, keep_blank_values=True) if name == TOKEN_PARAMETER), "")
    scheme, _, value = authorization.partition(" ")
    bearer = value.strip() if scheme.lower() == "bearer" else ""
    cookie = cookies.get(SECURE_COOKIE, "") or ("" if secure else cookies.get(PLAIN_COOKIE, ""))
    return Presented(query, bearer, cookie)


def is_device_token(text: str) -> bool:
    """By its form alone."""
    return text.startswith(DEVICE_PREFIX)


def without_token(raw_query: str) -> str:
    """The query without `token`, for the redirect and for what goes on to the pod."""
    pairs = parse_qsl(raw_query, keep_blank_values=True)
    kept = [(name, value) for name, value in pairs if name != TOKEN_PARAMETER]
    return raw_query if len(kept) == len(pairs) else urlencode(kept)


def without_own_cookies(header: str) -> str:
    """A Cookie header without the router's and the identity proxy's cookies."""
    parts = [part.strip() for part in header.split(";")]
    kept = [part for part in parts if part and part.partition("=")[0].strip() not in OWN_COOKIES | ACCESS_COOKIES]
    return "; ".join(kept)
