"""The syntax tree of an expression, macros expanded.

Nodes are mutable: the checker resolves `a.b.f(x)` to the function `a.b.f` in place. Ids are unique
in one expression and lead to places in the text.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from understudy.kube import objects

ACCUMULATOR = "@result"


@dataclass(slots=True, kw_only=True, eq=False)
class Expr:
    """Any node."""

    id: int


@dataclass(slots=True, kw_only=True, eq=False)
class Literal(Expr):
    """A constant; `kind` is its type: null, bool, int, uint, double, string, bytes."""

    kind: str
    value: objects.Json


@dataclass(slots=True, kw_only=True, eq=False)
class Ident(Expr):
    """A variable or a type."""

    name: str


@dataclass(slots=True, kw_only=True, eq=False)
class Select(Expr):
    """`operand.field`, or `has(operand.field)`."""

    operand: Expr
    field: str
    test_only: bool = False


@dataclass(slots=True, kw_only=True, eq=False)
class Call(Expr):
    """`target.function(args)`, `function(args)`, and every operator (`_+_`)."""

    function: str
    target: Expr | None = None
    args: list[Expr] = field(default_factory=list)


@dataclass(slots=True, kw_only=True, eq=False)
class ListExpr(Expr):
    """`[a, ?b]`; `optional` are the positions marked with `?`."""

    elements: list[Expr]
    optional: frozenset[int] = frozenset()


@dataclass(slots=True, kw_only=True, eq=False)
class Entry:
    """One entry of a map, or one field of a message."""

    id: int
    key: Expr
    value: Expr
    optional: bool = False


@dataclass(slots=True, kw_only=True, eq=False)
class MapExpr(Expr):
    """`{k: v, ?k2: v2}`; with a `type_name`, a message `Type{field: v}`."""

    entries: list[Entry]
    type_name: str = ""


@dataclass(slots=True, kw_only=True, eq=False)
class Comprehension(Expr):
    """What all, exists, map, filter and their like become."""

    iterated: Expr
    variable: str
    variable2: str
    accumulator: str
    init: Expr
    condition: Expr
    step: Expr
    result: Expr


def children(expr: Expr) -> Iterator[Expr]:
    """Yield the nodes directly below."""
    match expr:
        case Select():
            yield expr.operand
        case Call():
            if expr.target is not None:
                yield expr.target
            yield from expr.args
        case ListExpr():
            yield from expr.elements
        case MapExpr():
            for entry in expr.entries:
                yield entry.key
                yield entry.value
        case Comprehension():
            yield from (expr.iterated, expr.init, expr.condition, expr.step, expr.result)
        case _:
            return


def walk(expr: Expr) -> Iterator[Expr]:
    """Yield a node and all below it."""
    yield expr
    for child in children(expr):
        yield from walk(child)
