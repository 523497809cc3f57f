"""YAML as Kubernetes reads it: what looks like a time is text."""

from __future__ import annotations

from typing import Any

import yaml

# The C one where the library has it: a hundred times as fast on large files.
_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_Base):  # type: ignore[misc]
    """Without timestamps."""


_Loader.yaml_implicit_resolvers = {
    letter: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for letter, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def load_document(text: str | bytes) -> Any:
    """The only document. Raises yaml.YAMLError."""
    return yaml.load(text, Loader=_Loader)  # noqa: S506 a SafeLoader


def load_documents(text: str | bytes) -> list[Any]:
    """All documents. Raises yaml.YAMLError."""
    return list(yaml.load_all(text, Loader=_Loader))
