"""Spec and Secrets → how the model is reached (api.md). Pure.

Who wins: an explicit field of the spec; then an AI Gateway over a direct key, as in moltworker; then Claude over OpenAI, where a model's
name does not say another thing. Something that was configured and cannot be used is said, and nothing else answers in its place.
"""

from __future__ import annotations

import re
from dataclasses import replace

from moltbot_api.conditions import Reason
from moltbot_api.secret_keys import Group
from moltbot_api.spec import AIGateway, Model, Provider
from moltbot_operator.effective import Finding, ModelAdapter, ModelConnection
from moltbot_operator.sources import Sources
from moltbot_operator.urls import AI_GATEWAY_HOST, clean_base_url, clean_completions_url, speaks_completions, url_problem
from moltbot_protocol.models import DEFAULT_MODEL, DEMO_MODEL
from moltbot_trust.redaction import Secret

# Where only OpenAI is set up and no model is named: its small one, which every account may use.
DEFAULT_OPENAI_MODEL = "gpt-5-mini"
OPENAI_PREFIX = "openai/"
# Beside Claude, models of these names go to what speaks chat completions (moltbot_gateway.models).
SECOND_PREFIXES = (OPENAI_PREFIX, "workers-ai/")
ACCOUNT = re.compile(r"[A-Za-z0-9]{1,64}")
_GATEWAY = re.compile(r"[A-Za-z0-9_-]{1,64}")
_MODEL_NAME = re.compile(r"[a-zA-Z0-9@][a-zA-Z0-9@._:/-]{0,127}")
_KEYS = {Provider.ANTHROPIC: "ANTHROPIC_API_KEY", Provider.OPENAI: "OPENAI_API_KEY"}


def resolve_model(sources: Sources) -> ModelConnection:
    """How the model is reached, or a connection of adapter NONE that says in words what to do."""
    return _Resolver(sources).resolve()


