"""The one S3 adapter: get, put with conditions, list. boto3 is imported when a client is made, and only short-lived workers make one.

Works with anything that speaks S3, and with R2 as its object tokens allow: no call about the bucket itself is ever made. Threads may share
a Bucket. Nothing of boto3 leaves this module: its exceptions become those of errors.py, with words that say how to mend it.
"""

from __future__ import annotations

import hashlib
import ipaddress
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit

from moltbot_state.errors import (
    BucketCredentials,
    BucketError,
    BucketMissing,
    BucketRefused,
    BucketUnreachable,
    NoConditionalWrites,
    NotFound,
    PreconditionFailed,
)
from moltbot_trust.redaction import Secret

# A cold connection to another continent takes under a second; one that a NetworkPolicy drops never comes.
CONNECT_TIMEOUT_SECONDS = 3
READ_TIMEOUT_SECONDS = 30
ATTEMPTS = 3
# Small files are one request each, so a restore is as fast as requests overlap; more threads than this only wait for the interpreter.
WORKERS = 12
# A body that breaks off midway is not retried by boto3.
BODY_ATTEMPTS = 3

_MISSING_KEY = frozenset({"NoSuchKey", "404", "NotFound"})
_BAD_KEYS = frozenset(
    {
        "InvalidAccessKeyId",
        "SignatureDoesNotMatch",
        "Unauthorized",
        "InvalidToken",
        "ExpiredToken",
        "InvalidSecurity",
        "XAdminUserNotFound",  # versitygw
    }
)
_OTHER_REGION = frozenset({"PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException"})
_PASSING = frozenset({"SlowDown", "ServiceUnavailable", "InternalError", "RequestTimeout", "Busy", "ReducedRateLimit"})


class BucketKind(StrEnum):
    """What the messages call it."""

    R2 = "r2"
    S3 = "s3"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a Moltbot's objects are. `endpoint` empty: AWS by region. `prefix` ends in `/`, or is empty."""

    endpoint: str
    region: str
    name: str
    prefix: str
    kind: BucketKind = BucketKind.S3

    @property
    def fingerprint(self) -> str:
        """Tells one place from another; without credentials, which may change."""
        return hashlib.sha256("\0".join((self.endpoint, self.name, self.prefix)).encode()).hexdigest()[:32]

    @property
    def host(self) -> str:
        """`host:port` of the endpoint, for messages."""
        return urlsplit(self.endpoint).netloc.rpartition("@")[2] or "AWS"


@dataclass(frozen=True, slots=True)
class Listed:
    """One object of a listing: key beneath the prefix, length in bytes."""

    key: str
    size: int


class Bucket:
    """Objects beneath one prefix of one bucket. Every method may raise BucketError."""

    def __init__(self, place: Place, access_key: Secret, secret_key: Secret) -> None:
        self.place = place
        try:
            self._client = _make_client(place, access_key, secret_key)
        except ValueError as error:
            raise BucketRefused(f"{place.endpoint!r} is no endpoint: write spec.persistence.bucket's endpoint as https://host") from error

    def get(self, key: str, limit: int) -> tuple[bytes, str]:
        """Content and ETag. At most `limit` + 1 bytes are read, so that a longer one is told by its length. Raises NotFound."""
        answered = False

        def read() -> tuple[bytes, str]:
            nonlocal answered
            answer = self._client.get_object(Bucket=self.place.name, Key=self.place.prefix + key)
            answered = True
            with answer["Body"] as body:
                content = body.read(limit + 1)
                if answer["ContentLength"] <= limit and len(content) != answer["ContentLength"]:
                    raise ConnectionError("the answer ended early")
            return content, str(answer["ETag"])

        for attempt in range(1, BODY_ATTEMPTS + 1):
            answered = False
            try:
                content, etag = self._call("read", key, read)
                return content, etag
            except BucketUnreachable:
                if attempt == BODY_ATTEMPTS or not answered:  # boto3 has asked often enough for an answer at all
                    raise
        raise AssertionError("not reached")

    def put(self, key: str, content: bytes, *, if_absent: bool = False, if_match: str | None = None) -> str:
        """Write an object; its ETag. Raises PreconditionFailed, also when a first try that was not heard of had succeeded: read and see."""
        condition: dict[str, str] = {"IfNoneMatch": "*"} if if_absent else {"IfMatch": if_match} if if_match is not None else {}

        def write() -> str:
            answer = self._client.put_object(Bucket=self.place.name, Key=self.place.prefix + key, Body=content, **condition)
            return str(answer["ETag"])

        return str(self._call("write", key, write))

    def list(self, prefix: str) -> Iterator[Listed]:
        """Every object beneath `prefix`, in order of keys."""
        token: str | None = None
        while True:
            arguments = {} if token is None else {"ContinuationToken": token}
            page = self._call("list", prefix, lambda arguments=arguments: self._list_page(prefix, arguments))  # type: ignore[misc]
            for item in page.get("Contents", ()):
                yield Listed(str(item["Key"]).removeprefix(self.place.prefix), int(item["Size"]))
            token = page.get("NextContinuationToken")
            if not page.get("IsTruncated") or not token:
                return

    def _list_page(self, prefix: str, arguments: dict[str, str]) -> Any:
        return self._client.list_objects_v2(Bucket=self.place.name, Prefix=self.place.prefix + prefix, **arguments)

    def _call(self, verb: str, key: str, action: Callable[[], Any]) -> Any:
        from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError, ParamValidationError

        try:
            return action()
        except ClientError as error:
            raise self._convert(verb, key, error.response) from error
        except ParamValidationError as error:
            raise BucketRefused(f"{self.place.name!r} cannot be the name of a bucket: mend spec.persistence.bucket") from error
        except (BotoCoreError, HTTPClientError, OSError) as error:
            raise BucketUnreachable(explain_unreachable(self.place, error)) from error

    def _convert(self, verb: str, key: str, response: Any) -> Exception:
        code = str(response.get("Error", {}).get("Code", ""))
        status = int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        where = f"bucket {self.place.name} at {self.place.host}"
        if code == "NoSuchBucket":
            return BucketMissing(f"There is no {where}. {_how_to_make(self.place)} It is asked again.")
        if code == "PreconditionFailed" or status == 412 or code == "ConditionalRequestConflict":
            return PreconditionFailed(key)
        if code in _MISSING_KEY:
            return NotFound(key)
        if code in _BAD_KEYS or status == 401:
            return BucketCredentials(
                f"The {where} does not accept the access key ({code or status}). Put the right "
                f"{_key_names(self.place)} into the Secret that the Moltbot names."
            )
        if code == "RequestTimeTooSkewed":
            return BucketUnreachable(f"The {where} says that the clock of this node is wrong. Set the node's clock.")
        if code in ("AccessDenied", "Forbidden", "AllAccessDisabled") or status == 403:
            return BucketCredentials(
                f"The access key may not {verb} beneath {self.place.prefix} of {where} ({code or status}). It needs to read, write and "
                "list objects there."
                + (" For R2 that is a token with Object Read & Write for this bucket." if self.place.kind is BucketKind.R2 else "")
            )
        if code == "NotImplemented" or status == 501:
            return NoConditionalWrites(
                f"The {where} does not know a header that we need (If-Match or If-None-Match). Use an S3 service that has conditional "
                "writes: R2, AWS S3, MinIO, Garage, versitygw."
            )
        if code in _PASSING or status >= 500:
            return BucketUnreachable(f"The {where} is in trouble ({code or status}); it is asked again.")
        if status in (301, 307) or code in _OTHER_REGION:
            return BucketRefused(f"The {where} is in another region. Set spec.persistence.bucket's region to the bucket's own.")
        return BucketRefused(f"The {where} refused to {verb} ({code or status}).")


