"""Spec → what the gateway is told of the assistant itself: the document `MOLTBOT_AGENT`, and the variables that hold a person's values
(docs/reference/agent.md). Pure.

What cannot be used is left out and said: a missing key of a tool never keeps the assistant from answering. A value, secret or not, stands
only in a variable of the pod; the document has that variable's name.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal

from moltbot_api.assistant import Approval, FilePolicy, McpServer, Skill, Tools
from moltbot_api.conditions import Reason
from moltbot_api.references import ConfigMapKeyReference, EnvVar, Header, SecretKeyReference
from moltbot_api.spec import Gateway, Model, MoltbotSpec
from moltbot_operator.agent_schedule import Times, build_heartbeat, build_jobs
from moltbot_operator.effective import Agent, ConfigMapValues, Finding, ModelAdapter, ModelConnection, PersonVariable
from moltbot_operator.model_settings import OPENAI_PREFIX, SECOND_PREFIXES
from moltbot_operator.secret_values import listed
from moltbot_operator.sources import Sources, what_is_there
from moltbot_operator.timing import zone_problem
from moltbot_operator.urls import AI_GATEWAY_HOST
from moltbot_trust.redaction import Secret

Json = dict[str, object]

# One environment variable carries the document; Linux takes 128 KiB in one (MAX_ARG_STRLEN, execve(2)), and its name stands there too.
MAX_BYTES = 100 * 1024
VARIABLE_PREFIX = "PERSON_ENV_"
LEFT_OUT = "; until then {} is left out"
# Lists whose items are left out, the largest first, where the whole is too large; and by what an item is called.
_LISTS = {"workspace": "path", "skills": "name", "mcpServers": "name", "schedule": "name"}


def build_agent(sources: Sources, model: ModelConnection, config_maps: ConfigMapValues) -> Agent:
    """Findings about references go to `sources`; what else is wrong is in the result."""
    return _Builder(sources, model, config_maps).build()


def secrets_of_agent(spec: MoltbotSpec) -> Iterator[SecretKeyReference]:
    """Every key of a Secret that the assistant's part of a spec names."""
    gateway = spec.gateway or Gateway()
    if gateway.tools and gateway.tools.web_search and gateway.tools.web_search.api_key_secret_ref:
        yield gateway.tools.web_search.api_key_secret_ref
    entries: list[EnvVar | Header] = [*(gateway.env or ())]
    for skill in spec.skills or ():
        entries += skill.env or ()
    for server in spec.mcp_servers or ():
        entries += [*(server.env or ()), *(server.headers or ())]
    for entry in entries:
        if entry.value_from is not None:
            yield entry.value_from.secret_key_ref


def config_map_names(spec: MoltbotSpec) -> list[str]:
    """Every ConfigMap that a spec names, each once: what has to be read before."""
    refs = [one.config_map_key_ref for one in (spec.workspace.files if spec.workspace and spec.workspace.files else ())]
    refs += [one.config_map_key_ref for one in spec.skills or ()]
    return list(dict.fromkeys(ref.name for ref in refs if ref is not None))


