"""The keys of `secretsFrom` as one set of clean values, and what is to be said about them (api.md, secretsFrom). Pure.

kubectl keeps a file's quotes and comments (`create secret --from-env-file`), so a value arrives as it was written in `.dev.vars`.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from moltbot_api.conditions import Reason
from moltbot_api.secret_keys import SECRET_KEYS, Group
from moltbot_operator.effective import Finding, SecretValues

_QUOTES = ("'", '"')
# `KEY=value # words`, also after a closing quote
_COMMENT = re.compile(r"\s#")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class NamedValues:
    """`values`: the usable ones, cleaned, by key. `origins`: key → name of the Secret it came from, also for unusable ones."""

    values: Mapping[str, str]
    origins: Mapping[str, str]
    unusable: frozenset[str]
    findings: tuple[Finding, ...]

    def present(self, group: Group) -> list[str]:
        """Keys of the group that somebody wrote, usable or not."""
        return [name for name in self.origins if SECRET_KEYS[name].group is group]

    def missing(self, group: Group) -> list[str]:
        """Keys without which the group is incomplete."""
        return [key.name for key in SECRET_KEYS.values() if key.group is group and key.required and key.name not in self.values]

    def complete(self, group: Group) -> bool:
        return bool(self.present(group)) and not self.missing(group)


@dataclass
class _Reading:
    values: dict[str, str] = field(default_factory=dict)
    origins: dict[str, str] = field(default_factory=dict)
    unusable: set[str] = field(default_factory=set)
    findings: list[Finding] = field(default_factory=list)
    cleaned: dict[str, list[str]] = field(default_factory=dict)
    unserved: dict[str, list[str]] = field(default_factory=dict)


def read_secrets_from(names: Iterable[str], secrets: SecretValues) -> NamedValues:
    """All keys of the named Secrets; of two with the same key the later one counts. An empty value is as good as none."""
    reading = _Reading()
    for name in names:
        data = secrets.get(name)
        if data is None:
            how = f"kubectl create secret generic {name} --from-env-file=.dev.vars"
            message = f"Secret {name} of secretsFrom does not exist: create it with `{how}`"
            # what it holds is not known: perhaps the bucket in which the memory is
            reading.findings.append(Finding(Reason.SECRET_MISSING, message, blocking=True))
            continue
        for key in sorted(data):
            _read_key(reading, name, key, data[key])
    for name, keys in reading.cleaned.items():
        text = f"Secret {name}: quotes or white space around {_listed(keys)} were taken off; kubectl keeps them from an env file"
        reading.findings.append(Finding(Reason.VALUE_CLEANED, text, wrong=False))
    for name, keys in reading.unserved.items():
        text = f"Secret {name}: {_listed(keys)} {'is' if len(keys) == 1 else 'are'} known, but not served by this version yet, and not used"
        reading.findings.append(Finding(Reason.KEY_NOT_SERVED, text, wrong=False))
    return NamedValues(reading.values, reading.origins, frozenset(reading.unusable), tuple(reading.findings))


def clean_value(raw: str) -> tuple[str, bool]:
    """The value without surrounding white space and one pair of equal quotes, and whether quotes or white space were there."""
    text = raw.strip()
    if len(text) >= 2 and text[0] in _QUOTES and text[-1] == text[0]:
        text = text[1:-1].strip()
    return text, text != raw.rstrip("\r\n")


def value_problem(key: str, raw: bytes) -> tuple[str, str, bool]:
    """(cleaned value, what is wrong with it or "", whether it was cleaned). The value itself never stands in the message."""
    try:
        decoded = raw.decode("utf-8")
    except UnicodeDecodeError:
        return "", f"{key} is not text (UTF-8)", False
    text, cleaned = clean_value(decoded)
    stripped = decoded.strip()
    quoted = len(stripped) >= 2 and stripped[0] in _QUOTES and stripped[-1] == stripped[0]
    if not quoted and (_COMMENT.search(stripped) or stripped.startswith("#")):
        return "", f"{key} has a comment (` #`) after its value: kubectl keeps it as a part of the value; remove it from the file", cleaned
    if _CONTROL.search(text):
        return "", f"{key} holds a line break or another control character", cleaned
    return text, "", cleaned


def _read_key(reading: _Reading, secret: str, key: str, raw: bytes) -> None:
    known = SECRET_KEYS.get(key)
    if known is None:
        near = difflib.get_close_matches(key.upper(), SECRET_KEYS, n=1, cutoff=0.75)
        hint = f"; did you mean {near[0]}?" if near else ""
        reading.findings.append(
            Finding(Reason.KEY_UNKNOWN, f"Secret {secret}: key {key} is not one that is known, and not used{hint}", wrong=False)
        )
        return
    text, problem, cleaned = value_problem(key, raw)
    if problem:
        reading.origins[key] = secret
        if not known.served:
            reading.unserved.setdefault(secret, []).append(key)
            return
        reading.unusable.add(key)
        reading.values.pop(key, None)
        # a key of the bucket that cannot be read must not look like "no bucket"
        finding = Finding(Reason.VALUE_INVALID, f"Secret {secret}: {problem}", blocking=known.group is Group.BUCKET)
        reading.findings.append(finding)
        return
    if not text:
        return
    if cleaned:
        reading.cleaned.setdefault(secret, []).append(key)
    if not known.served:
        reading.unserved.setdefault(secret, []).append(key)
        return
    reading.origins[key] = secret
    reading.unusable.discard(key)
    reading.values[key] = text


def _listed(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def listed(words: Iterable[str]) -> str:
    """`A, B and C`."""
    found = list(words)
    return _listed(found) if found else ""
