"""Patches that know nothing of kinds: JSON merge patch (RFC 7396) and JSON patch (RFC 6902)."""

from __future__ import annotations

from typing import Any

from .errors import ApiError
from .resources import Object

# The API server refuses longer JSON patches (a copy operation can double a document).
MOST_OPERATIONS = 10_000


def merge_patch(target: Any, patch: Any) -> Any:
    """RFC 7396. `target` may be changed; what of `patch` becomes part of the result is shared with it."""
    if not isinstance(patch, dict):
        return patch
    result = target if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge_patch(result.get(key), value)
    return result


def json_patch(target: Object, operations: Any) -> Object:
    """RFC 6902 on a document that may be changed. Raises ApiError 422 for a path that is not there or a test that fails."""
    if not isinstance(operations, list) or not all(isinstance(step, dict) for step in operations):
        raise ApiError(400, "error decoding patch: a JSON patch is a list of operations")
    if len(operations) > MOST_OPERATIONS:
        raise ApiError(413, f"The allowed maximum operations in a JSON patch is {MOST_OPERATIONS}, got {len(operations)}")
    document: Any = target
    for step in operations:
        document = _operation(document, step)
    if not isinstance(document, dict):
        raise ApiError(422, "the patched object is not an object", reason="Invalid")
    return document


def _operation(document: Any, step: dict[str, Any]) -> Any:
    name, path = step.get("op"), step.get("path")
    if not isinstance(path, str):
        raise ApiError(400, "error decoding patch: an operation without a path")
    match name:
        case "add":
            return _put(document, path, step.get("value"), insert=True)
        case "replace":
            _value(document, path, "replace")
            return _put(document, path, step.get("value"), insert=False)
        case "remove":
            _value(document, path, "remove")
            return _remove(document, path)
        case "test":
            if _value(document, path, "test", missing=None) != step.get("value"):
                raise _refused(f"testing path {path} failed")
            return document
        case "copy" | "move":
            source = step.get("from")
            if not isinstance(source, str):
                raise ApiError(400, f"error decoding patch: {name} without from")
            value = _value(document, source, name)
            if name == "move":
                document = _remove(document, source)
            else:
                value = _copied(value)
            return _put(document, path, value, insert=True)
    raise ApiError(400, f"error decoding patch: Unexpected kind: {name}")


_MISSING = object()


def _steps(path: str) -> list[str]:
    if path and not path.startswith("/"):
        raise _refused(f"path {path} does not begin with /")
    return [part.replace("~1", "/").replace("~0", "~") for part in path.split("/")[1:]]


def _value(document: Any, path: str, operation: str, missing: Any = _MISSING) -> Any:
    value = document
    for step in _steps(path):
        if isinstance(value, dict) and step in value:
            value = value[step]
        elif isinstance(value, list) and step.isdigit() and int(step) < len(value):
            value = value[int(step)]
        elif missing is not _MISSING:
            return missing
        else:
            raise _refused(f"{operation} operation does not apply: doc is missing path: {path}: missing value")
    return value


def _parent(document: Any, path: str) -> tuple[Any, str]:
    *way, last = _steps(path)
    value = document
    for step in way:
        if isinstance(value, dict) and step in value:
            value = value[step]
        elif isinstance(value, list) and step.isdigit() and int(step) < len(value):
            value = value[int(step)]
        else:
            raise _refused(f"add operation does not apply: doc is missing path: {path}: missing value")
    return value, last


def _put(document: Any, path: str, value: Any, *, insert: bool) -> Any:
    if not path:
        return value
    parent, last = _parent(document, path)
    if isinstance(parent, dict):
        parent[last] = value
        return document
    if isinstance(parent, list) and (last == "-" or (last.isdigit() and int(last) <= len(parent))):
        index = len(parent) if last == "-" else int(last)
        if insert:
            parent.insert(index, value)
        else:
            parent[index] = value
        return document
    raise _refused(f"add operation does not apply: doc is missing path: {path}: missing value")


def _remove(document: Any, path: str) -> Any:
    parent, last = _parent(document, path)
    if isinstance(parent, list):
        del parent[int(last)]
    else:
        del parent[last]
    return document


def _copied(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copied(item) for key, item in value.items()}
    return [_copied(item) for item in value] if isinstance(value, list) else value


def _refused(why: str) -> ApiError:
    return ApiError(422, f"the server rejected our request due to an error in our request: {why}", reason="Invalid")
