"""From checked tree to nested Python functions, and their evaluation.

Each node becomes one closure over its children's; a closure takes the frame, a dict of variables.
Where types are known the closure does one thing only; where they are not (`dyn`) it looks at the
values. Errors are exceptions; `&&`, `||`, `all` and `exists` absorb them as CEL says.

Costs: each loop charges its step's worst case per round, string functions charge by length, and
all else is charged once, when the program is made. Differs: Kubernetes counts the steps really
taken, which is at most what is counted here.
"""

from __future__ import annotations

import operator
from collections.abc import Callable

from understudy.kube import objects
from understudy.kube.cel import (
    access,
    authorizing,
    charges,
    checking,
    costs,
    errors,
    functions,
    kinds,
    lists,
    standard,
    strings,
    syntax,
    types,
    values,
)

Frame = dict[str, objects.Json]
Closure = Callable[[Frame], objects.Json]

LIBRARY: dict[str, standard.Function] = {
    **standard.FUNCTIONS, **strings.FUNCTIONS, **lists.FUNCTIONS, **kinds.FUNCTIONS,
    **authorizing.FUNCTIONS,
}  # fmt: skip


def compile_closure(
    checked: checking.Checked, library: dict[str, standard.Function]
) -> tuple[Closure, int]:
    """Return the function that evaluates an expression, and what one evaluation costs at least."""
    compiler = _Compiler(checked, library)
    closure = compiler.value(checked.parsed.root)
    return closure, charges.fixed(checked.parsed.root)


