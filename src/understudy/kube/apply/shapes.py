"""Shapes: what server-side apply makes of a schema node, worked out once and kept.

A shape says of a value which kinds it may have (scalar, list, map; untyped values all three), how
lists and maps are owned (whole, or item by item) and what their parts' shapes are. It also holds
the function that turns a value which is new as a whole straight into its set of fields: the work of
every create, hence of all of this room the part that must be fast.

Source: k8s.io/kube-openapi `pkg/schemaconv`; where a list says nothing but a patch strategy, that
counts (`merge` with a key is a map, without one a set).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import TypeAlias

from understudy.kube import goformats, objects, schemas, series as known
from understudy.kube.apply import fieldsets

SHAPES_MAX = 20_000
"""Shapes kept; all built-in kinds together have a few thousand nodes."""

STEPS_MAX = 2_000
"""Steps of one list's items kept, e.g. of the names of containers."""

PLANS_MAX = 500
"""Combinations of fields whose plan is kept for one shape; more, and all are forgotten."""

Adder: TypeAlias = Callable[[objects.Json], fieldsets.Tree]
KeyMaker: TypeAlias = Callable[[objects.Json], str]

_UNTYPED_FORMATS = frozenset({"", "byte"})
_BY_TYPE = {"integer": "numeric", "number": "numeric", "boolean": "boolean"}


_Plan: TypeAlias = tuple[fieldsets.Tree, tuple[tuple[str, str, "Adder"], ...]]


class ItemError(Exception):
    """An item of a list that does not say which one it is; the text is Kubernetes' own."""


class Shape:
    """One node. Its attributes are filled in when the first of them is asked for.

    Attributes:
        name: Go name of the type, or empty.
        scalar: `string`, `numeric`, `boolean`, `untyped`, or empty where no scalar may be.
        has_list: The value may be a list; `list_atomic` if it is owned as a whole.
        keys: Fields by which a list's items are told apart; none for sets.
        key_defaults: Values of keys that an item leaves out.
        items: Shape of a list's items.
        has_map: The value may be a mapping; `map_atomic` if it is owned as a whole.
        fields: Shapes of the fields that the schema names.
        values: Shape of other entries; None where there must be none.
        mixed: The value may have more than one kind, so that kinds must be compared.
        leaf: The value never has fields of its own.
        exact: Python's `==` tells values apart; not so where both 1 and true may stand.
        changing: The schema is a custom kind's, which may be another one tomorrow.
        key: Returns the step of a list's item, e.g. `k:{"name":"c"}`.
        added: Returns the node of a value which is new as a whole.
        steps: name -> (step, `added` of the field, or None where it is a leaf).
        blank: What Go writes for the empty value, e.g. `{"spec": {...}, "status": {}}`.
        series: What new specs of this shape set, for those that recur.
    """

    __slots__ = (
        "_preserve", "_schema", "added", "blank", "changing", "exact", "fields", "has_list",
        "has_map", "items", "key", "key_defaults", "keys", "leaf", "list_atomic", "map_atomic",
        "mixed", "name", "scalar", "series", "steps", "values",
    )  # fmt: skip

    scalar: str
    has_list: bool
    list_atomic: bool
    keys: tuple[str, ...]
    key_defaults: dict[str, objects.Json]
    items: Shape
    has_map: bool
    map_atomic: bool
    fields: dict[str, Shape]
    values: Shape | None
    mixed: bool
    leaf: bool
    exact: bool
    changing: bool
    key: KeyMaker
    added: Adder
    steps: _Steps
    blank: objects.Json
    series: known.Series[fieldsets.Tree]

    def __init__(self, schema: schemas.Schema, *, preserve: bool) -> None:
        self._schema = schema
        self.name = schema.name
        self._preserve = preserve

    def __getattr__(self, name: str) -> objects.Json:
        # Slots that are not filled yet end up here; afterwards this is never called again.
        if name not in Shape.__slots__:
            raise AttributeError(name)
        if name == "exact":
            self.exact = all(not one.mixed for one in self._reachable())
        elif name == "blank":
            self.blank = _blank(self._schema)
        elif name == "series":
            self.series = known.Series()
        else:
            _fill(self, self._schema, preserve=self._preserve)
        return object.__getattribute__(self, name)

    def child(self, name: str) -> Shape | None:
        """Return the shape of a mapping's entry; None where the schema does not know it."""
        return self.fields.get(name) or self.values

    def _reachable(self) -> Iterator[Shape]:
        """Yield the shapes of everything that may be in a value, each once."""
        seen: set[int] = set()
        waiting = [self]
        while waiting:
            one = waiting.pop()
            # Sets of fields hold empty mappings only; nothing in them can be taken for another.
            if id(one) in seen or one.name == "FieldsV1":
                continue
            seen.add(id(one))
            yield one
            waiting += one.fields.values()
            if one.has_map and one.values is not None:
                waiting.append(one.values)
            if one.has_list:
                waiting.append(one.items)


