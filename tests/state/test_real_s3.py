"""The same against the S3 server of the cluster (versitygw); run by `make e2e`. MOLTBOT_TEST_S3 names another: endpoint,key,secret."""

from __future__ import annotations

import os
import secrets
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from moltbot_state.bucket import Bucket, Place
from moltbot_state.choice import HeadFound, NoSnapshot
from moltbot_state.errors import BucketCredentials, BucketMissing, Diverged, NotFound, PreconditionFailed
from moltbot_state.layout import StateDir
from moltbot_state.ownership import look
from moltbot_trust.redaction import Secret
from tests.state.assistant import ADA, begin, restore, said, say, snapshot, tree

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def server() -> tuple[str, str, str]:
    if named := os.environ.get("MOLTBOT_TEST_S3"):
        endpoint, key, secret = named.split(",")
        return endpoint, key, secret
    query = ["kubectl", "-n", "s3", "get", "service", "s3", "-o", "jsonpath={.spec.clusterIP}:{.spec.ports[0].port}"]
    address = subprocess.run(query, capture_output=True, text=True, check=True).stdout
    return f"http://{address}", "test", "testsecret"


@pytest.fixture
def place(server: tuple[str, str, str]) -> Iterator[Place]:
    import boto3

    endpoint, key, secret = server
    client: Any = boto3.session.Session(key, secret, region_name="us-east-1").client("s3", endpoint_url=endpoint)
    name = f"state-{secrets.token_hex(4)}"
    client.create_bucket(Bucket=name)
    yield Place(endpoint, "us-east-1", name, "team/ada/")
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=name):
        for item in page.get("Contents", ()):
            client.delete_object(Bucket=name, Key=item["Key"])
    client.delete_bucket(Bucket=name)


@pytest.fixture
def bucket(server: tuple[str, str, str], place: Place) -> Bucket:
    return Bucket(place, Secret(server[1]), Secret(server[2]))


def test_conditional_writes(bucket: Bucket) -> None:
    etag = bucket.put("x", b"one", if_absent=True)
    with pytest.raises(PreconditionFailed):
        bucket.put("x", b"two", if_absent=True)
    with pytest.raises(PreconditionFailed):
        bucket.put("x", b"two", if_match='"0123456789abcdef0123456789abcdef"')
    fresh = bucket.put("x", b"two", if_match=etag)
    assert bucket.get("x", 10) == (b"two", fresh)
    with pytest.raises(NotFound):
        bucket.get("y", 10)


def test_a_memory_comes_back(bucket: Bucket, state: StateDir) -> None:
    assert look(bucket, ADA, None)[0] == NoSnapshot()
    begin(state)
    for number in range(50):
        (state.workspace / f"file-{number}").write_bytes(os.urandom(number * 100))
    assert snapshot(state, bucket).created and not snapshot(state, bucket).created
    say(state, "more")
    assert snapshot(state, bucket).known.last.sequence == 2
    assert isinstance(look(bucket, ADA, None)[0], HeadFound)
    back = StateDir(state.root.with_name("back"))
    restore(back, bucket)
    assert said(back) == ["hello", "more"] and tree(back.workspace) == tree(state.workspace)


def test_the_second_writer_commits_nothing(bucket: Bucket, state: StateDir) -> None:
    begin(state)
    snapshot(state, bucket)
    other = StateDir(state.root.with_name("other"))
    restore(other, bucket)
    say(state, "first")
    snapshot(state, bucket)
    say(other, "second")
    with pytest.raises(Diverged):
        snapshot(other, bucket)


def test_troubles_are_told_apart(server: tuple[str, str, str], place: Place) -> None:
    endpoint, key, secret = server
    with pytest.raises(BucketMissing):
        Bucket(Place(endpoint, "us-east-1", "no-such-bucket", "x/"), Secret(key), Secret(secret)).get("HEAD", 10)
    with pytest.raises(BucketCredentials):
        Bucket(place, Secret(key), Secret("wrong")).get("HEAD", 10)
    with pytest.raises(BucketCredentials):
        Bucket(place, Secret("nobody"), Secret(secret)).get("HEAD", 10)


def test_a_large_file_in_parts(bucket: Bucket, state: StateDir) -> None:
    begin(state)
    content = os.urandom(3_500_000)
    (state.workspace / "large").write_bytes(content)
    snapshot(state, bucket)
    back = StateDir(Path(f"{state.root}-back"))
    restore(back, bucket)
    assert (back.workspace / "large").read_bytes() == content
