"""api.md, secretsFrom: what Secrets and spec come to, and what is said about them. One row a case of a person's mistake or choice."""

from __future__ import annotations

from typing import Any

import pytest

from moltbot_api.conditions import Reason
from moltbot_api.spec import MoltbotSpec
from moltbot_operator.effective import BucketKind, Effective, ModelAdapter, SecretValues
from moltbot_operator.secrets_from import resolve, secret_names
from moltbot_operator.sources import Place
from moltbot_operator.urls import clean_base_url
from moltbot_protocol.models import DEFAULT_MODEL

PLACE = Place("team", "ada")
R2 = {"R2_ACCESS_KEY_ID": "id", "R2_SECRET_ACCESS_KEY": "sk", "CF_ACCOUNT_ID": "acc1"}


def settle(spec: dict[str, Any] | None = None, place: Place = PLACE, **secrets: dict[str, str] | None) -> Effective:
    whole = {"secretsFrom": [{"name": name} for name in secrets]} if secrets and spec is None else (spec or {})
    found = {name: None if data is None else {key: value.encode() for key, value in data.items()} for name, data in secrets.items()}
    effective, _ = resolve(MoltbotSpec.model_validate(whole), SecretValues(found), place)
    return effective


def told(effective: Effective) -> list[tuple[Reason, bool, bool]]:
    return [(finding.reason, finding.wrong, finding.blocking) for finding in effective.findings]


def words(effective: Effective) -> str:
    return " | ".join(finding.message for finding in effective.findings)


# model


def test_a_direct_key_with_the_default_model() -> None:
    model = settle(ada={"ANTHROPIC_API_KEY": "sk-1"}).model
    assert (model.adapter, model.name, model.base_url) == (ModelAdapter.ANTHROPIC, DEFAULT_MODEL, "")
    assert model.api_key is not None
    assert model.api_key.reveal() == "sk-1"


def test_no_key_says_where_to_put_one_and_demo_answers_only_when_named() -> None:
    model = settle(ada={}).model
    assert model.adapter is ModelAdapter.NONE
    assert "add ANTHROPIC_API_KEY to Secret ada" in model.problem
    assert settle({"model": {"name": "demo"}}).model.adapter is ModelAdapter.DEMO


def test_without_a_cluster_the_demo_stands_in_but_never_for_what_is_broken() -> None:
    place = Place("team", "ada", demo_stands_in=True)
    model = settle(place=place, ada={}).model
    assert (model.adapter, model.stand_in) == (ModelAdapter.DEMO, True)
    assert settle(place=place, ada={"ANTHROPIC_API_KEY": "sk # mine"}).model.adapter is ModelAdapter.NONE
    assert settle(place=place, ada={"AI_GATEWAY_API_KEY": "x"}).model.adapter is ModelAdapter.NONE


def test_an_ai_gateway_wins_over_a_direct_key() -> None:
    keys = {"CLOUDFLARE_AI_GATEWAY_API_KEY": "pk", "CF_AI_GATEWAY_ACCOUNT_ID": "acc", "CF_AI_GATEWAY_GATEWAY_ID": "gw"}
    model = settle(ada={**keys, "ANTHROPIC_API_KEY": "direct", "CF_AI_GATEWAY_MODEL": "anthropic/claude-x"}).model
    assert model.base_url == "https://gateway.ai.cloudflare.com/v1/acc/gw/anthropic"
    assert (model.name, model.api_key.reveal() if model.api_key else None) == ("claude-x", "pk")


def test_the_older_pair_wins_over_a_direct_key_and_loses_its_slash() -> None:
    pair = {"AI_GATEWAY_API_KEY": "pk", "AI_GATEWAY_BASE_URL": "https://gateway.ai.cloudflare.com/v1/a/g/anthropic/"}
    model = settle(ada={**pair, "ANTHROPIC_API_KEY": "direct"}).model
    assert (model.base_url, model.api_key.reveal() if model.api_key else None) == (
        "https://gateway.ai.cloudflare.com/v1/a/g/anthropic",
        "pk",
    )