class _Steps(dict[str, tuple[str, "Adder | None"]]):
    """Memory of a mapping's steps; entries of open mappings are not kept."""

    __slots__ = ("_shape",)

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self._shape = shape

    def __missing__(self, name: str) -> tuple[str, Adder | None]:
        shape = self._shape
        child = shape.fields.get(name)
        known = child is not None
        child = child or shape.values or UNTYPED
        entry = (f"f:{name}", None if child.leaf else child.added)
        if known:
            self[name] = entry
        return entry


@functools.lru_cache(maxsize=SHAPES_MAX)
def of(schema: schemas.Schema, *, preserve: bool = False) -> Shape:
    """Return the shape of a node; with `preserve`, entries it does not name are untyped."""
    return Shape(schema, preserve=preserve)


@functools.lru_cache(maxsize=SHAPES_MAX)
def root(schema: schemas.Schema) -> Shape:
    """Return the shape of a whole object: metadata is always that of Kubernetes' objects."""
    shape = Shape(schema, preserve=False)
    fields = dict(shape.fields)
    own = fields.get("metadata")
    if own is None or not own.fields:
        fields["metadata"] = of(OBJECT_META)
    for name in ("apiVersion", "kind"):
        fields.setdefault(name, of(_STRING))
    shape.fields = fields
    shape.has_map, shape.map_atomic, shape.leaf, shape.mixed = True, False, False, False
    return shape


# ---------------------------------------------------------------------- filling in


def _fill(shape: Shape, schema: schemas.Schema, *, preserve: bool) -> None:
    preserve = preserve or schema.preserve_unknown
    kind = schema.type
    opaque = schema.name == "RawExtension"
    shape.scalar = "untyped" if not kind or opaque else _scalar(schema)
    shape.has_list = kind == "array" or not kind or opaque
    shape.has_map = kind == "object" or not kind or opaque
    shape.mixed = not kind or opaque
    shape.changing = not schema.go_type
    _fill_list(shape, schema, preserve=preserve, atomic=opaque)
    _fill_map(shape, schema, preserve=preserve, atomic=opaque)
    open_list = shape.has_list and not shape.list_atomic
    open_map = shape.has_map and not shape.map_atomic
    shape.leaf = not open_list and not open_map
    shape.steps = _Steps(shape)
    shape.added = _adder(shape, open_list=open_list, open_map=open_map)


def _scalar(schema: schemas.Schema) -> str:
    if schema.type == "string":
        return "string" if schema.format in _UNTYPED_FORMATS else "untyped"
    return _BY_TYPE.get(schema.type, "")


def _fill_list(shape: Shape, schema: schemas.Schema, *, preserve: bool, atomic: bool) -> None:
    kind, keys = schema.list_type, schema.list_keys
    if not kind and "merge" in schema.patch_strategy:
        kind = "map" if schema.patch_merge_key else "set"
        keys = (schema.patch_merge_key,) if schema.patch_merge_key else ()
    shape.list_atomic = atomic or kind not in {"map", "set"}
    shape.keys = tuple(sorted(keys)) if kind == "map" else ()
    items = schema.items
    shape.items = of(items, preserve=preserve) if items is not None else UNTYPED
    defaults = dict(schema.key_defaults)
    for key in shape.keys:
        field = ((items.fields if items is not None else None) or {}).get(key)
        if key not in defaults and field is not None and field.default is not None:
            defaults[key] = field.default
    shape.key_defaults = defaults
    shape.key = _key_maker(shape)


