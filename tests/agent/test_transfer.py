"""A conversation taken out as a document and put back; documents that are none, or hostile."""

from __future__ import annotations

import base64
import copy
from collections.abc import Callable
from typing import Any

import pytest

from moltbot_gateway.chat.documents import read_document
from moltbot_gateway.errors import InvalidRequest
from tests.agent.stage import Stage
from tests.agent.test_tool_loops import PNG
from tests.fakes.anthropic_api import Call, Plan, said_by_person
from tests.fakes.gateway_client import MAIN, CallFailed


async def _exported(stage: Stage) -> dict[str, Any]:
    """A conversation with a picture, a call, a thought, a refusal and a note."""
    picture = {"type": "image", "mimeType": "image/png", "fileName": "a.png", "content": base64.b64encode(PNG).decode()}
    await stage.client.call("sessions.patch", key=MAIN, label="Holidays", thinkingLevel="low")
    await stage.client.say("What is this?", attachments=[picture])
    stage.fake.script(Plan(thought="Hm.", calls=(Call("message", {"to": "telegram:1", "text": "by the way"}),)), Plan("Sent."))
    await stage.client.say("Tell them.")
    await stage.client.wait_end(await stage.client.send("[fake:refusal]"))
    document: dict[str, Any] = (await stage.client.call("sessions.export", key=MAIN))["document"]
    return document


def _shown(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in message.items() if name not in ("id", "runId")} for message in messages]


async def test_what_is_taken_out_and_put_back_is_the_same_to_people_and_to_the_model(stage: Stage) -> None:
    document = await _exported(stage)
    answer = await stage.client.call("sessions.import", document=document)
    assert answer["messages"] == len(document["messages"])
    assert _shown(await stage.messages(answer["key"])) == _shown(await stage.messages())
    stage.fake.script(Plan("a"), Plan("b"))
    await stage.client.say("and now?")
    await stage.client.say("and now?", session=answer["key"])
    ours, theirs = (body["messages"][:-1] for body in stage.bodies[-2:])
    assert str(theirs).replace("'cache_control': {'type': 'ephemeral'}", "") == str(ours).replace(
        "'cache_control': {'type': 'ephemeral'}", ""
    )
    assert said_by_person(stage.bodies[-1]) == ["What is this?", "Tell them.", "and now?"]
    row = (await stage.client.call("sessions.describe", key=answer["key"]))["session"]
    assert (row["label"], row["thinkingLevel"]) == ("Holidays", "low")
    assert (await stage.client.call("sessions.export", key=answer["key"]))["document"]["media"] == document["media"]


async def test_a_document_is_never_put_over_what_is_here(stage: Stage) -> None:
    await stage.client.say("hello")
    document = (await stage.client.call("sessions.export", key=MAIN))["document"]
    with pytest.raises(CallFailed, match="of that name already"):
        await stage.client.call("sessions.import", document=document, key="main")


def _document() -> dict[str, Any]:
    media = {"id": "x", "mimeType": "image/png", "name": "a.png", "data": base64.b64encode(PNG).decode()}
    use = {"type": "toolCall", "id": "t1", "name": "list", "arguments": {}}
    messages = [
        {"role": "user", "text": "a", "at": 1, "run": "1", "detail": {}, "content": None},
        {"role": "assistant", "text": "", "at": 2, "run": "1", "detail": {"stopReason": "toolUse"}, "content": [use]},
        {
            "role": "toolResult",
            "text": "r",
            "at": 3,
            "run": "1",
            "detail": {"toolCallId": "t1"},
            "content": [{"type": "text", "text": "r"}],
        },
    ]
    return {"format": "moltbot-session", "version": 1, "session": {}, "messages": messages, "media": [media]}


def _set(*path: object, value: object) -> Callable[[dict[str, Any]], None]:
    def change(document: dict[str, Any]) -> None:
        place: Any = document
        for step in path[:-1]:
            place = place[step]
        place[path[-1]] = value

    return change


HOSTILE: dict[str, Callable[[dict[str, Any]], None]] = {
    "another format": _set("format", value="x"),
    "a newer version": _set("version", value=2),
    "no messages": _set("messages", value={}),
    "too many messages": lambda document: document.update(messages=document["messages"] * 40_000),
    "a message that is none": _set("messages", 0, value="a"),
    "a role of its own": _set("messages", 0, "role", value="system"),
    "a time that no date knows": _set("messages", 0, "at", value=10**18),
    "a time that no database takes": _set("messages", 0, "at", value=10**30),
    "a time before all": _set("messages", 0, "at", value=-1),
    "a time that is none": _set("messages", 0, "at", value=True),
    "a detail of another type": _set("messages", 1, "detail", value={"errorMessage": {"html": "x"}}),
    "usage that is none": _set("messages", 1, "detail", value={"usage": "x"}),
    "content that is no list": _set("messages", 0, "content", value={"type": "text"}),
    "a call by the person": _set("messages", 0, "content", value=[{"type": "toolCall", "id": "x", "name": "exec", "arguments": {}}]),
    "a block of another kind": _set("messages", 1, "content", 0, "type", value="server_tool_use"),
    "a call without arguments": _set("messages", 1, "content", 0, "arguments", value="rm"),
    "a tool's name that is none": _set("messages", 1, "content", 0, "name", value="exec; rm -rf /"),
    "one id twice": lambda document: document["messages"].append(copy.deepcopy(document["messages"][1])),
    "a result of nothing": _set("messages", 2, "detail", value={}),
    "a file that is not base64": _set("media", 0, "data", value="%%%"),
    "a page as a picture": _set("media", 0, "data", value=base64.b64encode(b"<script>").decode()),
    "files that are no list": _set("media", value={"a": 1}),
    "a summary of more than there is": lambda document: document.update(summary={"messages": 9, "text": "x"}),
}


def test_the_document_of_these_cases_is_good() -> None:
    assert len(read_document(_document()).messages) == 3


@pytest.mark.parametrize("case", HOSTILE)
def test_a_document_that_is_none_is_refused(case: str) -> None:
    document = _document()
    HOSTILE[case](document)
    with pytest.raises(InvalidRequest):
        read_document(document)


@pytest.mark.parametrize("value", [None, 5, "text", [], {}])
def test_what_is_no_document_at_all_is_refused(value: object) -> None:
    with pytest.raises(InvalidRequest):
        read_document(value)


def test_what_is_not_known_is_left_out() -> None:
    """Among it what would take the place of a message's own parts on the wire."""
    document = _document()
    document["messages"][0]["detail"] = {"role": "assistant", "id": "1", "content": "x", "command": True}
    document["messages"][0]["content"] = [{"type": "image", "mediaId": "of somebody else", "fileName": "b.png", "onload": "x"}]
    first = read_document(document).messages[0].new
    assert first.detail == {"command": True}
    assert first.content == [{"type": "text", "text": "[b.png was here and is gone]"}]