def test_an_explicit_field_wins_over_every_named_key() -> None:
    pair = {"AI_GATEWAY_API_KEY": "pk", "AI_GATEWAY_BASE_URL": "https://gw.example", "k": ""}
    spec = {"secretsFrom": [{"name": "ada"}], "model": {"name": "claude-y", "baseURL": "https://own.example/v1/messages"}}
    model = settle(spec, ada=pair).model
    assert (model.name, model.base_url) == ("claude-y", "https://own.example")


def test_a_gateway_block_with_its_own_key_and_no_provider_key() -> None:
    spec = {"model": {"aiGateway": {"accountId": "acc", "gatewayId": "gw", "apiKeySecretRef": {"name": "s", "key": "k"}}}}
    model = settle(spec, s={"k": "auth"}).model
    assert model.api_key is None
    assert model.gateway_authorization is not None
    assert model.gateway_authorization.reveal() == "auth"


def test_a_provider_that_is_not_served_is_said_and_nothing_else_answers() -> None:
    keys = {"CLOUDFLARE_AI_GATEWAY_API_KEY": "pk", "CF_AI_GATEWAY_ACCOUNT_ID": "acc", "CF_AI_GATEWAY_GATEWAY_ID": "gw"}
    effective = settle(ada={**keys, "CF_AI_GATEWAY_MODEL": "groq/llama", "ANTHROPIC_API_KEY": "direct"})
    assert effective.model.adapter is ModelAdapter.NONE
    assert "compat/<provider>/<model>" in effective.model.problem


def test_a_missing_model_secret_and_a_missing_key_in_it_are_named_and_do_not_keep_it_from_starting() -> None:
    spec = {"model": {"apiKeySecretRef": {"name": "s", "key": "k"}}}
    effective = settle(spec, s=None)
    assert told(effective) == [(Reason.SECRET_MISSING, True, False)]
    assert effective.model.problem_reason is Reason.SECRET_MISSING
    effective = settle(spec, s={"other": "x"})
    assert told(effective) == [(Reason.SECRET_KEY_MISSING, True, False)]
    assert "has no key k (it has other)" in words(effective)


# how values are written


@pytest.mark.parametrize(
    ("raw", "clean"),
    [('"sk-1"', "sk-1"), ("'sk-1'", "sk-1"), ("  sk-1 ", "sk-1"), ("sk-1\n", "sk-1"), ('" sk-1 "', "sk-1"), ('sk-"1"', 'sk-"1"')],
)
def test_quotes_and_white_space_are_taken_off(raw: str, clean: str) -> None:
    model = settle(ada={"ANTHROPIC_API_KEY": raw}).model
    assert model.api_key is not None
    assert model.api_key.reveal() == clean


def test_taking_quotes_off_is_told_by_the_names_of_the_keys() -> None:
    effective = settle(ada={"ANTHROPIC_API_KEY": '"sk-1"', "SANDBOX_SLEEP_AFTER": " 10m"})
    assert told(effective) == [(Reason.VALUE_CLEANED, False, False)]
    assert "ANTHROPIC_API_KEY and SANDBOX_SLEEP_AFTER" in words(effective)


def test_a_line_end_alone_is_not_worth_telling() -> None:
    assert settle(ada={"ANTHROPIC_API_KEY": "sk-1\n"}).findings == ()


@pytest.mark.parametrize("raw", ["sk-1 # mine", '"sk-1" # mine', "# none"])
def test_a_comment_after_a_value_is_diagnosed_and_the_value_not_shown(raw: str) -> None:
    effective = settle(ada={"ANTHROPIC_API_KEY": raw})
    assert told(effective) == [(Reason.VALUE_INVALID, True, False)]
    assert "comment" in words(effective)
    assert "sk-1" not in words(effective)


def test_a_hash_within_quotes_is_a_part_of_the_value() -> None:
    effective = settle(ada={"MOLTBOT_GATEWAY_TOKEN": '"a # b"'})
    assert effective.token is not None
    assert effective.token.reveal() == "a # b"


def test_bytes_that_are_no_text_and_line_breaks_within_are_refused() -> None:
    spec = MoltbotSpec.model_validate({"secretsFrom": [{"name": "ada"}]})
    found = {"ada": {"ANTHROPIC_API_KEY": b"\xff\xfe", "MOLTBOT_GATEWAY_TOKEN": b"a\nb"}}
    effective, named = resolve(spec, SecretValues(found), PLACE)
    assert told(effective) == [(Reason.VALUE_INVALID, True, False)] * 2
    assert effective.token is None
    assert named


