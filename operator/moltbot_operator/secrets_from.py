"""Spec and Secrets → effective settings, and everything that is wrong with them in words (api.md). Pure.

Who wins: an explicit field of the spec; then an AI Gateway over a direct key, as in moltworker. Nothing here reads the cluster: what the
Secrets hold comes as an argument, and an unreadable value is a finding, never an exception.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from moltbot_api.conditions import Reason
from moltbot_api.durations import parse_duration
from moltbot_api.secret_keys import DEFAULT_BUCKET_NAME, Group
from moltbot_api.spec import Bucket as BucketSpec
from moltbot_api.spec import Model, MoltbotSpec, SecretKeyReference
from moltbot_operator.effective import (
    Bucket,
    BucketKind,
    Effective,
    Finding,
    ModelAdapter,
    ModelConnection,
    SecretValues,
)
from moltbot_operator.secret_values import NamedValues, listed, read_secrets_from, value_problem
from moltbot_protocol.models import DEFAULT_MODEL, DEMO_MODEL
from moltbot_trust.redaction import Secret

AI_GATEWAY_HOST = "https://gateway.ai.cloudflare.com/v1"
SERVED_PROVIDER = "anthropic"
R2_REGION = "auto"  # https://developers.cloudflare.com/r2/api/s3/api/#bucket-region
_ACCOUNT = re.compile(r"[A-Za-z0-9]{1,64}")
_GATEWAY = re.compile(r"[A-Za-z0-9_-]{1,64}")
_BUCKET_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_MODEL_NAME = re.compile(r"[a-zA-Z0-9@][a-zA-Z0-9@._:/-]{0,127}")
MAX_TOKEN_CHARACTERS = 4096


@dataclass(frozen=True, slots=True)
class Place:
    """Whose settings they are, and whether the demo model stands in where no key is."""

    namespace: str
    name: str
    demo_stands_in: bool = False


@dataclass
class _Resolver:
    place: Place
    spec: MoltbotSpec
    secrets: SecretValues
    named: NamedValues
    findings: list[Finding] = field(default_factory=list)

    # single values

    def reference(self, field_path: str, ref: SecretKeyReference, *, blocking: bool = False) -> Secret | None:
        """The cleaned value that a spec field names, or None and a finding."""
        data = self.secrets.get(ref.name)
        if data is None:
            self._find(Reason.SECRET_MISSING, f"{field_path}: Secret {ref.name} does not exist in this namespace; create it", blocking)
            return None
        raw = data.get(ref.key)
        if raw is None:
            there = f"it has {listed(sorted(data))}" if data else "it is empty"
            self._find(Reason.SECRET_KEY_MISSING, f"{field_path}: Secret {ref.name} has no key {ref.key} ({there})", blocking)
            return None
        text, problem, _ = value_problem(ref.key, raw)
        if not text:
            self._find(Reason.VALUE_INVALID, f"{field_path}: Secret {ref.name}: {problem or f'{ref.key} is empty'}", blocking)
            return None
        return Secret(text)

    def _find(self, reason: Reason, message: str, blocking: bool = False) -> None:
        self.findings.append(Finding(reason, message, blocking=blocking))

    def group_complete(self, group: Group, *, blocking: bool = False) -> bool:
        """Whether all of a group's keys are there; a part of them is a finding that says which."""
        present = self.named.present(group)
        if not present:
            return False
        missing = [name for name in self.named.missing(group) if name not in self.named.unusable]
        if missing:
            secrets = listed(sorted({self.named.origins[name] for name in present}))
            self._find(
                Reason.GROUP_INCOMPLETE,
                f"{group.value}: {listed(present)} {'is' if len(present) == 1 else 'are'} set in Secret {secrets}, {listed(missing)} "
                f"{'is' if len(missing) == 1 else 'are'} missing; add what is missing or remove what is there",
                blocking,
            )
        return not self.named.missing(group)

    def invalid(self, key: str, why: str, *, blocking: bool = False) -> None:
        self._find(Reason.VALUE_INVALID, f"Secret {self.named.origins[key]}: {key} {why}", blocking)

    def secret(self, key: str) -> Secret | None:
        text = self.named.values.get(key)
        return Secret(text) if text else None

    # model

    def model(self) -> ModelConnection:
        model = self.spec.model or Model()
        if model.name == DEMO_MODEL:
            return ModelConnection(ModelAdapter.DEMO, DEMO_MODEL)
        wrong_before = len(self.findings)
        connection = self._through_gateway(model) or self._direct(model) or self._named_gateway(model) or self._named_direct(model)
        if connection is not None:
            return connection
        name = model.name or DEFAULT_MODEL
        wrong = self.findings[wrong_before:] + [
            finding for finding in self.named.findings if finding.wrong and _about_model(finding.message)
        ]
        if wrong:
            return ModelConnection(ModelAdapter.NONE, name, problem=wrong[0].message, problem_reason=wrong[0].reason)
        if self.place.demo_stands_in:
            return ModelConnection(ModelAdapter.DEMO, DEMO_MODEL, stand_in=True)
        source = self.spec.secrets_from[0].name if self.spec.secrets_from else None
        where = (
            f"add ANTHROPIC_API_KEY to Secret {source}" if source else "put ANTHROPIC_API_KEY into a Secret and name it in spec.secretsFrom"
        )
        return ModelConnection(
            ModelAdapter.NONE, name, problem=f"no model key is set: {where}, or write model.name: demo to try it without one"
        )

    def _through_gateway(self, model: Model) -> ModelConnection | None:
        gateway = model.ai_gateway
        if gateway is None:
            return None
        authorization = None
        if gateway.api_key_secret_ref is not None:
            authorization = self.reference("model.aiGateway.apiKeySecretRef", gateway.api_key_secret_ref)
        key = self._provider_key(model)
        if (gateway.api_key_secret_ref and authorization is None) or self._key_unusable(model, key):
            return self._broken(model)
        return ModelConnection(
            ModelAdapter.ANTHROPIC,
            model.name or DEFAULT_MODEL,
            api_key=key,
            gateway_authorization=authorization,
            base_url=model.base_url or f"{AI_GATEWAY_HOST}/{gateway.account_id}/{gateway.gateway_id}/{gateway.provider}",
        )

    def _provider_key(self, model: Model) -> Secret | None:
        if model.api_key_secret_ref is not None:
            return self.reference("model.apiKeySecretRef", model.api_key_secret_ref)
        return self.secret("ANTHROPIC_API_KEY")

    def _key_unusable(self, model: Model, key: Secret | None) -> bool:
        """One was named and cannot be used: asking without it would hide that."""
        return key is None and (model.api_key_secret_ref is not None or "ANTHROPIC_API_KEY" in self.named.unusable)

    def _direct(self, model: Model) -> ModelConnection | None:
        """Explicit fields: they win over whatever the Secrets name."""
        if model.base_url is None and model.api_key_secret_ref is None:
            return None
        key = self._provider_key(model)
        if self._key_unusable(model, key):
            return self._broken(model)
        base_url = clean_base_url(model.base_url) if model.base_url else self._named_base_url()
        if base_url is None:
            return self._broken(model)
        return ModelConnection(ModelAdapter.ANTHROPIC, model.name or DEFAULT_MODEL, api_key=key, base_url=base_url)

    def _named_gateway(self, model: Model) -> ModelConnection | None:
        if self.named.present(Group.AI_GATEWAY):
            if not self.group_complete(Group.AI_GATEWAY):
                return self._broken(model)
            return self._named_cloudflare(model)
        if self.named.present(Group.AI_GATEWAY_LEGACY):
            if not self.group_complete(Group.AI_GATEWAY_LEGACY):
                return self._broken(model)
            url = self.named.values["AI_GATEWAY_BASE_URL"]
            if (why := url_problem(url)) is not None:
                self.invalid("AI_GATEWAY_BASE_URL", why)
                return self._broken(model)
            return ModelConnection(
                ModelAdapter.ANTHROPIC,
                model.name or DEFAULT_MODEL,
                api_key=self.secret("AI_GATEWAY_API_KEY"),
                base_url=clean_base_url(url),
            )
        return None

    def _named_cloudflare(self, model: Model) -> ModelConnection:
        values = self.named.values
        account, gateway = values["CF_AI_GATEWAY_ACCOUNT_ID"], values["CF_AI_GATEWAY_GATEWAY_ID"]
        chosen = values.get("CF_AI_GATEWAY_MODEL", "")
        provider, _, named_model = chosen.partition("/") if "/" in chosen else (SERVED_PROVIDER, "", chosen)
        if not _ACCOUNT.fullmatch(account):
            self.invalid("CF_AI_GATEWAY_ACCOUNT_ID", "is not an account id (letters and digits)")
        elif not _GATEWAY.fullmatch(gateway):
            self.invalid("CF_AI_GATEWAY_GATEWAY_ID", "is not a gateway's name (letters, digits, - and _)")
        elif provider != SERVED_PROVIDER:
            self.invalid("CF_AI_GATEWAY_MODEL", f"names a provider that is not served yet; write {SERVED_PROVIDER}/<model>")
        elif named_model and not _MODEL_NAME.fullmatch(named_model):
            self.invalid("CF_AI_GATEWAY_MODEL", "is not <provider>/<model>")
        else:
            return ModelConnection(
                ModelAdapter.ANTHROPIC,
                model.name or named_model or DEFAULT_MODEL,
                api_key=self.secret("CLOUDFLARE_AI_GATEWAY_API_KEY"),
                base_url=f"{AI_GATEWAY_HOST}/{account}/{gateway}/{provider}",
            )
        return self._broken(model)

    def _named_direct(self, model: Model) -> ModelConnection | None:
        key, base_url = self.secret("ANTHROPIC_API_KEY"), self._named_base_url()
        if self._key_unusable(model, key) or base_url is None:
            return self._broken(model)
        if key is None and not base_url:
            return None
        return ModelConnection(ModelAdapter.ANTHROPIC, model.name or DEFAULT_MODEL, api_key=key, base_url=base_url)

    def _named_base_url(self) -> str | None:
        """ "" when none was named; None for one that cannot be used: the key must not go to the provider's own address then."""
        if "ANTHROPIC_BASE_URL" in self.named.unusable:
            return None
        url = self.named.values.get("ANTHROPIC_BASE_URL", "")
        if url and (why := url_problem(url)) is not None:
            self.invalid("ANTHROPIC_BASE_URL", why)
            return None
        return clean_base_url(url)

    def _broken(self, model: Model) -> ModelConnection:
        """Something was configured and cannot be used: say so, rather than answer with something else."""
        named = [finding for finding in self.named.findings if finding.wrong and _about_model(finding.message)]
        found = [*named, *self.findings]
        last = found[-1] if found else Finding(Reason.VALUE_INVALID, "the model's settings cannot be used")
        return ModelConnection(ModelAdapter.NONE, model.name or DEFAULT_MODEL, problem=last.message, problem_reason=last.reason)

    # bucket

    def bucket(self) -> Bucket | None:
        explicit = self.spec.persistence.bucket if self.spec.persistence else None
        if explicit is not None:
            return self._explicit_bucket(explicit)
        if not self.group_complete(Group.BUCKET, blocking=True):
            return None
        account = self.named.values["CF_ACCOUNT_ID"]
        name = self.named.values.get("R2_BUCKET_NAME", DEFAULT_BUCKET_NAME)
        if not _ACCOUNT.fullmatch(account):
            self.invalid("CF_ACCOUNT_ID", "is not an account id (letters and digits)", blocking=True)
            return None
        if not _BUCKET_NAME.fullmatch(name):
            self.invalid("R2_BUCKET_NAME", "is not a bucket's name (3 to 63 lower-case letters, digits, - and .)", blocking=True)
            return None
        if "R2_BUCKET_NAME" in self.named.unusable:
            return None
        keys = self._named_keys()
        return None if keys is None else self._made(BucketKind.R2, r2_endpoint(account, None), R2_REGION, name, "", keys)

    def _explicit_bucket(self, spec: BucketSpec) -> Bucket | None:
        keys: tuple[Secret, Secret] | None
        if spec.credentials is not None:
            path, named = "persistence.bucket.credentials", spec.credentials
            first = self.reference(path, SecretKeyReference(name=named.secret_name, key=named.access_key_id_key), blocking=True)
            second = self.reference(path, SecretKeyReference(name=named.secret_name, key=named.secret_access_key_key), blocking=True)
            keys = None if first is None or second is None else (first, second)
        else:
            keys = self._named_keys()
            missing = [key for key in ("R2_ACCESS_KEY_ID", "R2_SECRET_ACCESS_KEY") if key not in self.named.origins]
            if missing:
                message = (
                    f"persistence.bucket has no keys: set persistence.bucket.credentials, or {listed(missing)} in a Secret of secretsFrom"
                )
                self._find(Reason.GROUP_INCOMPLETE, message, blocking=True)
        if keys is None:
            return None
        if spec.r2 is not None:
            return self._made(BucketKind.R2, r2_endpoint(spec.r2.account_id, spec.r2.jurisdiction), R2_REGION, spec.name, spec.prefix, keys)
        assert spec.s3 is not None  # the CRD's rule: exactly one of them
        return self._made(BucketKind.S3, spec.s3.endpoint.rstrip("/"), spec.s3.region, spec.name, spec.prefix, keys)

    def _named_keys(self) -> tuple[Secret, Secret] | None:
        first, second = self.secret("R2_ACCESS_KEY_ID"), self.secret("R2_SECRET_ACCESS_KEY")
        return None if first is None or second is None else (first, second)

    def _made(  # noqa: PLR0917 - the fields of a bucket, in their order
        self, kind: BucketKind, endpoint: str, region: str, name: str, prefix: str, keys: tuple[Secret, Secret]
    ) -> Bucket:
        return Bucket(kind, endpoint, region, name, effective_prefix(prefix, self.place), *keys)

    # the rest

    def sleep_after(self) -> tuple[int | None, str]:
        """(seconds or None for never, as a person writes it)."""
        if self.spec.sleep_after is not None:
            return parse_duration(self.spec.sleep_after), self.spec.sleep_after
        text = self.named.values.get("SANDBOX_SLEEP_AFTER")
        if text is None:
            return None, "never"
        try:
            return parse_duration(text), text
        except ValueError:
            self.invalid("SANDBOX_SLEEP_AFTER", "is not a duration: write never, or a whole number with s, m or h, such as 10m")
            return None, "never"

    def token(self) -> tuple[Secret | None, bool]:
        """(the token that a person named, whether one was named): None and False means that one is to be generated."""
        ref = self.spec.gateway.token_secret_ref if self.spec.gateway else None
        if ref is not None:
            return self._bounded(self.reference("gateway.tokenSecretRef", ref), f"gateway.tokenSecretRef: {ref.key}"), True
        if "MOLTBOT_GATEWAY_TOKEN" in self.named.origins:
            return self._bounded(self.secret("MOLTBOT_GATEWAY_TOKEN"), "MOLTBOT_GATEWAY_TOKEN"), True
        return None, False

    def _bounded(self, token: Secret | None, what: str) -> Secret | None:
        if token is not None and len(token.reveal()) > MAX_TOKEN_CHARACTERS:
            self._find(Reason.VALUE_INVALID, f"{what} is longer than {MAX_TOKEN_CHARACTERS} characters")
            return None
        return token

    def public_url(self) -> str | None:
        url = self.named.values.get("WORKER_URL")
        if url is None:
            return None
        if (why := url_problem(url)) is not None:
            self.invalid("WORKER_URL", why)
            return None
        parts = urlsplit(url)
        return f"{parts.scheme}://{parts.netloc}"


