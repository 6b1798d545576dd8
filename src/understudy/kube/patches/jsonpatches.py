"""JSON patch (RFC 6902) as Kubernetes applies it, which is more lenient than the RFC.

`replace` of a key that is not there adds it, `copy` from such a key writes null, a null is the same
as a missing value to `test`, indexes may be negative or written `01`, and a path's text up to its
first `/` is ignored. `remove`, `move` and paths through missing parents fail, all with one message.

Source: github.com/evanphx/json-patch v4, which kube-apiserver uses.
"""

from __future__ import annotations

import re
from typing import TypeAlias

import orjson

from understudy.kube import objects, statuses

OPERATIONS_MAX = 10_000
"""Operations allowed in one patch."""

COPIED_BYTES_MAX = 3 * 1024 * 1024
"""Bytes of JSON that one patch may copy: each copy can double a document."""

DEPTH_MAX = 128
"""Deepest nesting of a result: moves can nest a document in itself."""

_INDEX = re.compile(r"[+-]?[0-9]+")
_GO_NAMES = {str: "string", dict: "object", list: "array", bool: "bool"}
_TEXT_FIELDS = ("op", "path", "from")

Container: TypeAlias = dict[str, objects.Json] | list[objects.Json]


class DoesNotApplyError(Exception):
    """An operation cannot be carried out; what exactly failed is not told to clients."""


class TestFailedError(DoesNotApplyError):
    """A `test` found another value."""


def apply(obj: objects.Object, patch: objects.Json) -> objects.Object:
    """Return the object after every operation.

    Raises:
        BadRequestError: The patch is no list of operations.
        RequestTooLargeError: It has more than `OPERATIONS_MAX` operations.
        InvalidError: An operation does not apply.
    """
    operations = _operations(patch)
    draft = _Draft(obj)
    try:
        for operation in operations:
            _carry_out(draft, operation)
        _check_depth(draft.root)
    except (DoesNotApplyError, RecursionError) as error:
        raise statuses.InvalidError(
            "the server rejected our request due to an error in our request", details={}
        ) from error
    return draft.root


def _check_depth(root: objects.Json) -> None:
    level = [root]
    for _ in range(DEPTH_MAX):
        below: list[objects.Json] = []
        for item in level:
            inner = item.values() if isinstance(item, dict) else item
            below += [one for one in inner if isinstance(one, (dict, list))]
        if not below:
            return
        level = below
    raise DoesNotApplyError(f"nested more than {DEPTH_MAX} levels deep")


def _operations(patch: objects.Json) -> list[objects.Object]:
    if patch is None:
        return []
    if not isinstance(patch, list):
        raise _bad(f"{_go_name(patch)} into Go value of type []handlers.jsonPatchOp")
    for operation in patch:
        if operation is not None and not isinstance(operation, dict):
            raise _bad(f"{_go_name(operation)} into Go value of type handlers.jsonPatchOp")
        for name in _TEXT_FIELDS:
            value = (operation or {}).get(name)
            if value is not None and not isinstance(value, str):
                raise _bad(
                    f"{_go_name(value)} into Go struct field jsonPatchOp.{name} of type string"
                )
    if len(patch) > OPERATIONS_MAX:
        raise statuses.RequestTooLargeError(
            f"The allowed maximum operations in a JSON patch is {OPERATIONS_MAX}, got {len(patch)}"
        )
    return [operation or {} for operation in patch]


def _bad(what: str) -> statuses.BadRequestError:
    return statuses.BadRequestError(f"error decoding patch: json: cannot unmarshal {what}")


def _go_name(value: objects.Json) -> str:
    return _GO_NAMES.get(type(value), "number")


