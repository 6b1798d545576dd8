"""Whether a value is what its schema says, and if not, why in Kubernetes' words.

Two passes: `checker` compiles a schema to one fast yes-or-no function; only for values it refuses
does `explain` walk the schema again and collect errors as k8s.io/kube-openapi `validate` does,
down to which failing branch of an anyOf is reported (the one with most matches). With a
`Correlation`, errors of values that an update left as they were are dropped (ratcheting).
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field

from understudy.kapi.resources.crds import correlation, formats, nodes, numbers, paths
from understudy.kube import causes, goformats, objects, statuses

Check = Callable[[objects.Json], bool]
Correlated = correlation.Correlation | None


@dataclass(slots=True)
class Error:
    """One violation: code decides how it becomes a cause, name is its path in the body."""

    code: str
    name: str
    text: str
    value: objects.Json = None
    limit: int = -1
    values: list[objects.Json] = field(default_factory=list)


@dataclass(slots=True)
class Result:
    """Errors without repetition, and how many checks held (chooses among failing branches)."""

    errors: list[Error] = field(default_factory=list)
    matches: int = 0

    def add(self, *errors: Error) -> None:
        """Add errors that are not yet reported in the same words."""
        for error in errors:
            if all(error.text != known.text for known in self.errors):
                self.errors.append(error)

    def merge(self, other: Result) -> None:
        """Add another result's errors and matches."""
        self.add(*other.errors)
        self.matches += other.matches


def causes_of(
    node: nodes.Node, value: objects.Json, path: str = "", correlated: Correlated = None
) -> list[statuses.Cause]:
    """Return why a value is not what `node` says; `path` is where the value stands.

    The texts name places below `path` only: for a status subresource `phase in body must be ...`
    under the field `status.phase`.
    """
    check = checker(node)
    if check(value):
        return []
    return [_cause(error, path) for error in explain(node, value, "", correlated).errors]


def _cause(error: Error, path: str) -> statuses.Cause:
    place = path
    if error.name and error.name != ".":
        place = paths.child(path, error.name.removeprefix("."))
    place = place or paths.ROOT
    match error.code:
        case "required":
            return causes.required(place)
        case "enum":
            known = [v if isinstance(v, str) else json.dumps(v) for v in error.values]
            return causes.unsupported(place, error.value, known)
        case "tooLong":
            return causes.too_long(place, error.limit)
        case "tooMany":
            return causes.too_many(place, error.value, error.limit)
        case "type":
            shown = "" if error.value is None else error.value
            return statuses.Cause(
                place,
                "FieldValueTypeInvalid",
                f"Invalid value: {causes.printed(shown)}: {error.text}",
            )
        case "plain":
            return causes.invalid(path or paths.ROOT, "", error.text)
        case _:
            return causes.invalid(place, "" if error.value is None else error.value, error.text)


# ---------------------------------------------------------------------- slow, with reasons


def explain(
    node: nodes.Node, value: objects.Json, path: str, correlated: Correlated = None
) -> Result:
    """Collect every violation of `node` by `value`, minus those of unchanged values."""
    result = _explain(node, value, path, correlated)
    if result.errors and correlated is not None and correlated.unchanged():
        return Result(matches=result.matches)
    return result


def _explain(node: nodes.Node, value: objects.Json, path: str, correlated: Correlated) -> Result:
    result = Result()
    if value is None:
        result.merge(_type(node, value, path))
        result.merge(_enum(node, value, path))
        return result
    if node.types or node.format:
        result.merge(_type(node, value, path))
        result.matches += 1
    result.merge(_combinators(node, value, path, correlated))
    result.matches += 1
    if isinstance(value, str):
        _string(node, value, path, result)
    elif isinstance(value, bool):
        pass
    elif isinstance(value, (int, float)):
        result.merge(_number(node, value, path))
        result.matches += 1
    elif isinstance(value, list):
        result.merge(_list(node, value, path, correlated))
        result.matches += 1
    result.merge(_enum(node, value, path))
    result.matches += 1
    if isinstance(value, dict):
        result.merge(_object(node, value, path, correlated))
        result.matches += 1
    result.matches += 1
    return result