def resolve(spec: MoltbotSpec, secrets: SecretValues, place: Place) -> tuple[Effective, bool]:
    """The effective settings, and whether a token was named (then none is generated, usable or not)."""
    names = [source.name for source in spec.secrets_from or ()]
    named = read_secrets_from(names, secrets)
    resolver = _Resolver(place, spec, secrets, named)
    bucket = resolver.bucket()
    model = resolver.model()
    seconds, text = resolver.sleep_after()
    token, token_named = resolver.token()
    url = resolver.public_url()
    findings = tuple(dict.fromkeys((*named.findings, *resolver.findings)))
    return Effective(model, bucket, seconds, text, token, url, findings), token_named


def secret_names(spec: MoltbotSpec) -> list[str]:
    """Every Secret that a spec names, each once: what has to be read before `resolve`."""
    names = [source.name for source in spec.secrets_from or ()]
    refs: list[SecretKeyReference | None] = []
    if spec.model:
        refs += [spec.model.api_key_secret_ref, spec.model.ai_gateway.api_key_secret_ref if spec.model.ai_gateway else None]
    if spec.gateway:
        refs.append(spec.gateway.token_secret_ref)
    names += [ref.name for ref in refs if ref is not None]
    if spec.persistence and spec.persistence.bucket and spec.persistence.bucket.credentials:
        names.append(spec.persistence.bucket.credentials.secret_name)
    return list(dict.fromkeys(names))


