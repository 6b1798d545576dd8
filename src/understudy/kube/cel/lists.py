"""Functions on lists and sets. Overload id -> function."""

from __future__ import annotations

import functools
import itertools

from understudy.kube import objects
from understudy.kube.cel import functions, standard, times, values

Items = list[objects.Json]


def _is_sorted(items: Items) -> bool:
    return all(values.compare(a, b) <= 0 for a, b in itertools.pairwise(items))


def _extreme(name: str, sign: int) -> standard.Function:
    def find(items: Items) -> objects.Json:
        if not items:
            raise standard.fail(f"{name} called on empty list")
        found = items[0]
        for item in items[1:]:
            if values.compare(item, found) == sign:
                found = item
        return found

    return find


def _sum(kind: str) -> standard.Function:
    def add(items: Items) -> objects.Json:
        if kind == "duration":
            return times.Duration(sum(item.ns for item in items))
        if kind == "uint":
            return standard.checked_uint(sum(items))
        if kind == "double":
            return sum(items, 0.0)
        total = 0
        for item in items:
            total = standard.add_int(total, item)
        return total

    return add


def _index_of(items: Items, value: objects.Json) -> int:
    return next((i for i, item in enumerate(items) if values.equal(item, value)), -1)


def _last_index_of(items: Items, value: objects.Json) -> int:
    for position in range(len(items) - 1, -1, -1):
        if values.equal(items[position], value):
            return position
    return -1


def _slice(items: Items, start: int, end: int) -> Items:
    what = f"cannot slice({start}, {end}), "
    if start < 0 or end < 0:
        raise standard.fail(what + "negative indexes not supported")
    if start > end:
        raise standard.fail(what + "start index must be less than or equal to end index")
    if len(items) < end:
        raise standard.fail(f"{what}list is length {len(items)}")
    return items[start:end]


def _flatten(items: Items, depth: int = 1) -> Items:
    if depth < 0:
        raise standard.fail("level must be non-negative")
    out: Items = []
    for item in items:
        if isinstance(item, list) and depth:
            out += _flatten(item, depth - 1)
        else:
            out.append(item)
    return out


def _range(count: int) -> Items:
    if count > 1_000_000:
        raise standard.fail("lists.range() was asked for more than 1000000 items")
    return list(range(count))


def _distinct(items: Items) -> Items:
    out: Items = []
    for item in items:
        if not values.contains(out, item):
            out.append(item)
    return out


def _sort_by(items: Items, keys: Items) -> Items:
    if len(items) != len(keys):
        raise standard.fail(
            "@sortByAssociatedKeys() expected a list of the same size as the associated keys list, "
            f"but got {len(items)} and {len(keys)} elements respectively"
        )
    if keys and any(values.type_name(key) != values.type_name(keys[0]) for key in keys):
        raise standard.fail("list elements must have the same type")
    order = functools.cmp_to_key(values.compare)
    positions = sorted(range(len(items)), key=lambda position: order(keys[position]))
    return [items[position] for position in positions]


def _sets_contains(left: Items, right: Items) -> bool:
    return all(values.contains(left, item) for item in right)


FUNCTIONS: dict[str, standard.Function] = {
    "list_a_index_of_int": _index_of,
    "list_a_last_index_of_int": _last_index_of,
    "list_slice": _slice,
    "list_flatten": _flatten,
    "list_flatten_int": _flatten,
    "lists_range": _range,
    "list_reverse": lambda items: items[::-1],
    "list_distinct": _distinct,
    "list_sets_contains_list": _sets_contains,
    "list_sets_equivalent_list": lambda a, b: _sets_contains(a, b) and _sets_contains(b, a),
    "list_sets_intersects_list": lambda a, b: any(values.contains(b, item) for item in a),
    **{f"list_{kind}_is_sorted_bool": _is_sorted for kind in functions.COMPARABLE},
    **{f"list_{kind}_max_{kind}": _extreme("max", 1) for kind in functions.COMPARABLE},
    **{f"list_{kind}_min_{kind}": _extreme("min", -1) for kind in functions.COMPARABLE},
    **{f"list_{kind}_sum_{kind}": _sum(kind) for kind in functions.SUMMABLE},
}
for _overloads in (functions.standard()["sort"], functions.standard()["@sortByAssociatedKeys"]):
    for _overload in _overloads:
        _single = len(_overload.args) == 1
        FUNCTIONS[_overload.id] = (lambda items: _sort_by(items, items)) if _single else _sort_by