def _type(node: nodes.Node, value: objects.Json, path: str) -> Result:
    wanted = ",".join(node.types)
    if value is None:
        if node.types and not node.nullable:
            return Result([_type_error(path, wanted, "null")])
        return Result(matches=1)
    said, shape = _type_of(value)
    whole = said == "number" and float(value).is_integer() and "integer" in node.types
    widened = said == "integer" and "number" in node.types
    text_like = isinstance(value, (str, list))
    if not text_like and node.format:
        fits = said in node.types or shape == node.format or whole or widened
        if not fits:
            return Result([_type_error(path, node.format, shape)])
    numeric = "number" in node.types or "integer" in node.types
    if not numeric and node.format and text_like:
        return Result(matches=1)
    if not (said in node.types or whole or widened):
        return Result([_type_error(path, wanted, said)])
    return Result(matches=1)


def _type_error(path: str, wanted: str, got: str) -> Error:
    return Error("type", path, f'{path} in body must be of type {wanted}: "{got}"', got)


def _type_of(value: objects.Json) -> tuple[str, str]:
    if isinstance(value, bool):
        return "boolean", ""
    if isinstance(value, str):
        return "string", ""
    if isinstance(value, int):
        return "integer", "int64"
    if isinstance(value, float):
        return "number", "float64"
    return ("array", "") if isinstance(value, list) else ("object", "")


def _enum(node: nodes.Node, value: objects.Json, path: str) -> Result:
    known = node.bounds.get("enum")
    if not known or (value is not None and any(_equal(value, item) for item in known)):
        return Result()
    text = f"{path} in body should be one of {known}"
    return Result([Error("enum", path, text, value, values=known)])


def _equal(left: objects.Json, right: objects.Json) -> bool:
    if isinstance(left, bool) != isinstance(right, bool):
        return False
    return bool(left == right)


def _string(node: nodes.Node, value: str, path: str, result: Result) -> None:
    bounds = node.bounds
    longest, shortest = bounds.get("maxLength"), bounds.get("minLength")
    if longest is not None and len(value) > longest:
        text = f"{path} in body should be at most {longest} chars long"
        result.add(Error("tooLong", path, text, value, longest))
    elif shortest is not None and len(value) < shortest:
        text = f"{path} in body should be at least {shortest} chars long"
        result.add(Error("tooShort", path, text, value))
    elif node.pattern is not None and not node.pattern(value):
        text = f"{path} in body should match '{node.raw['pattern']}'"
        result.add(Error("pattern", path, text, value))
    result.matches += 1
    if node.format and (check := formats.CHECKS.get(formats.normalized(node.format))):
        if not check(value):
            text = f"{path} in body must be of type {node.format}: {causes.quoted(value)}"
            result.add(Error("type", path, text, value))
        result.matches += 1


def _number(node: nodes.Node, value: float, path: str) -> Result:
    result = Result(matches=1)
    bounds = node.bounds
    ranged = numbers.out_of_range(node, value)
    if ranged:
        result.add(Error("plain", "", f"Checked value must be of type {ranged} in {path}"))
    factor = bounds.get("multipleOf")
    if factor is not None:
        _multiple(path, value, factor, result)
    low, high = bounds.get("minimum"), bounds.get("maximum")
    if low is not None:
        exclusive = bool(bounds.get("exclusiveMinimum"))
        limit = numbers.native(value, low)
        if value < limit or (exclusive and value <= limit):
            words = "greater than" if exclusive else "greater than or equal to"
            text = f"{path} in body should be {words} {goformats.plain(limit)}"
            result.add(Error("minimum", path, text, value))
    if high is not None:
        exclusive = bool(bounds.get("exclusiveMaximum"))
        limit = numbers.native(value, high)
        if value > limit or (exclusive and value >= limit):
            words = "less than" if exclusive else "less than or equal to"
            text = f"{path} in body should be {words} {goformats.plain(limit)}"
            result.add(Error("maximum", path, text, value))
    return result


def _multiple(path: str, value: float, factor: float, result: Result) -> None:
    factor = numbers.native(value, factor)
    if factor <= 0:
        text = f"factor MultipleOf declared for {path} must be positive: {goformats.plain(factor)}"
        result.add(Error("multipleOf", path, text, factor))
    elif not numbers.is_multiple(value, factor):
        text = f"{path} in body should be a multiple of {goformats.plain(factor)}"
        result.add(Error("multipleOf", path, text, value))


