"""What is restored from a bucket: not only words, also what tools answered, pictures, and the workspace."""

from __future__ import annotations

import base64

from moltbot_kube.resources import PERSISTENT_VOLUME_CLAIMS
from tests.e2e.bucket import Buckets, ephemeral, give_keys
from tests.e2e.cluster import Place
from tests.e2e.devices import call_marker, claude, open_device, open_model, use
from tests.e2e.test_tools import ALLOW, restarts
from tests.fakes.gateway_client import MAIN, text_of
from tests.fakes.mcp_server import PNG


async def test_tools_pictures_and_workspace_come_back_after_a_sleep(place: Place, buckets: Buckets) -> None:
    """Rules 5 and 8, where the memory is in the bucket alone."""
    await give_keys(place)
    memory = ephemeral(await buckets.make())
    memory.pop("model")
    memory["gateway"] |= ALLOW
    async with open_model() as fake:
        await claude(place, fake, memory)
        async with open_device(place) as device:
            async with device.connect() as ada:
                picture = {"type": "image", "mimeType": "image/png", "fileName": "door.png", "content": base64.b64encode(PNG).decode()}
                await ada.wait_end(await ada.send("Look at the blue door", attachments=[picture]))
                script = call_marker("write", path="bin/hello.sh", content="#!/bin/sh\necho hello from the script\n")
                script += "[fake:then]" + call_marker(
                    "exec", command="chmod +x bin/hello.sh; echo left > .tmp/scratch; ln -s bin/hello.sh link"
                )
                await ada.say(f"{script}[fake:then] made")
                before = (await ada.call("chat.history", sessionKey=MAIN, limit=200))["messages"]
            await place.put_to_sleep("ada")
            assert (await place.person.list(PERSISTENT_VOLUME_CLAIMS, place.namespace)).items == []
            await device.wake()
            async with device.connect() as ada:
                assert (await ada.call("chat.history", sessionKey=MAIN, limit=200))["messages"] == before
                shown = next(block for message in before for block in message["content"] if block["type"] == "image")
                media = await ada.call("media.get", id=shown["mediaId"])
                assert base64.b64decode(media["data"]) == PNG
                (found,) = (await ada.call("sessions.search", query="blue door"))["results"][:1]
                assert found["key"] == MAIN
                answer = await use(ada, "exec", command="./link; cat .tmp/scratch")
                assert answer.startswith("hello from the script\n")
                assert "No such file" in answer, "programs' temporary files are not kept"
                end = await ada.wait_end(await ada.send("[fake:recall] what did I show you?"))
                assert "Look at the blue door" in text_of(end)
                sent = fake.requests[-1].body["messages"]
                blocks = [block for message in sent if isinstance(message["content"], list) for block in message["content"]]
                assert [block for block in blocks if block["type"] == "image"], "the model sees the picture again"
                assert [block for block in blocks if block["type"] == "tool_result"]
        assert await restarts(place) == 0
