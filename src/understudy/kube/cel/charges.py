"""What evaluating costs: parts that are fixed when a program is made, and parts that grow."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from understudy.kube import objects
from understudy.kube.cel import errors, ranges, syntax

Charge = Callable[[Sequence[objects.Json]], int]

BUDGET = "@budget"
"""Frame entry: a list with the cost units left."""

OVERRUN = "operation cancelled: actual cost limit exceeded"


def spend(frame: dict[str, objects.Json], cost: int) -> None:
    """Charge the frame's budget.

    Raises:
        CostError: Nothing is left.
    """
    budget = frame[BUDGET]
    budget[0] -= cost
    if budget[0] < 0:
        raise errors.CostError(OVERRUN)


def of_step(expr: syntax.Comprehension) -> int:
    """Return what one round of a loop costs, inner loops' rounds aside."""
    return fixed(expr.condition) + fixed(expr.step)


def fixed(expr: syntax.Expr) -> int:
    """Return what evaluating a node once costs, what depends on sizes aside."""
    match expr:
        case syntax.Literal():
            return 0
        case syntax.Ident():
            return 1
        case syntax.Select():
            return fixed(expr.operand) + (0 if expr.test_only else 1)
        case syntax.ListExpr():
            return ranges.LIST_BASE + sum(map(fixed, expr.elements))
        case syntax.MapExpr():
            base = ranges.STRUCT_BASE if expr.type_name else ranges.MAP_BASE
            return base + sum(map(fixed, syntax.children(expr)))
        case syntax.Comprehension():
            parts = (expr.iterated, expr.init, expr.result)
            return sum(map(fixed, parts))
        case _:
            own = 0 if getattr(expr, "function", "") in _FREE else 1
            return own + sum(map(fixed, syntax.children(expr)))


_FREE = frozenset({"_&&_", "_||_", "_?_:_"})


def _size(value: objects.Json) -> int:
    try:
        return len(value)
    except TypeError:
        return 1


def _by_length(factor: float) -> Charge:
    return lambda args: math.ceil(_size(args[0]) * factor)


def _regex_cost(args: Sequence[objects.Json]) -> int:
    strings_cost = math.ceil((1 + _size(args[0])) * ranges.STRING_FACTOR)
    return strings_cost * math.ceil(_size(args[1]) * ranges.REGEX_FACTOR)


def _pairs(args: Sequence[objects.Json]) -> int:
    return _size(args[0]) * _size(args[1])


_ONCE, _TWICE = _by_length(ranges.STRING_FACTOR), _by_length(2 * ranges.STRING_FACTOR)
_ITEMS = _by_length(1)
BY_SIZE: dict[str, Charge] = {
    "matches": _regex_cost,
    "find": _regex_cost,
    "findAll": _regex_cost,
    "contains_string": lambda args: (
        math.ceil(_size(args[0]) * ranges.STRING_FACTOR)
        * math.ceil(_size(args[1]) * ranges.STRING_FACTOR)
    ),
    "in_list": lambda args: _size(args[1]),
    "add_string": lambda args: math.ceil((_size(args[0]) + _size(args[1])) * ranges.STRING_FACTOR),
    **dict.fromkeys(("replace", "split", "join"), _TWICE),
    **dict.fromkeys(("lowerAscii", "upperAscii", "substring", "trim", "url", "format"), _ONCE),
    **dict.fromkeys(("isSorted", "sum", "max", "min", "flatten", "reverse", "slice"), _ITEMS),
    **dict.fromkeys(("distinct", "sort"), lambda args: 2 * _size(args[0]) ** 2),
    "@sortByAssociatedKeys": lambda args: 2 * _size(args[1]) ** 2,
    **dict.fromkeys(("sets.contains", "sets.intersects", "sets.equivalent"), _pairs),
    "lists.range": lambda args: max(int(args[0]), 0),
}