def _list(node: nodes.Node, value: list[objects.Json], path: str, correlated: Correlated) -> Result:
    result = Result(matches=1)
    if node.items is not None:
        for position, item in enumerate(value):
            below = correlated.index(position) if correlated is not None else None
            result.merge(explain(node.items, item, paths.index(path, position), below))
    fewest, most = node.bounds.get("minItems"), node.bounds.get("maxItems")
    if fewest is not None and len(value) < fewest:
        text = f"{path} in body should have at least {fewest} items"
        result.add(Error("minItems", path, text, len(value)))
    if most is not None and len(value) > most:
        text = f"{path} in body should have at most {most} items"
        result.add(Error("tooMany", path, text, len(value), most))
    if node.bounds.get("uniqueItems") and _has_duplicates(value):
        result.add(Error("unique", path, f"{path} in body shouldn't contain duplicates"))
    return result


def _has_duplicates(value: list[objects.Json]) -> bool:
    seen = [json.dumps(item, sort_keys=True) for item in value]
    return len(set(seen)) != len(seen)


def _object(node: nodes.Node, value: objects.Object, path: str, correlated: Correlated) -> Result:
    result = Result()
    fewest, most = node.bounds.get("minProperties"), node.bounds.get("maxProperties")
    if fewest is not None and len(value) < fewest:
        text = f"{path} in body should have at least {fewest} properties"
        result.add(Error("minProperties", path, text, len(value)))
    if most is not None and len(value) > most:
        text = f"{path} in body should have at most {most} properties"
        result.add(Error("tooMany", path, text, len(value), most))
    for name, item in value.items():
        sub = node.properties.get(name)
        if sub is not None:
            result.merge(explain(sub, item, paths.child(path, name), _key(correlated, name, path)))
        elif node.forbids_additional:
            text = f"{path}.{name} in body is a forbidden property"
            result.add(Error("forbidden", path, text, name))
        elif node.additional is not None:
            below = _key(correlated, name, path)
            result.merge(explain(node.additional, item, f"{path}.{name}", below))
    for name in node.required:
        if name not in value:
            place = f"{path}.{name}"
            result.add(Error("required", place, f"{place} in body is required"))
    return result


def _key(correlated: Correlated, name: str, path: str) -> Correlated:
    if correlated is None or (not path and name in {"kind", "apiVersion"}):
        return None
    return correlated.key(name)


def _combinators(
    node: nodes.Node, value: objects.Json, path: str, correlated: Correlated
) -> Result:
    """Check anyOf, oneOf, allOf and not; of failing branches the best matching one is told."""
    main = Result()
    quoted = causes.quoted(path)
    if node.any_of:
        best, valid = _branches(node.any_of, value, path, correlated, stop=True)
        if not valid:
            main.add(Error("plain", "", f"{quoted} must validate at least one schema (anyOf)"))
        main.merge(best)
    if node.one_of:
        best, valid = _branches(node.one_of, value, path, correlated, stop=False)
        if valid == 1:
            main.merge(best)
        else:
            found = "Found none valid" if not valid else f"Found {valid} valid alternatives"
            text = f"{quoted} must validate one and only one schema (oneOf). {found}"
            main.add(Error("plain", "", text))
            if not valid:
                main.merge(best)
    if node.all_of:
        held = 0
        for branch in node.all_of:
            result = _explain(branch, value, path, correlated)
            held += not result.errors
            main.merge(result)
        if held != len(node.all_of):
            suffix = "" if held else ". None validated"
            main.add(Error("plain", "", f"{quoted} must validate all the schemas (allOf){suffix}"))
    if node.negated is not None and not _explain(node.negated, value, path, correlated).errors:
        main.add(Error("plain", "", f"{quoted} must not validate the schema (not)"))
    main.matches += 1
    return main


def _branches(
    branches: tuple[nodes.Node, ...],
    value: objects.Json,
    path: str,
    correlated: Correlated,
    *,
    stop: bool,
) -> tuple[Result, int]:
    """Return the first success or the best failure, and how many branches held."""
    best: Result | None = None
    success: Result | None = None
    valid = 0
    for branch in branches:
        result = _explain(branch, value, path, correlated)
        if not result.errors:
            valid += 1
            success = success or result
            if stop:
                break
        elif best is None or result.matches > best.matches:
            best = result
    return success or best or Result(), valid


