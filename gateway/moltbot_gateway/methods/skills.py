"""skills.status: which skills there are, and what keeps one from being used."""

from __future__ import annotations

from collections.abc import Mapping

from moltbot_gateway.methods.context import Context, Handler
from moltbot_gateway.workspace.skills import Needs, Skill


def _needs(needs: Needs) -> dict[str, object]:
    return {
        "bins": list(needs.bins),
        "anyBins": list(needs.any_bins),
        "env": list(needs.env),
        "config": list(needs.config),
        "os": list(needs.systems),
    }


def _row(skill: Skill) -> dict[str, object]:
    return {
        "name": skill.name,
        "skillKey": skill.name,
        "description": skill.description,
        "source": skill.source.value,
        "bundled": skill.source == "bundled",
        "filePath": skill.path,
        "homepage": skill.homepage or None,
        "always": skill.always,
        "disabled": skill.disabled,
        "eligible": skill.eligible,
        "modelInvocable": skill.for_model,
        "userInvocable": skill.for_person,
        "requirements": _needs(skill.needs),
        "missing": _needs(skill.missing),
        "install": [],
        "configChecks": [],
    }


async def status(context: Context) -> object:
    """`problems`: skills that cannot be read, in sentences; the other properties are the official ones."""
    context.agent()
    workspace = context.gateway.workspace
    await workspace.ready()
    await workspace.prompts.refresh_skills()
    skills = workspace.skills
    return {
        "workspaceDir": "workspace",
        "managedSkillsDir": "skills",
        "skills": [_row(skill) for skill in skills.all()],
        "problems": list(skills.problems),
    }


HANDLERS: Mapping[str, Handler] = {"skills.status": status}
