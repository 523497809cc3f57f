"""What of a conversation the model gets. Pure.

Left out: what the gateway answered itself (commands), answers without text, and a question that the model refused together with its
refusal, for a refusal in the context makes the next one likelier.
"""

from __future__ import annotations

from collections.abc import Sequence

from moltbot_gateway.models.base import Turn, said
from moltbot_gateway.models.failure import ErrorKind
from moltbot_gateway.store.conversations import Message

# Messages; more than any model's window holds in ordinary talk. A longer conversation loses its beginning here, never on disk.
MAX_MESSAGES = 2000


def build_context(messages: Sequence[Message], run_id: str) -> list[Turn]:
    """The conversation up to and with the message of `run_id`, which is the last."""
    refused = {message.run_id for message in messages if message.detail.get("errorKind") == ErrorKind.REFUSAL}
    context = [
        said(message.role, message.text)
        for message in messages
        if message.text and not message.detail.get("command") and (message.run_id == run_id or message.run_id not in refused)
    ]
    while context and context[0].role != "user":
        del context[0]  # a conversation begins with the person; the cut above may have left an answer first
    return context
