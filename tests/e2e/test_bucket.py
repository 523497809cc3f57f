"""Memory in a bucket inside the cluster: restored at wake, backed up on demand and by schedule; and every way in which it cannot be."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from playwright.async_api import expect

from moltbot_kube.resources import CRON_JOBS, JOBS, MOLTBOT_SNAPSHOTS, MOLTBOTS, SECRETS, STATEFUL_SETS
from tests.e2e.bucket import EGRESS, Buckets, ephemeral, give_keys
from tests.e2e.cluster import DEMO, Place, condition_of, until
from tests.e2e.people import Visitor, administration

Visit = Callable[..., Awaitable[Visitor]]


async def column(place: Place, name: str, title: str) -> str:
    """What `kubectl get moltbots` shows under that heading."""
    head, *rows = (await place.kubectl("get", "moltbots")).splitlines()
    row = next(one for one in rows if one.split()[0] == name)
    begin = head.index(title)
    return row[begin:].split("  ")[0].strip()


async def restarts(place: Place, name: str) -> int:
    status = ((await place.pod(name)) or {}).get("status", {})
    both = (*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ()))
    return sum(one["restartCount"] for one in both)


async def test_ephemeral_memory_comes_back_from_the_bucket(place: Place, buckets: Buckets, visit: Visit) -> None:
    """Rules 5 and 8; **Backup now**, its MoltbotSnapshot and the backup CronJob on the way."""
    bucket = await buckets.make()
    await give_keys(place)
    await place.moltbot("ada", ephemeral(bucket))
    ada = await visit(place)
    await ada.enter()
    await ada.ask("remember the blue door", "I will remember: the blue door")

    async with administration(ada.doors, place, "ada") as admin:
        await admin.get_by_role("button", name="Backup now").click()
        await expect(admin.get_by_role("group", name="Snapshots").get_by_role("row")).to_have_count(2)

        async def complete() -> Any:
            found = (await place.person.list(MOLTBOT_SNAPSHOTS, place.namespace)).items
            return [one["status"] for one in found if (one.get("status") or {}).get("phase") == "Complete"]

        (snapshot,) = await until("a MoltbotSnapshot is Complete", complete)
        assert snapshot["verified"] is True
        assert f"{place.namespace}/ada/snapshots/{snapshot['bucketId']}.json" in await buckets.objects(bucket)
        await expect(admin.get_by_test_id("last-backup")).not_to_contain_text("Never")
    assert (await place.condition("ada", "BackupReady", "BackedUp"))["status"] == "True"
    assert (await column(place, "ada", "LAST BACKUP")).endswith("s")

    await ada.ask("remember the red roof", "I will remember: the red roof")
    assert not (await place.get(CRON_JOBS, "ada-backup") or {})["spec"].get("suspend")
    await place.kubectl("create", "job", "--from=cronjob/ada-backup", "now")
    await place.until(JOBS, "now", lambda found: ((found or {}).get("status") or {}).get("succeeded") == 1)

    await ada.ask("remember the green gate", "I will remember: the green gate")
    await place.patch("ada", {"sleepAfter": "10s"})
    await place.phase("ada", "Asleep")
    assert await place.pod("ada") is None
    await place.until(CRON_JOBS, "ada-backup", lambda found: (found or {})["spec"].get("suspend") is True)
    await ada.ask("what did I say?", "the green gate")
    await expect(ada.log.get_by_text("I will remember: the blue door")).to_be_visible()
    wake = ((await place.phase("ada", "Awake"))["status"])["lastWake"]
    assert wake["seconds"] < 30
    assert wake["breakdown"]["restored"] > 0


async def no_entry(place: Place, buckets: Buckets) -> dict[str, Any]:
    await give_keys(place)
    return ephemeral(await buckets.make(), gateway={})


async def no_bucket(place: Place, buckets: Buckets) -> dict[str, Any]:
    await give_keys(place)
    return ephemeral(f"missing-{place.namespace}")


async def wrong_keys(place: Place, buckets: Buckets) -> dict[str, Any]:
    await give_keys(place, AWS_SECRET_ACCESS_KEY="wrong")
    return ephemeral(await buckets.make())


async def add_entry(place: Place, buckets: Buckets) -> None:
    await place.patch("ada", {"gateway": {"egress": [EGRESS]}})


async def make_bucket(place: Place, buckets: Buckets) -> None:
    await buckets.make(f"missing-{place.namespace}")


async def right_keys(place: Place, buckets: Buckets) -> None:
    await give_keys(place)
    await place.ask("ada", "refresh")


@pytest.mark.parametrize(
    ("broken", "reason", "words", "mended"),
    [
        pytest.param(
            no_entry, "BucketUnreachable", ("spec.gateway.egress", "namespace: s3", "port: 7070"), add_entry, id="no-egress-entry"
        ),
        pytest.param(no_bucket, "BucketMissing", ("aws s3api create-bucket",), make_bucket, id="missing-bucket"),
        pytest.param(wrong_keys, "BucketCredentials", ("Secret",), right_keys, id="wrong-credentials"),
    ],
)
async def test_bucket_that_cannot_be_used_is_told_and_waited_for(
    place: Place, buckets: Buckets, broken: Any, reason: str, words: tuple[str, ...], mended: Any
) -> None:
    """Rule 8: it starts with nothing rather than with less than there may be; what the message says mends it, without a restart."""
    await place.moltbot("ada", await broken(place, buckets))
    condition = await place.condition("ada", "BackupReady", reason)
    assert condition["status"] == "False"
    assert [word for word in words if word not in condition["message"]] == [], condition["message"]
    assert condition_of(await place.get(MOLTBOTS, "ada"), "Ready")["status"] == "False"
    assert await place.condition("ada", "Ready", "StateWaiting")
    event = await place.event("ada", reason)
    assert event["type"] == "Warning"
    assert event["message"]
    assert await restarts(place, "ada") == 0
    await mended(place, buckets)
    await place.phase("ada", "Awake")
    assert (await place.get(MOLTBOTS, "ada") or {})["status"]["conditions"]


async def test_two_of_three_r2_keys_start_nothing_and_name_the_third(place: Place) -> None:
    await place.secret("ada", {"R2_ACCESS_KEY_ID": "id", "R2_SECRET_ACCESS_KEY": "key"})
    await place.moltbot("ada", {**DEMO, "secretsFrom": [{"name": "ada"}]})
    condition = await place.condition("ada", "SecretsReady", "GroupIncomplete")
    assert "CF_ACCOUNT_ID is missing" in condition["message"]
    assert (await place.event("ada", "GroupIncomplete"))["type"] == "Warning"
    await place.condition("ada", "Ready", "SecretsNotReady")
    assert await place.get(STATEFUL_SETS, "ada-gateway") is None


async def test_memory_that_cannot_be_kept_keeps_it_awake(place: Place, buckets: Buckets, visit: Visit) -> None:
    """Rule 5c: with credentials that went bad it says so and does not sleep; with good ones it sleeps, and nothing is lost."""
    bucket = await buckets.make()
    await give_keys(place)
    await place.moltbot("ada", ephemeral(bucket))
    ada = await visit(place)
    await ada.enter()
    await ada.ask("remember the blue door", "I will remember: the blue door")
    await give_keys(place, AWS_SECRET_ACCESS_KEY="wrong")
    await place.ask("ada", "refresh")
    await place.until(SECRETS, "ada-bucket", lambda found: (found or {})["data"]["MOLTBOT_BUCKET_SECRET_ACCESS_KEY"] == "d3Jvbmc=")
    await place.patch("ada", {"sleepAfter": "10s"})
    stays = await place.condition("ada", "Sleeping", "BackupFailed")
    assert stays["status"] == "False"
    assert await place.pod("ada") is not None
    await place.condition("ada", "BackupReady", "BucketCredentials")
    await give_keys(place)
    await place.ask("ada", "refresh")
    await place.phase("ada", "Asleep")
    await ada.ask("what did I say?", "remember the blue door")
