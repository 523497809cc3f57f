"""The S3 server inside the cluster, in namespace `s3`: `.ci/e2e` puts it there."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import dataclass, field
from typing import Any

import boto3
from botocore.config import Config

from tests.e2e.cluster import DEMO, Place

ENDPOINT = "http://s3.s3.svc.cluster.local:7070"
KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "testsecret"}
EGRESS = {"namespace": "s3", "podLabels": {"app": "s3"}, "ports": [{"port": 7070}]}


@dataclass
class Buckets:
    """`port`: where the server is reached from here."""

    port: int
    made: list[str] = field(default_factory=list)

    def _client(self) -> Any:
        session = boto3.session.Session(aws_access_key_id="test", aws_secret_access_key="testsecret")
        config = Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 5})
        return session.client("s3", endpoint_url=f"http://127.0.0.1:{self.port}", region_name="us-east-1", config=config)

    async def make(self, name: str = "") -> str:
        name = name or f"e2e-{uuid.uuid4().hex[:8]}"
        await asyncio.to_thread(lambda: self._client().create_bucket(Bucket=name))
        self.made.append(name)
        return name

    async def objects(self, name: str) -> dict[str, str]:
        """Key → ETag of everything in it."""

        def listed() -> dict[str, str]:
            pages = self._client().get_paginator("list_objects_v2").paginate(Bucket=name)
            return {one["Key"]: one["ETag"] for page in pages for one in page.get("Contents", ())}

        return await asyncio.to_thread(listed)

    async def remove(self) -> None:
        def emptied(name: str) -> None:
            client = self._client()
            for page in client.get_paginator("list_objects_v2").paginate(Bucket=name):
                for one in page.get("Contents", ()):
                    client.delete_object(Bucket=name, Key=one["Key"])
            client.delete_bucket(Bucket=name)

        for name in self.made:
            await asyncio.to_thread(emptied, name)


def ephemeral(bucket: str, **more: Any) -> dict[str, Any]:
    """A demo Moltbot whose memory lives in that bucket alone."""
    place = {"s3": {"endpoint": ENDPOINT}, "name": bucket, "credentials": {"secretName": "bucket"}}
    return {**DEMO, "persistence": {"ephemeral": True, "bucket": place}, "gateway": {"egress": [EGRESS]}, **more}


async def give_keys(place: Place, **changed: str) -> None:
    await place.secret("bucket", {**KEYS, **changed})
