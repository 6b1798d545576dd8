"""Schemas as a graph of nodes: one form for built-in kinds and for custom resources.

A node says of one value what patches, server-side apply, decoding and pruning must know: its type,
its fields or items, how lists and maps merge. Recursive types (JSONSchemaProps) are cycles in the
graph. Semantic rules (enum, pattern, CEL ...) are not here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from understudy.kube import objects


@dataclass(slots=True, kw_only=True, eq=False)
class Schema:
    """What one value may be.

    Attributes:
        type: `object`, `array`, `string`, `integer`, `number`, `boolean`, or empty for anything.
        format: `int32`, `int64`, `date-time`, `byte`, `quantity`, `int-or-string`, ... or empty.
        name: Go name of the type for error texts, e.g. `PodSpec`; empty where it has none.
        fields: Named fields of an object; None for a map or an untyped object.
        values: Schema of a map's values (additionalProperties).
        items: Schema of a list's items.
        required: Names of required fields (OpenAPI's, weaker than validation).
        list_type: `atomic`, `set` or `map`; empty means atomic.
        list_keys: Keys of a `map` list, e.g. `("containerPort", "protocol")`.
        key_defaults: Values of absent list keys, e.g. `{"protocol": "TCP"}`.
        map_type: `atomic` or `granular`; empty means granular.
        patch_strategy: Of strategic merge patch: any of `merge`, `replace`, `retainKeys`.
        patch_merge_key: Of strategic merge patch, e.g. `name`.
        preserve_unknown: Unknown fields are kept (x-kubernetes-preserve-unknown-fields).
        embedded: The value is a whole Kubernetes object (x-kubernetes-embedded-resource).
        nullable: null is a value of its own (custom resources).
        default: Default from the schema, or None.
        go_type: How Go spells the type in error texts: `int32`, `v1.Protocol`, `[]v1.Container`;
            empty where nothing is decoded into a Go type.
        omit_empty: Fields which Go leaves out when they hold their empty value (`omitempty`).
        always: Fields which Go writes even when they were absent: what is not `omitempty`, and
            structs that are no pointers, such as `status`. The value is True where an absent field
            is written as null (pointers, lists, maps, times), else the type's zero is written.
        inlined: For fields of embedded Go structs, the names of these, which stand in error texts.
        decoder: The function that `kube.decoding` compiled for this node, kept here with it.
    """

    type: str = ""
    format: str = ""
    name: str = ""
    fields: dict[str, Schema] | None = None
    values: Schema | None = None
    items: Schema | None = None
    required: tuple[str, ...] = ()
    list_type: str = ""
    list_keys: tuple[str, ...] = ()
    key_defaults: dict[str, objects.Json] = field(default_factory=dict)
    map_type: str = ""
    patch_strategy: tuple[str, ...] = ()
    patch_merge_key: str = ""
    preserve_unknown: bool = False
    embedded: bool = False
    nullable: bool = False
    default: objects.Json = None
    go_type: str = ""
    omit_empty: frozenset[str] = frozenset()
    always: dict[str, bool] = field(default_factory=dict)
    inlined: dict[str, tuple[str, ...]] = field(default_factory=dict)
    decoder: Callable[[objects.Json], objects.Json] | None = None


ANY = Schema(preserve_unknown=True)
"""A value of which nothing is known: kept as it is, atomic lists, granular maps."""
