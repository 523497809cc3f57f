"""The one logger set-up of every process: JSON lines in a cluster, readable lines on a terminal.

`event` is a fixed phrase and everything that varies is a field, so that lines can be counted and searched:

    log = get_logger("moltbot_router.wake").bind(namespace="default", moltbot="ada")
    log.info("wake written", reason="request")

Lines of libraries come out in the same form. Every value passes the scrubber of `redaction`; tests scan the output of whole runs for
secrets.
"""

from __future__ import annotations

import json
import logging
import sys
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import TextIO

from moltbot_trust.redaction import scrub, scrub_text

_FIELDS = "moltbot_fields"
MAX_TEXT = 4096
_COLOURS = {"DEBUG": "\033[2m", "INFO": "", "WARNING": "\033[33m", "ERROR": "\033[31m", "CRITICAL": "\033[31;1m"}


class LogFormat(StrEnum):
    """`auto` is text on a terminal and JSON elsewhere."""

    AUTO = "auto"
    JSON = "json"
    TEXT = "text"


class LogLevel(StrEnum):
    """Least level that is written."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class Log:
    """A logger with bound fields. Cheap to make and to bind; a value is only looked at when its line is written."""

    __slots__ = ("_fields", "_logger")

    def __init__(self, logger: logging.Logger, fields: Mapping[str, object] | None = None) -> None:
        self._logger = logger
        self._fields = dict(fields or {})

    def bind(self, **fields: object) -> Log:
        """The same logger with more fields on each line."""
        return Log(self._logger, {**self._fields, **fields})

    def debug(self, event: str, /, **fields: object) -> None:
        """What only a developer reads; checkpoints of the two paths are written here."""
        self._write(logging.DEBUG, event, fields)

    def info(self, event: str, /, **fields: object) -> None:
        """A state change."""
        self._write(logging.INFO, event, fields)

    def warning(self, event: str, /, **fields: object) -> None:
        """The caller's or the person's mistake."""
        self._write(logging.WARNING, event, fields)

    def error(self, event: str, /, **fields: object) -> None:
        """Ours."""
        self._write(logging.ERROR, event, fields)

    def exception(self, event: str, /, **fields: object) -> None:
        """Ours, with the traceback of the exception that is being handled."""
        self._write(logging.ERROR, event, fields, trace=True)

    def _write(self, level: int, event: str, fields: Mapping[str, object], *, trace: bool = False) -> None:
        if self._logger.isEnabledFor(level):
            self._logger.log(level, event, extra={_FIELDS: {**self._fields, **fields}}, exc_info=trace, stacklevel=3)


def get_logger(name: str) -> Log:
    """The logger of a module: give the package's name, not `__main__`."""
    return Log(logging.getLogger(name))


def _line(record: logging.LogRecord) -> dict[str, object]:
    fields = getattr(record, _FIELDS, None)
    event = record.msg if fields is not None else record.getMessage()
    line: dict[str, object] = {
        "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "level": record.levelname.lower(),
        "logger": record.name,
        "event": scrub_text(str(event))[:MAX_TEXT],
    }
    for name, value in (fields or {}).items():
        line[name if name not in line else f"{name}_"] = scrub(value, name=name)
    if record.exc_info and record.exc_info[0] is not None:
        line["trace"] = scrub_text("".join(traceback.format_exception(*record.exc_info)))[-4 * MAX_TEXT :]
    return line


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return json.dumps(_line(record), ensure_ascii=False, separators=(",", ":"), default=str)


class _TextFormatter(logging.Formatter):
    def __init__(self, *, colour: bool) -> None:
        super().__init__()
        self._colour = colour

    def format(self, record: logging.LogRecord) -> str:
        line = _line(record)
        trace = line.pop("trace", None)
        level = record.levelname
        stamp = datetime.fromtimestamp(record.created).astimezone().strftime("%H:%M:%S")
        event, logger = line.pop("event"), str(line.pop("logger")).removeprefix("moltbot_").partition(".")[0]
        fields = " ".join(f"{name}={_plain(value)}" for name, value in line.items() if name not in ("time", "level"))
        text = f"{stamp} {logger:<9} {'' if level == 'INFO' else level + ' '}{event}{'  ' + fields if fields else ''}"
        if trace is not None:
            text += f"\n{trace}"
        colour = _COLOURS.get(level, "") if self._colour else ""
        return f"{colour}{text}\033[0m" if colour else text


def _plain(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    # One line a record, whatever a value holds: no forged lines, no terminal escapes.
    text = "".join(character if character.isprintable() else repr(character)[1:-1] for character in text)
    return text if text and " " not in text else f'"{text}"'


def configure_logging(log_format: LogFormat = LogFormat.AUTO, level: LogLevel = LogLevel.INFO, stream: TextIO | None = None) -> None:
    """Set up logging of this process, to stderr unless told otherwise. Calling it again replaces the set-up."""
    target = stream if stream is not None else sys.stderr
    terminal = target.isatty()
    handler = logging.StreamHandler(target)
    if log_format is LogFormat.TEXT or (log_format is LogFormat.AUTO and terminal):
        handler.setFormatter(_TextFormatter(colour=terminal))
    else:
        handler.setFormatter(_JsonFormatter())
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level.value.upper())
    # One line a request would drown the state changes; our own edges say what matters.
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)
    # asyncio says at DEBUG which selector it took.
    logging.getLogger("asyncio").setLevel(max(logging.INFO, root.level))