class _Draft:
    """A document of which each container is copied when it is first changed."""

    __slots__ = ("_copied_bytes", "_own", "root")

    def __init__(self, root: objects.Object) -> None:
        self.root = root
        self._copied_bytes = 0
        # Copies made here, by identity; holding them keeps their identities from being reused.
        self._own: dict[int, Container] = {}

    def container(self, path: str, *, write: bool) -> tuple[Container, str]:
        """Return the container that a path's last step is in, and that step."""
        steps = path.split("/")
        if len(steps) < 2:
            raise DoesNotApplyError(f"missing path: {path}")
        holder: Container = self.root
        if write:
            holder = self.root = self._mine(self.root)
        for step in steps[1:-1]:
            key = _unescaped(step)
            found = read(holder, key)
            if not isinstance(found, (dict, list)):
                raise DoesNotApplyError(f"missing path: {path}")
            if write:
                found = self._mine(found)
                put(holder, key, found)
            holder = found
        return holder, _unescaped(steps[-1])

    def copied(self, value: objects.Json) -> objects.Json:
        """Return a copy of its own: later operations may change one of the two places."""
        if not isinstance(value, (dict, list)):
            size = len(value) if isinstance(value, str) else 8
        else:
            try:
                size = len(orjson.dumps(value))
            except orjson.JSONEncodeError as error:
                raise DoesNotApplyError(f"nested too deeply: {error}") from error
        self._copied_bytes += size
        if self._copied_bytes > COPIED_BYTES_MAX:
            raise DoesNotApplyError(f"copies more than {COPIED_BYTES_MAX} bytes")
        return objects.copy(value)

    def _mine(self, container: objects.Json) -> objects.Json:
        if id(container) in self._own:
            return container
        copied: Container = container.copy()
        self._own[id(copied)] = copied
        return copied


def _carry_out(draft: _Draft, operation: objects.Object) -> None:
    kind, path = operation.get("op"), operation.get("path")
    if kind not in {"add", "remove", "replace", "move", "copy", "test"} or path is None:
        raise DoesNotApplyError(f"operation {kind}, path {path}")
    value = operation.get("value")
    if kind == "test":
        _test(draft, path, value)
    elif kind == "replace" and path == "":
        if not isinstance(value, (dict, list)):
            raise DoesNotApplyError("the whole document can be replaced by another one only")
        draft.root = value  # type: ignore[assignment]  # a list is refused where it is decoded.
    elif kind == "replace":
        holder, key = draft.container(path, write=True)
        read(holder, key)
        put(holder, key, value)
    elif kind == "remove":
        remove(*draft.container(path, write=True))
    elif kind == "add":
        add(*draft.container(path, write=True), value)
    else:
        _transfer(draft, operation, path, moved=kind == "move")


def _test(draft: _Draft, path: str, value: objects.Json) -> None:
    if path == "":
        found: objects.Json = draft.root
    else:
        holder, key = draft.container(path, write=False)
        found = read(holder, key)
    if not same(found, value):
        raise TestFailedError(f"testing value {path} failed")


def _transfer(draft: _Draft, operation: objects.Object, path: str, *, moved: bool) -> None:
    source = operation.get("from")
    if source is None:
        raise DoesNotApplyError("missing from")
    holder, key = draft.container(source, write=moved)
    value = read(holder, key)
    if moved:
        remove(holder, key)
    else:
        value = draft.copied(value)
    add(*draft.container(path, write=True), value)


def read(holder: Container, key: str) -> objects.Json:
    """Return a container's value at a step; null for a key that a mapping does not have."""
    if isinstance(holder, dict):
        return holder.get(key)
    return holder[_position(key, len(holder))]


def put(holder: Container, key: str, value: objects.Json) -> None:
    """Set a mapping's key, or an index that a list has."""
    if isinstance(holder, dict):
        holder[key] = value
    else:
        holder[_position(key, len(holder))] = value


def add(holder: Container, key: str, value: objects.Json) -> None:
    """Set a mapping's key, or insert before a list's index (`-`: at its end)."""
    if isinstance(holder, dict):
        holder[key] = value
    elif key == "-":
        holder.append(value)
    else:
        holder.insert(_position(key, len(holder) + 1), value)


def remove(holder: Container, key: str) -> None:
    """Delete a key or an index, which must be there."""
    if isinstance(holder, list):
        del holder[_position(key, len(holder))]
    elif key in holder:
        del holder[key]
    else:
        raise DoesNotApplyError(f"unable to remove nonexistent key: {key}")


def same(left: objects.Json, right: objects.Json) -> bool:
    """Say whether two JSON values are equal; unlike Python's, 1 is neither true nor 1.0."""
    if type(left) is not type(right):
        return False
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list):
        return len(left) == len(right) and all(map(same, left, right))
    return bool(left == right)


def _position(key: str, size: int) -> int:
    """Return an index written as text, counted from the start of a list of that size."""
    if not _INDEX.fullmatch(key):
        raise DoesNotApplyError(f"not an index: {key}")
    index = int(key)
    if not -size <= index < size:
        raise DoesNotApplyError(f"index out of range: {key}")
    return index + size if index < 0 else index


def _unescaped(step: str) -> str:
    return step.replace("~1", "/").replace("~0", "~")