def test_an_empty_value_is_as_good_as_none() -> None:
    assert settle(ada={"R2_ACCESS_KEY_ID": "", "ANTHROPIC_API_KEY": "sk"}).findings == ()


def test_of_two_secrets_the_later_one_counts() -> None:
    effective = settle(one={"SANDBOX_SLEEP_AFTER": "10m"}, two={"SANDBOX_SLEEP_AFTER": "30m"})
    assert (effective.sleep_after, effective.sleep_after_text) == (1800, "30m")


# which keys there are


def test_an_unknown_key_is_named_with_the_nearest_known_one() -> None:
    effective = settle(ada={"ANTROPIC_API_KEY": "x", "completely-other": "y"})
    assert told(effective) == [(Reason.KEY_UNKNOWN, False, False)] * 2
    assert "ANTROPIC_API_KEY is not one that is known, and not used; did you mean ANTHROPIC_API_KEY?" in words(effective)
    assert words(effective).count("did you mean") == 1


def test_a_known_key_that_is_not_served_says_so() -> None:
    effective = settle(ada={"TELEGRAM_BOT_TOKEN": "1:x", "CDP_SECRET": "y", "ANTHROPIC_API_KEY": "z"})
    assert told(effective) == [(Reason.KEY_NOT_SERVED, False, False)]
    assert "CDP_SECRET and TELEGRAM_BOT_TOKEN are known, but not served" in words(effective)


@pytest.mark.parametrize("missing", list(R2))
def test_two_of_r2s_three_neither_start_nor_sleep(missing: str) -> None:
    effective = settle(ada={key: value for key, value in R2.items() if key != missing})
    assert effective.bucket is None
    assert told(effective) == [(Reason.GROUP_INCOMPLETE, True, True)]
    assert f"{missing} is missing" in words(effective)


def test_a_missing_secret_of_secrets_from_blocks_for_it_may_hold_the_bucket() -> None:
    effective = settle(ada=None)
    assert told(effective) == [(Reason.SECRET_MISSING, True, True)]
    assert "kubectl create secret generic ada --from-env-file=.dev.vars" in words(effective)


def test_an_unreadable_key_of_the_bucket_blocks() -> None:
    effective = settle(ada={**R2, "R2_ACCESS_KEY_ID": "id # mine"})
    assert effective.bucket is None
    assert told(effective) == [(Reason.VALUE_INVALID, True, True)]


# bucket


def test_r2_by_the_guides_names() -> None:
    bucket = settle(ada={**R2, "R2_BUCKET_NAME": "mine"}).bucket
    assert bucket is not None
    assert (bucket.kind, bucket.endpoint, bucket.region) == (BucketKind.R2, "https://acc1.r2.cloudflarestorage.com", "auto")
    assert (bucket.name, bucket.prefix, bucket.access_key_id.reveal()) == ("mine", "team/ada/", "id")
    default = settle(ada=R2).bucket
    assert default is not None
    assert default.name == "moltbot-data"


