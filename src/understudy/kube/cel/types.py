"""CEL's types, when one fits where another is wanted, and their names in error texts.

Types are compared with `same`; the simple ones are single instances. Source: cel-go 0.26
`checker/types.go`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(slots=True, kw_only=True, eq=False)
class Field:
    """A field of an object type: its type, and its name in JSON where CEL needs an escaped one."""

    type: Type
    name: str


@dataclass(slots=True, eq=False)
class Type:
    """A type.

    Attributes:
        kind: bool, int, uint, double, string, bytes, null, dyn, error, duration, timestamp, list,
            map, object, type, opaque, param.
        name: As printed; of an object type, opaque type or type parameter its own.
        params: Element type, key and value types, and so on.
        fields: Of an object type, by escaped name.
        coerce: How the JSON form of this type differs from its CEL value: `date` for timestamps,
            `set` or `map` for lists that are compared as such, empty where nothing is to be done.
        list_keys: Keys of a list of type `map`.
        deep: Something here or below must be coerced before the value is used as a whole.
    """

    kind: str
    name: str
    params: tuple[Type, ...] = ()
    fields: dict[str, Field] = field(default_factory=dict)
    coerce: str = ""
    list_keys: tuple[str, ...] = ()
    deep: bool = False

    def __str__(self) -> str:
        if self.kind == "null":
            return "null"
        if self.kind in {"duration", "timestamp"}:
            return self.kind
        if not self.params:
            return self.name
        return f"{self.name}({', '.join(map(str, self.params))})"


BOOL = Type("bool", "bool")
INT = Type("int", "int")
UINT = Type("uint", "uint")
DOUBLE = Type("double", "double")
STRING = Type("string", "string")
BYTES = Type("bytes", "bytes")
NULL = Type("null", "null_type")
DYN = Type("dyn", "dyn")
ERROR = Type("error", "!error!")
DURATION = Type("duration", "google.protobuf.Duration")
TIMESTAMP = Type("timestamp", "google.protobuf.Timestamp")
TYPE = Type("type", "type")
LIST = Type("list", "list", (DYN,))
MAP = Type("map", "map", (DYN, DYN))

QUANTITY = Type("object", "kubernetes.Quantity")
URL = Type("object", "kubernetes.URL")
SEMVER = Type("object", "kubernetes.Semver")
FORMAT = Type("object", "kubernetes.NamedFormat")
IP = Type("opaque", "net.IP")
CIDR = Type("opaque", "net.CIDR")

AUTHORIZER = Type("object", "kubernetes.authorization.Authorizer")
PATH_CHECK = Type("object", "kubernetes.authorization.PathCheck")
GROUP_CHECK = Type("object", "kubernetes.authorization.GroupCheck")
RESOURCE_CHECK = Type("object", "kubernetes.authorization.ResourceCheck")
DECISION = Type("object", "kubernetes.authorization.Decision")

VARIABLES = "kubernetes.variables"
"""Name of the object type whose fields are named expressions; those may be null."""

SIMPLE = {
    "bool": BOOL, "int": INT, "uint": UINT, "double": DOUBLE, "string": STRING, "bytes": BYTES,
    "null_type": NULL, "dyn": DYN, "duration": DURATION, "timestamp": TIMESTAMP, "type": TYPE,
    "Quantity": QUANTITY, "URL": URL, "Semver": SEMVER, "Format": FORMAT, "IP": IP, "CIDR": CIDR,
    "Authorizer": AUTHORIZER, "PathCheck": PATH_CHECK, "GroupCheck": GROUP_CHECK,
    "ResourceCheck": RESOURCE_CHECK, "Decision": DECISION,
}  # fmt: skip


RESERVED = frozenset(
    {
        "true", "false", "null", "in", "as", "break", "const", "continue", "else", "for",
        "function", "if", "import", "let", "loop", "package", "namespace", "return", "var",
        "void", "while",
    }
)  # fmt: skip
"""Words of the language; as names of fields they may also be written `__namespace__`."""


def list_of(element: Type) -> Type:
    """Return `list(element)`."""
    return Type("list", "list", (element,), deep=element.deep or bool(element.coerce))


def map_of(key: Type, value: Type) -> Type:
    """Return `map(key, value)`."""
    return Type("map", "map", (key, value), deep=value.deep or bool(value.coerce))


def type_of(inner: Type) -> Type:
    """Return `type(inner)`: the type of a type."""
    return Type("type", "type", (inner,))


def optional_of(inner: Type) -> Type:
    """Return `optional_type(inner)`."""
    return Type("opaque", "optional_type", (inner,))


def param(name: str) -> Type:
    """Return a type parameter."""
    return Type("param", name)


def object_type(name: str, fields: dict[str, Field]) -> Type:
    """Return an object type; other fields than the given ones do not exist."""
    deep = any(known.type.deep or known.type.coerce for known in fields.values())
    return Type("object", name, fields=fields, deep=deep)


OBJECT = Type("object", "Object")
JSON_PATCH = object_type(
    "JSONPatch",
    {name: Field(type=STRING, name=name) for name in ("op", "path", "from")}
    | {"value": Field(type=DYN, name="value")},
)


def made(name: str) -> Type | None:
    """Return the type that `name{...}` makes where patches may be written, None if it is none.

    `Object` is a part of the object in question, `Object.spec` of its spec, and so on; nothing is
    known of their fields.
    """
    if name == JSON_PATCH.name:
        return JSON_PATCH
    if name == OBJECT.name:
        return OBJECT
    return Type("object", name) if name.startswith(f"{OBJECT.name}.") else None


def field_of(target: Type, name: str) -> Field | None:
    """Return a field of an object type, also one that is a word of the language."""
    found = target.fields.get(name)
    if found is None and name in RESERVED:
        found = target.fields.get(f"__{name}__")
    return found


def is_dyn(type: Type) -> bool:
    """Say whether anything may be done with a value of the type, checked when it runs."""
    return type.kind in {"dyn", "error"}


def is_optional(type: Type) -> bool:
    """Say whether the type is `optional_type(...)`."""
    return type.kind == "opaque" and type.name == "optional_type"


def same(left: Type, right: Type) -> bool:
    """Say whether two types are exactly the same."""
    if left is right:
        return True
    if left.kind != right.kind or left.name != right.name:
        return False
    if len(left.params) != len(right.params):
        return False
    return all(map(same, left.params, right.params))


class Mapping:
    """What type parameters stand for, found while checking."""

    __slots__ = ("known",)

    def __init__(self, known: dict[str, Type] | None = None) -> None:
        self.known = known or {}

    def find(self, type: Type) -> Type | None:
        """Return what a parameter stands for, or None."""
        return self.known.get(type.name) if type.kind == "param" else None

    def assignable(self, given: Sequence[Type], wanted: Sequence[Type]) -> bool:
        """Say whether each type fits, and keep what that says of parameters if so."""
        trial = Mapping(dict(self.known))
        if not trial.fits_all(given, wanted):
            return False
        self.known = trial.known
        return True

    def fits_all(self, given: Sequence[Type], wanted: Sequence[Type]) -> bool:
        """Like `assignable`, but parameters are bound even where the answer is no."""
        return len(given) == len(wanted) and all(map(self._fits, given, wanted))

    def _fits(self, left: Type, right: Type) -> bool:
        if right.kind == "param":
            valid, bound = self._substitutes(left, right)
            if valid:
                return True
            if bound:
                return False
        if left.kind == "param":
            return self._substitutes(right, left)[0]
        if is_dyn(left) or is_dyn(right):
            return True
        if left.kind == "null":
            return _nullable(right)
        if right.kind == "null":
            return _nullable(left)
        if left.kind in {"opaque", "list", "map"}:
            return (
                left.kind == right.kind
                and left.name == right.name
                and self.fits_all(left.params, right.params)
            )
        if left.kind == "type":
            return right.kind == "type"
        return left.kind == right.kind and left.name == right.name

    def _substitutes(self, type: Type, variable: Type) -> tuple[bool, bool]:
        """Say whether `type` may stand for `variable`, and whether something stood for it."""
        if type.kind == "param" and type.name == variable.name:
            return True, True
        found = self.find(variable)
        if found is not None:
            if same(type, found):
                return True, True
            if self._fits(type, found):
                general = most_general(type, found)
                if self._absent(variable, general):
                    self.known[variable.name] = general
                return True, True
            return False, True
        if self._absent(variable, type):
            self.known[variable.name] = type
            return True, False
        return False, False

    def _absent(self, variable: Type, within: Type) -> bool:
        """Say whether a parameter does not occur in a type (the occurs check)."""
        if within.kind == "param":
            if within.name == variable.name:
                return False
            found = self.find(within)
            return found is None or self._absent(variable, found)
        return all(self._absent(variable, inner) for inner in within.params)

    def substitute(self, type: Type, *, dyn: bool = False) -> Type:
        """Put in what parameters stand for; with `dyn`, free ones become dyn."""
        found = self.find(type)
        if found is not None:
            return self.substitute(found, dyn=dyn)
        if type.kind == "param":
            return DYN if dyn else type
        if not type.params:
            return type
        params = tuple(self.substitute(inner, dyn=dyn) for inner in type.params)
        if all(a is b for a, b in zip(params, type.params, strict=True)):
            return type
        return Type(
            type.kind,
            type.name,
            params,
            coerce=type.coerce,
            list_keys=type.list_keys,
            deep=any(inner.deep or bool(inner.coerce) for inner in params),
        )


def _nullable(type: Type) -> bool:
    return type.kind in {"opaque", "object", "duration", "timestamp", "null"}


def most_general(left: Type, right: Type) -> Type:
    """Return the more general of two types that fit each other."""
    return left if _less_specific(left, right) else right


def _less_specific(left: Type, right: Type) -> bool:
    if left.kind in {"dyn", "param"}:
        return True
    if right.kind in {"dyn", "param"} or left.kind != right.kind:
        return False
    if left.kind == "type":
        return True
    if left.kind in {"opaque", "list", "map"}:
        if left.name != right.name or len(left.params) != len(right.params):
            return False
        return all(map(_less_specific, left.params, right.params))
    return same(left, right)


def parse(text: str) -> Type:
    """Read a type as written in function tables: `map(string, list(T))`, `optional(T)`."""
    name, paren, rest = text.strip().partition("(")
    if not paren:
        return SIMPLE.get(name) or param(name)
    inner = [parse(part) for part in split(rest.removesuffix(")"))]
    if name == "list":
        return list_of(inner[0])
    if name == "map":
        return map_of(inner[0], inner[1])
    return optional_of(inner[0]) if name == "optional" else type_of(inner[0])


def split(text: str) -> list[str]:
    """Split a list of types at its own commas."""
    out: list[str] = []
    depth = start = 0
    for position, char in enumerate(text):
        depth += (char == "(") - (char == ")")
        if char == "," and not depth:
            out.append(text[start:position])
            start = position + 1
    if text[start:].strip():
        out.append(text[start:])
    return out
