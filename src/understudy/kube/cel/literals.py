"""What constants in a checked expression must be: durations, times, patterns, lists of one type.

Source: cel-go 0.26 `cel/validator.go`, with the validators that Kubernetes turns on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from understudy.kube import regexps
from understudy.kube.cel import errors, parsing, syntax, times, types

Types = Mapping[int, types.Type]


def issues(parsed: parsing.Parsed, known: Types) -> Iterator[errors.Issue]:
    """Yield what is wrong with the constants of an expression whose types are right."""
    for expr, in_format in _walk(parsed.root, in_format=False):
        match expr:
            case syntax.Call():
                yield from _argument(parsed, expr)
            case syntax.ListExpr() if not in_format:
                yield from _list(parsed, expr, known)
            case syntax.MapExpr() if not in_format and not expr.type_name:
                yield from _map(parsed, expr, known)


def _walk(expr: syntax.Expr, *, in_format: bool) -> Iterator[tuple[syntax.Expr, bool]]:
    """Yield every node, and whether it is an argument of `format`, which takes all types."""
    yield expr, in_format
    below = in_format or (isinstance(expr, syntax.Call) and expr.function == "format")
    for child in syntax.children(expr):
        yield from _walk(child, in_format=below)


def _argument(parsed: parsing.Parsed, call: syntax.Call) -> Iterator[errors.Issue]:
    if not call.args or not isinstance(call.args[0], syntax.Literal):
        return
    literal = call.args[0]
    wrong = False
    match call.function:
        case "duration" if literal.kind == "string":
            wrong = times.parse_duration(str(literal.value)) is None
        case "timestamp" if literal.kind == "string":
            wrong = times.parse_timestamp(str(literal.value)) is None
        case "timestamp" if literal.kind == "int":
            wrong = not times.in_range(int(literal.value))
        case "matches" if literal.kind == "string":
            wrong = not _is_pattern(str(literal.value))
    if wrong:
        yield parsed.issue(literal.id, f"invalid {call.function} argument")


def _is_pattern(text: str) -> bool:
    try:
        regexps.compile(text)
    except regexps.PatternError:
        return False
    return True


def _list(parsed: parsing.Parsed, expr: syntax.ListExpr, known: Types) -> Iterator[errors.Issue]:
    first: types.Type | None = None
    for position, element in enumerate(expr.elements):
        found = known[element.id]
        if position in expr.optional:
            found = found.params[0]
        first = first or found
        if not types.same(first, found):
            yield _mismatch(parsed, element, first, found)
            return


def _map(parsed: parsing.Parsed, expr: syntax.MapExpr, known: Types) -> Iterator[errors.Issue]:
    keys: types.Type | None = None
    values: types.Type | None = None
    for entry in expr.entries:
        key, value = known[entry.key.id], known[entry.value.id]
        if entry.optional:
            value = value.params[0]
        keys, values = keys or key, values or value
        if not types.same(keys, key):
            yield _mismatch(parsed, entry.key, keys, key)
        if not types.same(values, value):
            yield _mismatch(parsed, entry.value, values, value)


def _mismatch(
    parsed: parsing.Parsed, expr: syntax.Expr, wanted: types.Type, found: types.Type
) -> errors.Issue:
    return parsed.issue(expr.id, f"expected type '{wanted}' but found '{found}'")


def pattern_problem(parsed: parsing.Parsed) -> str:
    """Return what is wrong with the first constant pattern of `find` and `findAll`, if anything.

    Kubernetes finds it when it makes the program, after all types have been checked.
    """
    for expr in syntax.walk(parsed.root):
        if not (isinstance(expr, syntax.Call) and expr.function in {"find", "findAll"}):
            continue
        pattern = expr.args[0] if expr.args else None
        if isinstance(pattern, syntax.Literal) and pattern.kind == "string":
            try:
                regexps.compile(str(pattern.value))
            except regexps.PatternError as error:
                return str(error)
    return ""