def test_an_explicit_bucket_with_credentials_of_its_own() -> None:
    s3 = {"endpoint": "http://s3.s3.svc:9000/", "region": "eu-1"}
    bucket_spec = {"s3": s3, "name": "b-1", "prefix": "x/y", "credentials": {"secretName": "s"}}
    bucket = settle({"persistence": {"bucket": bucket_spec}}, s={"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}).bucket
    assert bucket is not None
    assert (bucket.kind, bucket.endpoint, bucket.region, bucket.prefix) == (BucketKind.S3, "http://s3.s3.svc:9000", "eu-1", "x/y/team/ada/")


def test_a_jurisdiction_has_an_endpoint_of_its_own() -> None:
    spec = {"secretsFrom": [{"name": "ada"}], "persistence": {"bucket": {"r2": {"accountId": "acc2", "jurisdiction": "eu"}}}}
    bucket = settle(spec, ada=R2).bucket
    assert bucket is not None
    assert bucket.endpoint == "https://acc2.eu.r2.cloudflarestorage.com"


def test_an_explicit_bucket_without_keys_blocks_and_says_where_they_go() -> None:
    effective = settle({"persistence": {"bucket": {"r2": {"accountId": "acc"}}}})
    assert told(effective) == [(Reason.GROUP_INCOMPLETE, True, True)]
    assert "persistence.bucket.credentials" in words(effective)


def test_a_key_missing_in_the_buckets_secret_blocks() -> None:
    spec = {"persistence": {"bucket": {"s3": {"endpoint": "https://s3.example"}, "credentials": {"secretName": "s"}}}}
    effective = settle(spec, s={"AWS_ACCESS_KEY_ID": "a"})
    assert told(effective) == [(Reason.SECRET_KEY_MISSING, True, True)]


def test_a_bad_account_or_bucket_name_blocks() -> None:
    assert told(settle(ada={**R2, "CF_ACCOUNT_ID": "https://x"})) == [(Reason.VALUE_INVALID, True, True)]
    assert told(settle(ada={**R2, "R2_BUCKET_NAME": "Not_a_bucket"})) == [(Reason.VALUE_INVALID, True, True)]


# the rest


def test_sleep_after_of_the_spec_wins_and_a_bad_one_of_a_secret_is_never() -> None:
    spec = {"sleepAfter": "1h", "secretsFrom": [{"name": "ada"}]}
    assert settle(spec, ada={"SANDBOX_SLEEP_AFTER": "10m"}).sleep_after == 3600
    effective = settle(ada={"SANDBOX_SLEEP_AFTER": "600"})
    assert (effective.sleep_after, effective.sleep_after_text) == (None, "never")
    assert told(effective) == [(Reason.VALUE_INVALID, True, False)]


@pytest.mark.parametrize("url", ["mine.example", "ftp://x", "https://u:p@x", "https://x?a=b", "https://[", "https://x:0"])
def test_a_bad_public_url_is_diagnosed(url: str) -> None:
    effective = settle(ada={"WORKER_URL": url})
    assert effective.public_url is None
    assert told(effective) == [(Reason.VALUE_INVALID, True, False)]


def test_the_public_url_is_scheme_and_host() -> None:
    assert settle(ada={"WORKER_URL": "https://ada.example/some/path"}).public_url == "https://ada.example"


def test_a_named_token_is_never_replaced_by_a_generated_one() -> None:
    spec = MoltbotSpec.model_validate({"gateway": {"tokenSecretRef": {"name": "s", "key": "k"}}})
    effective, named = resolve(spec, SecretValues({"s": None}), PLACE)
    assert (effective.token, named) == (None, True)
    effective, named = resolve(MoltbotSpec(), SecretValues(), PLACE)
    assert (effective.token, named) == (None, False)


def test_every_secret_that_a_spec_names_is_read_once() -> None:
    spec = MoltbotSpec.model_validate(
        {
            "secretsFrom": [{"name": "a"}, {"name": "b"}],
            "model": {
                "apiKeySecretRef": {"name": "a", "key": "k"},
                "aiGateway": {"accountId": "x", "gatewayId": "y", "apiKeySecretRef": {"name": "c", "key": "k"}},
            },
            "gateway": {"tokenSecretRef": {"name": "d", "key": "k"}},
            "persistence": {"bucket": {"r2": {"accountId": "x"}, "credentials": {"secretName": "e"}}},
        }
    )
    assert secret_names(spec) == ["a", "b", "c", "d", "e"]


@pytest.mark.parametrize("url", ["https://x/", "https://x/v1", "https://x/v1/", "https://x/v1/messages", "https://x"])
def test_what_the_client_appends_by_itself_is_forgiven(url: str) -> None:
    assert clean_base_url(url) == "https://x"


def test_no_value_of_a_secret_is_in_a_finding_or_a_repr() -> None:
    effective = settle(
        ada={key: f"hidden-{key} # c" for key in ("ANTHROPIC_API_KEY", "R2_ACCESS_KEY_ID", "WORKER_URL")} | {"x": "hidden-x"}
    )
    assert "hidden-" not in repr(effective)
    assert "hidden-" not in repr(settle(ada={"ANTHROPIC_API_KEY": "hidden-1", **{key: f"hidden-{key}" for key in R2}}))
