"""A real S3-protocol server for tests (moto's, from PyPI) behind a strict front: signatures are checked, conditional writes are one step,
and faults can be put in its way.

    with S3Server() as server:           # port 0, bucket `assistants`
        server.place("ada/"), server.keys

    python -m tests.fakes.s3 --port 7070 --bucket assistants      # by hand, and for examples
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import hmac
import logging
import re
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self
from urllib.parse import unquote

from moltbot_state.bucket import Bucket, BucketKind, Place
from moltbot_trust.redaction import Secret

ACCESS_KEY, SECRET_KEY, REGION, BUCKET = "test", "testsecret", "us-east-1", "assistants"
_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/s3/aws4_request, ?SignedHeaders=([^,]+), ?Signature=([0-9a-f]{64})"
)


@dataclass(frozen=True)
class Asked:
    """One request, as faults see it: `key` is beneath the bucket."""

    method: str
    key: str


@dataclass(frozen=True)
class Answer:
    """What a fault answers instead: an S3 error, or any body."""

    status: int
    code: str = ""
    body: bytes | None = None


Fault = Callable[[Asked], Answer | None]


class S3Server:
    """Start with `with`. `fault`: looked at before every request. `conditions` False: If-Match and If-None-Match are ignored, as by
    services that do not know them. `requests`: all that was asked."""

    def __init__(self, port: int = 0, host: str = "127.0.0.1", bucket: str = BUCKET, secret: str = SECRET_KEY) -> None:
        from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
        from werkzeug.serving import make_server

        # A line a request on a terminal is noise; `requests` has them.
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        self._app = DomainDispatcherApplication(create_backend_app)
        self._server = make_server(host, port, self._serve, threaded=True)
        self._secret, self.bucket, self._one_writer = secret, bucket, threading.Lock()
        self._buckets: dict[str, Bucket] = {}
        self._client: Any = None
        self.fault: Fault | None = None
        self.conditions = True
        self.requests: list[Asked] = []
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, name="s3", daemon=True)

    @property
    def endpoint(self) -> str:
        return f"http://{self._server.host}:{self._server.server_port}"

    def place(self, prefix: str, bucket: str | None = None) -> Place:
        return Place(self.endpoint, REGION, bucket or self.bucket, prefix, BucketKind.S3)

    def open(self, prefix: str) -> Bucket:
        """Our own adapter on it; one a prefix, for making a client is slow."""
        if prefix not in self._buckets:
            self._buckets[prefix] = Bucket(self.place(prefix), Secret(ACCESS_KEY), Secret(self._secret))
        return self._buckets[prefix]

    def client(self) -> Any:
        """A plain boto3 client, for looking and for damage."""
        import boto3

        if self._client is None:
            self._client = boto3.session.Session(ACCESS_KEY, self._secret, region_name=REGION).client("s3", endpoint_url=self.endpoint)
        return self._client

    def objects(self, prefix: str) -> dict[str, bytes]:
        """Everything beneath a prefix, by key beneath it."""
        client = self.client()
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix)
        keys = [item["Key"] for page in pages for item in page.get("Contents", ())]
        return {key.removeprefix(prefix): client.get_object(Bucket=self.bucket, Key=key)["Body"].read() for key in keys}

    @contextlib.contextmanager
    def faulty(self, fault: Fault) -> Iterator[None]:
        before, self.fault = self.fault, fault
        try:
            yield
        finally:
            self.fault = before

    def __enter__(self) -> Self:
        self._thread.start()
        if self.bucket:
            self.client().create_bucket(Bucket=self.bucket)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)

    def _serve(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        raw = str(environ.get("RAW_URI") or environ.get("REQUEST_URI"))
        path = unquote(raw.partition("?")[0])
        asked = Asked(environ["REQUEST_METHOD"], path.lstrip("/").partition("/")[2])
        length = int(environ.get("CONTENT_LENGTH") or 0)
        body = environ["wsgi.input"].read(length) if length else b""
        problem = self._check(environ, raw, body)
        if problem is not None:
            return _answer(start, problem)
        self.requests.append(asked)
        answer = self.fault(asked) if self.fault else None
        if answer is not None:
            return _answer(start, answer)
        if not self.conditions:
            environ.pop("HTTP_IF_MATCH", None)
            environ.pop("HTTP_IF_NONE_MATCH", None)
        import io

        environ["wsgi.input"] = io.BytesIO(body)
        with self._one_writer if asked.method != "GET" else contextlib.nullcontext():
            return list(self._app(environ, start))

    def _check(self, environ: dict[str, Any], raw: str, body: bytes) -> Answer | None:
        """Signature version 4, by botocore's own canonical form."""
        from botocore.auth import S3SigV4Auth
        from botocore.awsrequest import AWSRequest
        from botocore.credentials import Credentials

        match = _AUTHORIZATION.fullmatch(environ.get("HTTP_AUTHORIZATION", ""))
        if match is None:
            return Answer(403, "AccessDenied")
        access_key, _, region, signed, signature = match.groups()
        if access_key != ACCESS_KEY:
            return Answer(403, "InvalidAccessKeyId")
        names = {"content-type": "CONTENT_TYPE", "content-length": "CONTENT_LENGTH"}
        headers = {name: environ.get(names.get(name, "HTTP_" + name.upper().replace("-", "_")), "") for name in signed.split(";")}
        host = headers.get("host") or environ.get("HTTP_HOST", "")
        request = AWSRequest(method=environ["REQUEST_METHOD"], url=f"http://{host}{raw}", headers=headers)
        request.context["timestamp"] = headers.get("x-amz-date", "")
        auth = S3SigV4Auth(Credentials(access_key, self._secret), "s3", region)
        expected = auth.signature(auth.string_to_sign(request, auth.canonical_request(request)), request)
        if not hmac.compare_digest(expected, signature):
            return Answer(403, "SignatureDoesNotMatch")
        payload = headers.get("x-amz-content-sha256", "")
        if payload != "UNSIGNED-PAYLOAD" and payload != hashlib.sha256(body).hexdigest():
            return Answer(400, "XAmzContentSHA256Mismatch")
        return None


def _answer(start: Callable[..., Any], answer: Answer) -> Iterable[bytes]:
    body = answer.body
    if body is None:
        body = f'<?xml version="1.0"?><Error><Code>{answer.code}</Code><Message>as the test wants</Message></Error>'.encode()
    start(f"{answer.status} X", [("Content-Type", "application/xml"), ("Content-Length", str(len(body))), ("ETag", '"fault"')])
    return [body]


def main() -> None:
    parser = argparse.ArgumentParser(description="An S3 server in memory, for tests and examples.")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--bucket", default=BUCKET)
    arguments = parser.parse_args()
    with S3Server(arguments.port, arguments.host, arguments.bucket) as server:
        print(f"{server.endpoint} bucket={arguments.bucket} region={REGION} access_key={ACCESS_KEY} secret_key={SECRET_KEY}", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()


if __name__ == "__main__":
    main()