def _make_client(place: Place, access_key: Secret, secret_key: Secret) -> Any:
    import boto3
    from botocore.config import Config

    session = boto3.session.Session(aws_access_key_id=access_key.reveal(), aws_secret_access_key=secret_key.reveal())
    client = session.client(
        "s3",
        endpoint_url=place.endpoint or None,
        region_name=place.region or "auto",
        config=Config(
            connect_timeout=CONNECT_TIMEOUT_SECONDS,
            read_timeout=READ_TIMEOUT_SECONDS,
            retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
            max_pool_connections=WORKERS,
            s3={"addressing_style": "path"},
            signature_version="s3v4",
            # R2 and many others know no trailing checksums; our own hashes are read back anyway.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            user_agent_appid="moltbot-operator",
        ),
    )
    # On a wrong region botocore asks for the bucket's own by HeadBucket, which an R2 object token may not do, and follows it to another
    # host. It leaves alone what says that it was redirected already.
    client.meta.events.register_last("before-parameter-build.s3", _follow_no_redirect)
    return client


def _follow_no_redirect(context: dict[str, Any], **_: object) -> None:
    context.setdefault("s3_redirect", {})["redirected"] = True


def explain_unreachable(place: Place, error: Exception) -> str:
    """What a person is told. Names the entry of `gateway.egress` when the address is private, for that is what refuses it by default."""
    what = {
        "ConnectTimeoutError": "no connection in time",
        "ReadTimeoutError": "no answer in time",
        "SSLError": "its certificate is not trusted",
    }
    text = f"Cannot reach the bucket's endpoint {place.host}: {what.get(type(error).__name__, 'no connection')}."
    parts = urlsplit(place.endpoint)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    if not host:
        return text
    if type(error).__name__ == "SSLError":
        return f"{text} Give the endpoint a certificate that the image's authorities know, or use http inside the cluster."
    try:
        addresses = {str(item[4][0]) for item in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)}
    except OSError:
        return f"{text} The name {host} does not resolve: check spec.persistence.bucket's endpoint and the cluster's DNS."
    private = sorted(address for address in addresses if not ipaddress.ip_address(address.partition("%")[0]).is_global)
    if not private:
        return f"{text} Check spec.persistence.bucket's endpoint, and whether the cluster lets pods reach the internet."
    ports = f"ports: [{{port: {port}}}]"
    labels = host.split(".")
    if len(labels) >= 3 and labels[2] == "svc":
        entry = f"{{namespace: {labels[1]}, podLabels: {{… the labels of the pods behind Service {labels[0]} …}}, {ports}}}"
        return (
            f"{text} It is inside the cluster, which a Moltbot reaches only when allowed (the port is that of the pods). "
            f"Add to spec.gateway.egress: {entry}"
        )
    bits = "/128" if ":" in private[0] else "/32"
    entry = f"{{cidr: {private[0]}{bits}, {ports}}}"
    return f"{text} It is a private address, which a Moltbot reaches only when allowed. Add to spec.gateway.egress: {entry}"


def _how_to_make(place: Place) -> str:
    if place.kind is BucketKind.R2:
        return f"Make it: npx wrangler r2 bucket create {place.name}"
    endpoint = f" --endpoint-url {place.endpoint}" if place.endpoint else ""
    return f"Make it: aws s3api create-bucket --bucket {place.name}{endpoint}"


def _key_names(place: Place) -> str:
    return "R2_ACCESS_KEY_ID and R2_SECRET_ACCESS_KEY" if place.kind is BucketKind.R2 else "access key id and secret access key"


__all__ = ["Bucket", "BucketError", "BucketKind", "Listed", "Place", "explain_unreachable"]