class _Resolver:
    def __init__(self, sources: Sources) -> None:
        self._sources, self._named = sources, sources.named
        self._model = sources.spec.model or Model()

    def resolve(self) -> ModelConnection:
        if self._model.name == DEMO_MODEL:
            return ModelConnection(ModelAdapter.DEMO, DEMO_MODEL)
        wrong_before = len(self._sources.findings)
        connection = self._through_gateway() or self._direct() or self._named_gateway() or self._named_direct()
        if connection is not None:
            return self._with_openai(connection)
        name = self._model.name or DEFAULT_MODEL
        wrong = self._sources.findings[wrong_before:] + self._wrong_names()
        if wrong:
            return ModelConnection(ModelAdapter.NONE, name, problem=wrong[0].message, problem_reason=wrong[0].reason)
        if self._sources.place.demo_stands_in:
            return ModelConnection(ModelAdapter.DEMO, DEMO_MODEL, stand_in=True)
        problem = f"no model key is set: {self._how_to_add('ANTHROPIC_API_KEY')}, or write model.name: demo to try it without one"
        return ModelConnection(ModelAdapter.NONE, name, problem=problem)

    # an AI Gateway of the spec

    def _through_gateway(self) -> ModelConnection | None:
        model, gateway = self._model, self._model.ai_gateway
        if gateway is None:
            return None
        authorization = None
        if gateway.api_key_secret_ref is not None:
            authorization = self._sources.reference("model.aiGateway.apiKeySecretRef", gateway.api_key_secret_ref)
        provider = gateway.provider or _provider_of(model.name) or Provider.ANTHROPIC
        key_name = _KEYS.get(provider) or _KEYS.get(_provider_of(model.name) or provider, "")
        key = self._provider_key(key_name)
        if (gateway.api_key_secret_ref and authorization is None) or self._key_unusable(key, key_name):
            return self._broken()
        made = self._of_provider(provider, model.name or "", "model.name")
        if made is None:
            return self._broken()
        return replace(made, api_key=key, gateway_authorization=authorization, base_url=self._gateway_url(made, gateway, provider))

    def _gateway_url(self, made: ModelConnection, gateway: AIGateway, provider: Provider) -> str:
        if self._model.base_url is None:
            return ai_gateway_url(gateway.account_id, gateway.gateway_id, provider)
        clean = clean_base_url if made.adapter is ModelAdapter.ANTHROPIC else clean_completions_url
        return clean(self._model.base_url)

    def _of_provider(self, provider: Provider, name: str, where: str) -> ModelConnection | None:
        """Adapter and name for a provider behind an AI Gateway; None and a finding when the name does not do."""
        prefix = f"{provider}/"
        bare = name.removeprefix(prefix)
        match provider:
            case Provider.ANTHROPIC:
                return ModelConnection(ModelAdapter.ANTHROPIC, bare or DEFAULT_MODEL, prefix=prefix)
            case Provider.OPENAI:
                return ModelConnection(ModelAdapter.OPENAI, bare or DEFAULT_OPENAI_MODEL, prefix=prefix)
            case Provider.WORKERS_AI:
                example = "@cf/meta/llama-3.3-70b-instruct-fp8-fast"
            case Provider.COMPAT:
                example = f"anthropic/{DEFAULT_MODEL}"
        if not bare or (provider is Provider.COMPAT and "/" not in bare):
            self._sources.find(Reason.VALUE_INVALID, f"{where}: behind {provider} a model has to be named, such as {example}")
            return None
        return ModelConnection(ModelAdapter.OPENAI, bare, prefix=prefix)

    # explicit fields

    def _direct(self) -> ModelConnection | None:
        """They win over whatever the Secrets name."""
        model = self._model
        if model.base_url is None and model.api_key_secret_ref is None:
            return None
        completions = speaks_completions(model.base_url) if model.base_url else _provider_of(model.name) is Provider.OPENAI
        key_name = "OPENAI_API_KEY" if completions else "ANTHROPIC_API_KEY"
        key = self._provider_key(key_name)
        if self._key_unusable(key, key_name):
            return self._broken()
        if completions:
            return self._completions(key, clean_completions_url(model.base_url or ""))
        base_url = clean_base_url(model.base_url) if model.base_url else self._named_base_url()
        return self._broken() if base_url is None else self._claude(key, base_url)

    def _provider_key(self, name: str) -> Secret | None:
        if self._model.api_key_secret_ref is not None:
            return self._sources.reference("model.apiKeySecretRef", self._model.api_key_secret_ref)
        return self._sources.secret(name)

    def _key_unusable(self, key: Secret | None, name: str) -> bool:
        """One was named and cannot be used: asking without it would hide that."""
        return key is None and (self._model.api_key_secret_ref is not None or name in self._named.unusable)

    def _claude(self, key: Secret | None, base_url: str) -> ModelConnection:
        name = (self._model.name or "").removeprefix("anthropic/") or DEFAULT_MODEL
        return ModelConnection(ModelAdapter.ANTHROPIC, name, api_key=key, base_url=base_url, prefix="anthropic/")

    def _completions(self, key: Secret | None, base_url: str) -> ModelConnection:
        name = self._model.name or DEFAULT_OPENAI_MODEL
        # behind /compat the provider's name is a part of the model's
        prefix = "" if base_url.endswith("/compat") else OPENAI_PREFIX
        return ModelConnection(ModelAdapter.OPENAI, name.removeprefix(prefix), api_key=key, base_url=base_url, prefix=prefix)

    # an AI Gateway of the Secrets

    def _named_gateway(self) -> ModelConnection | None:
        if self._named.present(Group.AI_GATEWAY):
            if not self._sources.group_complete(Group.AI_GATEWAY):
                return self._broken()
            return self._named_cloudflare() or self._broken()
        if self._named.present(Group.AI_GATEWAY_LEGACY):
            if not self._sources.group_complete(Group.AI_GATEWAY_LEGACY):
                return self._broken()
            url, key = self._named.values["AI_GATEWAY_BASE_URL"], self._sources.secret("AI_GATEWAY_API_KEY")
            if (why := url_problem(url)) is not None:
                self._sources.invalid("AI_GATEWAY_BASE_URL", why)
                return self._broken()
            return self._completions(key, clean_completions_url(url)) if speaks_completions(url) else self._claude(key, clean_base_url(url))
        return None

    def _named_cloudflare(self) -> ModelConnection | None:
        """`CF_AI_GATEWAY_MODEL=provider/model` chooses provider and model, unless `model.name` does."""
        values, invalid = self._named.values, self._sources.invalid
        account, gateway = values["CF_AI_GATEWAY_ACCOUNT_ID"], values["CF_AI_GATEWAY_GATEWAY_ID"]
        chosen = values.get("CF_AI_GATEWAY_MODEL", "")
        if not ACCOUNT.fullmatch(account):
            invalid("CF_AI_GATEWAY_ACCOUNT_ID", "is not an account id (letters and digits)")
            return None
        if not _GATEWAY.fullmatch(gateway):
            invalid("CF_AI_GATEWAY_GATEWAY_ID", "is not a gateway's name (letters, digits, - and _)")
            return None
        if chosen and not _MODEL_NAME.fullmatch(chosen):
            invalid("CF_AI_GATEWAY_MODEL", "is not <provider>/<model>")
            return None
        provider = _provider_of(self._model.name) or _provider_of(chosen)
        if provider is None and "/" in chosen and not self._model.name:
            served = f"{', '.join(one for one in Provider if one is not Provider.COMPAT)}"
            invalid(
                "CF_AI_GATEWAY_MODEL", f"names a provider that is not served by that name ({served} are): write compat/<provider>/<model>"
            )
            return None
        provider = provider or Provider.ANTHROPIC
        made = self._of_provider(provider, self._model.name or chosen, "CF_AI_GATEWAY_MODEL")
        if made is None:
            return None
        key = self._sources.secret("CLOUDFLARE_AI_GATEWAY_API_KEY")
        return replace(made, api_key=key, base_url=ai_gateway_url(account, gateway, provider))

    # keys of the Secrets

    def _named_direct(self) -> ModelConnection | None:
        key, base_url = self._sources.secret("ANTHROPIC_API_KEY"), self._named_base_url()
        name = self._model.name or ""
        if self._key_unusable(key, "ANTHROPIC_API_KEY") or base_url is None:
            return self._broken()
        if key is not None or base_url:
            return self._claude(key, base_url)
        if name.startswith(("claude", "anthropic/")):
            return None
        found = self._openai()
        return self._completions(*found) if found is not None else None

    def _openai(self) -> tuple[Secret | None, str] | None:
        """(key, base URL, "" for OpenAI's own) of what speaks chat completions beside Claude; None when nothing was set up."""
        spec, key = self._model.open_ai, self._sources.secret("OPENAI_API_KEY")
        base_url = clean_completions_url(spec.base_url) if spec and spec.base_url else ""
        if spec and spec.api_key_secret_ref is not None:
            key = self._sources.reference("model.openAI.apiKeySecretRef", spec.api_key_secret_ref)
            if key is None:
                return None
        return (key, base_url) if key is not None or base_url else None

    def _with_openai(self, connection: ModelConnection) -> ModelConnection:
        """Beside Claude: the second connection, and the word when the model's name asks for one that is not there."""
        if connection.adapter is not ModelAdapter.ANTHROPIC:
            return connection
        found = self._openai()
        if found is not None:
            return replace(connection, openai_api_key=found[0], openai_base_url=found[1], has_openai=True)
        if connection.name.startswith(SECOND_PREFIXES):
            how = self._how_to_add("OPENAI_API_KEY")
            self._sources.find(Reason.GROUP_INCOMPLETE, f"model.name is {connection.name}, and no key for it is set: {how}")
            return self._broken()
        return connection

    def _named_base_url(self) -> str | None:
        """ "" when none was named; None for one that cannot be used: the key must not go to the provider's own address then."""
        if "ANTHROPIC_BASE_URL" in self._named.unusable:
            return None
        url = self._named.values.get("ANTHROPIC_BASE_URL", "")
        if url and (why := url_problem(url)) is not None:
            self._sources.invalid("ANTHROPIC_BASE_URL", why)
            return None
        return clean_base_url(url)

    # words

    def _how_to_add(self, key: str) -> str:
        sources = self._sources.spec.secrets_from
        return f"add {key} to Secret {sources[0].name}" if sources else f"put {key} into a Secret and name it in spec.secretsFrom"

    def _wrong_names(self) -> list[Finding]:
        return [finding for finding in self._named.findings if finding.wrong and _about_model(finding.message)]

    def _broken(self) -> ModelConnection:
        """Something was configured and cannot be used: say so, rather than answer with something else."""
        found = [*self._wrong_names(), *self._sources.findings]
        last = found[-1] if found else Finding(Reason.VALUE_INVALID, "the model's settings cannot be used")
        name = self._model.name or DEFAULT_MODEL
        return ModelConnection(ModelAdapter.NONE, name, problem=last.message, problem_reason=last.reason)


def ai_gateway_url(account: str, gateway: str, provider: Provider) -> str:
    """https://developers.cloudflare.com/ai-gateway/usage/providers/"""
    tail = "workers-ai/v1" if provider is Provider.WORKERS_AI else provider.value
    return f"{AI_GATEWAY_HOST}/{account}/{gateway}/{tail}"


def _provider_of(name: str | None) -> Provider | None:
    """What a name `provider/model` begins with, where it is one of the served ones. Workers AI's own names begin with @cf."""
    first, slash, _ = (name or "").partition("/")
    if first == "@cf":
        return Provider.WORKERS_AI
    return Provider(first) if slash and first in set(Provider) else None


def _about_model(message: str) -> bool:
    return any(key in message for key in ("ANTHROPIC_", "AI_GATEWAY", "OPENAI_"))
