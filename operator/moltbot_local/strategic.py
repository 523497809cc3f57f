"""Strategic merge patch: what kubectl sends for built-in kinds.

Source: https://github.com/kubernetes/community/blob/master/contributors/devel/sig-api-machinery/strategic-merge-patch.md
Lists with a merge key are merged item by item; `$patch: delete | replace | merge`, `$deleteFromPrimitiveList/…`, `$setElementOrder/…` and
`$retainKeys` are obeyed.
"""

from __future__ import annotations

from typing import Any

from .errors import ApiError
from .resources import Object
from .schema import ANYTHING, Schema

_DELETE = "$deleteFromPrimitiveList/"
_ORDER = "$setElementOrder/"
_RETAIN = "$retainKeys"
_DIRECTIVE = "$patch"


def strategic_merge(schema: Schema, target: Any, patch: Any) -> Any:
    """The patched value; `target` may be changed. Raises ApiError 400 for a patch that is none."""
    if not isinstance(patch, dict):
        return patch
    directive = patch.get(_DIRECTIVE)
    if directive == "replace":
        return {key: value for key, value in patch.items() if key != _DIRECTIVE}
    if directive == "delete":
        return {}
    if directive not in (None, "merge"):
        raise ApiError(400, f"unable to find api field or directive: $patch: {directive}")
    result: Object = target if isinstance(target, dict) else {}
    if _RETAIN in patch:
        kept = set(patch[_RETAIN])
        result = {key: value for key, value in result.items() if key in kept}
    for key, value in patch.items():
        if key.startswith((_ORDER, "$")) and not key.startswith(_DELETE):
            continue
        if key.startswith(_DELETE):
            name = key.removeprefix(_DELETE)
            result[name] = [item for item in result.get(name) or () if item not in value]
            continue
        child = schema.child(key) or ANYTHING
        if value is None:
            result.pop(key, None)
        elif isinstance(value, list):
            result[key] = _merge_list(child, result.get(key) or [], value, patch.get(_ORDER + key))
        else:
            result[key] = strategic_merge(child, result.get(key), value)
    for key, order in patch.items():
        if key.startswith(_ORDER) and key.removeprefix(_ORDER) not in patch:
            name = key.removeprefix(_ORDER)
            if isinstance(result.get(name), list):
                result[name] = _ordered(schema.child(name) or ANYTHING, result[name], order)
    return result


def _merge_list(schema: Schema, present: list[Any], patch: list[Any], order: list[Any] | None) -> list[Any]:
    if schema.merge_key is None:
        return [item for item in patch if not (isinstance(item, dict) and _DIRECTIVE in item)]
    if not schema.merge_key:
        result = [*present, *(item for item in patch if item not in present)]
        return _ordered(schema, result, order) if order is not None else result
    if any(isinstance(item, dict) and item.get(_DIRECTIVE) == "replace" and len(item) == 1 for item in patch):
        return [item for item in patch if _DIRECTIVE not in item]
    key = schema.merge_key
    result = list(present)
    for item in patch:
        if not isinstance(item, dict) or key not in item:
            raise ApiError(400, f"map: {item!r} does not contain declared merge key: {key}")
        place = next((index for index, found in enumerate(result) if isinstance(found, dict) and found.get(key) == item[key]), None)
        if item.get(_DIRECTIVE) == "delete":
            result = [found for found in result if not (isinstance(found, dict) and found.get(key) == item[key])]
        elif place is None:
            result.append(strategic_merge(schema.items or ANYTHING, {}, item))
        else:
            result[place] = strategic_merge(schema.items or ANYTHING, result[place], item)
    return _ordered(schema, result, order) if order is not None else result


def _ordered(schema: Schema, items: list[Any], order: list[Any]) -> list[Any]:
    """Items that the order names stand in its order; the others stay where they are between them."""
    key = schema.merge_key

    def name(item: Any) -> Any:
        return item.get(key) if key and isinstance(item, dict) else item

    ranks: dict[Any, int] = {name(item): index for index, item in enumerate(order)}
    named = sorted((item for item in items if name(item) in ranks), key=lambda item: ranks[name(item)])
    following = iter(named)
    return [next(following) if name(item) in ranks else item for item in items]