def r2_endpoint(account: str, jurisdiction: str | None) -> str:
    """https://developers.cloudflare.com/r2/reference/data-location/#jurisdictional-restrictions"""
    return f"https://{account}.{jurisdiction}.r2.cloudflarestorage.com" if jurisdiction else f"https://{account}.r2.cloudflarestorage.com"


def effective_prefix(prefix: str, place: Place) -> str:
    """`<prefix>/<namespace>/<name>/` (rule 9)."""
    return "/".join(part for part in (prefix.strip("/"), place.namespace, place.name) if part) + "/"


def clean_base_url(url: str) -> str:
    """Without what the client appends by itself: a trailing slash, `/v1` or `/v1/messages`."""
    text = url.strip().rstrip("/")
    for tail in ("/v1/messages", "/v1"):
        if text.endswith(tail):
            return text[: -len(tail)].rstrip("/")
    return text


def url_problem(url: str) -> str | None:
    """Why this is not an address that can be used, or None."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return "is not a URL"
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        return "is not a URL: it begins with https:// (or http://) and a host"
    if parts.username or parts.password:
        return "holds a user or password: put secrets into keys of their own"
    if parts.query or parts.fragment or any(character.isspace() for character in url):
        return "has a query, a fragment or white space, which do not belong there"
    return None


def _about_model(message: str) -> bool:
    return any(key in message for key in ("ANTHROPIC_", "AI_GATEWAY"))
