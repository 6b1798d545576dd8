"""A CRD's openAPIV3Schema as a tree of nodes: what pruning, defaulting, validation and CEL read.

A node is made once per schema and never changed. Nodes under allOf, anyOf, oneOf and not have the
same shape; a structural schema says nothing but value validation there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from understudy.kapi.resources.crds import formats
from understudy.kube import objects, regexps, schemas

META_FIELDS = frozenset({"apiVersion", "kind", "metadata"})
_PYTHON_TYPES: dict[str, type] = {
    "object": dict, "array": list, "string": str, "boolean": bool,
}  # fmt: skip


@dataclass(slots=True, kw_only=True, eq=False)
class Rule:
    """One entry of x-kubernetes-validations."""

    rule: str
    message: str = ""
    message_expression: str = ""
    reason: str = ""
    field_path: str = ""
    optional_old_self: bool = False


@dataclass(slots=True, kw_only=True, eq=False)
class Node:
    """What the schema says of one value.

    Attributes:
        raw: The JSON schema this node was made from.
        types: Types that validation accepts; two for int-or-string, none where none is said.
        additional: Schema of a map's values; None with `has_additional` means any value.
        bounds: The keywords that limit a value (`minimum`, `maxLength`, `enum` ...), as said.
        depth_defaults: Some node here or below has a default.
        rules_below: Some node here or below has CEL rules.
        embedded_below: Some node here or below is an embedded resource.
        lists_below: Some node here or below is a list of type set or map.
    """

    raw: objects.Object
    type: str = ""
    types: tuple[str, ...] = ()
    format: str = ""
    properties: dict[str, Node] = field(default_factory=dict)
    additional: Node | None = None
    has_additional: bool = False
    forbids_additional: bool = False
    items: Node | None = None
    required: tuple[str, ...] = ()
    preserve: bool = False
    embedded: bool = False
    int_or_string: bool = False
    nullable: bool = False
    default: objects.Json = None
    list_type: str = ""
    list_keys: tuple[str, ...] = ()
    map_type: str = ""
    bounds: objects.Object = field(default_factory=dict)
    pattern: Callable[[str], bool] | None = None
    all_of: tuple[Node, ...] = ()
    any_of: tuple[Node, ...] = ()
    one_of: tuple[Node, ...] = ()
    negated: Node | None = None
    rules: tuple[Rule, ...] = ()
    depth_defaults: bool = False
    rules_below: bool = False
    embedded_below: bool = False
    lists_below: bool = False
    check: Callable[[objects.Json], bool] | None = None


BOUNDS = (
    "enum", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf",
    "minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties",
    "uniqueItems",
)  # fmt: skip


def parse(raw: objects.Object) -> Node:
    """Make the tree of nodes of a JSON schema that passed the CRD's validation (or of any part).

    Never raises on odd schemas: what it cannot read, it leaves out.
    """
    int_or_string = bool(raw.get("x-kubernetes-int-or-string"))
    said = str(raw.get("type") or "")
    types = ("integer", "string") if int_or_string else ((said,) if said else ())
    node = Node(
        raw=raw,
        type=said,
        types=types,
        format=formats.supported(str(raw.get("format") or ""), types),
        required=tuple(raw.get("required") or ()),
        preserve=bool(raw.get("x-kubernetes-preserve-unknown-fields")),
        embedded=bool(raw.get("x-kubernetes-embedded-resource")),
        int_or_string=int_or_string,
        nullable=bool(raw.get("nullable")),
        default=raw.get("default"),
        list_type=str(raw.get("x-kubernetes-list-type") or ""),
        list_keys=tuple(raw.get("x-kubernetes-list-map-keys") or ()),
        map_type=str(raw.get("x-kubernetes-map-type") or ""),
        bounds={word: raw[word] for word in BOUNDS if raw.get(word) is not None},
        rules=tuple(_rule(entry) for entry in raw.get("x-kubernetes-validations") or ()),
    )
    node.properties = {name: parse(sub) for name, sub in (raw.get("properties") or {}).items()}
    _parse_additional(node, raw.get("additionalProperties"))
    items = raw.get("items")
    if isinstance(items, dict):
        node.items = parse(items)
    if raw.get("pattern"):
        node.pattern = _searcher(str(raw["pattern"]))
    node.all_of = tuple(parse(sub) for sub in raw.get("allOf") or ())
    node.any_of = tuple(parse(sub) for sub in raw.get("anyOf") or ())
    node.one_of = tuple(parse(sub) for sub in raw.get("oneOf") or ())
    if isinstance(raw.get("not"), dict):
        node.negated = parse(raw["not"])
    below = [*node.properties.values(), *filter(None, (node.additional, node.items))]
    node.depth_defaults = node.default is not None or any(sub.depth_defaults for sub in below)
    node.rules_below = bool(node.rules) or any(sub.rules_below for sub in below)
    node.embedded_below = node.embedded or any(sub.embedded_below for sub in below)
    unique = node.list_type in {"set", "map"}
    node.lists_below = unique or any(sub.lists_below for sub in below)
    return node


def _parse_additional(node: Node, additional: objects.Json) -> None:
    if isinstance(additional, dict):
        node.has_additional = True
        node.additional = parse(additional)
    elif additional is not None:
        node.has_additional = True
        node.forbids_additional = not additional


def _rule(entry: objects.Object) -> Rule:
    return Rule(
        rule=str(entry.get("rule") or ""),
        message=str(entry.get("message") or ""),
        message_expression=str(entry.get("messageExpression") or ""),
        reason=str(entry.get("reason") or ""),
        field_path=str(entry.get("fieldPath") or ""),
        optional_old_self=bool(entry.get("optionalOldSelf")),
    )


def _searcher(pattern: str) -> Callable[[str], bool] | None:
    try:
        return regexps.searcher(pattern)
    except regexps.PatternError:
        return None


def schema_of(node: Node, *, root: bool = False) -> schemas.Schema:
    """Return what patches, apply and discovery must know of the node.

    At the root (and at embedded resources) apiVersion, kind and metadata are known even where the
    schema does not name them.
    """
    additional = node.additional
    out = schemas.Schema(
        type="" if node.int_or_string else node.type,
        format="int-or-string" if node.int_or_string else node.format,
        items=schema_of(node.items) if node.items else None,
        values=schema_of(additional) if additional else None,
        required=node.required,
        list_type=node.list_type,
        list_keys=node.list_keys,
        map_type=node.map_type,
        preserve_unknown=node.preserve,
        embedded=node.embedded,
        nullable=node.nullable,
        default=node.default,
    )
    if node.has_additional and additional is None:
        out.values = schemas.ANY
    if node.items is not None and node.list_type == "map":
        out.key_defaults = {
            name: node.items.properties[name].default
            for name in node.list_keys
            if name in node.items.properties and node.items.properties[name].default is not None
        }
    if node.properties or ((root or node.embedded) and node.type == "object"):
        out.fields = {name: schema_of(sub) for name, sub in node.properties.items()}
    if (root or node.embedded) and out.fields is not None:
        out.fields.setdefault("apiVersion", schemas.Schema(type="string"))
        out.fields.setdefault("kind", schemas.Schema(type="string"))
    return out


def python_type(node: Node) -> type | None:
    """Return the one Python type that makes a value valid without further look, or None."""
    plain = not (
        node.bounds or node.pattern or node.all_of or node.any_of or node.one_of or node.negated
    )
    if plain and node.types == ("string",) and not node.format:
        return str
    if plain and node.types == ("boolean",):
        return bool
    if plain and node.types == ("integer",) and not node.format:
        return int
    return None