def _fill_map(shape: Shape, schema: schemas.Schema, *, preserve: bool, atomic: bool) -> None:
    shape.map_atomic = atomic or schema.map_type == "atomic"
    fields = schema.fields or {}
    shape.fields = {name: of(field, preserve=preserve) for name, field in fields.items()}
    if schema.values is not None:
        shape.values = of(schema.values, preserve=preserve)
    else:
        shape.values = UNTYPED if preserve or not fields else None


def _blank(schema: schemas.Schema) -> objects.Json:
    """Return what Go writes for a type's zero value: only what is not left out when empty."""
    if schema.fields is not None:
        return {
            name: None if null else _blank(schema.fields[name])
            for name, null in schema.always.items()
            if name in schema.fields
        }
    if schema.format in {"quantity", "int-or-string", "duration"}:
        return {"quantity": "0", "int-or-string": 0, "duration": "0s"}[schema.format]
    return {"string": "", "integer": 0, "number": 0, "boolean": False}.get(schema.type)


# ---------------------------------------------------------------------- steps of list items


def _key_maker(shape: Shape) -> KeyMaker:
    if not shape.keys:
        return _set_key
    if len(shape.keys) == 1:
        return _one_key_maker(shape.keys[0], shape.key_defaults.get(shape.keys[0]))
    return functools.partial(_map_key, shape.keys, shape.key_defaults)


def _one_key_maker(name: str, default: objects.Json) -> KeyMaker:
    prefix = f"k:{{{fieldsets.scalar_text(name)}:"

    @functools.lru_cache(maxsize=STEPS_MAX, typed=True)
    def step(value: objects.Json) -> str:
        return f"{prefix}{fieldsets.scalar_text(value)}}}"

    def key(item: objects.Json) -> str:
        if type(item) is not dict:
            raise _no_item(item)
        if name in item:
            try:
                return step(item[name])
            except TypeError:
                # Not hashable: an object that validation will refuse.
                return f"{prefix}{fieldsets.scalar_text(item[name])}}}"
        if default is None:
            raise _keys_missing((name,))
        return step(default)

    return key


def _map_key(keys: tuple[str, ...], defaults: dict[str, objects.Json], item: objects.Json) -> str:
    if type(item) is not dict:
        raise _no_item(item)
    parts = []
    for name in keys:
        if name in item:
            parts.append(f"{fieldsets.scalar_text(name)}:{fieldsets.scalar_text(item[name])}")
        elif name in defaults:
            parts.append(f"{fieldsets.scalar_text(name)}:{fieldsets.scalar_text(defaults[name])}")
    if not parts:
        raise _keys_missing(keys)
    return f"k:{{{','.join(parts)}}}"


def _set_key(item: objects.Json) -> str:
    if isinstance(item, dict):
        raise ItemError("associative list without keys has an element that's a map type")
    if isinstance(item, list):
        raise ItemError("not supported: associative list with lists as elements")
    if item is None:
        raise ItemError("associative list without keys has an element that's an explicit null")
    return f"v:{fieldsets.scalar_text(item)}"


def _no_item(item: objects.Json) -> ItemError:
    what = "a null element" if item is None else "non-map elements"
    return ItemError(f"associative list with keys may not have {what}")


def _keys_missing(keys: tuple[str, ...]) -> ItemError:
    names = " ".join(goformats.quoted(name) for name in keys)
    return ItemError(
        f"associative list with keys has an element that omits all key fields [{names}] "
        "(and doesn't have default values for any key fields)"
    )


# ---------------------------------------------------------------------- new values


def _adder(shape: Shape, *, open_list: bool, open_map: bool) -> Adder:
    if shape.leaf:
        return _leaf
    as_map = functools.partial(_added_map, _Plans(shape))
    as_list = functools.partial(_added_list, shape)
    if not open_list:
        return as_map
    if not open_map:
        return as_list

    def added(value: objects.Json) -> fieldsets.Tree:
        return as_list(value) if type(value) is list else as_map(value)

    return added


def _leaf(value: objects.Json) -> fieldsets.Tree:  # noqa: ARG001 (one of the adders)
    return {}


