"""Which skills there are, whether each can be used here, and where the model reads it.

A skill is a folder with a SKILL.md. Of the same name the workspace's own wins over one that the resource installs (*managed*), that over
one of ours (*bundled*). The prompt has name, description and path; the model reads the file when the task asks for it. The confined child
sees only the workspace, so managed and bundled skills that can be used are copied to `.skills/<name>/` there.

What is wrong with a skill is told (`problems`), never an error: one broken file must not keep an assistant from answering. Blocking.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from moltbot_gateway.agent_config import SkillConfig
from moltbot_gateway.errors import FileMissing, WorkspaceError
from moltbot_gateway.workspace import beneath
from moltbot_gateway.workspace.frontmatter import FrontMatterError, mapping_of, split_front_matter, text_of, texts_of

FILE = "SKILL.md"
COPIES = ".skills"
# Bytes of a SKILL.md, and how many skills of a folder are looked at.
MAX_SKILL, MAX_FOLDERS = 128 * 1024, 200
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_BUNDLED = Path(__file__).parent / "bundled_skills"
# As skills name systems; ours is Linux, or a developer's machine.
_SYSTEM = {"linux": "linux", "darwin": "darwin", "win32": "win32"}.get(sys.platform, sys.platform)
# Under which `metadata` has the requirements; skills in the wild have any of these.
_METADATA = ("moltbot", "openclaw", "clawdbot")


class Source(StrEnum):
    """Whose it is, strongest first."""

    WORKSPACE = "workspace"
    MANAGED = "managed"
    BUNDLED = "bundled"


@dataclass(frozen=True)
class Needs:
    """`bins`: all of these programs; `any_bins`: one of them; `env`: variables that a person gives; `config`: settings of other servers,
    which nothing here can give; `systems`: one of these."""

    bins: tuple[str, ...] = ()
    any_bins: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    config: tuple[str, ...] = ()
    systems: tuple[str, ...] = ()

    def words(self) -> str:
        """For a condition: what has to come."""
        said = [f"program {name}" for name in self.bins]
        said += [f"one of the programs {', '.join(self.any_bins)}"] if self.any_bins else []
        said += [f"variable {name}" for name in self.env] + [f"setting {name}" for name in self.config]
        return ", ".join(said + ([f"system {' or '.join(self.systems)}"] if self.systems else []))


@dataclass(frozen=True)
class Skill:
    """`path` beneath the workspace, where the model reads it. `missing`: what of `needs` is not here. `for_model`, `for_person`: whether
    the prompt tells of it, and whether `/skill` may call it."""

    name: str
    description: str
    source: Source
    path: str
    needs: Needs = field(default_factory=Needs)
    missing: Needs = field(default_factory=Needs)
    disabled: bool = False
    always: bool = False
    for_model: bool = True
    for_person: bool = True
    homepage: str = ""
    content: bytes = field(default=b"", repr=False)

    @property
    def eligible(self) -> bool:
        return not self.disabled and (self.always or self.missing == Needs())


@dataclass(frozen=True)
class Host:
    """What skills may count on: `path`, the confined child's PATH, and names of variables that a person gave."""

    path: str
    env: frozenset[str] = frozenset()


