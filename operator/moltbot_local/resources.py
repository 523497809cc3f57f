"""What a served kind is: its names, subresources, columns and the strategy that holds its rules. `builtin.py` lists the built-in ones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .errors import FieldError, qualified

if TYPE_CHECKING:
    from .schema import Schema

Object = dict[str, Any]


@dataclass(frozen=True)
class Column:
    """One column that `kubectl get` prints. `path` is JSONPath without braces or a function of the object; `wide`: only with `-o wide`."""

    name: str
    type: str
    path: Any
    description: str = ""
    format: str = ""
    priority: int = 0


class Strategy:
    """The rules of one kind. The defaults are those of a plain kind without status."""

    # `metadata.generation` counts changes of what a person wants; not every kind has it.
    generation = True
    # A PUT without a resourceVersion is an unconditional update where this is so, else 422.
    unconditional_update = True
    # For how long a deleted object stays to end by itself, when the request does not say (seconds).
    grace_seconds = 0

    def default(self, item: Object) -> None:
        """Fill in what a person may leave out, in place."""

    def prepare_create(self, item: Object) -> None:
        """Take away what a creator may not set, in place; after `default`."""

    def prepare_update(self, new: Object, old: Object, subresource: str) -> None:
        """Take back what this door (the main one or a subresource) may not change, in place; after `default`."""

    def validate(self, item: Object) -> list[FieldError]:
        return []

    def validate_update(self, new: Object, old: Object, subresource: str) -> list[FieldError]:
        return []

    def grace(self, item: Object, asked: int | None) -> int:
        """Seconds that a deleted object keeps to end by itself."""
        return 0


@dataclass(frozen=True)
class Resource:
    group: str
    version: str
    kind: str
    plural: str
    singular: str
    namespaced: bool
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    status: bool = False
    # JSON paths of a scale subresource: (spec replicas, status replicas, label selector); None: no such subresource.
    scale: tuple[str, str, str | None] | None = None
    fields: tuple[str, ...] = ("metadata.name", "metadata.namespace")
    columns: tuple[Column, ...] = ()
    strategy: Strategy = field(default_factory=Strategy, compare=False)
    schema: Schema | None = field(default=None, compare=False)
    custom: bool = False
    # A verb that this kind does not have is answered 405.
    verbs: tuple[str, ...] = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
    # A served version of the same objects that is not the stored one (events.k8s.io is core's Event).
    alias_of: str = ""

    @property
    def key(self) -> str:
        """`pods`, `statefulsets.apps`: how this process names the kind."""
        return qualified(self.group, self.plural)

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version


class Registry:
    """The kinds served now. Custom ones come and go with their definitions."""

    def __init__(self) -> None:
        self._by_key: dict[str, Resource] = {}
        self.generation = 0  # rises when the kinds change: discovery's ETag

    def add(self, resource: Resource) -> None:
        self._by_key[resource.key] = resource
        self.generation += 1

    def remove(self, key: str) -> None:
        if self._by_key.pop(key, None) is not None:
            self.generation += 1

    def get(self, key: str) -> Resource:
        """Raises KeyError for a kind that is not served."""
        return self._by_key[key]

    def find(self, key: str) -> Resource | None:
        return self._by_key.get(key)

    def by_kind(self, group: str, kind: str) -> Resource | None:
        return next((item for item in self._by_key.values() if item.group == group and item.kind == kind), None)

    def __iter__(self) -> Iterator[Resource]:
        return iter(list(self._by_key.values()))