# ---------------------------------------------------------------------- fast, without


def checker(node: nodes.Node) -> Check:
    """Return the function that says whether a value is valid; compiled once per node."""
    if node.check is None:
        node.check = _compile(node)
    return node.check


def _compile(node: nodes.Node) -> Check:
    only = nodes.python_type(node)
    if only is not None and not node.nullable:
        return lambda value: type(value) is only or _slow(node, value)
    if not _has_logic(node):
        if node.types == ("object",) and not _has_object_bounds(node):
            return _compile_object(node)
        if node.types == ("array",) and not node.format:
            return _compile_list(node)
        if node.types == ("string",):
            return _compile_string(node)
        if node.types == ("integer",):
            return _compile_integer(node)
    return lambda value: _slow(node, value)


def _has_logic(node: nodes.Node) -> bool:
    return bool(
        node.all_of or node.any_of or node.one_of or node.negated or node.bounds.get("enum")
    )


def _has_object_bounds(node: nodes.Node) -> bool:
    words = ("minProperties", "maxProperties")
    return node.forbids_additional or any(word in node.bounds for word in words)


def _slow(node: nodes.Node, value: objects.Json) -> bool:
    return not _explain(node, value, "x", None).errors


def _compile_string(node: nodes.Node) -> Check:
    fewest, most = node.bounds.get("minLength", 0), node.bounds.get("maxLength", math.inf)
    pattern = node.pattern
    shape = formats.CHECKS.get(formats.normalized(node.format)) if node.format else None

    def check(value: objects.Json) -> bool:
        if type(value) is not str:
            return _slow(node, value)
        if not fewest <= len(value) <= most:
            return False
        if pattern is not None and not pattern(value):
            return False
        return shape is None or shape(value)

    return check


def _compile_integer(node: nodes.Node) -> Check:
    bounds = node.bounds
    low, high = (-(2**31), 2**31 - 1) if node.format == "int32" else (-(2**63), 2**63 - 1)
    if "minimum" in bounds:
        least = int(numbers.native(0, bounds["minimum"]))
        low = max(low, least + bool(bounds.get("exclusiveMinimum")))
    if "maximum" in bounds:
        most = int(numbers.native(0, bounds["maximum"]))
        high = min(high, most - bool(bounds.get("exclusiveMaximum")))
    factor = bounds.get("multipleOf")

    def check(value: objects.Json) -> bool:
        # What does not fit at once is looked at again, with reasons.
        fits = type(value) is int and low <= value <= high and factor is None
        return fits or _slow(node, value)

    return check


def _compile_object(node: nodes.Node) -> Check:
    simple: dict[str, type] = {}
    nested: dict[str, Check] = {}
    for name, sub in node.properties.items():
        only = nodes.python_type(sub)
        if only is not None and not sub.nullable:
            simple[name] = only
        else:
            nested[name] = checker(sub)
    required = frozenset(node.required)
    additional = checker(node.additional) if node.additional is not None else None
    others = {name: checker(node.properties[name]) for name in simple}
    nullable = node.nullable

    def check(value: objects.Json) -> bool:
        if type(value) is not dict:
            return value is None and nullable
        if required and not required <= value.keys():
            return False
        for name, item in value.items():
            only = simple.get(name)
            if only is not None:
                if type(item) is not only and not others[name](item):
                    return False
                continue
            below = nested.get(name, additional)
            if below is not None and not below(item):
                return False
        return True

    return check


def _compile_list(node: nodes.Node) -> Check:
    item_check = checker(node.items) if node.items is not None else None
    fewest, most = node.bounds.get("minItems", 0), node.bounds.get("maxItems", math.inf)
    unique, nullable = bool(node.bounds.get("uniqueItems")), node.nullable

    def check(value: objects.Json) -> bool:
        if type(value) is not list:
            return value is None and nullable
        if not fewest <= len(value) <= most:
            return False
        if unique and _has_duplicates(value):
            return False
        return item_check is None or all(map(item_check, value))

    return check
