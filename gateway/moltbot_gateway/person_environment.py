"""Values that a person put into the container on purpose (`gateway.env`, a skill's, an MCP server's): `PERSON_ENV_<n>`. They are taken
out of our own environment at once, and each goes only to what names it.

`kubectl create secret --from-file` keeps the line break that `echo` and editors put at a file's end. A header or a key never has white
space around it; a program's value may, so that of it only that one line break goes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, MutableMapping

from moltbot_gateway.agent_config import AgentConfig, EnvVar

PREFIX = "PERSON_ENV_"


def take(environ: MutableMapping[str, str]) -> dict[str, str]:
    """Values by our own names."""
    return {name: environ.pop(name) for name in list(environ) if name.startswith(PREFIX)}


def for_program(value: str) -> str:
    """As a program's variable."""
    return value.removesuffix("\n").removesuffix("\r") if value.endswith("\n") else value


def for_request(value: str) -> str:
    """As a header's value, or a key in one."""
    return value.strip()


def values_of(variables: Iterable[EnvVar], person: Mapping[str, str]) -> dict[str, str]:
    """What a program that names these variables finds; one whose value is not there is left out (the operator has said so)."""
    return {variable.name: for_program(person[variable.source]) for variable in variables if variable.source in person}


def for_tools(config: AgentConfig, person: Mapping[str, str]) -> dict[str, str]:
    """Everything that programs of the workspace find: the gateway's own and those of skills that are on."""
    skills = [variable for skill in config.skills if skill.enabled for variable in skill.env]
    return values_of((*skills, *config.env), person)
