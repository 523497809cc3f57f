"""Spec and Secrets → effective settings, and everything that is wrong with them in words (api.md). Pure.

Who wins: an explicit field of the spec; then an AI Gateway over a direct key, as in moltworker. Nothing here reads the cluster: what the
Secrets hold comes as an argument, and an unreadable value is a finding, never an exception.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from moltbot_api.conditions import Reason
from moltbot_api.durations import parse_duration
from moltbot_api.references import SecretKeyReference
from moltbot_api.secret_keys import DEFAULT_BUCKET_NAME, Group
from moltbot_api.spec import Bucket as BucketSpec
from moltbot_api.spec import MoltbotSpec
from moltbot_operator.agent import build_agent, secrets_of_agent
from moltbot_operator.effective import Bucket, BucketKind, ConfigMapValues, Effective, SecretValues
from moltbot_operator.model_settings import ACCOUNT, resolve_model
from moltbot_operator.secret_values import listed, read_secrets_from
from moltbot_operator.sources import Place, Sources
from moltbot_operator.urls import url_problem
from moltbot_trust.redaction import Secret

R2_REGION = "auto"  # https://developers.cloudflare.com/r2/api/s3/api/#bucket-region
_BUCKET_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
MAX_TOKEN_CHARACTERS = 4096


class _Resolver:
    def __init__(self, sources: Sources) -> None:
        self._sources, self._spec, self._named = sources, sources.spec, sources.named

    # bucket

    def bucket(self) -> Bucket | None:
        explicit = self._spec.persistence.bucket if self._spec.persistence else None
        if explicit is not None:
            return self._explicit_bucket(explicit)
        if not self._sources.group_complete(Group.BUCKET, blocking=True):
            return None
        account = self._named.values["CF_ACCOUNT_ID"]
        name = self._named.values.get("R2_BUCKET_NAME", DEFAULT_BUCKET_NAME)
        if not ACCOUNT.fullmatch(account):
            self._sources.invalid("CF_ACCOUNT_ID", "is not an account id (letters and digits)", blocking=True)
            return None
        if not _BUCKET_NAME.fullmatch(name):
            self._sources.invalid("R2_BUCKET_NAME", "is not a bucket's name (3 to 63 lower-case letters, digits, - and .)", blocking=True)
            return None
        if "R2_BUCKET_NAME" in self._named.unusable:
            return None
        keys = self._named_keys()
        return None if keys is None else self._made(BucketKind.R2, r2_endpoint(account, None), R2_REGION, name, "", keys)

    def _explicit_bucket(self, spec: BucketSpec) -> Bucket | None:
        keys: tuple[Secret, Secret] | None
        if spec.credentials is not None:
            path, named = "persistence.bucket.credentials", spec.credentials
            first = self._sources.reference(path, SecretKeyReference(name=named.secret_name, key=named.access_key_id_key), blocking=True)
            second = self._sources.reference(
                path, SecretKeyReference(name=named.secret_name, key=named.secret_access_key_key), blocking=True
            )
            keys = None if first is None or second is None else (first, second)
        else:
            keys = self._named_keys()
            missing = [key for key in ("R2_ACCESS_KEY_ID", "R2_SECRET_ACCESS_KEY") if key not in self._named.origins]
            if missing:
                message = (
                    f"persistence.bucket has no keys: set persistence.bucket.credentials, or {listed(missing)} in a Secret of secretsFrom"
                )
                self._sources.find(Reason.GROUP_INCOMPLETE, message, blocking=True)
        if keys is None:
            return None
        if spec.r2 is not None:
            return self._made(BucketKind.R2, r2_endpoint(spec.r2.account_id, spec.r2.jurisdiction), R2_REGION, spec.name, spec.prefix, keys)
        assert spec.s3 is not None  # the CRD's rule: exactly one of them
        return self._made(BucketKind.S3, spec.s3.endpoint.rstrip("/"), spec.s3.region, spec.name, spec.prefix, keys)

    def _named_keys(self) -> tuple[Secret, Secret] | None:
        first, second = self._sources.secret("R2_ACCESS_KEY_ID"), self._sources.secret("R2_SECRET_ACCESS_KEY")
        return None if first is None or second is None else (first, second)

    def _made(  # noqa: PLR0917 - the fields of a bucket, in their order
        self, kind: BucketKind, endpoint: str, region: str, name: str, prefix: str, keys: tuple[Secret, Secret]
    ) -> Bucket:
        return Bucket(kind, endpoint, region, name, effective_prefix(prefix, self._sources.place), *keys)

    # the rest

    def sleep_after(self) -> tuple[int | None, str]:
        """(seconds or None for never, as a person writes it)."""
        if self._spec.sleep_after is not None:
            return parse_duration(self._spec.sleep_after), self._spec.sleep_after
        text = self._named.values.get("SANDBOX_SLEEP_AFTER")
        if text is None:
            return None, "never"
        try:
            return parse_duration(text), text
        except ValueError:
            self._sources.invalid("SANDBOX_SLEEP_AFTER", "is not a duration: write never, or a whole number with s, m or h, such as 10m")
            return None, "never"

    def token(self) -> tuple[Secret | None, bool]:
        """(the token that a person named, whether one was named): None and False means that one is to be generated."""
        ref = self._spec.gateway.token_secret_ref if self._spec.gateway else None
        if ref is not None:
            return self._bounded(self._sources.reference("gateway.tokenSecretRef", ref), f"gateway.tokenSecretRef: {ref.key}"), True
        if "MOLTBOT_GATEWAY_TOKEN" in self._named.origins:
            return self._bounded(self._sources.secret("MOLTBOT_GATEWAY_TOKEN"), "MOLTBOT_GATEWAY_TOKEN"), True
        return None, False

    def _bounded(self, token: Secret | None, what: str) -> Secret | None:
        if token is not None and len(token.reveal()) > MAX_TOKEN_CHARACTERS:
            self._sources.find(Reason.VALUE_INVALID, f"{what} is longer than {MAX_TOKEN_CHARACTERS} characters")
            return None
        return token

    def public_url(self) -> str | None:
        url = self._named.values.get("WORKER_URL")
        if url is None:
            return None
        if (why := url_problem(url)) is not None:
            self._sources.invalid("WORKER_URL", why)
            return None
        parts = urlsplit(url)
        return f"{parts.scheme}://{parts.netloc}"


def resolve(spec: MoltbotSpec, secrets: SecretValues, place: Place, config_maps: ConfigMapValues | None = None) -> tuple[Effective, bool]:
    """The effective settings, and whether a token was named (then none is generated, usable or not)."""
    names = [source.name for source in spec.secrets_from or ()]
    named = read_secrets_from(names, secrets)
    sources = Sources(place, spec, secrets, named)
    resolver = _Resolver(sources)
    bucket = resolver.bucket()
    model = resolve_model(sources)
    seconds, text = resolver.sleep_after()
    token, token_named = resolver.token()
    url = resolver.public_url()
    agent = build_agent(sources, model, config_maps or ConfigMapValues())
    findings = tuple(dict.fromkeys((*named.findings, *sources.findings)))
    return Effective(model, bucket, seconds, text, token, url, findings, agent), token_named


def secret_names(spec: MoltbotSpec) -> list[str]:
    """Every Secret that a spec names, each once: what has to be read before `resolve`."""
    names = [source.name for source in spec.secrets_from or ()]
    refs: list[SecretKeyReference | None] = []
    if spec.model:
        refs += [spec.model.api_key_secret_ref, spec.model.ai_gateway.api_key_secret_ref if spec.model.ai_gateway else None]
        refs.append(spec.model.open_ai.api_key_secret_ref if spec.model.open_ai else None)
    if spec.gateway:
        refs.append(spec.gateway.token_secret_ref)
    names += [ref.name for ref in (*refs, *secrets_of_agent(spec)) if ref is not None]
    if spec.persistence and spec.persistence.bucket and spec.persistence.bucket.credentials:
        names.append(spec.persistence.bucket.credentials.secret_name)
    return list(dict.fromkeys(names))


def r2_endpoint(account: str, jurisdiction: str | None) -> str:
    """https://developers.cloudflare.com/r2/reference/data-location/#jurisdictional-restrictions"""
    return f"https://{account}.{jurisdiction}.r2.cloudflarestorage.com" if jurisdiction else f"https://{account}.r2.cloudflarestorage.com"


def effective_prefix(prefix: str, place: Place) -> str:
    """`<prefix>/<namespace>/<name>/` (rule 9)."""
    return "/".join(part for part in (prefix.strip("/"), place.namespace, place.name) if part) + "/"
