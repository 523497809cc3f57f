"""What the model is told about itself. Short, and the same for a whole day, so that the provider's prompt cache holds."""

from __future__ import annotations

from datetime import datetime


def build_system_prompt(name: str, now: datetime) -> str:
    """`name` of the assistant; `now` in UTC, of which only the day is told."""
    return (
        f"You are {name}, a personal AI assistant. You talk with the person you belong to, and remember this conversation, also after a "
        f"pause in which you slept. Today is {now:%A, %d %B %Y} (UTC). Answer plainly and to the point, in the person's language, in "
        "Markdown. You have no tools in this conversation: say so when something would need them, and never claim to have done it."
    )