class _Builder:
    def __init__(self, sources: Sources, model: ModelConnection, config_maps: ConfigMapValues) -> None:
        self._sources, self._spec, self._connection, self._config_maps = sources, sources.spec, model, config_maps
        self._variables: dict[str, PersonVariable] = {}
        self._config: list[Finding] = []
        self._absent: dict[str, list[tuple[str, str]]] = {}  # Secret that does not exist → (where it is named, what is left out)

    def build(self) -> Agent:
        spec = self._spec
        gateway = spec.gateway or Gateway()
        times = Times(spec.time_zone)
        document: Json = {"onCluster": self._sources.place.on_cluster}
        self._put(document, "model", self._model(spec.model or Model()))
        if spec.time_zone and zone_problem(spec.time_zone) is None:
            document["timeZone"] = spec.time_zone
        if gateway.confinement != "landlock":
            document["confinement"] = gateway.confinement
        document |= self._tools(gateway.tools or Tools())
        self._put(document, "env", self._env("gateway.env", gateway.env or ()))
        self._put(document, "workspace", list(self._workspace()))
        self._put(document, "skills", [one for skill in spec.skills or () if (one := self._skill(skill)) is not None])
        self._put(document, "mcpServers", [one for server in spec.mcp_servers or () if (one := self._server(server)) is not None])
        self._put(document, "schedule", build_jobs(spec.schedule or (), times, self._connection))
        if spec.heartbeat is not None:
            self._put(document, "heartbeat", build_heartbeat(spec.heartbeat, times, self._connection))
        self._tell_absent()
        document = self._bounded(document)
        used = [one for one in self._variables.values() if one.name in _names_in(document)]
        return Agent(
            document,
            tuple(used),
            config=tuple(self._config),
            schedule_problems=tuple(times.problems),
            moments=tuple(times.moments),
            has_schedule=bool(spec.schedule or spec.heartbeat),
        )

    @staticmethod
    def _put(document: Json, name: str, value: object) -> None:
        if value:
            document[name] = value

    # the parts

    def _model(self, model: Model) -> Json:
        made: Json = {}
        self._put(made, "fallbacks", list(self._fallbacks(model.fallbacks or ())))
        self._put(made, "thinking", model.thinking)
        limits: Json = {}
        if model.limits is not None:
            self._put(limits, "tokensPerDay", model.limits.tokens_per_day)
            if model.limits.dollars_per_day is not None:
                limits["microDollarsPerDay"] = int(Decimal(str(model.limits.dollars_per_day)) * 1_000_000)
        self._put(made, "limits", limits)
        return made

    def _fallbacks(self, names: Sequence[str]) -> Iterator[str]:
        connection = self._connection
        for name in names:
            if connection.adapter is ModelAdapter.ANTHROPIC and name.startswith(SECOND_PREFIXES) and not connection.has_openai:
                message = f"model.fallbacks: {name} needs OPENAI_API_KEY in a Secret of secretsFrom, or model.openAI"
                self._sources.find(Reason.GROUP_INCOMPLETE, message + LEFT_OUT.format("it"))
                continue
            if _is_openai_alone(connection) and name.startswith(("claude", "anthropic/")):
                message = (
                    f"model.fallbacks: {name} cannot be asked where only OpenAI is set up: add ANTHROPIC_API_KEY to a Secret of secretsFrom"
                )
                self._sources.find(Reason.GROUP_INCOMPLETE, message + LEFT_OUT.format("it"))
                continue
            yield connection.on_wire(name)

    def _tools(self, tools: Tools) -> Json:
        made: Json = {}
        if tools.programs is not Approval.ASK:
            made["programs"] = tools.programs.value
        self._put(made, "allowed", list(tools.allowed or ()))
        self._put(made, "deniedTools", list(tools.denied or ()))
        search = tools.web_search
        if search is not None:
            key = ""
            if search.api_key_secret_ref is not None:
                path = "gateway.tools.webSearch.apiKeySecretRef"
                # without it the gateway is told all the same: it can then say what is missing
                key = self._from_secret(path, search.api_key_secret_ref, "web search") or ""
            made["webSearch"] = {"provider": search.provider, "key": key, "baseUrl": search.base_url or ""}
        return made

    def _workspace(self) -> Iterator[Json]:
        for one in (self._spec.workspace.files if self._spec.workspace else None) or ():
            content = self._text(f"workspace.files: {one.path}", one.content, one.config_map_key_ref)
            if content is not None:
                yield {"path": one.path, "content": content, "always": one.policy is FilePolicy.ALWAYS}

    def _skill(self, skill: Skill) -> Json | None:
        where = f"skills: {skill.name}"
        content: str | None = ""
        if skill.content is not None or skill.config_map_key_ref is not None:
            content = self._text(where, skill.content, skill.config_map_key_ref)
            if content is None:
                return None
        env = self._env(where, skill.env or ())
        return {"name": skill.name, "content": content, "enabled": skill.enabled, "env": env}

    def _server(self, server: McpServer) -> Json | None:
        where = f"mcpServers: {server.name}"
        wanted = [*(server.env or ()), *(server.headers or ())]
        found = self._env(where, wanted, "the server")
        if len(found) < len(wanted):
            return None
        made: Json = {"name": server.name}
        if server.command is not None:
            made |= {"command": list(server.command), "env": found}
        else:
            made |= {"url": server.url, "headers": found}
        self._put(made, "tools", list(server.tools or ()))
        return made

    # values and texts

    def _env(self, where: str, entries: Sequence[EnvVar | Header], left_out: str = "it") -> list[Json]:
        made: list[Json] = []
        for entry in entries:
            if entry.value_from is None:
                source = self._variable(PersonVariable("", value=entry.value or ""))
            else:
                source = self._from_secret(f"{where}: {entry.name}", entry.value_from.secret_key_ref, left_out) or ""
            if source:
                made.append({"name": entry.name, "from": source})
        return made

    def _from_secret(self, where: str, ref: SecretKeyReference, left_out: str) -> str | None:
        """The variable that holds it, or None and a finding."""
        if self._sources.secrets.get(ref.name) is None:
            self._absent.setdefault(ref.name, []).append((where, left_out))
            return None
        then = LEFT_OUT.format(left_out)
        raw = self._sources.raw(where, ref, then=then)
        if raw is None:
            return None
        try:
            text = raw.decode()
        except UnicodeDecodeError:
            text = ""
        if not text.strip() or "\0" in text:
            problem = f"{where}: Secret {ref.name}: {ref.key} is {'not text' if raw.strip() else 'empty'}{then}"
            self._sources.find(Reason.VALUE_INVALID, problem)
            return None
        return self._variable(PersonVariable("", secret=ref, content=Secret(text)))

    def _tell_absent(self) -> None:
        """One finding a Secret, whatever is in want of it."""
        for name, uses in self._absent.items():
            (where, left_out), *more = uses
            missing = f"Secret {name} does not exist in this namespace; create it"
            if more:
                message = f"{missing}; until then left out is what needs it: {listed(where for where, _ in uses)}"
            else:
                message = f"{where}: {missing}{LEFT_OUT.format(left_out)}"
            self._sources.find(Reason.SECRET_MISSING, message)

    def _variable(self, made: PersonVariable) -> str:
        """Its name, which follows from the source alone: a container that starts again while the document changes never takes one value for
        another."""
        source = [made.secret.name, made.secret.key] if made.secret is not None else [made.value]
        number = int.from_bytes(hashlib.sha256(json.dumps(source).encode()).digest()[:5], "big")
        name = f"{VARIABLE_PREFIX}{number}"
        self._variables.setdefault(name, replace(made, name=name))
        return name

    def _text(self, where: str, content: str | None, ref: ConfigMapKeyReference | None) -> str | None:
        if ref is None:
            return content or ""
        data = self._config_maps.get(ref.name)
        then = LEFT_OUT.format("it")
        if data is None:
            message = f"{where}: ConfigMap {ref.name} does not exist in this namespace; create it{then}"
            self._sources.find(Reason.CONFIG_MAP_MISSING, message)
            return None
        if ref.key not in data:
            message = f"{where}: ConfigMap {ref.name} has no key {ref.key} ({what_is_there(data)}){then}"
            self._sources.find(Reason.CONFIG_MAP_KEY_MISSING, message)
        return data.get(ref.key)

    # size

    def _bounded(self, document: Json) -> Json:
        """Without what does not fit, the largest first."""
        left_out: list[str] = []
        while len(encode(document)) > MAX_BYTES:
            sizes = [(len(encode(item)), name, number) for name in _LISTS for number, item in enumerate(_items(document.get(name)))]
            if not sizes:
                break
            size, name, number = max(sizes)
            items = _items(document[name])
            left_out.append(f"{name} {items[number][_LISTS[name]]} ({size // 1024 + 1} KiB)")
            document = {**document, name: [*items[:number], *items[number + 1 :]]}
        if left_out:
            largest = f"{MAX_BYTES // 1024} KiB"
            message = f"what the spec says of the assistant is larger than {largest}: left out is {', '.join(left_out)}; shorten it"
            self._config.append(Finding(Reason.AGENT_CONFIG_TOO_LARGE, message))
        return document


def _is_openai_alone(connection: ModelConnection) -> bool:
    """At any other address a proxy may know every model."""
    own = not connection.base_url or connection.base_url.startswith(AI_GATEWAY_HOST)
    return connection.adapter is ModelAdapter.OPENAI and connection.prefix == OPENAI_PREFIX and own


def encode(value: object) -> bytes:
    """Canonical JSON: equal values are equal bytes."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _items(value: object) -> list[Mapping[str, object]]:
    return value if isinstance(value, list) else []


def _names_in(value: object) -> set[str]:
    """Names of variables that a document still refers to."""
    match value:
        case dict():
            return {name for key, item in value.items() for name in ({item} if key in ("from", "key") else _names_in(item))}
        case list():
            return {name for item in value for name in _names_in(item)}
        case _:
            return set()
