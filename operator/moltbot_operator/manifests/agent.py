"""ConfigMap `<name>-agent`: what the resource says about the assistant itself, and the variables it refers to. Pure.

A value of a person is never in the ConfigMap: it is a variable of the gateway container, and a Secret's is there by reference.
"""

from __future__ import annotations

import hashlib

from moltbot_api.assistant import MOST_JOBS
from moltbot_api.names import AGENT_KEY, COMPONENT_GATEWAY
from moltbot_operator.agent_schedule import fingerprints
from moltbot_operator.effective import Agent
from moltbot_operator.manifests.hashing import canonical
from moltbot_operator.manifests.plan import Manifest, Plan, env_secret, env_value, metadata

# An annotation's word for no job at all: an empty one and none are not told apart everywhere.
NO_JOBS = "-"


def build_agent_config(plan: Plan) -> Manifest:
    """Key `agent.json`, canonical JSON."""
    made = metadata(plan, plan.children.agent, COMPONENT_GATEWAY)
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": made, "data": {AGENT_KEY: canonical(plan.agent.document).decode()}}


def agent_hash(agent: Agent) -> str:
    """Of the document: it stands in the pod template, so that another document is another template (rule 2)."""
    return hashlib.sha256(canonical(agent.document)).hexdigest()


def build_jobs_annotation(agent: Agent) -> str:
    """`moltbot.dev/jobs` of the pod template: the times that its gateway reads, so that an added one can be told while it sleeps."""
    jobs = agent.document.get("schedule")
    return " ".join(fingerprints(jobs if isinstance(jobs, list) else ())) or NO_JOBS


def read_jobs_annotation(text: str | None) -> tuple[str, ...] | None:
    """None: a template or pod of before there was one."""
    if text is None:
        return None
    return () if text == NO_JOBS else tuple(text.split()[:MOST_JOBS])


def build_person_env(plan: Plan) -> list[Manifest]:
    """The variables. A Secret's is optional: one that goes while the assistant sleeps must not keep it from waking."""
    made = []
    for one in plan.agent.variables:
        if one.secret is not None:
            made.append(env_secret(one.name, one.secret.name, one.secret.key, optional=True))
        else:
            # Kubernetes puts other variables in for `$(NAME)`, and takes `$$` for `$`: a person's text could take our keys that way
            made.append(env_value(one.name, one.value.replace("$", "$$")))
    return sorted(made, key=lambda entry: str(entry["name"]))
