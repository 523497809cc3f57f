"""Pictures, PDFs and text files beside a message: to the model as it reads them, and refused in words where it cannot."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from moltbot_gateway.chat.attachments import MAX_ATTACHMENTS, MAX_IMAGE, MAX_TEXT_FILE
from tests.agent.stage import Stage
from tests.agent.test_tool_loops import PNG
from tests.fakes.anthropic_api import said_by_person
from tests.fakes.gateway_client import MAIN, CallFailed

PDF = b"%PDF-1.4\n1 0 obj << /Type /Page >> endobj\n%%EOF"


def attached(name: str, data: bytes, kind: str = "application/octet-stream") -> dict[str, object]:
    return {"type": "file", "mimeType": kind, "fileName": name, "content": base64.b64encode(data).decode()}


def _blocks(body: dict[str, Any]) -> list[dict[str, Any]]:
    """Of the last message, without the time in front and without cache marks."""
    blocks = body["messages"][-1]["content"][1:]
    return [{name: value for name, value in block.items() if name != "cache_control"} for block in blocks]


async def test_a_picture_and_a_pdf_reach_the_model_again_in_every_turn(stage: Stage) -> None:
    """What a file is its first bytes tell, not its sender."""
    await stage.client.say("look", attachments=[attached("a.jpg", PNG, "image/jpeg"), attached("b.pdf", PDF)])
    text, image, document = _blocks(stage.bodies[0])
    assert text == {"type": "text", "text": "look"}
    assert image == {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": base64.b64encode(PNG).decode()}}
    assert (document["type"], document["title"], document["source"]["media_type"]) == ("document", "b.pdf", "application/pdf")
    await stage.client.say("and?")
    assert [block["type"] for block in stage.bodies[1]["messages"][0]["content"]] == ["text", "text", "image", "document"]
    shown = (await stage.messages())[0]["content"]
    assert [(block["type"], block.get("fileName"), block.get("bytes")) for block in shown[1:]] == [
        ("image", "a.jpg", len(PNG)),
        ("document", "b.pdf", len(PDF)),
    ]
    found = await stage.client.call("media.get", id=shown[2]["mediaId"])
    assert (found["mimeType"], found["fileName"], base64.b64decode(found["data"])) == ("application/pdf", "b.pdf", PDF)


async def test_a_picture_alone_is_a_message_and_can_be_named_again(stage: Stage) -> None:
    await stage.client.say("", attachments=[attached("a.png", PNG)])
    media_id = (await stage.messages())[0]["content"][0]["mediaId"]
    await stage.client.say("the same", session="agent:main:other", attachments=[{"mediaId": media_id}])
    assert [block["type"] for block in _blocks(stage.bodies[-1])] == ["text", "image"]


async def test_pictures_go_with_the_last_conversation_that_shows_them(stage: Stage) -> None:
    trip, other = "agent:main:trip", "agent:main:other"
    await stage.client.say("look", session=trip, attachments=[attached("a.png", PNG), attached("b.pdf", PDF)])
    history = await stage.client.call("chat.history", sessionKey=trip)
    picture, document = [block["mediaId"] for block in history["messages"][0]["content"] if block["type"] != "text"]
    await stage.client.say("the same", session=other, attachments=[{"mediaId": picture}])
    await stage.client.call("sessions.delete", key=trip)
    with pytest.raises(CallFailed, match="not here"):
        await stage.client.call("media.get", id=document)
    assert base64.b64decode((await stage.client.call("media.get", id=picture))["data"]) == PNG
    await stage.client.call("sessions.reset", key=other)
    await stage.client.call("media.get", id=picture)
    await stage.client.call("sessions.delete", key=other)
    with pytest.raises(CallFailed, match="not here"):
        await stage.client.call("media.get", id=picture)


async def test_a_text_file_becomes_part_of_the_words(stage: Stage) -> None:
    await stage.client.say("read", attachments=[attached("a`b\n.csv", "ä,b\n1,2\n".encode())])
    assert said_by_person(stage.bodies[0]) == ["read\n\nFile a'b.csv:\n```\nä,b\n1,2\n\n```"]


REFUSED: dict[str, tuple[list[object], str]] = {
    "a picture that is too large": ([attached("big.png", PNG + bytes(MAX_IMAGE))], "big.png is larger than 5 MB"),
    "neither picture nor text": ([attached("a.zip", b"PK\x03\x04\xff\xfe")], "neither a picture"),
    "text with a zero": ([attached("a.bin", b"abc\x00")], "neither a picture"),
    "a text that is too long": ([attached("a.txt", b"x" * (MAX_TEXT_FILE + 1))], "200 KB of text"),
    "nothing in it": ([{"type": "image", "fileName": "a.png", "content": ""}], "a.png is empty"),
    "no base64": ([{"type": "image", "fileName": "a.png", "content": "%%%"}], "not base64"),
    "too many": ([attached("a.txt", b"x")] * (MAX_ATTACHMENTS + 1), "at most 20"),
    "too many that are here": ([{"mediaId": "0" * 64}] * (MAX_ATTACHMENTS + 1), "at most 20"),
    "one that is not here": ([{"mediaId": "0" * 64}], "no longer here"),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_what_cannot_be_sent_is_refused_in_words_before_anything_is_kept(case: str, stage: Stage) -> None:
    given, words = REFUSED[case]
    with pytest.raises(CallFailed, match=words):
        await stage.client.call("chat.send", sessionKey=MAIN, message="look", idempotencyKey="1", attachments=given)
    assert await stage.messages() == []
    assert stage.bodies == []


async def test_a_file_that_is_not_here_is_said_so(stage: Stage) -> None:
    with pytest.raises(CallFailed, match="not here"):
        await stage.client.call("media.get", id="nothing")


async def test_earlier_pictures_make_room_when_they_grow_too_many(stage: Stage) -> None:
    """Providers bound a request, and it stands in memory: what no longer fits is said to have been there."""
    large = PNG + bytes(3 * 2**20)
    for number in range(4):
        await stage.client.say(f"picture {number}", attachments=[attached(f"{number}.png", large + bytes([number]))])
    content = [block for message in stage.bodies[-1]["messages"] if message["role"] == "user" for block in message["content"]]
    assert sum(block["type"] == "image" for block in content) == 3
    assert [block["text"] for block in content if "no longer shown" in block.get("text", "")] == ["[0.png was here and is no longer shown]"]


@pytest.mark.parametrize(
    ("method", "params"),
    [("chat.history", {"sessionKey": MAIN, "cursor": "9" * 30}), ("chat.rewind", {"sessionKey": MAIN, "messageId": "9" * 30})],
)
async def test_an_id_that_no_message_can_have_is_the_callers_mistake(method: str, params: dict[str, str], stage: Stage) -> None:
    with pytest.raises(CallFailed, match="INVALID_REQUEST"):
        await stage.client.call_with(method, params)
