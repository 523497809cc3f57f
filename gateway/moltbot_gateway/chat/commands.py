"""What the gateway answers itself: words that stop an answer, and slash commands. Pure: texts in, decisions out."""

from __future__ import annotations

from dataclasses import dataclass

# The whole message, in any case and with closing punctuation; as official clients use them.
STOP_WORDS = frozenset({"/stop", "stop", "esc", "abort", "wait", "exit", "interrupt"})


@dataclass(frozen=True)
class Command:
    """One slash command. `aliases` without the slash; `choices` of its argument, for a palette."""

    name: str
    description: str
    argument: str = ""
    aliases: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()


COMMANDS = (
    Command("new", "Start a new conversation; the present one is put away", "message", aliases=("reset",)),
    Command("stop", "Stop the answer that is being written"),
    Command("continue", "Let an answer that was cut off go on"),
    Command("status", "Say which model answers, how long this conversation is, and what it cost"),
    Command("model", "Show the model of this conversation, or choose another", "name"),
    Command(
        "think",
        "How hard the model thinks",
        "level",
        aliases=("thinking", "t"),
        choices=("off", "minimal", "low", "medium", "high", "xhigh"),
    ),
    Command("verbose", "Whether tool calls are shown in full", "level", aliases=("v",), choices=("off", "on", "full")),
    Command("usage", "What answers say of their cost, or what today and this conversation cost", "mode", choices=("off", "tokens", "full")),
    Command("compact", "Summarise the older part of this conversation now", aliases=("summarise", "summarize")),
    Command("context", "Say what the model gets with each message, and how large it is"),
    Command("queue", "What happens to messages sent during an answer", "mode", choices=("followup", "collect", "steer", "interrupt")),
    Command("approve", "Answer a request for approval", "id once|always|deny"),
    Command("skill", "Use a skill by its name", "name [text]"),
    Command("whoami", "Say which device this is and what it may do", aliases=("id",)),
    Command("activation", "When the assistant answers in groups (once a channel is connected)", "mode"),
    Command("send", "Whether answers of this conversation are sent outward (once a channel is connected)", "policy"),
    Command("restart", "Start the assistant anew; conversations stay"),
    Command("help", "List these commands", aliases=("commands",)),
)
_BY_WORD = {word: command for command in COMMANDS for word in (command.name, *command.aliases)}


def is_stop(text: str) -> bool:
    return text.strip().rstrip(".!").lower() in STOP_WORDS


def find_command(text: str) -> tuple[Command, str] | None:
    """The command and what follows it; `None` for an ordinary message, also for an unknown `/word` (a path, a quotation)."""
    stripped = text.strip()
    if not stripped.startswith("/"):
        return None
    first, _, more = stripped.partition("\n")
    word, _, rest = first[1:].partition(" ")
    command = _BY_WORD.get(word.lower().rstrip(":"))
    if command is None or (more and command.name not in ("new", "skill")):
        return None
    return command, f"{rest}\n{more}".strip()


def help_text() -> str:
    lines = [f"- `/{command.name}{f' <{command.argument}>' if command.argument else ''}`: {command.description}" for command in COMMANDS]
    return "\n".join(lines)
