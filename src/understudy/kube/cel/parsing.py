"""From text to syntax tree, through the CEL project's own parser.

`cel-expr-python` wraps cel-cpp, whose grammar is the one of cel-go: what parses here parses in
Kubernetes, and complaints read the same. Its tree comes out as a serialised `cel.expr.ParsedExpr`;
the few message types of it are read here, so that no protobuf runtime is needed. Macros that
cel-cpp does not expand (two-variable comprehensions, sortBy) are expanded here.
"""

from __future__ import annotations

import functools
import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from understudy.kube import objects
from understudy.kube.cel import errors, syntax

EXPRESSION_CHARS_MAX = 100_000
_CONFIG = 'name: "kubernetes"\nextensions:\n  - name: "optional"\n'
_ISSUE = re.compile(r"ERROR: <input>:(\d+):(\d+): (.*)", re.DOTALL)
_UNKNOWN_LINE = 1 << 31

Fields = dict[int, list[objects.Json]]


@dataclass(slots=True, kw_only=True)
class Parsed:
    """A syntax tree with the places of its nodes."""

    source: str
    root: syntax.Expr
    offsets: dict[int, int] = field(default_factory=dict)
    newlines: list[int] = field(default_factory=list)

    def issue(self, id: int, text: str) -> errors.Issue:
        """Return a complaint about a node."""
        offset = self.offsets.get(id, 0)
        before = self.source[:offset]
        line = before.count("\n") + 1
        return errors.Issue(line, offset - (before.rfind("\n") + 1), text)


def parse(source: str) -> Parsed:
    """Parse an expression.

    Raises:
        CompileError: It does not parse.
    """
    if len(source) > EXPRESSION_CHARS_MAX:
        issue = errors.Issue(
            0,
            -1,
            f"expression code point size exceeds limit: size: {len(source)}, "
            f"limit {EXPRESSION_CHARS_MAX}",
        )
        raise errors.compile_error(source, [issue])
    try:
        serialized = _parser().compile(source, disable_check=True).serialize()
    except RuntimeError as error:
        raise errors.compile_error(source, list(_issues(str(error)))) from None
    parsed = _message(_message(serialized)[2][0])
    info = _message(parsed[3][0]) if 3 in parsed else {}
    offsets: dict[int, int] = {}
    for entry in info.get(4, ()):
        pair = _message(entry)
        offsets[_signed(pair.get(1, [0])[0])] = pair.get(2, [0])[0]
    out = Parsed(source=source, root=_expr(parsed[2][0]), offsets=offsets)
    _Macros(out).expand_all()
    return out


@functools.cache
def _parser() -> objects.Json:
    # Imported with the first expression: 14 MB of shared object that many servers never need.
    from cel_expr_python import cel  # noqa: PLC0415

    return cel.NewEnv(config=cel.NewEnvConfigFromYaml(_CONFIG))


def _issues(text: str) -> Iterator[errors.Issue]:
    text = text.removesuffix(" [INVALID_ARGUMENT]").removeprefix("INVALID_ARGUMENT: ")
    for part in re.split(r"(?:^|\n)(?=ERROR: <input>:)", text):
        found = _ISSUE.match(part)
        if not found:
            continue
        line, column = int(found[1]), int(found[2])
        if line < _UNKNOWN_LINE:  # cel-cpp's own follow-up complaints have no place
            yield errors.Issue(line, column - 1, _reworded(found[3].partition("\n | ")[0]))


def _reworded(text: str) -> str:
    """Say in cel-go's words what the two parsers say differently."""
    text = text.replace("'\\u003F'", "'?'")
    if text == "has() argument must be a field selection":
        return "invalid argument to has() macro"
    if found := _KEYWORD_FIELD.fullmatch(text):
        return f"Syntax error: mismatched input '{found[1]}' expecting IDENTIFIER"
    if found := _MACRO_NAME.fullmatch(text):
        simple = found[1] in {"all", "exists", "exists_one"}
        return "argument must be a simple name" if simple else "argument is not an identifier"
    if _MACRO_RESULT.fullmatch(text):
        return "iteration variable overwrites accumulator variable"
    return text


_MACRO_NAME = re.compile(
    r"(all|exists|exists_one|filter|map)\(\) variable name must be a simple identifier"
)
_KEYWORD_FIELD = re.compile(
    r"Syntax error: no viable alternative at input '\.(true|false|null|in)'"
)
_MACRO_RESULT = re.compile(r"\w+\(\) variable name cannot be __result__")


