"""read, write, edit, list, search: the workspace's files, by the confined child."""

from __future__ import annotations

from collections.abc import Mapping

from moltbot_gateway.models.base import Media
from moltbot_gateway.tools.base import Risk, Run, Tool, ToolCall, ToolOutcome, failed, object_schema
from moltbot_gateway.tools.host import HostFailure, ToolHost
from moltbot_gateway.tools.results import number_in, objects_in, text_in, texts_in

# Seconds for one call; a search bounds itself below that.
_TIMEOUT = 30.0
_PATH = {"type": "string"}
_COUNT = {"type": "integer", "minimum": 1}
_TEXT = {"type": "string"}


def file_tools(host: ToolHost) -> tuple[Tool, ...]:
    files = _Files(host)
    return (
        Tool(
            "read",
            "Read file",
            "Read a text file, picture or PDF. A long file: continue with offset (a line), limit.",
            object_schema({"path": _PATH}, offset=_COUNT, limit=_COUNT),
            files.answers(files.read),
            Risk.FILES,
            reads_only=True,
            describe=_path_of,
        ),
        Tool(
            "write",
            "Write file",
            "Write a whole file; replaces what is there, makes missing directories. For a change of a part use edit.",
            object_schema({"path": _PATH, "content": _TEXT}),
            files.answers(files.write),
            Risk.FILES,
            describe=_path_of,
        ),
        Tool(
            "edit",
            "Edit file",
            "Replace old by new in a file. old must be there exactly once, white space included; all: every occurrence.",
            object_schema({"path": _PATH, "old": _TEXT, "new": _TEXT}, all={"type": "boolean"}),
            files.answers(files.edit),
            Risk.FILES,
            describe=_path_of,
        ),
        Tool(
            "list",
            "List directory",
            "List a directory (default: the workspace), depth levels deep.",
            object_schema(path=_PATH, depth={"type": "integer", "minimum": 1, "maximum": 8}),
            files.answers(files.list),
            Risk.FILES,
            reads_only=True,
            describe=_path_of,
        ),
        Tool(
            "search",
            "Search files",
            "Find lines that match a regular expression (Python's), or with glob alone files by name ('*.py', 'src/**/*.md').",
            object_schema(
                pattern=_TEXT,
                glob=_TEXT,
                path=_PATH,
                ignoreCase={"type": "boolean"},
                context={"type": "integer", "minimum": 0, "maximum": 10},
                limit={"type": "integer", "minimum": 1, "maximum": 100},
            ),
            files.answers(files.search),
            Risk.FILES,
            reads_only=True,
            describe=lambda given: " ".join(str(given[name]) for name in ("pattern", "glob", "path") if name in given),
        ),
    )


class _Files:
    def __init__(self, host: ToolHost) -> None:
        self._host = host

    def answers(self, run: Run) -> Run:
        """A failure of the host as an outcome."""

        async def outcome(call: ToolCall) -> ToolOutcome:
            try:
                return await run(call)
            except HostFailure as failure:
                path = call.text("path")
                return failed(str(failure), code=failure.code, **({"path": path} if path else {}))

        return outcome

    async def read(self, call: ToolCall) -> ToolOutcome:
        result = await self._ask(call)
        path = text_in(result, "path")
        if result.get("kind") == "media":
            media = Media(text_in(result, "mediaType"), text_in(result, "data"), path.rpartition("/")[2])
            said = f"{path}: {media.media_type}, {number_in(result, 'bytes')} bytes"
            return ToolOutcome(said, said, details={"path": path, "mediaType": media.media_type}, media=(media,))
        first, lines, text = number_in(result, "firstLine"), number_in(result, "lines"), text_in(result, "text")
        total = f" of {number_in(result, 'totalLines')}" if "totalLines" in result else ""
        span = f"lines {first}–{first + lines - 1}{total}"
        if not lines:
            return ToolOutcome(f"{path} is empty", details={"path": path, "lines": 0})
        more = f"\n\n[{span}; continue with offset {first + lines}]" if result.get("more") else ""
        note = f"[{span}]\n" if first > 1 else ""
        return ToolOutcome(f"{note}{text}{more}", f"{path}, {span}", details={"path": path, "lines": lines})

    async def write(self, call: ToolCall) -> ToolOutcome:
        result = await self._ask(call)
        path, size, created = text_in(result, "path"), number_in(result, "bytes"), result.get("created") is True
        said = f"{'Made' if created else 'Replaced'} {path} ({size} bytes)"
        return ToolOutcome(said, said, details={"path": path, "bytes": size, "created": created})

    async def edit(self, call: ToolCall) -> ToolOutcome:
        result = await self._ask(call)
        path, count = text_in(result, "path"), number_in(result, "replacements")
        where = f"line {number_in(result, 'line')}" if count == 1 else f"{count} places"
        said = f"Changed {path} ({where})"
        return ToolOutcome(said, said, details={"path": path, "diff": text_in(result, "diff"), "replacements": count})

    async def list(self, call: ToolCall) -> ToolOutcome:
        result = await self._ask(call)
        entries, path = objects_in(result, "entries"), text_in(result, "path")
        lines = [_entry(entry) for entry in entries]
        if result.get("more"):
            lines.append(f"[more than {len(entries)} entries; list a directory further down]")
        return ToolOutcome(
            "\n".join(lines) or "[empty]", f"{path}: {len(entries)} entries", details={"path": path, "entries": len(entries)}
        )

    async def search(self, call: ToolCall) -> ToolOutcome:
        result = await self._ask(call)
        matches, files = objects_in(result, "matches"), result.get("files")
        names = [str(name) for name in files] if isinstance(files, list) else []
        context = any("before" in match for match in matches)
        if call.text("pattern"):
            lines = [line for match in matches for line in _match(match, context)]
            found = f"{len(matches)} matches in {len(names)} files"
        else:
            lines, found = names, f"{len(names)} files"
        if result.get("timedOut"):
            lines.append("[the search took too long and was stopped; give a path or a glob]")
        elif result.get("more"):
            lines.append("[there are more; narrow it down by path, glob or pattern]")
        return ToolOutcome("\n".join(lines) or "Nothing found.", found, details={"matches": len(matches), "files": len(names)})

    async def _ask(self, call: ToolCall) -> Mapping[str, object]:
        return await self._host.call(call.name, call.input, timeout=_TIMEOUT)


def _path_of(given: Mapping[str, object]) -> str:
    return str(given.get("path", "."))


def _entry(entry: Mapping[str, object]) -> str:
    mark = {"directory": "/", "link": "@", "file": ""}.get(text_in(entry, "kind"), f" [{text_in(entry, 'kind')}]")
    return f"{text_in(entry, 'path')}{mark}" + (f"  {number_in(entry, 'bytes')}" if "bytes" in entry else "")


def _match(match: Mapping[str, object], context: bool) -> list[str]:
    """As grep writes it: `path:line:text`, what is around it with `-`."""
    path, number = text_in(match, "path"), number_in(match, "line")
    before, after = texts_in(match, "before"), texts_in(match, "after")
    lines = [f"{path}-{number - len(before) + index}-{text}" for index, text in enumerate(before)]
    lines.append(f"{path}:{number}:{text_in(match, 'text')}")
    lines += [f"{path}-{number + 1 + index}-{text}" for index, text in enumerate(after)]
    return [*lines, "--"] if context else lines