class _Plans(dict[tuple[str, ...], _Plan]):
    """For each combination of a mapping's names: the node of its leaves, and what is still to do.

    Mappings of leaves (labels, resource amounts, most small structs) need nothing but a look here.
    """

    __slots__ = ("_shape",)

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self._shape = shape

    def __missing__(self, names: tuple[str, ...]) -> _Plan:
        steps = self._shape.steps
        rows = [(name, *steps[name]) for name in sorted(names)]
        node: fieldsets.Tree = {".": {}}
        for _, step, _ in rows:
            node[step] = {}
        todo = tuple((name, step, inner) for name, step, inner in rows if inner is not None)
        if len(self) >= PLANS_MAX:
            self.clear()
        self[names] = (node, todo)
        return node, todo


def _added_map(plans: _Plans, value: objects.Json) -> fieldsets.Tree:
    if type(value) is not dict or not value:
        return {}
    node, todo = plans[tuple(value)]
    if not todo:
        return node
    node = node.copy()
    for name, step, inner in todo:
        node[step] = inner(value[name])
    return node


def _added_list(shape: Shape, value: objects.Json) -> fieldsets.Tree:
    if type(value) is not list or not value:
        return {}
    out: fieldsets.Tree = {".": {}}
    key, inner = shape.key, shape.items.added
    for item in value:
        step = key(item)
        # Of several items that claim one place, the place is owned and nothing below it.
        out[step] = inner(item) if step not in out else {}
    return out


def created(shape: Shape, value: objects.Object, blank: objects.Object) -> fieldsets.Tree:
    """Return the fields that a new object sets, compared with the zero value of its type.

    What Go writes even for nothing (`"spec": {}`, `"containers": null`) is there already, so that
    such a field is not set itself, only what it holds.
    """
    out: fieldsets.Tree = {}
    steps = shape.steps
    for name in sorted(value):
        step, inner = steps[name]
        item = value[name]
        if name not in blank:
            out[step] = {} if inner is None else inner(item)
            continue
        before = blank[name]
        if item == before:
            continue
        if type(before) is dict and type(item) is dict and inner is not None:
            find = _created_spec if name == "spec" and "apiVersion" in shape.fields else created
            if node := find(shape.fields[name], item, before):
                out[step] = node
        elif inner is not None and (node := inner(item)):
            out[step] = {key: child for key, child in node.items() if key != "."}
        else:
            out[step] = {}
    return out


def _created_spec(shape: Shape, value: objects.Object, blank: objects.Object) -> fieldsets.Tree:
    key = shape.series.key(value)
    found = shape.series.get(key)
    if found is None:
        found = created(shape, value, blank)
        shape.series.put(key, found)
    return found


# ---------------------------------------------------------------------- well-known shapes

_STRING = schemas.Schema(type="string")
_ANYTHING = schemas.Schema()
UNTYPED = Shape(_ANYTHING, preserve=True)
"""A value of which nothing is known: lists are owned as a whole, mappings entry by entry."""

_STRINGS = schemas.Schema(type="object", values=_STRING)
_TIME = schemas.Schema(type="string", format="date-time")
_INT64 = schemas.Schema(type="integer", format="int64")

OBJECT_META = schemas.Schema(
    type="object",
    name="ObjectMeta",
    fields={
        **dict.fromkeys(
            ("name", "generateName", "namespace", "selfLink", "uid", "resourceVersion"), _STRING
        ),
        **dict.fromkeys(("creationTimestamp", "deletionTimestamp"), _TIME),
        **dict.fromkeys(("generation", "deletionGracePeriodSeconds"), _INT64),
        **dict.fromkeys(("labels", "annotations"), _STRINGS),
        "finalizers": schemas.Schema(type="array", items=_STRING, list_type="set"),
        "managedFields": schemas.Schema(type="array", items=_ANYTHING, list_type="atomic"),
        "ownerReferences": schemas.Schema(
            type="array",
            list_type="map",
            list_keys=("uid",),
            items=schemas.Schema(
                type="object",
                name="OwnerReference",
                map_type="atomic",
                fields={
                    **dict.fromkeys(("apiVersion", "kind", "name", "uid"), _STRING),
                    **dict.fromkeys(
                        ("controller", "blockOwnerDeletion"), schemas.Schema(type="boolean")
                    ),
                },
            ),
        ),
    },
)
"""metadata of custom resources, whose own schemas do not describe it."""
