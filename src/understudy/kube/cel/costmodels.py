"""What Kubernetes' own functions, and those of cel-go's extensions, cost at worst.

Source: k8s.io/apiserver 0.36 `cel/library/cost.go`, number by number.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple, Protocol

from understudy.kube.cel import ranges, syntax, types

_FORMAT_REGEX_CHARS, _FORMAT_NAME_CHARS = 128, 64


class Operand(NamedTuple):
    """An argument as cost functions see it."""

    expr: syntax.Expr | None
    type: types.Type
    path: tuple[str, ...]
    size: ranges.Range | None


class Cost(NamedTuple):
    """Cost of a call without its arguments, and the size of its result where it has one."""

    cost: ranges.Range
    size: ranges.Range | None = None


class Sizes(Protocol):
    """What an estimator knows of the sizes of operands."""

    def operand_size(self, operand: Operand) -> ranges.Range:
        """Return the size of an argument, unknown bounds included."""
        ...

    def element_of(self, operand: Operand) -> Operand | None:
        """Return the items of a list argument as an operand."""
        ...


class Call(NamedTuple):
    """A call whose cost is asked for."""

    sizes: Sizes
    overload: str
    target: Operand | None
    args: tuple[Operand, ...]


_Model = Callable[[Call], Cost | None]


def of_call(function: str, call: Call) -> Cost | None:
    """Return what a call costs without its arguments; None if it is one of the standard library."""
    model = _OVERLOAD_MODELS.get(call.overload) or _MODELS.get(function)
    return model(call) if model is not None else None


def _fixed(cost: int) -> _Model:
    return lambda _: Cost(ranges.Range(cost, cost))


def _traverse_list(call: Call) -> Cost | None:
    if call.target is None:
        return None
    element = call.sizes.element_of(call.target)
    size = call.sizes.operand_size(call.target)
    if element is None:
        return Cost(size.scaled(ranges.STRING_FACTOR))
    each = ranges.ONE
    if element.type.kind in {"string", "bytes"}:
        each += call.sizes.operand_size(element).scaled(ranges.STRING_FACTOR)
    return Cost(size.times(each))


def _first_arg(factor: float, *, sized: bool = False) -> _Model:
    def model(call: Call) -> Cost | None:
        if not call.args:
            return None
        size = call.sizes.operand_size(call.args[0])
        return Cost(size.scaled(factor), size if sized else None)

    return model


def _receiver_string(call: Call) -> Cost | None:
    if call.target is None:
        return None
    size = call.sizes.operand_size(call.target)
    return Cost(size.scaled(ranges.STRING_FACTOR), size)


def _replace(call: Call) -> Cost | None:
    if call.target is None or len(call.args) < 2:
        return None
    size = call.sizes.operand_size(call.target)
    old, new = call.sizes.operand_size(call.args[0]), call.sizes.operand_size(call.args[1])
    if old.min == 0:
        most, kept_most = ranges.add(size.max, 1), size.max
    elif new.max <= old.min:
        most, kept_most = 0, size.max
    else:
        most, kept_most = math.ceil(float(size.max) / float(old.min)), 0
    if old.max == 0:
        least, kept_least = ranges.add(size.min, 1), size.min
    elif old.max <= new.min:
        least, kept_least = 0, size.min
    else:
        least, kept_least = math.ceil(float(size.min) / float(old.max)), 0
    result = ranges.Range(least, min(most, ranges.UNBOUNDED)).times(new) + ranges.Range(
        kept_least, kept_most
    )
    return Cost(size.scaled(2 * ranges.STRING_FACTOR), result)


def _split(call: Call) -> Cost | None:
    if call.target is None:
        return None
    size = call.sizes.operand_size(call.target)
    most = size.max
    if len(call.args) > 1 and isinstance(call.args[1].expr, syntax.Literal):
        limit = call.args[1].expr.value
        most = int(limit) % 2**64 if isinstance(limit, int) else most
    return Cost(size.scaled(2 * ranges.STRING_FACTOR), ranges.Range(0, most))


def _joined(call: Call) -> Cost | None:
    if call.target is None:
        return None
    count, size = call.sizes.operand_size(call.target), ranges.ZERO
    element = call.sizes.element_of(call.target)
    if element is not None:
        size = count.times(call.sizes.operand_size(element))
    if call.args:
        gaps = ranges.Range(max(count.min - 1, 0), max(count.max - 1, 0))
        size += call.sizes.operand_size(call.args[0]).times(gaps)
    return Cost(size.scaled(ranges.STRING_FACTOR), size)


def _find(call: Call) -> Cost | None:
    if call.target is None or not call.args:
        return None
    size = call.sizes.operand_size(call.target)
    strings = (size + ranges.ONE).scaled(ranges.STRING_FACTOR)
    pattern = call.sizes.operand_size(call.args[0]).scaled(ranges.REGEX_FACTOR)
    return Cost(strings.times(pattern), ranges.Range(0, size.max))


def _ip(call: Call) -> Cost | None:
    if call.overload == "cidr_ip":
        return Cost(ranges.ONE)
    return _first_arg(ranges.STRING_FACTOR)(call)


def _contains(extra: bool) -> _Model:
    def model(call: Call) -> Cost | None:
        if not call.args:
            return None
        address = ranges.Range(4, 16)
        cost = (address + address).scaled(ranges.STRING_FACTOR)
        if extra:
            cost = cost + address.scaled(ranges.STRING_FACTOR) + ranges.ONE
        if call.overload.endswith("_string"):
            cost += call.sizes.operand_size(call.args[0]).scaled(ranges.STRING_FACTOR)
        return Cost(cost)

    return model


def _validate(call: Call) -> Cost | None:
    if not call.args:
        return None
    strings = call.sizes.operand_size(call.args[0]).scaled(ranges.STRING_FACTOR)
    return Cost(strings.scaled(_FORMAT_REGEX_CHARS * ranges.REGEX_FACTOR))


def _equality(call: Call) -> Cost | None:
    if len(call.args) != 2 or not types.same(call.args[0].type, call.args[1].type):
        return None
    kind = call.args[0].type
    if kind in {types.IP, types.CIDR, types.QUANTITY, types.SEMVER}:
        return Cost(ranges.ONE)
    if kind is types.FORMAT:
        return Cost(ranges.Range(1, _FORMAT_NAME_CHARS).scaled(ranges.STRING_FACTOR))
    if kind is types.URL:
        size = call.args[1].size
        return Cost(
            ranges.Range(1, size.max if size is not None else 1).scaled(ranges.STRING_FACTOR)
        )
    return None


def _selector(call: Call) -> Cost | None:
    if len(call.args) != 1:
        return None
    size = call.sizes.operand_size(call.args[0])
    requirements = size.scaled(0.5).scaled(ranges.LIST_BASE + ranges.STRUCT_BASE)
    return Cost(
        ranges.Range(ranges.LIST_BASE, ranges.LIST_BASE)
        + size.scaled(ranges.STRING_FACTOR)
        + requirements
    )


def _sets(factor: int) -> _Model:
    def model(call: Call) -> Cost | None:
        if len(call.args) != 2:
            return None
        left, right = (call.sizes.operand_size(arg) for arg in call.args)
        return Cost(left.times(right).scaled(factor) + ranges.ONE)

    return model


def _int_value(operand: Operand, otherwise: int) -> int:
    if isinstance(operand.expr, syntax.Literal) and isinstance(operand.expr.value, int):
        return operand.expr.value % 2**64
    return otherwise


def _list_cost(size: ranges.Range, factor: float = 1) -> Cost:
    """Charge for making a list: the call, the list, and each item `factor` times."""
    return Cost(
        size.scaled(factor) + ranges.Range(ranges.LIST_BASE + 1, ranges.LIST_BASE + 1), size
    )


def _list_slice(call: Call) -> Cost | None:
    if call.target is None or len(call.args) != 2:
        return None
    end = _int_value(call.args[1], call.sizes.operand_size(call.target).max)
    count = (end - _int_value(call.args[0], 0)) % 2**64
    return _list_cost(ranges.Range(count, count))


def _list_flatten(call: Call) -> Cost | None:
    if call.target is None:
        return None
    depth = _int_value(call.args[0], ranges.UNBOUNDED) if call.args else 1
    return _list_cost(call.sizes.operand_size(call.target), float(depth))


def _lists_range(call: Call) -> Cost | None:
    if len(call.args) != 1:
        return None
    count = _int_value(call.args[0], ranges.UNBOUNDED)
    return _list_cost(ranges.Range(count, count))


def _list_reverse(call: Call) -> Cost | None:
    return _list_cost(call.sizes.operand_size(call.target)) if call.target is not None else None


def _list_pairs(call: Call) -> Cost | None:
    """Charge for comparing every item with every other: distinct, sort and sortBy."""
    operand = call.args[0] if call.args else call.target
    if operand is None:
        return None
    size = call.sizes.operand_size(operand)
    factor = 2 + (ranges.STRING_FACTOR if call.overload in _STRING_SORTS else 0)
    return _list_cost(size.times(size), factor)


_STRING_SORTS = frozenset(
    {
        "list_string_sort", "list_bytes_sort", "list_string_sortByAssociatedKeys",
        "list_bytes_sortByAssociatedKeys",
    }
)  # fmt: skip
_OVERLOAD_MODELS: dict[str, _Model] = {
    "list_slice": _list_slice,
    "list_flatten": _list_flatten,
    "list_flatten_int": _list_flatten,
    "lists_range": _lists_range,
    "list_reverse": _list_reverse,
    "list_distinct": _list_pairs,
    "list_sets_contains_list": _sets(1),
    "list_sets_intersects_list": _sets(1),
    "list_sets_equivalent_list": _sets(2),
}
_STRING_ARG = _first_arg(ranges.STRING_FACTOR)
_MODELS: dict[str, _Model] = {
    "_==_": _equality,
    "sort": _list_pairs,
    "@sortByAssociatedKeys": _list_pairs,
    "check": _fixed(350_000),
    **dict.fromkeys(
        ("serviceAccount", "path", "group", "resource", "subresource", "namespace", "name",
         "allowed", "reason", "error", "errored", "masked", "prefixLength", "family",
         "isUnspecified", "isLoopback", "isLinkLocalMulticast", "isLinkLocalUnicast",
         "isGlobalUnicast", "format.named", "sign", "asInteger", "isInteger",
         "asApproximateFloat", "isGreaterThan", "isLessThan", "compareTo", "add", "sub", "major",
         "minor", "patch", "getScheme", "getHostname", "getHost", "getPort", "getEscapedPath",
         "getQuery"),
        _fixed(1),
    ),
    "fieldSelector": _selector,
    "labelSelector": _selector,
    **dict.fromkeys(("isSorted", "sum", "max", "min", "indexOf", "lastIndexOf"), _traverse_list),
    "url": _first_arg(ranges.STRING_FACTOR, sized=True),
    **dict.fromkeys(("lowerAscii", "upperAscii", "substring", "trim"), _receiver_string),
    "replace": _replace,
    "split": _split,
    "join": _joined,
    "find": _find,
    "findAll": _find,
    **dict.fromkeys(
        ("cidr", "isIP", "isCIDR", "quantity", "isQuantity", "semver", "isSemver"), _STRING_ARG
    ),
    "ip": _ip,
    "ip.isCanonical": _first_arg(2 * ranges.STRING_FACTOR),
    "containsIP": _contains(extra=False),
    "containsCIDR": _contains(extra=True),
    "validate": _validate,
}  # fmt: skip