class Skills:
    """`managed`: the folder for those of the resource. `load` first; again whenever `changed`."""

    def __init__(self, workspace: Path, managed: Path, config: Sequence[SkillConfig], host: Host) -> None:
        self.workspace, self.managed = workspace, managed
        self._config: Mapping[str, SkillConfig] = {item.name: item for item in config}
        self._host = host
        self._skills: Mapping[str, Skill] = {}
        self._seen: object = None
        self.problems: tuple[str, ...] = ()
        self._install_problems: tuple[str, ...] = ()

    def install(self) -> None:
        """Write what the resource installs, remove what it no longer does, then load. Once, at start."""
        self.managed.mkdir(parents=True, exist_ok=True)
        wanted, problems = {}, []
        for item in self._config.values():
            if item.content and _NAME.fullmatch(item.name):
                wanted[item.name] = item.content.encode("utf-8", "replace")
            elif item.content:
                problems.append(f"skill {item.name[:64]!r}: a name has small letters, digits, - and _, at most 64")
        for name, content in wanted.items():
            try:
                _keep(self.managed, f"{name}/{FILE}", content, 0o644)
            except WorkspaceError as error:
                problems.append(f"skill {name}: {error}")
        for entry in beneath.list_directory(self.managed):
            if entry.path not in wanted:
                beneath.remove(self.managed, entry.path)
        self._install_problems = tuple(problems)
        self.load()

    def changed(self) -> bool:
        """Whether the workspace's skills are others than when they were loaded."""
        return self._look() != self._seen

    def load(self) -> None:
        """Read all, decide which can be used, and bring the copies in the workspace up to date."""
        self._seen = self._look()
        problems = list(self._install_problems)
        found: dict[str, Skill] = {}
        for source, root, folder in (
            (Source.BUNDLED, _BUNDLED, ""),
            (Source.MANAGED, self.managed, ""),
            (Source.WORKSPACE, self.workspace, "skills"),
        ):
            for skill in self._read(source, root, folder, problems):
                found[skill.name] = skill
        self._skills = dict(sorted(found.items()))
        try:
            self._copy()
        except WorkspaceError as error:
            problems.append(f"skills cannot be copied into the workspace: {error}")
        self.problems = tuple(problems)

    def all(self) -> tuple[Skill, ...]:
        """By name."""
        return tuple(self._skills.values())

    def for_prompt(self) -> tuple[Skill, ...]:
        return tuple(skill for skill in self._skills.values() if skill.eligible and skill.for_model)

    def find(self, name: str) -> Skill | None:
        """One that a person may call by `/skill name`, else `None`."""
        skill = self._skills.get(name.strip().lower())
        return skill if skill is not None and skill.eligible and skill.for_person else None

    def unmet(self) -> tuple[str, ...]:
        """In sentences: skills that somebody put here and that cannot be used. Bundled ones are no one's wish."""
        return tuple(
            f"skill {skill.name} needs {skill.missing.words()}"
            for skill in self._skills.values()
            if not skill.eligible and not skill.disabled and skill.source is not Source.BUNDLED
        )

    def _look(self) -> object:
        try:
            folders = [entry for entry in beneath.list_directory(self.workspace, "skills")[:MAX_FOLDERS] if entry.directory]
            return [(entry.path, beneath.get_entry(self.workspace, f"{entry.path}/{FILE}")) for entry in folders]
        except WorkspaceError as error:
            return str(error)

    def _read(self, source: Source, root: Path, folder: str, problems: list[str]) -> list[Skill]:
        try:
            entries = [entry for entry in beneath.list_directory(root, folder) if entry.directory]
        except WorkspaceError as error:
            problems.append(f"{source.value} skills: {error}")
            return []
        if len(entries) > MAX_FOLDERS:
            problems.append(f"{source.value} skills: there are {len(entries)} folders, of which {MAX_FOLDERS} are looked at")
        skills = []
        for entry in entries[:MAX_FOLDERS]:
            try:
                content, info = beneath.read_bytes(root, f"{entry.path}/{FILE}", MAX_SKILL)
                if info.size > len(content):
                    raise WorkspaceError(f"its {FILE} has more than {MAX_SKILL} bytes")
                skills.append(self._skill(source, entry.path, content))
            except FileMissing:
                continue  # a folder without SKILL.md is no skill
            except (WorkspaceError, FrontMatterError) as error:
                problems.append(f"skill {entry.path[:80]}: {error}")
        return skills

    def _skill(self, source: Source, folder: str, content: bytes) -> Skill:
        front, _ = split_front_matter(content.decode("utf-8", "replace"))
        name = (text_of(front, "name") or folder.rpartition("/")[2]).strip().lower()
        if source is not Source.WORKSPACE:
            name = folder  # as the resource calls it
        if _NAME.fullmatch(name) is None:
            raise WorkspaceError(f"{name[:64]!r} is no name: small letters, digits, - and _, at most 64")
        description = " ".join(text_of(front, "description").split())
        if not description:
            raise WorkspaceError("it has no description: the model would not know when to use it")
        extra = next((inner for key in _METADATA if (inner := mapping_of(mapping_of(front, "metadata"), key))), {})
        item = self._config.get(name)
        needs = _needs(front, extra)
        return Skill(
            name,
            description,
            source,
            f"{folder}/{FILE}" if source is Source.WORKSPACE else f"{COPIES}/{name}/{FILE}",
            needs,
            self._missing(needs, item),
            disabled=item is not None and not item.enabled,
            always=front.get("always") is True or extra.get("always") is True,
            for_model=front.get("disable-model-invocation") is not True,
            for_person=front.get("user-invocable") is not False,
            homepage=text_of(front, "homepage") or text_of(extra, "homepage"),
            content=b"" if source is Source.WORKSPACE else content,
        )

    def _missing(self, needs: Needs, item: SkillConfig | None) -> Needs:
        given = self._host.env | ({variable.name for variable in item.env} if item is not None else set())
        return Needs(
            tuple(name for name in needs.bins if not self._has(name)),
            () if any(map(self._has, needs.any_bins)) else needs.any_bins,
            tuple(name for name in needs.env if name not in given),
            needs.config,
            () if not needs.systems or _SYSTEM in needs.systems else needs.systems,
        )

    def _has(self, program: str) -> bool:
        return "/" not in program and shutil.which(program, os.X_OK, self._host.path) is not None

    def _copy(self) -> None:
        """Read-only for the child, as far as its own user's files can be; whatever it changed is as it was after the next start."""
        wanted = {skill.name: skill.content for skill in self._skills.values() if skill.eligible and skill.source is not Source.WORKSPACE}
        try:
            there = beneath.list_directory(self.workspace, COPIES)
        except WorkspaceError:
            beneath.remove(self.workspace, COPIES)  # a link or a file; removed itself, not what it leads to
            there = ()
        for name, content in wanted.items():
            _keep(self.workspace, f"{COPIES}/{name}/{FILE}", content, 0o444)
        for entry in there:
            if entry.path.removeprefix(f"{COPIES}/") not in wanted:
                beneath.remove(self.workspace, entry.path)


def _needs(front: Mapping[str, object], extra: Mapping[str, object]) -> Needs:
    requires = mapping_of(front, "requires") or mapping_of(extra, "requires")
    return Needs(
        texts_of(requires, "bins"),
        texts_of(requires, "anyBins"),
        texts_of(requires, "env"),
        texts_of(requires, "config"),
        texts_of(front, "os") or texts_of(extra, "os"),
    )


def _keep(root: Path, path: str, content: bytes, mode: int) -> None:
    """Write it where it is not so already."""
    try:
        there, entry = beneath.read_bytes(root, path, len(content))
        if there == content and entry.size == len(content):
            return
    except FileMissing:
        pass
    except WorkspaceError:
        beneath.remove(root, path.rpartition("/")[0])  # something else stands there
    beneath.write_bytes(root, path, content, mode=mode)
