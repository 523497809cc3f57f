"""Where effective settings come from: a spec, the Secrets it names, and what was found wrong while reading them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from moltbot_api.conditions import Reason
from moltbot_api.references import SecretKeyReference
from moltbot_api.secret_keys import Group
from moltbot_api.spec import MoltbotSpec
from moltbot_operator.effective import Finding, SecretValues
from moltbot_operator.secret_values import NamedValues, listed, value_problem
from moltbot_trust.redaction import Secret


@dataclass(frozen=True, slots=True)
class Place:
    """Whose settings they are, whether the demo model stands in where no key is, and whether pods are containers of a cluster."""

    namespace: str
    name: str
    demo_stands_in: bool = False
    on_cluster: bool = True


@dataclass
class Sources:
    """Of one Moltbot. `findings` grows while settings are read."""

    place: Place
    spec: MoltbotSpec
    secrets: SecretValues
    named: NamedValues
    findings: list[Finding] = field(default_factory=list)

    def reference(self, field_path: str, ref: SecretKeyReference, *, blocking: bool = False) -> Secret | None:
        """The cleaned value that a spec field names, or None and a finding."""
        raw = self.raw(field_path, ref, blocking=blocking)
        if raw is None:
            return None
        text, problem, _ = value_problem(ref.key, raw)
        if not text:
            self.find(Reason.VALUE_INVALID, f"{field_path}: Secret {ref.name}: {problem or f'{ref.key} is empty'}", blocking)
            return None
        return Secret(text)

    def raw(self, field_path: str, ref: SecretKeyReference, *, blocking: bool = False, then: str = "") -> bytes | None:
        """The value as it stands in the Secret, or None and a finding that ends in `then`."""
        data = self.secrets.get(ref.name)
        if data is None:
            message = f"{field_path}: Secret {ref.name} does not exist in this namespace; create it{then}"
            self.find(Reason.SECRET_MISSING, message, blocking)
            return None
        if ref.key not in data:
            message = f"{field_path}: Secret {ref.name} has no key {ref.key} ({what_is_there(data)}){then}"
            self.find(Reason.SECRET_KEY_MISSING, message, blocking)
        return data.get(ref.key)

    def find(self, reason: Reason, message: str, blocking: bool = False) -> None:
        self.findings.append(Finding(reason, message, blocking=blocking))

    def group_complete(self, group: Group, *, blocking: bool = False) -> bool:
        """Whether all of a group's keys are there; a part of them is a finding that says which."""
        present = self.named.present(group)
        if not present:
            return False
        missing = [name for name in self.named.missing(group) if name not in self.named.unusable]
        if missing:
            secrets = listed(sorted({self.named.origins[name] for name in present}))
            self.find(
                Reason.GROUP_INCOMPLETE,
                f"{group.value}: {listed(present)} {'is' if len(present) == 1 else 'are'} set in Secret {secrets}, {listed(missing)} "
                f"{'is' if len(missing) == 1 else 'are'} missing; add what is missing or remove what is there",
                blocking,
            )
        return not self.named.missing(group)

    def invalid(self, key: str, why: str, *, blocking: bool = False) -> None:
        """A key of secretsFrom whose value makes no sense."""
        self.find(Reason.VALUE_INVALID, f"Secret {self.named.origins[key]}: {key} {why}", blocking)

    def secret(self, key: str) -> Secret | None:
        """The value of a key of secretsFrom."""
        text = self.named.values.get(key)
        return Secret(text) if text else None


def what_is_there(data: Mapping[str, object]) -> str:
    return f"it has {listed(sorted(data))}" if data else "it is empty"
