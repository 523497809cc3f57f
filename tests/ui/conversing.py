"""What the tests of the conversation share: a message sent, and blocks of a turn."""

from __future__ import annotations

from tests.fakes.router_ui import FakeRouter
from tests.fakes.router_ui_chat import Turn
from tests.ui.conftest import Visitor, enter, say


def call(name: str, call_id: str, **arguments: object) -> dict[str, object]:
    return {"type": "toolCall", "id": call_id, "name": name, "arguments": arguments}


async def begin(router: FakeRouter, visitor: Visitor, words: str = "Do it") -> Turn:
    """A person is let in and says something; the turn that begins with it."""
    await enter(router, visitor)
    await say(visitor, words)
    return await router.gateway.until_turn()


async def use(
    router: FakeRouter, turn: Turn, name: str, call_id: str = "call-1", label: str = "", describe: str = "", **arguments: object
) -> None:
    """The turn's step calls a tool, which begins."""
    await router.gateway.step(turn, call(name, call_id, **arguments))
    told = {"args": arguments, "label": label or name, "describe": describe}
    await router.gateway.tool(turn, name, "start", call_id, **told)
