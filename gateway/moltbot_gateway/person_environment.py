"""Values that a person put into the container on purpose (`gateway.env`, a skill's, an MCP server's): `PERSON_ENV_<n>`. They are taken
out of our own environment at once, and each goes only to what names it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, MutableMapping

from moltbot_gateway.agent_config import AgentConfig, EnvVar

PREFIX = "PERSON_ENV_"


def take(environ: MutableMapping[str, str]) -> dict[str, str]:
    """Values by our own names."""
    return {name: environ.pop(name) for name in list(environ) if name.startswith(PREFIX)}


def values_of(variables: Iterable[EnvVar], person: Mapping[str, str]) -> dict[str, str]:
    """What a program that names these variables finds; one whose value is not there is left out (the operator has said so)."""
    return {variable.name: person[variable.source] for variable in variables if variable.source in person}


def for_tools(config: AgentConfig, person: Mapping[str, str]) -> dict[str, str]:
    """Everything that programs of the workspace find: the gateway's own and those of skills that are on."""
    skills = [variable for skill in config.skills if skill.enabled for variable in skill.env]
    return values_of((*skills, *config.env), person)
