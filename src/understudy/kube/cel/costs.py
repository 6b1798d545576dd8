"""What an expression may cost at worst, before any data is seen.

Kubernetes refuses rules whose estimate is too high, so this follows cel-go 0.26 `checker/cost.go`
and k8s.io/apiserver 0.36 `cel/library/cost.go` number by number. A cost unit is one simple step;
sizes and costs saturate at 2**64 - 1.
"""

from __future__ import annotations

from typing import NamedTuple

from understudy.kube.cel import checking, costmodels, declarations, ranges, syntax, types
from understudy.kube.cel.ranges import ONE, UNKNOWN, ZERO, Range

_SCALARS = frozenset({"bool", "double", "duration", "int", "timestamp", "uint"})


class Entries(NamedTuple):
    """Sizes of the keys and values in a list or map made in the expression."""

    kind: str
    key: Range
    value: Range

    def union(self, other: Entries | None) -> Entries | None:
        """Cover both, where both are known."""
        if other is None:
            return None
        return Entries(self.kind, self.key.union(other.key), self.value.union(other.value))


class Local(NamedTuple):
    """A variable of a comprehension: where its values come from, and their sizes."""

    path: tuple[str, ...]
    size: Range | None
    entries: Entries | None


def estimate(checked: checking.Checked, declared: declarations.Declaration | None = None) -> Range:
    """Return least and most that an expression may cost.

    `declared` bounds the variables `self` and `oldSelf`; without it every size is unknown.
    """
    return _Estimator(checked, declared).cost(checked.parsed.root)


