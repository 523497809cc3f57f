"""What the gateway answers itself: words that stop an answer, and slash commands. Pure: texts in, decisions out."""

from __future__ import annotations

from dataclasses import dataclass

# The whole message, in any case and with closing punctuation; as official clients use them.
STOP_WORDS = frozenset({"/stop", "stop", "esc", "abort", "wait", "exit", "interrupt"})


@dataclass(frozen=True)
class Command:
    """One slash command. `aliases` without the slash."""

    name: str
    description: str
    argument: str = ""
    aliases: tuple[str, ...] = ()


COMMANDS = (
    Command("new", "Start a new conversation; the present one is put away", aliases=("reset",)),
    Command("stop", "Stop the answer that is being written"),
    Command("status", "Say which model answers, and how long this conversation is"),
    Command("model", "Show the model of this conversation, or choose another", argument="name"),
    Command("think", "How hard the model thinks: off, low, medium, high, xhigh", argument="level", aliases=("thinking",)),
    Command("help", "List these commands", aliases=("commands",)),
)
_BY_WORD = {word: command for command in COMMANDS for word in (command.name, *command.aliases)}


def is_stop(text: str) -> bool:
    return text.strip().rstrip(".!").lower() in STOP_WORDS


def find_command(text: str) -> tuple[Command, str] | None:
    """The command and what follows it; `None` for an ordinary message, also for an unknown `/word` (a path, a quotation)."""
    stripped = text.strip()
    if not stripped.startswith("/") or "\n" in stripped:
        return None
    word, _, rest = stripped[1:].partition(" ")
    command = _BY_WORD.get(word.lower().rstrip(":"))
    return None if command is None else (command, rest.strip())


def help_text() -> str:
    lines = [f"- `/{command.name}{f' <{command.argument}>' if command.argument else ''}`: {command.description}" for command in COMMANDS]
    return "\n".join(lines)