class _Compiler:
    def __init__(self, checked: checking.Checked, library: dict[str, standard.Function]) -> None:
        self.checked = checked
        self.library = library

    def type_of(self, expr: syntax.Expr) -> types.Type:
        return self.checked.node_types[expr.id]

    def value(self, expr: syntax.Expr) -> Closure:
        """Compile a node whose value is used as a whole."""
        closure, own = self.raw(expr), self.type_of(expr)
        if own.kind in {"list", "map", "object"} and (own.coerce or own.deep):
            return lambda frame: values.whole(own, closure(frame))
        return closure

    def raw(self, expr: syntax.Expr) -> Closure:
        """Compile a node whose value will only be looked into."""
        match expr:
            case syntax.Literal():
                return self._literal(expr)
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
                return self._comprehension(expr)
            case _:
                raise AssertionError(f"no such node: {expr}")

    # ------------------------------------------------------------------ leaves and fields

    def _literal(self, expr: syntax.Literal) -> Closure:
        value = values.Uint(expr.value) if expr.kind == "uint" else expr.value
        return lambda _: value

    def _ident(self, expr: syntax.Ident) -> Closure:
        named = self.checked.type_names.get(expr.id)
        if named is not None:
            found = values.TypeValue("optional_type" if types.is_optional(named) else named.name)
            return lambda _: found
        name = expr.name.removeprefix(".")

        def read(frame: Frame) -> objects.Json:
            try:
                return frame[name]
            except KeyError:
                raise errors.EvaluationError(f"no such attribute(s): {name}") from None

        return read

    def _select(self, expr: syntax.Select) -> Closure:
        if expr.id in self.checked.type_names or self.checked.parsed is None:
            return self._named_type(expr)
        qualified = checking.qualified(expr)
        if qualified in self.checked.variables and not expr.test_only:
            return lambda frame: frame[qualified]
        operand, target = self.raw(expr.operand), self.type_of(expr.operand)
        if types.is_optional(target):
            return self._optional_field(expr, operand, target.params[0])
        step = self.field_reader(target, expr.field)
        if expr.test_only:
            return lambda frame: step(operand(frame)) is not access.ABSENT
        name = expr.field
        if target.kind == "object":
            return access.plain_field(operand, target, name, step)

        def read(frame: Frame) -> objects.Json:
            found = step(operand(frame))
            if found is access.ABSENT:
                raise errors.EvaluationError(f"no such key: {name}")
            return found

        return read

    def _named_type(self, expr: syntax.Select) -> Closure:
        found = values.TypeValue(self.checked.type_names[expr.id].name)
        return lambda _: found

    def _optional_field(self, expr: syntax.Select, operand: Closure, inner: types.Type) -> Closure:
        step, test = self.field_reader(inner, expr.field), expr.test_only

        def read(frame: Frame) -> objects.Json:
            found = operand(frame)
            value = step(found.value) if found.present else access.ABSENT
            if test:
                return value is not access.ABSENT
            return values.NONE if value is access.ABSENT else values.Optional(value)

        return read

    def field_reader(self, target: types.Type, name: str) -> Closure:
        """Return a function from a value to its field, `access.ABSENT` where it has none."""
        known = types.field_of(target, name) if target.kind == "object" else None
        if known is not None:
            absent = target.name != types.VARIABLES
            return access.reader(known.name, values.coercion(known.type), null_is_absent=absent)
        if target.kind == "map":
            return access.reader(name, values.coercion(target.params[1]), null_is_absent=False)

        def look(value: objects.Json) -> objects.Json:
            if isinstance(value, dict):
                return value.get(name, access.ABSENT)
            raise errors.EvaluationError("no such overload")

        return look

    # ------------------------------------------------------------------ calls

    def _call(self, expr: syntax.Call) -> Closure:
        special = _SPECIAL.get(expr.function)
        if special is not None:
            return special(self, expr)
        operands = [*([expr.target] if expr.target is not None else []), *expr.args]
        args = [self.value(operand) for operand in operands]
        overloads = self.checked.overloads[expr.id]
        function = self._dispatch(expr, overloads, [self.type_of(o) for o in operands])
        charge = charges.BY_SIZE.get(overloads[0].id) or charges.BY_SIZE.get(expr.function)
        if charge is not None:
            return _charged(function, args, charge)
        return _applied(function, args)

    def _dispatch(
        self,
        expr: syntax.Call,
        overloads: tuple[functions.Overload, ...],
        given: list[types.Type],
    ) -> standard.Function:
        fast = _FAST.get((expr.function, *(known.kind for known in given)))
        if fast is not None:
            return fast
        if len(overloads) == 1 and not any(map(types.is_dyn, given)):
            return self.library.get(overloads[0].id) or _order(expr.function)
        if len(overloads) == 1 and not any(
            types.is_dyn(known) and not types.is_dyn(arg) and arg.kind != "param"
            for known, arg in zip(given, overloads[0].args, strict=True)
        ):
            return self.library.get(overloads[0].id) or _order(expr.function)
        if expr.function in _ORDERS:
            return _order(expr.function)
        choices = [(o.args, self.library[o.id]) for o in overloads]

        def choose(*args: objects.Json) -> objects.Json:
            for wanted, function in choices:
                if all(map(values.is_a, args, wanted)):
                    return function(*args)
            raise errors.EvaluationError("no such overload")

        return choose

    def and_(self, expr: syntax.Call) -> Closure:
        left, right = (self.raw(arg) for arg in expr.args)

        def both(frame: Frame) -> bool:
            try:
                if left(frame) is False:
                    return False
            except errors.CostError:
                raise
            except errors.EvaluationError:
                if right(frame) is False:
                    return False
                raise
            return _bool(right(frame))

        return both

    def or_(self, expr: syntax.Call) -> Closure:
        left, right = (self.raw(arg) for arg in expr.args)

        def either(frame: Frame) -> bool:
            try:
                if left(frame) is True:
                    return True
            except errors.CostError:
                raise
            except errors.EvaluationError:
                if right(frame) is True:
                    return True
                raise
            return _bool(right(frame))

        return either

    def conditional(self, expr: syntax.Call) -> Closure:
        test, first, second = expr.args
        same = types.same(self.type_of(first), self.type_of(second))
        compiled = self.raw if same else self.value
        condition, yes, no = self.raw(test), compiled(first), compiled(second)
        return lambda frame: yes(frame) if _bool(condition(frame)) else no(frame)

    def optional_select(self, expr: syntax.Call) -> Closure:
        name = expr.args[1]
        assert isinstance(name, syntax.Literal), "the parser puts a string there"
        operand, target = self.raw(expr.args[0]), self.type_of(expr.args[0])
        wrapped = types.is_optional(target)
        step = self.field_reader(target.params[0] if wrapped else target, str(name.value))

        def read(frame: Frame) -> objects.Json:
            found = operand(frame)
            if wrapped or isinstance(found, values.Optional):
                if not found.present:
                    return values.NONE
                found = found.value
            value = step(found)
            return values.NONE if value is access.ABSENT else values.Optional(value)

        return read

    def index(self, expr: syntax.Call) -> Closure:
        optional = expr.function == "_[?_]"
        container, key = self.raw(expr.args[0]), self.value(expr.args[1])
        target = self.type_of(expr.args[0])
        inner = target.params[0] if types.is_optional(target) else target
        element = inner.params[-1] if inner.kind in {"list", "map"} else types.DYN
        coerce = values.coercion(element)

        def read(frame: Frame) -> objects.Json:
            found, wanted = container(frame), key(frame)
            wrapped = isinstance(found, values.Optional)
            if wrapped:
                if not found.present:
                    return values.NONE
                found = found.value
            value = access.at(found, wanted)
            if value is access.ABSENT:
                if optional or wrapped:
                    return values.NONE
                raise access.missing(found, wanted)
            if coerce is not None:
                value = coerce(value)
            return values.Optional(value) if optional or wrapped else value

        return read

    def or_value(self, expr: syntax.Call) -> Closure:
        """`or` and `orValue`: what stands behind is evaluated only where it is needed."""
        if expr.target is None or len(expr.args) != 1:
            raise AssertionError(f"checked as a member function: {expr}")
        target, other = self.value(expr.target), self.value(expr.args[0])
        unwrap = expr.function == "orValue"

        def choose(frame: Frame) -> objects.Json:
            found = target(frame)
            if not isinstance(found, values.Optional):
                raise errors.EvaluationError("no such overload")
            if found.present:
                return found.value if unwrap else found
            return other(frame)

        return choose

    # ------------------------------------------------------------------ literals with parts

    def _list(self, expr: syntax.ListExpr) -> Closure:
        elements = [self.value(element) for element in expr.elements]
        if not expr.optional:
            return lambda frame: [element(frame) for element in elements]
        marked = [(element, i in expr.optional) for i, element in enumerate(elements)]

        def make(frame: Frame) -> objects.Json:
            out: list[objects.Json] = []
            for element, optional in marked:
                value = element(frame)
                if not optional:
                    out.append(value)
                elif value.present:
                    out.append(value.value)
            return out

        return make

    def _map(self, expr: syntax.MapExpr) -> Closure:
        entries = [
            (self.value(entry.key), self.value(entry.value), entry.optional)
            for entry in expr.entries
        ]

        made = expr.type_name

        def make(frame: Frame) -> objects.Json:
            out: objects.Object = {}
            for key, value, optional in entries:
                name, found = key(frame), value(frame)
                if optional:
                    if not found.present:
                        continue
                    found = found.value
                if name in out:
                    raise errors.EvaluationError(f"Failed with repeated key [{name}]")
                out[name] = found
            return values.Made(made, out) if made else out

        return make

    # ------------------------------------------------------------------ loops

    def _comprehension(self, expr: syntax.Comprehension) -> Closure:
        if costs.is_bind(expr):
            return self._bind(expr)
        quantifier = self._quantifier(expr)
        if quantifier is not None:
            return quantifier
        return self._fold(expr)

    def _bind(self, expr: syntax.Comprehension) -> Closure:
        name, init, result = expr.accumulator, self.raw(expr.init), self.raw(expr.result)

        def run(frame: Frame) -> objects.Json:
            return result({**frame, name: init(frame)})

        return run

    def _quantifier(self, expr: syntax.Comprehension) -> Closure | None:
        """Compile `all` and `exists`, which stop early and absorb errors."""
        step = expr.step
        if not (isinstance(step, syntax.Call) and isinstance(expr.init, syntax.Literal)):
            return None
        if not (isinstance(expr.result, syntax.Ident) and expr.result.name == expr.accumulator):
            return None
        stop = {"_&&_": False, "_||_": True}.get(step.function)
        if stop is None or expr.init.value is not (not stop):
            return None
        first = step.args[0]
        if not (isinstance(first, syntax.Ident) and first.name == expr.accumulator):
            return None
        iterate, bind = self._iterator(expr), _binder(expr)
        predicate, cost = self.raw(step.args[1]), charges.of_step(expr)

        def run(frame: Frame) -> objects.Json:
            items = iterate(frame)
            charges.spend(frame, cost * len(items))
            inner = dict(frame)
            failure: errors.EvaluationError | None = None
            for item in items:
                bind(inner, item)
                try:
                    if predicate(inner) is stop:
                        return stop
                except errors.CostError:
                    raise
                except errors.EvaluationError as error:
                    failure = error
            if failure is not None:
                raise failure
            return not stop

        return run

    def _fold(self, expr: syntax.Comprehension) -> Closure:
        iterate, bind, name = self._iterator(expr), _binder(expr), expr.accumulator
        init, result = self.value(expr.init), self.raw(expr.result)
        condition = self.raw(expr.condition)
        always = isinstance(expr.condition, syntax.Literal) and expr.condition.value is True
        cost, append = charges.of_step(expr), self._appender(expr)
        step = self.value(expr.step)

        def run(frame: Frame) -> objects.Json:
            items = iterate(frame)
            charges.spend(frame, cost * len(items))
            inner = dict(frame)
            total = init(frame)
            if append is not None:
                total = list(total)
                for item in items:
                    bind(inner, item)
                    append(inner, total)
                inner[name] = total
                return result(inner)
            for item in items:
                inner[name] = total
                bind(inner, item)
                if not always and condition(inner) is not True:
                    break
                total = step(inner)
            inner[name] = total
            return result(inner)

        return run

    def _appender(
        self, expr: syntax.Comprehension
    ) -> Callable[[Frame, list[objects.Json]], None] | None:
        """Compile the step of `map` and `filter`, so that a list grows in place."""
        step, test = expr.step, None
        if isinstance(step, syntax.Call) and step.function == "_?_:_":
            if not _is_accumulator(step.args[2], expr):
                return None
            test, step = self.raw(step.args[0]), step.args[1]
        if not (isinstance(step, syntax.Call) and step.function == "_+_"):
            return None
        made = step.args[1]
        if not _is_accumulator(step.args[0], expr) or not isinstance(made, syntax.ListExpr):
            return None
        if len(made.elements) != 1 or made.optional:
            return None
        element = self.raw(made.elements[0])

        def grow(frame: Frame, total: list[objects.Json]) -> None:
            if test is None or _bool(test(frame)):
                total.append(element(frame))

        return grow

    def _iterator(self, expr: syntax.Comprehension) -> Callable[[Frame], list[objects.Json]]:
        """Compile the range of a loop to a list of what each round sees."""
        closure, iterated = self.raw(expr.iterated), self.type_of(expr.iterated)
        two = bool(expr.variable2)
        element = iterated.params[-1] if iterated.kind in {"list", "map"} else types.DYN
        coerce = values.coercion(element)

        def items(frame: Frame) -> list[objects.Json]:
            found = closure(frame)
            if isinstance(found, list):
                if coerce is not None:
                    found = [coerce(item) for item in found]
                return list(enumerate(found)) if two else found
            if isinstance(found, dict):
                if not two:
                    return list(found)
                if coerce is not None:
                    return [(key, coerce(item)) for key, item in found.items()]
                return list(found.items())
            raise errors.EvaluationError("no such overload")

        return items


