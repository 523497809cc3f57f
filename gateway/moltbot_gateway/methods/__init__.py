"""The methods that the gateway answers, by name. `moltbot_protocol.methods` says who may call them and what their params are; a test
holds both tables together.
"""

from __future__ import annotations

from collections.abc import Mapping

from moltbot_gateway.methods import approvals, chat, cron, files, reads, search, sending, sessions, skills, transfer, usage
from moltbot_gateway.methods.context import Handler

HANDLERS: Mapping[str, Handler] = {
    **approvals.HANDLERS,
    **chat.HANDLERS,
    **sending.HANDLERS,
    **cron.HANDLERS,
    **files.HANDLERS,
    **reads.HANDLERS,
    **search.HANDLERS,
    **sessions.HANDLERS,
    **skills.HANDLERS,
    **transfer.HANDLERS,
    **usage.HANDLERS,
}