# ---------------------------------------------------------------------- protobuf wire format


def _message(data: bytes) -> Fields:
    """Split a message into its fields: `{number: [raw values]}`."""
    out: Fields = {}
    position, end = 0, len(data)
    while position < end:
        tag, position = _varint(data, position)
        number, wire = tag >> 3, tag & 7
        value: objects.Json
        if wire == 0:
            value, position = _varint(data, position)
        elif wire == 2:
            size, position = _varint(data, position)
            value = data[position : position + size]
            position += size
        elif wire == 1:
            value = data[position : position + 8]
            position += 8
        else:
            value = data[position : position + 4]
            position += 4
        out.setdefault(number, []).append(value)
    return out


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7


def _signed(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value


def _text(fields: Fields, number: int) -> str:
    return str(fields[number][0].decode()) if number in fields else ""


# ---------------------------------------------------------------------- cel.expr.Expr


def _expr(data: bytes) -> syntax.Expr:
    fields = _message(data)
    node = _signed(fields.get(2, [0])[0])
    for number, build in _BUILDERS.items():
        if number in fields:
            return build(node, _message(fields[number][0]))
    return syntax.Literal(id=node, kind="null", value=None)


def _literal(id: int, fields: Fields) -> syntax.Expr:
    for number, (kind, read) in _CONSTANTS.items():
        if number in fields:
            return syntax.Literal(id=id, kind=kind, value=read(fields[number][0]))
    return syntax.Literal(id=id, kind="null", value=None)


def _double(raw: bytes) -> float:
    return float(struct.unpack("<d", raw)[0])


_CONSTANTS: dict[int, tuple[str, Callable[[objects.Json], objects.Json]]] = {
    1: ("null", lambda _: None),
    2: ("bool", bool),
    3: ("int", _signed),
    4: ("uint", int),
    5: ("double", _double),
    6: ("string", lambda raw: raw.decode()),
    7: ("bytes", bytes),
}


def _ident(id: int, fields: Fields) -> syntax.Expr:
    return syntax.Ident(id=id, name=_text(fields, 1))


def _select(id: int, fields: Fields) -> syntax.Expr:
    return syntax.Select(
        id=id,
        operand=_expr(fields[1][0]),
        field=_text(fields, 2),
        test_only=bool(fields.get(3, [0])[0]),
    )


def _call(id: int, fields: Fields) -> syntax.Expr:
    return syntax.Call(
        id=id,
        function=_text(fields, 2),
        target=_expr(fields[1][0]) if 1 in fields else None,
        args=[_expr(arg) for arg in fields.get(3, ())],
    )


def _list(id: int, fields: Fields) -> syntax.Expr:
    optional: set[int] = set()
    for raw in fields.get(2, ()):
        if isinstance(raw, int):
            optional.add(raw)
        else:
            position = 0
            while position < len(raw):
                value, position = _varint(raw, position)
                optional.add(value)
    elements = [_expr(element) for element in fields.get(1, ())]
    return syntax.ListExpr(id=id, elements=elements, optional=frozenset(optional))


def _struct(id: int, fields: Fields) -> syntax.Expr:
    entries: list[syntax.Entry] = []
    for raw in fields.get(2, ()):
        entry = _message(raw)
        own = _signed(entry.get(1, [0])[0])
        key: syntax.Expr = (
            _expr(entry[3][0])
            if 3 in entry
            else syntax.Literal(id=own, kind="string", value=_text(entry, 2))
        )
        entries.append(
            syntax.Entry(
                id=own,
                key=key,
                value=_expr(entry[4][0]),
                optional=bool(entry.get(5, [0])[0]),
            )
        )
    return syntax.MapExpr(id=id, entries=entries, type_name=_text(fields, 1))


def _comprehension(id: int, fields: Fields) -> syntax.Expr:
    return syntax.Comprehension(
        id=id,
        variable=_text(fields, 1),
        variable2=_text(fields, 8),
        iterated=_expr(fields[2][0]),
        accumulator=_text(fields, 3),
        init=_expr(fields[4][0]),
        condition=_expr(fields[5][0]),
        step=_expr(fields[6][0]),
        result=_expr(fields[7][0]),
    )


_BUILDERS: dict[int, Callable[[int, Fields], syntax.Expr]] = {
    3: _literal, 4: _ident, 5: _select, 6: _call, 7: _list, 8: _struct, 9: _comprehension,
}  # fmt: skip


# ---------------------------------------------------------------------- more macros


class _Macros:
    """Expands receiver macros that the parser left as calls."""

    def __init__(self, parsed: Parsed) -> None:
        self.parsed = parsed
        self.next_id = max((expr.id for expr in syntax.walk(parsed.root)), default=0) + 1
        self.place = 0
        self.issues: list[errors.Issue] = []

    def expand_all(self) -> None:
        self.parsed.root = self._expand(self.parsed.root)
        if self.issues:
            raise errors.compile_error(self.parsed.source, self.issues)

    def _expand(self, expr: syntax.Expr) -> syntax.Expr:
        match expr:
            case syntax.Select():
                expr.operand = self._expand(expr.operand)
            case syntax.Call():
                if expr.target is not None:
                    expr.target = self._expand(expr.target)
                expr.args = [self._expand(arg) for arg in expr.args]
                return self._macro(expr)
            case syntax.ListExpr():
                expr.elements = [self._expand(element) for element in expr.elements]
            case syntax.MapExpr():
                for entry in expr.entries:
                    entry.key, entry.value = self._expand(entry.key), self._expand(entry.value)
            case syntax.Comprehension():
                expr.iterated, expr.init = self._expand(expr.iterated), self._expand(expr.init)
                expr.condition, expr.step = self._expand(expr.condition), self._expand(expr.step)
                expr.result = self._expand(expr.result)
            case _:
                pass
        return expr

    def _macro(self, call: syntax.Call) -> syntax.Expr:
        if call.target is None:
            return call
        build = _TWO_VARIABLES.get((call.function, len(call.args)))
        if build is not None:
            self.place = self.parsed.offsets.get(call.id, 0)
            names = self._names(call.args[0], call.args[1])
            return build(self, call, names) if names else call
        if call.function == "sortBy" and len(call.args) == 2:
            self.place = self.parsed.offsets.get(call.id, 0)
            return self._sort_by(call)
        return call

    def _names(self, first: syntax.Expr, second: syntax.Expr) -> tuple[str, str] | None:
        found: list[str] = []
        for arg in (first, second):
            if not isinstance(arg, syntax.Ident):
                self.issues.append(self.parsed.issue(arg.id, "argument must be a simple name"))
                return None
            found.append(arg.name)
        if found[0] == found[1]:
            text = f"duplicate variable name: {found[0]}"
            self.issues.append(self.parsed.issue(second.id, text))
            return None
        return found[0], found[1]

    def fresh(self) -> int:
        """Return a new id at the place of the macro."""
        fresh, self.next_id = self.next_id, self.next_id + 1
        self.parsed.offsets[fresh] = self.place
        return fresh

    def accu(self) -> syntax.Expr:
        return syntax.Ident(id=self.fresh(), name=syntax.ACCUMULATOR)

    def literal(self, kind: str, value: objects.Json) -> syntax.Expr:
        return syntax.Literal(id=self.fresh(), kind=kind, value=value)

    def call(self, function: str, *args: syntax.Expr) -> syntax.Expr:
        return syntax.Call(id=self.fresh(), function=function, args=list(args))

    def fold(
        self,
        call: syntax.Call,
        names: tuple[str, str],
        init: syntax.Expr,
        condition: syntax.Expr,
        step: syntax.Expr,
        result: syntax.Expr | None = None,
    ) -> syntax.Expr:
        assert call.target is not None, "receiver macros have a target"
        return syntax.Comprehension(
            id=self.fresh(),
            iterated=call.target,
            variable=names[0],
            variable2=names[1],
            accumulator=syntax.ACCUMULATOR,
            init=init,
            condition=condition,
            step=step,
            result=result if result is not None else self.accu(),
        )

    def _sort_by(self, call: syntax.Call) -> syntax.Expr:
        """`l.sortBy(e, key)` is `l.@sortByAssociatedKeys(l.map(e, key))`, `l` bound once."""
        variable, key = call.args
        if not isinstance(variable, syntax.Ident):
            text = "argument must be a simple name"
            self.issues.append(self.parsed.issue(variable.id, text))
            return call
        assert call.target is not None, "receiver macros have a target"
        bound = "@__sortBy_input__"
        keys = syntax.Comprehension(
            id=self.fresh(),
            iterated=syntax.Ident(id=self.fresh(), name=bound),
            variable=variable.name,
            variable2="",
            accumulator=syntax.ACCUMULATOR,
            init=syntax.ListExpr(id=self.fresh(), elements=[]),
            condition=self.literal("bool", True),
            step=self.call("_+_", self.accu(), syntax.ListExpr(id=self.fresh(), elements=[key])),
            result=self.accu(),
        )
        result = syntax.Call(
            id=self.fresh(),
            function="@sortByAssociatedKeys",
            target=syntax.Ident(id=self.fresh(), name=bound),
            args=[keys],
        )
        return syntax.Comprehension(
            id=self.fresh(),
            iterated=syntax.ListExpr(id=self.fresh(), elements=[]),
            variable="#unused",
            variable2="",
            accumulator=bound,
            init=call.target,
            condition=self.literal("bool", False),
            step=syntax.Ident(id=self.fresh(), name=bound),
            result=result,
        )


_Builder = Callable[[_Macros, syntax.Call, tuple[str, str]], syntax.Expr]


def _all(macros: _Macros, call: syntax.Call, names: tuple[str, str]) -> syntax.Expr:
    return macros.fold(
        call,
        names,
        macros.literal("bool", True),
        macros.call("@not_strictly_false", macros.accu()),
        macros.call("_&&_", macros.accu(), call.args[2]),
    )


def _exists(macros: _Macros, call: syntax.Call, names: tuple[str, str]) -> syntax.Expr:
    return macros.fold(
        call,
        names,
        macros.literal("bool", False),
        macros.call("@not_strictly_false", macros.call("!_", macros.accu())),
        macros.call("_||_", macros.accu(), call.args[2]),
    )


def _exists_one(macros: _Macros, call: syntax.Call, names: tuple[str, str]) -> syntax.Expr:
    counted = macros.call("_+_", macros.accu(), macros.literal("int", 1))
    return macros.fold(
        call,
        names,
        macros.literal("int", 0),
        macros.literal("bool", True),
        macros.call("_?_:_", call.args[2], counted, macros.accu()),
        macros.call("_==_", macros.accu(), macros.literal("int", 1)),
    )


def _filtered(macros: _Macros, call: syntax.Call, step: syntax.Expr) -> syntax.Expr:
    if len(call.args) == 4:
        return macros.call("_?_:_", call.args[2], step, macros.accu())
    return step


def _transform_list(macros: _Macros, call: syntax.Call, names: tuple[str, str]) -> syntax.Expr:
    made = syntax.ListExpr(id=macros.fresh(), elements=[call.args[-1]])
    step = macros.call("_+_", macros.accu(), made)
    init = syntax.ListExpr(id=macros.fresh(), elements=[])
    condition = macros.literal("bool", True)
    return macros.fold(call, names, init, condition, _filtered(macros, call, step))


def _transform_map(macros: _Macros, call: syntax.Call, names: tuple[str, str]) -> syntax.Expr:
    key = syntax.Ident(id=macros.fresh(), name=names[0])
    step = macros.call("cel.@mapInsert", macros.accu(), key, call.args[-1])
    init = syntax.MapExpr(id=macros.fresh(), entries=[])
    condition = macros.literal("bool", True)
    return macros.fold(call, names, init, condition, _filtered(macros, call, step))


def _transform_entry(macros: _Macros, call: syntax.Call, names: tuple[str, str]) -> syntax.Expr:
    step = macros.call("cel.@mapInsert", macros.accu(), call.args[-1])
    init = syntax.MapExpr(id=macros.fresh(), entries=[])
    condition = macros.literal("bool", True)
    return macros.fold(call, names, init, condition, _filtered(macros, call, step))


_TWO_VARIABLES: dict[tuple[str, int], _Builder] = {
    ("all", 3): _all,
    ("exists", 3): _exists,
    ("existsOne", 3): _exists_one,
    ("exists_one", 3): _exists_one,
    ("transformList", 3): _transform_list,
    ("transformList", 4): _transform_list,
    ("transformMap", 3): _transform_map,
    ("transformMap", 4): _transform_map,
    ("transformMapEntry", 3): _transform_entry,
    ("transformMapEntry", 4): _transform_entry,
}