class _Estimator:
    def __init__(
        self, checked: checking.Checked, declared: declarations.Declaration | None
    ) -> None:
        self.checked = checked
        self.declared = declared
        self.paths: dict[int, tuple[str, ...]] = {}
        self.sizes: dict[int, Range] = {}
        self.entries: dict[int, Entries] = {}
        self.locals: dict[str, list[Local]] = {}

    # ------------------------------------------------------------------ nodes

    def cost(self, expr: syntax.Expr) -> Range:
        match expr:
            case syntax.Ident():
                return self._ident(expr)
            case syntax.Select():
                return self._select(expr)
            case syntax.Call():
                return self._call(expr)
            case syntax.ListExpr():
                return self._list(expr)
            case syntax.MapExpr():
                return self._map(expr)
            case syntax.Comprehension():
                return self._bind(expr) if is_bind(expr) else self._comprehension(expr)
            case _:
                return ZERO

    def _ident(self, expr: syntax.Ident) -> Range:
        local = self._local(expr.name)
        self.paths[expr.id] = local.path if local is not None else (expr.name,)
        return ONE

    def _select(self, expr: syntax.Select) -> Range:
        if expr.id in self.checked.type_names:
            self.paths[expr.id] = (checking.qualified(expr),)
            return ONE
        total = self.cost(expr.operand)
        if expr.test_only:
            return total
        if self._type(expr.operand).kind in {"map", "object", "param"}:
            total += ONE
        self.paths[expr.id] = (*self._path(expr.operand), expr.field)
        return total

    def _call(self, expr: syntax.Call) -> Range:
        if expr.function == "dyn":
            cost = self.cost(expr.args[0])
            self._copy(expr, expr.args[0])
            return ONE + cost
        costs = [self.cost(arg) for arg in expr.args]
        operands = [self._operand(arg) for arg in expr.args]
        overloads = self.checked.overloads.get(expr.id, ())
        if not overloads:
            return ZERO
        total, target = ZERO, None
        if expr.target is not None:
            total += self.cost(expr.target)
            target = self._operand(expr.target)
        best, size = Range(ranges.UNBOUNDED, 0), None
        for overload in overloads:
            found = self._overload(expr, overload.id, target, operands, costs)
            best = best.union(found.cost)
            if found.size is not None:
                size = found.size if size is None else size.union(found.size)
            size = self._indexed(expr, overload.id, size)
            if size is None:
                size = self._size(expr)
        if size is not None:
            self.sizes[expr.id] = size
        return total + best

    def _indexed(self, expr: syntax.Call, id: str, size: Range | None) -> Range | None:
        step = {"index_list": "@items", "index_map": "@values"}.get(id)
        if step is None:
            return size
        self.paths[expr.id] = (*self._path(expr.args[0]), step)
        entries = self._entries(expr.args[0])
        return entries.value if entries is not None else None

    def _list(self, expr: syntax.ListExpr) -> Range:
        total, item = ZERO, Range(ranges.UNBOUNDED if expr.elements else 0, 0)
        for element in expr.elements:
            total += self.cost(element)
            item = item.union(self._size_or_unknown(element))
        self.entries[expr.id] = Entries("list", ONE, item)
        return total + Range(ranges.LIST_BASE, ranges.LIST_BASE)

    def _map(self, expr: syntax.MapExpr) -> Range:
        least = ranges.UNBOUNDED if expr.entries else 0
        total, key, value = ZERO, Range(least, 0), Range(least, 0)
        for entry in expr.entries:
            if not expr.type_name:
                total += self.cost(entry.key)
            total += self.cost(entry.value)
            if expr.type_name:
                continue
            key = key.union(self._size_or_unknown(entry.key))
            value = value.union(self._size_or_unknown(entry.value))
        if expr.type_name:
            return total + Range(ranges.STRUCT_BASE, ranges.STRUCT_BASE)
        self.entries[expr.id] = Entries("map", key, value)
        return total + Range(ranges.MAP_BASE, ranges.MAP_BASE)

    def _bind(self, expr: syntax.Comprehension) -> Range:
        total = self.cost(expr.iterated) + self.cost(expr.init)
        self._push(expr.accumulator, self._bound(expr.init))
        total += self.cost(expr.result)
        self.locals[expr.accumulator].pop()
        self._copy(expr, expr.result)
        return total

    def _comprehension(self, expr: syntax.Comprehension) -> Range:
        total = self.cost(expr.iterated) + self.cost(expr.init)
        self._push(expr.accumulator, self._bound(expr.init))
        names = self._iterate(expr)
        loop = self.cost(expr.condition)
        step = self.cost(expr.step)
        for name in names:
            self.locals[name].pop()
        total += self.cost(expr.result)
        self.locals[expr.accumulator].pop()
        count = self._size_or_unknown(expr.iterated)
        total += count.times(step + loop)
        if isinstance(expr.init, syntax.Literal):
            size = self._size(expr.init)
            if size is not None:
                self.sizes[expr.id] = size
        elif isinstance(expr.init, (syntax.ListExpr, syntax.MapExpr)):
            self.sizes[expr.id] = count
            entries = self._entries(expr.step)
            if entries is not None:
                self.entries[expr.id] = entries
        return total

    def _iterate(self, expr: syntax.Comprehension) -> tuple[str, ...]:
        """Declare the variables of a loop."""
        entries, path = self._entries(expr.iterated), self._path(expr.iterated)
        kind = entries.kind if entries is not None else self._type(expr.iterated).kind
        key = entries.key if entries is not None else None
        value = entries.value if entries is not None else None
        if expr.variable2:
            steps = ("@indices", "@items") if kind == "list" else ("@keys", "@values")
            self._push(expr.variable, Local((*path, steps[0]), key, None))
            self._push(expr.variable2, Local((*path, steps[1]), value, None))
            return expr.variable, expr.variable2
        if kind == "list":
            self._push(expr.variable, Local((*path, "@items"), value, None))
        else:
            self._push(expr.variable, Local((*path, "@keys"), key, None))
        return (expr.variable,)

    # ------------------------------------------------------------------ sizes

    def _type(self, expr: syntax.Expr) -> types.Type:
        return self.checked.node_types.get(expr.id, types.DYN)

    def _local(self, name: str) -> Local | None:
        stack = self.locals.get(name)
        return stack[-1] if stack else None

    def _push(self, name: str, local: Local) -> None:
        self.locals.setdefault(name, []).append(local)

    def _bound(self, expr: syntax.Expr) -> Local:
        entries = self._entries(expr)
        return Local(self._path(expr), self._size(expr), entries)

    def _path(self, expr: syntax.Expr) -> tuple[str, ...]:
        if isinstance(expr, syntax.Ident) and (local := self._local(expr.name)) is not None:
            return local.path
        return self.paths.get(expr.id, ())

    def _operand(self, expr: syntax.Expr) -> costmodels.Operand:
        path = self._path(expr)
        if path and path[0] == syntax.ACCUMULATOR:
            path = ()
        return costmodels.Operand(expr, self._type(expr), path, self._size(expr))

    def _copy(self, to: syntax.Expr, source: syntax.Expr) -> None:
        size, entries = self._size(source), self._entries(source)
        if size is not None:
            self.sizes[to.id] = size
        if entries is not None:
            self.entries[to.id] = entries

    def _entries(self, expr: syntax.Expr | None) -> Entries | None:
        if expr is None:
            return None
        if expr.id in self.entries:
            return self.entries[expr.id]
        if isinstance(expr, syntax.Ident) and (local := self._local(expr.name)) is not None:
            return local.entries
        return None

    def _size_or_unknown(self, expr: syntax.Expr) -> Range:
        return self._size(expr) or UNKNOWN

    def _size(self, expr: syntax.Expr) -> Range | None:
        if expr.id in self.sizes:
            return self.sizes[expr.id]
        exact = _literal_size(expr)
        if exact is not None:
            return Range(exact, exact)
        declared = self.declared_size(self._path(expr))
        if declared is not None:
            self.sizes[expr.id] = declared
            return declared
        if _is_scalar(self._type(expr)):
            return ONE
        if isinstance(expr, syntax.Ident) and (local := self._local(expr.name)) is not None:
            return local.size
        return None

    def declared_size(self, path: tuple[str, ...]) -> Range | None:
        """Return the size that the schema gives a path such as `("self", "items", "@items")`."""
        found = self.declared
        if not path or found is None:
            return None
        for step in path[1:]:
            if step in {"@items", "@values"}:
                found = found.element
            elif step == "@keys":
                found = found.key
            else:
                found = found.fields.get(step)
            if found is None:
                return None
        return Range(0, found.size_max)

    def operand_size(self, operand: costmodels.Operand) -> Range:
        """Return the size that Kubernetes' functions assume of an argument."""
        if operand.size is not None:
            return operand.size
        return self.declared_size(operand.path) or UNKNOWN

    def element_of(self, operand: costmodels.Operand) -> costmodels.Operand | None:
        """Return the items of a list argument as an operand."""
        if not operand.type.params:
            return None
        path = (*operand.path, "@items") if operand.path else ()
        return costmodels.Operand(None, operand.type.params[0], path, None)

    # ------------------------------------------------------------------ calls

    def _overload(
        self,
        expr: syntax.Call,
        id: str,
        target: costmodels.Operand | None,
        args: list[costmodels.Operand],
        costs: list[Range],
    ) -> costmodels.Cost:
        paid = ZERO
        for cost in costs:
            paid += cost
        found = costmodels.of_call(expr.function, costmodels.Call(self, id, target, tuple(args)))
        if found is not None:
            return costmodels.Cost(found.cost + paid, found.size)
        if id in {"logical_or", "logical_and"}:
            return costmodels.Cost(Range(costs[0].min, (costs[0] + costs[1]).max))
        if id == "conditional":
            return self._conditional(expr, args, costs)
        found = self._standard(expr, id, target, args)
        return costmodels.Cost(found.cost + paid, found.size)

    def _conditional(
        self, expr: syntax.Call, args: list[costmodels.Operand], costs: list[Range]
    ) -> costmodels.Cost:
        size = (args[1].size or UNKNOWN).union(args[2].size or UNKNOWN)
        entries = self._entries(args[1].expr)
        joined = entries.union(self._entries(args[2].expr)) if entries is not None else None
        if joined is not None:
            self.entries[expr.id] = joined
        return costmodels.Cost(costs[0] + costs[1].union(costs[2]), size)

    def _standard(
        self,
        expr: syntax.Call,
        id: str,
        target: costmodels.Operand | None,
        args: list[costmodels.Operand],
    ) -> costmodels.Cost:
        sizes = [arg.size or UNKNOWN for arg in args]
        receiver = (target.size or UNKNOWN) if target is not None else UNKNOWN
        match id:
            case "string_format":
                return costmodels.Cost(receiver.scaled(ranges.STRING_FACTOR))
            case "string_to_bytes":
                size = Range(sizes[0].min, ranges.multiply(sizes[0].max, 4))
                return costmodels.Cost(sizes[0].scaled(ranges.STRING_FACTOR), size)
            case "bytes_to_string":
                size = Range(sizes[0].min // 4, sizes[0].max)
                return costmodels.Cost(sizes[0].scaled(ranges.STRING_FACTOR), size)
            case "strings_quote":
                size = Range(
                    ranges.add(sizes[0].min, 2), ranges.add(ranges.multiply(sizes[0].max, 2), 2)
                )
                return costmodels.Cost(sizes[0].scaled(ranges.STRING_FACTOR), size)
            case "starts_with_string" | "ends_with_string":
                return costmodels.Cost(sizes[0].scaled(ranges.STRING_FACTOR))
            case "in_list":
                return costmodels.Cost(sizes[1].scaled(1))
            case "matches_string":
                strings = (receiver + ONE).scaled(ranges.STRING_FACTOR)
                return costmodels.Cost(strings.times(sizes[0].scaled(ranges.REGEX_FACTOR)))
            case "contains_string":
                strings = receiver.scaled(ranges.STRING_FACTOR)
                return costmodels.Cost(strings.times(sizes[0].scaled(ranges.STRING_FACTOR)))
            case "add_string" | "add_bytes" | "add_list":
                return self._concatenated(expr, id, args, sizes)
        if id in _COMPARISONS:
            most = min(sizes[0].max, sizes[1].max)
            return costmodels.Cost(Range(1 if most else 0, most).scaled(ranges.STRING_FACTOR))
        return costmodels.Cost(ONE)

    def _concatenated(
        self, expr: syntax.Call, id: str, args: list[costmodels.Operand], sizes: list[Range]
    ) -> costmodels.Cost:
        size = sizes[0] + sizes[1]
        entries = self._entries(args[0].expr)
        joined = entries.union(self._entries(args[1].expr)) if entries is not None else None
        if joined is not None:
            self.entries[expr.id] = joined
        return costmodels.Cost(ONE if id == "add_list" else size.scaled(ranges.STRING_FACTOR), size)


_COMPARISONS = frozenset(
    {"equals", "not_equals"}
    | {
        f"{word}_{kind}"
        for word in ("less", "greater", "less_equals", "greater_equals")
        for kind in ("string", "bytes")
    }
)


def is_bind(expr: syntax.Comprehension) -> bool:
    """Say whether a comprehension only names a value, as `cel.bind` does."""
    return (
        isinstance(expr.iterated, syntax.ListExpr)
        and not expr.iterated.elements
        and isinstance(expr.condition, syntax.Literal)
        and expr.condition.value is False
        and expr.accumulator != syntax.ACCUMULATOR
    )


def _literal_size(expr: syntax.Expr) -> int | None:
    match expr:
        case syntax.Literal():
            return len(expr.value) if expr.kind in {"string", "bytes"} else 1
        case syntax.ListExpr():
            return len(expr.elements)
        case syntax.MapExpr() if not expr.type_name:
            return len(expr.entries)
        case _:
            return None


def _is_scalar(type: types.Type) -> bool:
    if types.is_optional(type):
        return _is_scalar(type.params[0])
    return type.kind in _SCALARS
