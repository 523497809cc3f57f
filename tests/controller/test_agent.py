"""Spec → what the gateway is told of the assistant (docs/reference/agent.md): read back by the gateway's own parser."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from moltbot_api.assistant import MOST_JOBS
from moltbot_api.conditions import ConditionType, Reason
from moltbot_api.spec import MoltbotSpec
from moltbot_api.status import MoltbotStatus
from moltbot_gateway.agent_config import AgentConfig, Approval, Confinement, EnvVar, Heartbeat, Missed, parse_agent_config
from moltbot_operator.agent import MAX_BYTES, config_map_names
from moltbot_operator.effective import Agent, ConfigMapValues, Effective, SecretValues
from moltbot_operator.lifecycle.status import Truth
from moltbot_operator.manifests.agent import agent_hash, build_agent_config, read_jobs_annotation
from moltbot_operator.manifests.pod import build_pod_template
from moltbot_operator.manifests.secrets import build_model_secret
from moltbot_operator.secrets_from import resolve, secret_names
from moltbot_operator.sources import Place
from moltbot_operator.status import decide_agent, decide_secrets
from tests.controller.plans import ASSISTANT, CONFIG_MAPS, KEYS, make_plan

NOW = datetime(2026, 11, 24, tzinfo=UTC)
SECRETS = {"ada": {"ANTHROPIC_API_KEY": "sk-1", "OPENAI_API_KEY": "sk-2"}, "keys": KEYS}


def settle(
    spec: dict[str, Any],
    secrets: dict[str, dict[str, str] | None] | None = None,
    texts: dict[str, dict[str, str] | None] | None = None,
    *,
    on_cluster: bool = True,
) -> Effective:
    given = {"ada": {"ANTHROPIC_API_KEY": "sk-1"}, **(secrets or {})}
    found = {name: None if data is None else {key: value.encode() for key, value in data.items()} for name, data in given.items()}
    whole = MoltbotSpec.model_validate({"secretsFrom": [{"name": "ada"}], **spec})
    return resolve(whole, SecretValues(found), Place("team", "ada", on_cluster=on_cluster), ConfigMapValues(texts or {}))[0]


def read(agent: Agent) -> AgentConfig:
    config = parse_agent_config(json.dumps(agent.document))
    assert config.problems == ()
    return config


def told(effective: Effective) -> list[tuple[Reason, str]]:
    return [(finding.reason, finding.message) for finding in effective.findings if finding.wrong]


def test_everything_of_a_spec_reaches_the_gateway_as_it_was_written() -> None:
    plan = make_plan(ASSISTANT, SECRETS, CONFIG_MAPS)
    config = read(plan.agent)
    values = {one.name: KEYS[one.secret.key] if one.secret else one.value for one in plan.agent.variables}

    def of(entries: tuple[EnvVar, ...]) -> dict[str, str]:
        return {entry.name: values[entry.source] for entry in entries}

    assert (config.fallbacks, config.thinking) == (("claude-y", "openai/gpt-5-mini"), "low")
    assert (config.limits.tokens, config.limits.money_micros) == (2_000_000, 5_000_000)
    assert (config.time_zone, config.confinement, config.on_cluster) == ("Europe/Berlin", Confinement.POD, True)
    assert (config.programs, config.allowed, config.denied_tools) == (Approval.ALLOW, ("git *",), ("web_fetch",))
    assert config.web_search is not None
    assert (config.web_search.provider, values[config.web_search.key]) == ("brave", "br-1")
    assert of(config.env) == {"GITHUB_USER": "ada$(MOLTBOT_KEYS)", "GITHUB_TOKEN": "gh-1"}
    assert [(one.path, one.content, one.always) for one in config.workspace] == [
        ("SOUL.md", "Be brief.", False),
        ("notes/home.md", "A flat.", True),
    ]
    assert [(one.name, one.enabled, of(one.env)) for one in config.skills] == [
        ("weather", True, {"WEATHER_KEY": "we-1"}),
        ("bundled", False, {}),
    ]
    assert config.skills[0].content == CONFIG_MAPS["texts"]["weather"]
    assert [(one.name, one.command, one.url, of(one.env), of(one.headers), one.tools) for one in config.mcp_servers] == [
        ("notes", ("npx", "-y", "notes"), "", {"NOTES": "here"}, {}, ()),
        ("search", (), "https://mcp.example/mcp", {}, {"Authorization": "Bearer se-1"}, ("find",)),
    ]
    brief, tidy, party = config.schedule
    assert (brief.cron, brief.time_zone, brief.isolated, brief.missed, brief.enabled) == (
        "0 7 * * mon-fri",
        "Europe/Berlin",
        True,
        Missed.RUN,
        True,
    )
    assert (tidy.every_ms, tidy.isolated, tidy.missed, tidy.model) == (21_600_000, False, Missed.SKIP, "claude-y")
    assert (party.at_ms, party.enabled) == (int(datetime(2030, 6, 1, 7, tzinfo=UTC).timestamp() * 1000), False)
    assert config.heartbeat == Heartbeat(1_800_000, "", (480, 1380), "")


def test_a_spec_that_says_nothing_of_it_leaves_the_gateway_its_defaults() -> None:
    effective = settle({})
    assert effective.agent.document == {"onCluster": True}
    assert effective.agent.chosen == {}
    assert read(effective.agent) == AgentConfig(on_cluster=True)
    assert settle({}, on_cluster=False).agent.document == {"onCluster": False}
    assert decide_agent(effective.agent, None, NOW) == {}


def test_no_value_is_in_the_config_map_and_no_secret_is_in_the_pod() -> None:
    plan = make_plan(ASSISTANT, SECRETS, CONFIG_MAPS)
    config_map, template = json.dumps(build_agent_config(plan)), json.dumps(build_pod_template(plan))
    for value in KEYS.values():
        assert value not in config_map
        assert value not in template
    assert "ada$(MOLTBOT_KEYS)" not in config_map


def test_a_persons_text_never_takes_another_variables_value() -> None:
    """Kubernetes puts variables in for `$(NAME)`; `$$` is how a `$` is written."""
    env = build_pod_template(make_plan(ASSISTANT, SECRETS, CONFIG_MAPS))["spec"]["containers"][0]["env"]
    assert "ada$$(MOLTBOT_KEYS)" in [entry.get("value") for entry in env]


def test_only_the_gateway_container_has_them_and_their_order_does_not_change() -> None:
    bucket = {"s3": {"endpoint": "https://s3.example"}, "credentials": {"secretName": "bucket"}}
    secrets = {**SECRETS, "bucket": {"AWS_ACCESS_KEY_ID": "i", "AWS_SECRET_ACCESS_KEY": "s"}}
    plan = make_plan({**ASSISTANT, "persistence": {"bucket": bucket}}, secrets, CONFIG_MAPS)
    pod = build_pod_template(plan)["spec"]
    state, gateway = pod["initContainers"][0]["env"], pod["containers"][0]["env"]
    assert not any(entry["name"].startswith("PERSON_ENV_") or entry["name"] == "MOLTBOT_AGENT" for entry in state)
    names = [entry["name"] for entry in gateway if entry["name"].startswith("PERSON_ENV_")]
    assert len(names) == 6
    assert names == sorted(names)


def test_one_source_has_one_variable_whatever_stands_before_it() -> None:
    """A container that starts again between a changed document and its new pod finds no other value under a name that it knows."""
    env = [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "github"}}}]
    first = settle({"gateway": {"env": env}}, {"keys": KEYS}).agent.variables
    more = [{"name": "B", "value": "1"}, {"name": "C", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "brave"}}}, *env]
    more.append({"name": "D", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "github"}}})
    second = settle({"gateway": {"env": more}}, {"keys": KEYS}).agent.variables
    assert first[0].name in {one.name for one in second}
    assert len(second) == 3


LEFT_OUT: list[tuple[str, dict[str, Any], Reason, str]] = [
    (
        "web search",
        {"gateway": {"tools": {"webSearch": {"provider": "brave", "apiKeySecretRef": {"name": "no", "key": "k"}}}}},
        Reason.SECRET_MISSING,
        "gateway.tools.webSearch.apiKeySecretRef: Secret no does not exist in this namespace; create it; until then web search is left out",
    ),
    (
        "variable",
        {"gateway": {"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "no"}}}]}},
        Reason.SECRET_KEY_MISSING,
        "gateway.env: A: Secret keys has no key no (it has brave, github, search and weather); until then it is left out",
    ),
    (
        "empty value",
        {"gateway": {"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "empty", "key": "k"}}}]}},
        Reason.VALUE_INVALID,
        "gateway.env: A: Secret empty: k is empty; until then it is left out",
    ),
    (
        "server",
        {
            "mcpServers": [
                {
                    "name": "s",
                    "url": "https://x.example",
                    "headers": [
                        {"name": "A", "value": "1"},
                        {"name": "Authorization", "valueFrom": {"secretKeyRef": {"name": "no", "key": "k"}}},
                    ],
                }
            ]
        },
        Reason.SECRET_MISSING,
        "mcpServers: s: Authorization: Secret no does not exist in this namespace; create it; until then the server is left out",
    ),
    (
        "file",
        {"workspace": {"files": [{"path": "a.md", "configMapKeyRef": {"name": "no", "key": "k"}}]}},
        Reason.CONFIG_MAP_MISSING,
        "workspace.files: a.md: ConfigMap no does not exist in this namespace; create it; until then it is left out",
    ),
    (
        "skill",
        {"skills": [{"name": "s", "configMapKeyRef": {"name": "texts", "key": "no"}}]},
        Reason.CONFIG_MAP_KEY_MISSING,
        "skills: s: ConfigMap texts has no key no (it has home and weather); until then it is left out",
    ),
    (
        "fallback",
        {"model": {"fallbacks": ["openai/gpt-5-mini"]}},
        Reason.GROUP_INCOMPLETE,
        "model.fallbacks: openai/gpt-5-mini needs OPENAI_API_KEY in a Secret of secretsFrom, or model.openAI; until then it is left out",
    ),
]


@pytest.mark.parametrize(("spec", "reason", "words"), [one[1:] for one in LEFT_OUT], ids=[one[0] for one in LEFT_OUT])
def test_what_is_missing_is_left_out_and_said_and_keeps_nothing_from_starting(spec: dict[str, Any], reason: Reason, words: str) -> None:
    effective = settle(spec, {"keys": KEYS, "no": None, "empty": {"k": "\n"}}, {**CONFIG_MAPS, "no": None})
    assert told(effective) == [(reason, words)]
    assert effective.blocking == ()
    # The gateway is told of a search without its key: it can say what is missing when it is asked to search.
    keyless = {"webSearch": {"provider": "brave", "key": "", "baseUrl": ""}} if "webSearch" in str(spec) else {}
    assert effective.agent.chosen == keyless
    assert effective.agent.variables == ()
    assert decide_secrets(effective).reason is reason
    assert words in decide_secrets(effective).message


def test_a_fallback_of_claude_needs_a_connection_to_claude() -> None:
    spec: dict[str, Any] = {"model": {"fallbacks": ["claude-x", "openai/gpt-5-mini"]}}
    only = settle(spec, {"ada": {"OPENAI_API_KEY": "o"}})
    assert told(only) == [
        (
            Reason.GROUP_INCOMPLETE,
            "model.fallbacks: claude-x cannot be asked where only OpenAI is set up: "
            "add ANTHROPIC_API_KEY to a Secret of secretsFrom; until then it is left out",
        )
    ]
    assert read(only.agent).fallbacks == ("gpt-5-mini",)
    both = settle(spec, {"ada": {"OPENAI_API_KEY": "o", "ANTHROPIC_API_KEY": "a"}})
    assert (told(both), read(both.agent).fallbacks) == ([], ("claude-x", "openai/gpt-5-mini"))
    proxy = settle({"model": {**spec["model"], "name": "x", "baseURL": "https://proxy.example/openai"}}, {"ada": {"OPENAI_API_KEY": "o"}})
    assert (told(proxy), read(proxy.agent).fallbacks) == ([], ("claude-x", "gpt-5-mini"))


def test_a_secret_that_is_missing_is_told_once_whatever_needs_it() -> None:
    ref = {"name": "no", "key": "k"}
    env = [{"name": "A", "valueFrom": {"secretKeyRef": ref}}]
    spec = {
        "gateway": {"env": env, "tools": {"webSearch": {"provider": "brave", "apiKeySecretRef": ref}}},
        "mcpServers": [{"name": "s", "command": ["x"], "env": env}],
    }
    words = (
        "Secret no does not exist in this namespace; create it; until then left out is what needs it: "
        "gateway.tools.webSearch.apiKeySecretRef, gateway.env: A and mcpServers: s: A"
    )
    assert told(settle(spec, {"no": None})) == [(Reason.SECRET_MISSING, words)]


TIMES: list[tuple[dict[str, Any], str]] = [
    ({"schedule": [{"name": "j", "cron": "0 25 * * *", "prompt": "x"}]}, "schedule: j: '0 25 * * *': 25 is no hour"),
    ({"schedule": [{"name": "j", "every": "30s", "prompt": "x"}]}, "schedule: j: every 30s is too often, 1m is the least"),
    ({"schedule": [{"name": "j", "at": "2030-02-30T09:00:00Z", "prompt": "x"}]}, "schedule: j: 2030-02-30T09:00:00Z is no time"),
    ({"schedule": [{"name": "j", "cron": "0 7 * * *", "timeZone": "Berlin", "prompt": "x"}]}, "did you mean Europe/Berlin?"),
    ({"timeZone": "Europe/Berln", "schedule": [{"name": "j", "cron": "0 7 * * *", "prompt": "x"}]}, "timeZone: Europe/Berln is not"),
    ({"heartbeat": {"every": "59s"}}, "heartbeat: every 59s is too often"),
    ({"heartbeat": {"every": "1h", "activeHours": {"from": "08:00", "to": "08:00"}}}, "is no time at all"),
    ({"timeZone": "Europe/Berln", "heartbeat": {"every": "1h", "activeHours": {"from": "08:00", "to": "24:00"}}}, "timeZone:"),
]


@pytest.mark.parametrize(("spec", "words"), TIMES, ids=[one[1] for one in TIMES])
def test_a_job_whose_time_is_none_does_not_run_and_the_condition_says_which(spec: dict[str, Any], words: str) -> None:
    effective = settle(spec)
    assert effective.agent.chosen == {}
    says = decide_agent(effective.agent, None, NOW)[ConditionType.SCHEDULE_READY]
    assert (says.status, says.reason) == (Truth.FALSE, Reason.SCHEDULE_INVALID)
    assert words in says.message


def test_one_wrong_job_costs_no_other_and_its_own_time_zone_saves_it_from_a_wrong_one() -> None:
    jobs = [
        {"name": "a", "cron": "0 7 * * *", "timeZone": "Asia/Tokyo", "prompt": "x"},
        {"name": "b", "cron": "0 7 * * *", "prompt": "x"},
        {"name": "c", "every": "1h", "prompt": "x"},
    ]
    config = read(settle({"timeZone": "Nowhere/City", "schedule": jobs}).agent)
    assert ([job.name for job in config.schedule], config.time_zone) == (["a", "c"], "UTC")


def test_a_time_that_is_past_is_told_and_changes_no_pod() -> None:
    spec = {"schedule": [{"name": "party", "at": "2026-11-23T09:00:00Z", "prompt": "x"}]}
    agent = settle(spec).agent
    says = decide_agent(agent, None, NOW)[ConditionType.SCHEDULE_READY]
    assert (says.status, says.reason) == (Truth.TRUE, Reason.SCHEDULED)
    assert says.message.endswith("party was due at 2026-11-23T09:00:00Z, which is past.")
    assert "past" not in decide_agent(agent, None, datetime(2026, 11, 22, tzinfo=UTC))[ConditionType.SCHEDULE_READY].message
    assert len(read(agent).schedule) == 1


def test_what_does_not_fit_is_left_out_the_largest_first_and_named() -> None:
    files = [{"path": f"{number}.md", "content": "ä" * 1024 * number} for number in (10, 30, 20)]
    effective = settle({"workspace": {"files": files}, "skills": [{"name": "s", "content": "x" * 30 * 1024}]})
    config = read(effective.agent)
    assert [one.path for one in config.workspace] == ["10.md", "20.md"]
    assert [one.name for one in config.skills] == ["s"]
    says = decide_agent(effective.agent, None, NOW)[ConditionType.TOOLS_READY]
    assert (says.status, says.reason) == (Truth.FALSE, Reason.AGENT_CONFIG_TOO_LARGE)
    assert "larger than 100 KiB: left out is workspace 30.md (61 KiB)" in says.message
    plan = make_plan({"workspace": {"files": files}})
    assert len(build_agent_config(plan)["data"]["agent.json"].encode()) <= MAX_BYTES


def test_variables_of_what_was_left_out_for_its_size_are_not_in_the_pod() -> None:
    env = [{"name": "A", "value": "1"}]
    skills = [{"name": f"s{number}", "content": "x" * 60 * 1024, "env": env if number else []} for number in range(2)]
    assert settle({"skills": skills}).agent.variables == ()


def test_another_document_is_another_template() -> None:
    one, other = make_plan({"timeZone": "Asia/Tokyo"}), make_plan({"timeZone": "Asia/Seoul"})
    assert agent_hash(one.agent) != agent_hash(other.agent)
    annotations = [build_pod_template(plan)["metadata"]["annotations"]["moltbot.dev/agent"] for plan in (one, other)]
    assert annotations == [agent_hash(one.agent), agent_hash(other.agent)]


def jobs_of(schedule: list[dict[str, Any]], **spec: Any) -> set[str]:
    """As the pod template has them."""
    whole = [{"name": "brief", "prompt": "Say hello.", **one} for one in schedule]
    annotations = build_pod_template(make_plan({"schedule": whole, **spec}))["metadata"]["annotations"]
    return set(read_jobs_annotation(annotations["moltbot.dev/jobs"]) or ())


@pytest.mark.parametrize(
    ("before", "after", "new"),
    [
        pytest.param({"cron": "0 7 * * *"}, {"cron": "0 8 * * *"}, True, id="another hour"),
        pytest.param({"cron": "0 7 * * *"}, {"cron": "0  7 * * *"}, False, id="the same in other words"),
        pytest.param({"cron": "0 7 * * *"}, {"cron": "0 7 * * *", "timeZone": "Asia/Tokyo"}, True, id="another time zone"),
        pytest.param({"cron": "0 7 * * *"}, {"cron": "0 7 * * *", "name": "news"}, True, id="another name is another job"),
        pytest.param({"cron": "0 7 * * *"}, {"cron": "0 7 * * *", "prompt": "Say bye."}, False, id="what it does"),
        pytest.param({"cron": "0 7 * * *"}, {"cron": "0 7 * * *", "missed": "Skip", "session": "Main"}, False, id="and how"),
        pytest.param({"cron": "0 7 * * *"}, {"cron": "0 7 * * *", "suspend": True}, False, id="it rests"),
        pytest.param({"cron": "0 7 * * *", "suspend": True}, {"cron": "0 7 * * *"}, True, id="it rests no more"),
        pytest.param({"every": "1h"}, {"every": "60m"}, False, id="the same interval"),
        pytest.param({"every": "1h"}, {"every": "2h"}, True, id="another interval"),
        pytest.param({"at": "2030-01-31T09:00:00Z"}, {"at": "2030-01-31T10:00:00+01:00"}, False, id="the same moment"),
        pytest.param({"at": "2030-01-31T09:00:00Z"}, {"at": "2030-01-31T09:00:01Z"}, True, id="another moment"),
        pytest.param({"cron": "0 7 * * *"}, {"cron": "0 7 * *"}, False, id="one that cannot run"),
    ],
)
def test_a_new_time_of_a_job_can_be_told_from_the_pod_template(before: dict[str, Any], after: dict[str, Any], new: bool) -> None:
    assert bool(jobs_of([after]) - jobs_of([before])) is new


def test_the_time_zone_of_the_spec_is_in_the_times_of_its_jobs() -> None:
    jobs: list[dict[str, Any]] = [{"cron": "0 7 * * *"}, {"name": "hourly", "every": "1h"}]
    assert len(jobs_of(jobs, timeZone="Asia/Tokyo") - jobs_of(jobs)) == 1


def test_a_schedule_in_another_order_has_the_same_times() -> None:
    jobs: list[dict[str, Any]] = [{"cron": "0 7 * * *"}, {"name": "hourly", "every": "1h"}]
    assert jobs_of(jobs) == jobs_of(jobs[::-1])
    assert jobs_of([]) == set()
    assert read_jobs_annotation(None) is None


def test_the_longest_schedule_fits_into_the_status() -> None:
    jobs = jobs_of([{"name": f"job-{number}", "every": "1h"} for number in range(MOST_JOBS)])
    assert len(jobs) == MOST_JOBS
    assert MoltbotStatus.from_wire({"jobs": sorted(jobs)}).jobs == sorted(jobs)


def test_every_name_that_has_to_be_read_is_known_before() -> None:
    spec = MoltbotSpec.model_validate(ASSISTANT | {"model": {"openAI": {"apiKeySecretRef": {"name": "open", "key": "k"}}}})
    assert (secret_names(spec), config_map_names(spec)) == (["ada", "open", "keys"], ["texts"])


def test_the_second_connection_is_in_the_models_secret() -> None:
    data = build_model_secret(
        make_plan({"secretsFrom": [{"name": "ada"}], "model": {"openAI": {"baseURL": "http://x.example/v1"}}}, SECRETS)
    )
    assert {"MOLTBOT_MODEL_API_KEY", "MOLTBOT_MODEL_OPENAI_API_KEY", "MOLTBOT_MODEL_OPENAI_BASE_URL"} <= set(data["data"])
