"""Type checking: every node gets its type, every call the overloads that may serve it.

Source: cel-go 0.26 `checker/checker.go` with Kubernetes' options (homogeneous aggregate literals,
cross-type numeric comparisons, optional types) and literal validators; texts to the letter.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from understudy.kube.cel import errors, functions, literals, parsing, syntax, types

_TYPE_NAMES: dict[str, types.Type] = {
    **{kind: known for kind, known in types.SIMPLE.items() if kind[0].islower()},
    "list": types.LIST,
    "map": types.MAP,
    "optional_type": types.optional_of(types.DYN),
    "google.protobuf.Duration": types.DURATION,
    "google.protobuf.Timestamp": types.TIMESTAMP,
    "net.IP": types.IP,
    "net.CIDR": types.CIDR,
    "kubernetes.Quantity": types.QUANTITY,
    "kubernetes.URL": types.URL,
    "kubernetes.Semver": types.SEMVER,
    "kubernetes.NamedFormat": types.FORMAT,
}
for _hidden in ("dyn", "duration", "timestamp"):
    _TYPE_NAMES.pop(_hidden)


@dataclass(slots=True, kw_only=True)
class Checked:
    """A syntax tree with types.

    Attributes:
        node_types: By node id; free type parameters have become dyn.
        overloads: By id of a call, the ids of the overloads that fit.
        type_names: Identifiers that name a type, by node id.
        variables: Names of the declared variables that are used.
    """

    parsed: parsing.Parsed
    node_types: dict[int, types.Type] = field(default_factory=dict)
    overloads: dict[int, tuple[functions.Overload, ...]] = field(default_factory=dict)
    type_names: dict[int, types.Type] = field(default_factory=dict)
    variables: set[str] = field(default_factory=set)

    @property
    def result(self) -> types.Type:
        """The type of the whole expression."""
        return self.node_types[self.parsed.root.id]


def check(
    parsed: parsing.Parsed,
    variables: Mapping[str, types.Type],
    known: functions.Functions,
    *,
    patches: bool = False,
) -> Checked:
    """Give every node its type. With `patches`, what patches are written in may be made.

    Raises:
        CompileError: Something is undeclared, or types do not fit; all complaints at once.
    """
    checker = _Checker(parsed, variables, known, patches=patches)
    checker.check(parsed.root)
    if checker.issues:
        raise errors.compile_error(parsed.source, checker.issues)
    out = checker.out
    out.node_types = {
        node: checker.mapping.substitute(found, dyn=True) for node, found in out.node_types.items()
    }
    if issues := list(literals.issues(parsed, out.node_types)):
        raise errors.compile_error(parsed.source, issues)
    return out


class _Checker:
    def __init__(
        self,
        parsed: parsing.Parsed,
        variables: Mapping[str, types.Type],
        known: functions.Functions,
        *,
        patches: bool,
    ) -> None:
        self.parsed = parsed
        self.patches = patches
        self.functions = known
        self.variables = variables
        self.scopes: list[dict[str, types.Type]] = []
        self.mapping = types.Mapping()
        self.out = Checked(parsed=parsed)
        self.issues: list[errors.Issue] = []
        self.free = 0

    # ------------------------------------------------------------------ bookkeeping

    def report(self, expr: syntax.Expr, text: str) -> None:
        self.issues.append(self.parsed.issue(expr.id, text))

    def set_type(self, expr: syntax.Expr, type: types.Type) -> None:
        self.out.node_types[expr.id] = type

    def type_of(self, expr: syntax.Expr) -> types.Type:
        return self.out.node_types[expr.id]

    def resolved(self, expr: syntax.Expr) -> types.Type:
        return self.mapping.substitute(self.type_of(expr))

    def fresh(self) -> types.Type:
        self.free += 1
        return types.param(f"_var{self.free - 1}")

    def fits(self, given: types.Type, wanted: types.Type) -> bool:
        return self.mapping.assignable((given,), (wanted,))

    def mismatch(self, expr: syntax.Expr, wanted: types.Type, got: types.Type) -> None:
        wanted, got = self.mapping.substitute(wanted), self.mapping.substitute(got)
        self.report(expr, f"expected type '{wanted}' but found '{got}'")

    def lookup(self, name: str) -> types.Type | None:
        for scope in reversed(self.scopes):
            if name in scope:
                return scope[name]
        if name in self.variables:
            self.out.variables.add(name)
            return self.variables[name]
        return None

    # ------------------------------------------------------------------ nodes

    def check(self, expr: syntax.Expr) -> None:
        """Find the type of a node and of all below it."""
        match expr:
            case syntax.Literal():
                kinds = {"null": types.NULL}
                self.set_type(expr, kinds.get(expr.kind) or types.SIMPLE[expr.kind])
            case syntax.Ident():
                self._ident(expr, expr.name)
            case syntax.Select():
                self._select(expr)
            case syntax.Call():
                self._call(expr)
            case syntax.ListExpr():
                self._list(expr)
            case syntax.MapExpr():
                self._map(expr)
            case syntax.Comprehension():
                self._comprehension(expr)
            case _:
                self.set_type(expr, types.ERROR)

    def _ident(self, expr: syntax.Expr, name: str) -> None:
        name = name.removeprefix(".")
        found = self.lookup(name)
        if found is None and name in _TYPE_NAMES:
            self.out.type_names[expr.id] = _TYPE_NAMES[name]
            found = types.type_of(_TYPE_NAMES[name])
        if found is None:
            self._undeclared(expr, name)
            found = types.ERROR
        self.set_type(expr, found)

    def _undeclared(self, expr: syntax.Expr, name: str) -> None:
        self.report(expr, f"undeclared reference to '{name}' (in container '')")

    def _select(self, expr: syntax.Select) -> None:
        name = qualified(expr)
        if name and (name in _TYPE_NAMES or name in self.variables):
            self._ident(expr, name)
            return
        found = self._field(expr, expr.operand, expr.field, optional=False)
        self.set_type(expr, types.BOOL if expr.test_only else self.mapping.substitute(found))

    def _field(
        self, expr: syntax.Expr, operand: syntax.Expr, name: str, *, optional: bool
    ) -> types.Type:
        self.check(operand)
        target = self.resolved(operand)
        wrapped = types.is_optional(target)
        if wrapped:
            target = target.params[0]
        result = types.DYN
        if target.kind == "map":
            result = target.params[1]
        elif target.kind == "object":
            known = types.field_of(target, name)
            if known is None:
                self.report(expr, f"undefined field '{name}'")
                result = types.ERROR
            else:
                result = known.type
        elif target.kind == "param":
            self.fits(types.DYN, target)
        elif not types.is_dyn(target):
            self.report(expr, f"type '{target}' does not support field selection")
        return types.optional_of(result) if wrapped or optional else result

    def _call(self, expr: syntax.Call) -> None:
        if expr.function == "_?._":
            self._optional_select(expr)
            return
        for arg in expr.args:
            self.check(arg)
        if expr.target is None:
            name = expr.function.removeprefix(".")
            found = self.functions.get(name)
            if found is None:
                self._undeclared(expr, name)
                self.set_type(expr, types.ERROR)
                return
            expr.function = name
            self._resolve(expr, found)
            return
        prefix = qualified(expr.target)
        if prefix and (found := self.functions.get(f"{prefix}.{expr.function}")) is not None:
            expr.function, expr.target = f"{prefix}.{expr.function}", None
            self._resolve(expr, found)
            return
        self.check(expr.target)
        found = self.functions.get(expr.function)
        if found is None:
            self._undeclared(expr, expr.function)
            self.set_type(expr, types.ERROR)
            return
        self._resolve(expr, found)

    def _optional_select(self, expr: syntax.Call) -> None:
        operand, name = expr.args
        assert isinstance(name, syntax.Literal), "the parser puts a string there"
        found = self._field(expr, operand, str(name.value), optional=True)
        self.set_type(name, types.STRING)
        self.set_type(expr, self.mapping.substitute(found))
        self.out.overloads[expr.id] = self.functions["_?._"][:1]

    def _resolve(self, expr: syntax.Call, overloads: tuple[functions.Overload, ...]) -> None:
        given = [self.type_of(arg) for arg in expr.args]
        if expr.target is not None:
            given.insert(0, self.type_of(expr.target))
        if expr.function in {"_&&_", "_||_"}:
            self._logic(expr, overloads)
            return
        result: types.Type | None = None
        fitting: list[functions.Overload] = []
        for overload in overloads:
            if overload.member != (expr.target is not None):
                continue
            args, made = overload.args, overload.result
            if overload.params:
                fresh = types.Mapping({name: self.fresh() for name in overload.params})
                args = tuple(fresh.substitute(arg) for arg in args)
                made = fresh.substitute(made)
            if not self.mapping.assignable(given, args):
                continue
            fitting.append(overload)
            made = self.mapping.substitute(made)
            if result is None:
                result = made
            elif not types.is_dyn(result) and not types.same(made, result):
                result = types.DYN
        if result is None:
            shown = [str(self.mapping.substitute(known, dyn=True)) for known in given]
            receiver = f"{shown.pop(0)}." if expr.target is not None else ""
            signature = f"{receiver}({', '.join(shown)})"
            text = f"found no matching overload for '{expr.function}' applied to '{signature}'"
            self.report(expr, text)
            result = types.ERROR
        self.out.overloads[expr.id] = tuple(fitting)
        self.set_type(expr, result)

    def _logic(self, expr: syntax.Call, overloads: tuple[functions.Overload, ...]) -> None:
        failed = False
        for arg in expr.args:
            if not self.fits(self.type_of(arg), types.BOOL):
                self.mismatch(arg, types.BOOL, self.type_of(arg))
                failed = True
        self.out.overloads[expr.id] = overloads
        self.set_type(expr, types.ERROR if failed else types.BOOL)

    def _join(self, before: types.Type | None, current: types.Type) -> types.Type:
        if before is None:
            return current
        return types.most_general(before, current) if self.fits(before, current) else types.DYN

    def _unwrapped(self, expr: syntax.Expr) -> types.Type:
        found = self.type_of(expr)
        if types.is_optional(found):
            return found.params[0]
        if not types.is_dyn(found):
            self.mismatch(expr, types.optional_of(found), found)
        return found

    def _list(self, expr: syntax.ListExpr) -> None:
        joined: types.Type | None = None
        for position, element in enumerate(expr.elements):
            self.check(element)
            optional = position in expr.optional
            found = self._unwrapped(element) if optional else self.type_of(element)
            joined = self._join(joined, found)
        self.set_type(expr, types.list_of(joined or self.fresh()))

    def _map(self, expr: syntax.MapExpr) -> None:
        if expr.type_name:
            self._made(expr)
            return
        keys: types.Type | None = None
        values: types.Type | None = None
        for entry in expr.entries:
            self.check(entry.key)
            keys = self._join(keys, self.type_of(entry.key))
            self.check(entry.value)
            found = self._unwrapped(entry.value) if entry.optional else self.type_of(entry.value)
            values = self._join(values, found)
        self.set_type(expr, types.map_of(keys or self.fresh(), values or self.fresh()))

    def _made(self, expr: syntax.MapExpr) -> None:
        made = types.made(expr.type_name) if self.patches else None
        if made is None:
            self._undeclared(expr, expr.type_name)
        for entry in expr.entries:
            self.set_type(entry.key, types.STRING)
            self.check(entry.value)
            name = str(entry.key.value) if isinstance(entry.key, syntax.Literal) else ""
            known = made.fields.get(name) if made is not None else None
            found = self._unwrapped(entry.value) if entry.optional else self.type_of(entry.value)
            if made is not None and made.fields and known is None:
                self.report(entry.key, f"undefined field '{name}'")
            elif known is not None and not self.fits(known.type, found):
                self.report(
                    entry.key,
                    f"expected type of field '{name}' is '{known.type}' but provided type is "
                    f"'{self.mapping.substitute(found)}'",
                )
        self.set_type(expr, made or types.ERROR)

    def _comprehension(self, expr: syntax.Comprehension) -> None:
        self.check(expr.iterated)
        self.check(expr.init)
        iterated, accumulated = self.resolved(expr.iterated), self.type_of(expr.init)
        first, second = self._variables(expr, iterated)
        self.scopes.append({expr.accumulator: accumulated})
        self.scopes.append({expr.variable: first})
        if expr.variable2:
            self.scopes[-1][expr.variable2] = second
        self.check(expr.condition)
        self._assert(expr.condition, types.BOOL)
        self.check(expr.step)
        self._assert(expr.step, accumulated)
        self.scopes.pop()
        self.check(expr.result)
        self.scopes.pop()
        self.set_type(expr, self.resolved(expr.result))

    def _variables(
        self, expr: syntax.Comprehension, iterated: types.Type
    ) -> tuple[types.Type, types.Type]:
        if iterated.kind == "list":
            element = iterated.params[0]
            return (types.INT, element) if expr.variable2 else (element, element)
        if iterated.kind == "map":
            return iterated.params[0], iterated.params[1]
        if iterated.kind in {"dyn", "error", "param"}:
            self.fits(types.DYN, iterated)
            return types.DYN, types.DYN
        self.report(
            expr.iterated,
            f"expression of type '{iterated}' cannot be range of a comprehension "
            "(must be list, map, or dynamic)",
        )
        return types.ERROR, types.ERROR

    def _assert(self, expr: syntax.Expr, wanted: types.Type) -> None:
        if not self.fits(wanted, self.type_of(expr)):
            self.mismatch(expr, wanted, self.type_of(expr))

    # ------------------------------------------------------------------ literals


def qualified(expr: syntax.Expr) -> str:
    """Return `a.b.c` for a chain of plain selections, else an empty string."""
    match expr:
        case syntax.Ident():
            return expr.name.removeprefix(".")
        case syntax.Select() if not expr.test_only:
            prefix = qualified(expr.operand)
            return f"{prefix}.{expr.field}" if prefix else ""
        case _:
            return ""
