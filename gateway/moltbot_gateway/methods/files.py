"""agents.files.*: the assistant's own files, for a page to show and a person to edit."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from moltbot_gateway.errors import FileMissing, InvalidRequest, WorkspaceError
from moltbot_gateway.methods.context import Context, Handler
from moltbot_gateway.workspace import files
from moltbot_gateway.workspace.files import Shown
from moltbot_protocol.hello import DEFAULT_AGENT

# Where the workspace stands is of no use to a page; this is what it is called for a person.
PLACE = "workspace"


def _row(shown: Shown) -> dict[str, object]:
    row: dict[str, object] = {"name": shown.name, "path": f"{PLACE}/{shown.name}", "missing": shown.missing}
    return row if shown.missing else {**row, "size": shown.size, "updatedAtMs": shown.updated_ms}


async def list_files(context: Context) -> object:
    context.agent()
    workspace = context.gateway.workspace
    await workspace.ready()
    try:
        shown = await asyncio.to_thread(files.list_files, workspace.root)
    except WorkspaceError as error:
        raise InvalidRequest(str(error)) from error
    return {"agentId": DEFAULT_AGENT, "workspace": PLACE, "files": [_row(item) for item in shown]}


async def get_file(context: Context) -> object:
    """One that could be there and is not is told as missing, with an empty content."""
    context.agent()
    workspace, name = context.gateway.workspace, context.text("name")
    await workspace.ready()
    try:
        content, shown = await asyncio.to_thread(files.read_file, workspace.root, name)
    except FileMissing:
        content, shown = "", Shown(name, 0, 0, missing=True)
    except WorkspaceError as error:
        raise InvalidRequest(str(error)) from error
    return {"agentId": DEFAULT_AGENT, "workspace": PLACE, "file": {**_row(shown), "content": content}}


async def set_file(context: Context) -> object:
    """On disk when it is answered; the next turn reads it."""
    context.agent()
    workspace, content = context.gateway.workspace, context.text("content")
    await workspace.ready()
    try:
        shown = await asyncio.to_thread(files.write_file, workspace.root, context.text("name"), content)
    except WorkspaceError as error:
        raise InvalidRequest(str(error)) from error
    return {"ok": True, "agentId": DEFAULT_AGENT, "workspace": PLACE, "file": {**_row(shown), "content": content}}


HANDLERS: Mapping[str, Handler] = {
    "agents.files.list": list_files,
    "agents.files.get": get_file,
    "agents.files.set": set_file,
}