def _bool(value: objects.Json) -> bool:
    if value is True or value is False:
        return bool(value)
    raise errors.EvaluationError("no such overload")


def _is_accumulator(expr: syntax.Expr, loop: syntax.Comprehension) -> bool:
    return isinstance(expr, syntax.Ident) and expr.name == loop.accumulator


def _binder(expr: syntax.Comprehension) -> Callable[[Frame, objects.Json], None]:
    first, second = expr.variable, expr.variable2

    def one(frame: Frame, item: objects.Json) -> None:
        frame[first] = item

    def two(frame: Frame, item: objects.Json) -> None:
        frame[first], frame[second] = item

    return two if second else one


def _applied(function: standard.Function, args: list[Closure]) -> Closure:
    if len(args) == 1:
        only = args[0]
        return lambda frame: function(only(frame))
    if len(args) == 2:
        left, right = args
        return lambda frame: function(left(frame), right(frame))
    return lambda frame: function(*[arg(frame) for arg in args])


def _charged(function: standard.Function, args: list[Closure], charge: charges.Charge) -> Closure:
    def run(frame: Frame) -> objects.Json:
        given = [arg(frame) for arg in args]
        charges.spend(frame, charge(given))
        return function(*given)

    return run


_ORDERS: dict[str, Callable[[int], bool]] = {
    "_<_": lambda order: order < 0,
    "_<=_": lambda order: order <= 0,
    "_>_": lambda order: order > 0,
    "_>=_": lambda order: order >= 0,
}


def _order(name: str) -> standard.Function:
    holds = _ORDERS[name]
    return lambda left, right: holds(values.compare(left, right))


_PYTHON_ORDERS: dict[str, standard.Function] = {
    "_<_": operator.lt, "_<=_": operator.le, "_>_": operator.gt, "_>=_": operator.ge,
}  # fmt: skip
_FAST: dict[tuple[str, ...], standard.Function] = {
    **{
        (name, kind, kind): function
        for name, function in _PYTHON_ORDERS.items()
        for kind in ("int", "string", "timestamp", "duration")
    },
    **{
        (name, kind, kind): function
        for name, function in (("_==_", operator.eq), ("_!=_", operator.ne))
        for kind in ("int", "string", "bool", "timestamp", "duration", "bytes")
    },
}

_Special = Callable[[_Compiler, syntax.Call], Closure]
_SPECIAL: dict[str, _Special] = {
    "_&&_": _Compiler.and_,
    "_||_": _Compiler.or_,
    "_?_:_": _Compiler.conditional,
    "_?._": _Compiler.optional_select,
    "_[_]": _Compiler.index,
    "_[?_]": _Compiler.index,
    "or": _Compiler.or_value,
    "orValue": _Compiler.or_value,
}
