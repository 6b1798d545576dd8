"""Label and field selectors: parsed from query strings or from `v1.LabelSelector` objects.

    labels:  a=b  a==b  a!=b  a in (b,c)  a notin (b)  a  !a  a>5  a<5      joined by commas
    fields:  metadata.name=a  status.phase!=Running                          joined by commas

Errors are BadRequestError in the words of k8s.io/apimachinery 0.36 (`labels`, `fields`).
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from understudy.kube import causes, names, objects, statuses

IN: Final = "in"
NOT_IN: Final = "notin"
EXISTS: Final = "exists"
DOES_NOT_EXIST: Final = "!"
GREATER: Final = "gt"
LESS: Final = "lt"

_OBJECT_OPERATORS = {"In": IN, "NotIn": NOT_IN, "Exists": EXISTS, "DoesNotExist": DOES_NOT_EXIST}


@dataclass(frozen=True, slots=True)
class LabelRequirement:
    """One condition on one label; `=` is `in` with one value.

    `set_based` only remembers that it was written `a in (b)` rather than `a=b`.
    """

    key: str
    operator: str
    values: tuple[str, ...] = ()
    set_based: bool = False

    def __str__(self) -> str:
        """Return the query string notation, e.g. `tier in (b,c)`."""
        match self.operator:
            case "in" | "notin" if self.set_based or len(self.values) != 1:
                return f"{self.key} {self.operator} ({','.join(sorted(self.values))})"
            case "in" | "notin":
                sign = "=" if self.operator == IN else "!="
                return f"{self.key}{sign}{self.values[0]}"
            case "exists":
                return self.key
            case "!":
                return f"!{self.key}"
            case _:
                return f"{self.key}{'>' if self.operator == GREATER else '<'}{self.values[0]}"

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Say whether a set of labels meets the condition."""
        value = labels.get(self.key)
        match self.operator:
            case "in":
                return value is not None and value in self.values
            case "notin":
                return value is None or value not in self.values
            case "exists":
                return value is not None
            case "!":
                return value is None
            case _:
                number = None if value is None else _integer(value)
                if number is None:
                    return False
                bound = int(self.values[0])
                return number > bound if self.operator == GREATER else number < bound


@dataclass(frozen=True, slots=True)
class LabelSelector:
    """Conditions that must all hold; without any it matches everything, unless `nothing`."""

    requirements: tuple[LabelRequirement, ...] = ()
    nothing: bool = False

    @property
    def empty(self) -> bool:
        """True when everything matches."""
        return not self.requirements and not self.nothing

    def __str__(self) -> str:
        """Return the query string notation, sorted by key: `app=a,tier in (b,c),!old`."""
        ordered = sorted(self.requirements, key=lambda one: one.key)
        return ",".join(str(requirement) for requirement in ordered)

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Say whether a set of labels meets every condition."""
        return not self.nothing and all(one.matches(labels) for one in self.requirements)


EVERYTHING = LabelSelector()
NOTHING = LabelSelector(nothing=True)


@dataclass(frozen=True, slots=True)
class FieldRequirement:
    """One condition on one field: equal, or not equal, to a value."""

    field: str
    operator: str
    value: str

    @property
    def equal(self) -> bool:
        """True for `=` and `==`, False for `!=`."""
        return self.operator != "!="


@dataclass(frozen=True, slots=True)
class FieldSelector:
    """Conditions on fields that must all hold; an absent field counts as empty."""

    requirements: tuple[FieldRequirement, ...] = ()

    @property
    def empty(self) -> bool:
        """True when everything matches."""
        return not self.requirements

    def matches(self, fields: Mapping[str, str]) -> bool:
        """Say whether an object's selectable fields meet every condition."""
        for requirement in self.requirements:
            if (fields.get(requirement.field, "") == requirement.value) is not requirement.equal:
                return False
        return True

    def check(
        self,
        selectable: Sequence[str],
        *,
        custom: bool = False,
        refusal: str = "field label not supported: {}",
    ) -> None:
        """Raise BadRequestError unless every field may be selected by.

        `metadata.name` and `metadata.namespace` always may. Kinds with selectable fields of their
        own, and custom resources, say `refusal` of the field; others name the two.
        """
        for requirement in self.requirements:
            field = requirement.field
            if field in selectable or field in {"metadata.name", "metadata.namespace"}:
                continue
            if selectable or custom:
                raise statuses.BadRequestError(refusal.format(field))
            raise statuses.BadRequestError(
                f'{causes.quoted(field)} is not a known field selector: only "metadata.name",'
                ' "metadata.namespace"'
            )

    def exact(self, field: str) -> str | None:
        """Return the value that a field must have, or None where it is not fixed."""
        for requirement in self.requirements:
            if requirement.equal and requirement.field == field:
                return requirement.value
        return None


def parse_labels(text: str) -> LabelSelector:
    """Parse a `labelSelector` parameter; raise BadRequestError in Kubernetes' words."""
    if not text:
        return EVERYTHING
    requirements = _LabelParser(text).parse()
    return LabelSelector(tuple(sorted(requirements, key=lambda one: one.key)))


def from_label_selector(selector: objects.Object | None) -> LabelSelector:
    """Build a selector from a `v1.LabelSelector` object: None matches nothing, `{}` everything.

    Example: `{"matchLabels": {"app": "a"}, "matchExpressions": [{"key": "b", "operator": "In",
    "values": ["c"]}]}`. An unknown operator raises BadRequestError; objects that passed validation
    never do.
    """
    if selector is None:
        return NOTHING
    plain = _exactly(tuple((selector.get("matchLabels") or {}).items()))
    expressions = selector.get("matchExpressions")
    if not expressions:
        return plain
    requirements = list(plain.requirements)
    for expression in expressions:
        operator = _OBJECT_OPERATORS.get(expression.get("operator") or "")
        if operator is None:
            shown = causes.quoted(str(expression.get("operator") or ""))
            raise statuses.BadRequestError(f"{shown} is not a valid label selector operator")
        values = tuple(expression.get("values") or ())
        key, set_based = expression.get("key") or "", operator in {IN, NOT_IN}
        requirements.append(LabelRequirement(key, operator, values, set_based))
    return LabelSelector(tuple(requirements))


def from_labels(labels: Mapping[str, str] | None) -> LabelSelector:
    """Build a selector from a plain map (Service, ReplicationController); empty matches nothing."""
    if not labels:
        return NOTHING
    return _exactly(tuple(labels.items()))


@functools.lru_cache(maxsize=1024)
def _exactly(labels: tuple[tuple[str, str], ...]) -> LabelSelector:
    """Build the selector of these labels; workloads ask for theirs at each look at their pods."""
    return LabelSelector(tuple(LabelRequirement(key, IN, (value,)) for key, value in labels))


def format_labels(selector: objects.Object | None) -> str:
    """Return a `v1.LabelSelector` in the notation of the query string: `app=a,tier in (b,c)`."""
    return str(from_label_selector(selector))


def parse_fields(text: str) -> FieldSelector:
    """Parse a `fieldSelector` parameter; raise BadRequestError in Kubernetes' words."""
    requirements: list[FieldRequirement] = []
    for term in sorted(_split_terms(text)):
        if not term:
            continue
        for index in range(len(term)):
            operator = next((op for op in ("!=", "==", "=") if term.startswith(op, index)), None)
            if operator:
                value = _unescape(term[index + len(operator) :])
                operator = "!=" if operator == "!=" else "="
                requirements.append(FieldRequirement(term[:index], operator, value))
                break
        else:
            raise statuses.BadRequestError(f"invalid selector: '{text}'; can't understand '{term}'")
    return FieldSelector(tuple(requirements))


def validate_label_selector(selector: objects.Object | None, field: str) -> list[statuses.Cause]:
    """Return every complaint about a `v1.LabelSelector` inside an object."""
    if not selector:
        return []
    out = names.validate_labels(selector.get("matchLabels") or {}, f"{field}.matchLabels")
    for index, expression in enumerate(selector.get("matchExpressions") or ()):
        out += validate_expression(expression, f"{field}.matchExpressions[{index}]")
    return out


def shown(selector: objects.Object | None) -> objects.Object | None:
    """Return a `v1.LabelSelector` with its fields in the order in which Go prints them."""
    if selector is None:
        return None
    out: objects.Object = {}
    if labels := selector.get("matchLabels"):
        out["matchLabels"] = dict(sorted(labels.items()))
    if expressions := selector.get("matchExpressions"):
        keys = ("key", "operator", "values")
        out["matchExpressions"] = [
            {key: one[key] for key in keys if key in one} for one in expressions
        ]
    return out


def checked_label_selector(selector: objects.Object | None) -> LabelSelector | None:
    """Build a selector as `from_label_selector` does, or return None if something is wrong."""
    return None if validate_label_selector(selector, "") else from_label_selector(selector)


def validate_expression(
    expression: objects.Object, field: str, *, any_operator: bool = False
) -> list[statuses.Cause]:
    """Return every complaint about one `v1.LabelSelectorRequirement`."""
    out = validate_values(expression, field, any_operator=any_operator)
    key = expression.get("key") or ""
    out += causes.complaints(f"{field}.key", key, names.label_key(key))
    for index, value in enumerate(expression.get("values") or ()):
        out += causes.complaints(f"{field}.values[{index}]", value, names.label_value(value))
    return out


def validate_values(
    expression: objects.Object, field: str, *, any_operator: bool = False
) -> list[statuses.Cause]:
    """Return every complaint about the number of values that an operator is given.

    An operator that is unknown is one, too, unless `any_operator`.
    """
    values = expression.get("values") or ()
    match expression.get("operator") or "":
        case "In" | "NotIn":
            if not values:
                text = "must be specified when `operator` is 'In' or 'NotIn'"
                return [causes.required(f"{field}.values", text)]
        case "Exists" | "DoesNotExist":
            if values:
                text = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
                return [causes.forbidden(f"{field}.values", text)]
        case operator:
            if not any_operator:
                text = "not a valid selector operator"
                return [causes.invalid(f"{field}.operator", operator, text)]
    return []


def _integer(text: str) -> int | None:
    """Return a decimal 64-bit integer as Go's ParseInt reads it, or None."""
    digits = text[1:] if text[:1] in {"+", "-"} else text
    if not digits.isascii() or not digits.isdigit():
        return None
    number = int(text)
    return number if -(2**63) <= number < 2**63 else None


def _split_terms(text: str) -> list[str]:
    """Split at commas that no backslash precedes; the backslashes stay."""
    terms, start, escaped = [], 0, False
    for index, char in enumerate(text):
        if escaped:
            escaped = False
        elif char == "\\":
            escaped = True
        elif char == ",":
            terms.append(text[start:index])
            start = index + 1
    return [*terms, text[start:]]


def _unescape(value: str) -> str:
    r"""Undo `\\`, `\,` and `\=`."""
    if not any(char in value for char in "\\,="):
        return value
    out: list[str] = []
    chars = iter(value)
    for char in chars:
        if char == "\\":
            following = next(chars, "")
            if following not in {"\\", ",", "="}:
                raise statuses.BadRequestError(
                    f"invalid field selector: invalid escape sequence: \\{following}"
                )
            out.append(following)
        elif char in ",=":
            raise statuses.BadRequestError(
                f"invalid field selector: unescaped character in value: {ord(char)}"
            )
        else:
            out.append(char)
    return "".join(out)


_SYMBOLS = frozenset("=!(),><")
_SPACES = frozenset(" \t\r\n")
_KEYWORDS = frozenset({")", ",", "!", "==", "=", ">", "in", "<", "!=", "notin", "("})
_OPERATORS = {"in": IN, "=": IN, "==": IN, ">": GREATER, "<": LESS, "notin": NOT_IN, "!=": NOT_IN}
_END, _NAME, _ERROR = "end", "name", "error"


def _tokens(text: str) -> list[tuple[str, str]]:
    """Split into (kind, literal); the kind of a symbol or keyword is itself."""
    out: list[tuple[str, str]] = []
    position, length = 0, len(text)
    while True:
        while position < length and text[position] in _SPACES:
            position += 1
        if position >= length:
            return [*out, (_END, "")]
        start = position
        if text[position] in _SYMBOLS:
            found = ""
            while position < length and text[position] in _SYMBOLS:
                longer = text[start : position + 1]
                if longer in _KEYWORDS:
                    found = longer
                elif found:
                    break
                position += 1
            out.append((found, found) if found else (_ERROR, ""))
        else:
            while position < length and text[position] not in _SYMBOLS | _SPACES:
                position += 1
            literal = text[start:position]
            out.append((literal if literal in _KEYWORDS else _NAME, literal))


class _LabelParser:
    """Recursive descent over the tokens, error for error as Go's `labels.Parser`."""

    __slots__ = ("_position", "_tokens")

    def __init__(self, text: str) -> None:
        self._tokens = _tokens(text)
        self._position = 0

    def parse(self) -> list[LabelRequirement]:
        requirements: list[LabelRequirement] = []
        while True:
            kind, literal = self._peek()
            if kind == _END:
                return requirements
            if kind not in {_NAME, "!"}:
                raise _bad(f"found '{literal}', expected: !, identifier, or 'end of string'")
            requirements.append(self._requirement())
            kind, literal = self._take()
            if kind == _END:
                return requirements
            if kind != ",":
                raise _bad(f"found '{literal}', expected: ',' or 'end of string'")
            kind, literal = self._peek()
            if kind not in {_NAME, "!"}:
                raise _bad(f"found '{literal}', expected: identifier after ','")

    def _peek(self) -> tuple[str, str]:
        """Return the next token; where values may stand, `in` and `notin` are names."""
        kind, literal = self._tokens[min(self._position, len(self._tokens) - 1)]
        return (_NAME if kind in {"in", "notin"} else kind, literal)

    def _take(self) -> tuple[str, str]:
        token = self._peek()
        self._position += 1
        return token

    def _requirement(self) -> LabelRequirement:
        kind, key = self._take()
        operator = ""
        if kind == "!":
            operator = DOES_NOT_EXIST
            kind, key = self._take()
        if kind != _NAME:
            raise _bad_requirement(f"found '{key}', expected: identifier")
        if complaints := names.label_key(key):
            why = "; ".join(complaints)
            raise _bad_requirement(f"<nil>: Invalid value: {causes.quoted(key)}: {why}")
        if self._peek()[0] in {_END, ","} and not operator:
            operator = EXISTS
        if operator:
            return LabelRequirement(key, operator)
        word = self._tokens[min(self._position, len(self._tokens) - 1)][0]
        literal = self._take()[1]
        if word not in _OPERATORS:
            expected = "in, notin, =, ==, !=, gt, lt"
            raise _bad_requirement(f"found '{literal}', expected: {expected}")
        operator = _OPERATORS[word]
        values = self._values() if word in {"in", "notin"} else self._exact_value()
        return _checked(key, operator, sorted(values), set_based=word in {"in", "notin"})

    def _values(self) -> set[str]:
        kind, literal = self._take()
        if kind != "(":
            raise _bad_requirement(f"found '{literal}' expected: '('")
        kind, literal = self._peek()
        if kind == ")":
            self._take()
            return {""}
        if kind not in {_NAME, ","}:
            raise _bad_requirement(f"found '{literal}', expected: ',', ')' or identifier")
        values = self._list()
        if self._take()[0] != ")":
            raise _bad_requirement(f"found '{literal}', expected: ')'")
        return values

    def _list(self) -> set[str]:
        values: set[str] = set()
        while True:
            kind, literal = self._take()
            following, following_literal = self._peek()
            if kind == _NAME:
                values.add(literal)
                if following == ")":
                    return values
                if following != ",":
                    raise _bad_requirement(f"found '{following_literal}', expected: ',' or ')'")
            elif kind == ",":
                if not values or following in {")", ","}:
                    values.add("")
                if following == ")":
                    return values
            else:
                raise _bad_requirement(f"found '{literal}', expected: ',', or identifier")

    def _exact_value(self) -> set[str]:
        if self._peek()[0] in {_END, ","}:
            return {""}
        kind, literal = self._take()
        if kind != _NAME:
            raise _bad_requirement(f"found '{literal}', expected: identifier")
        return {literal}


def _checked(
    key: str, operator: str, values: Iterable[str], *, set_based: bool
) -> LabelRequirement:
    """Return the requirement, or raise for values that its operator cannot have."""
    errors: list[str] = []
    values = tuple(values)
    for index, value in enumerate(values):
        if operator in {GREATER, LESS} and _integer(value) is None:
            text = "for 'Gt', 'Lt' operators, the value must be an integer"
            errors.append(f"values[{index}]: Invalid value: {causes.quoted(value)}: {text}")
    for index, value in enumerate(values):
        if complaints := names.label_value(value):
            text = "; ".join(complaints)
            where = f"values[{index}][{key}]"
            errors.append(f"{where}: Invalid value: {causes.quoted(value)}: {text}")
    if errors:
        raise _bad_requirement(errors[0] if len(errors) == 1 else f"[{', '.join(errors)}]")
    return LabelRequirement(key, operator, values, set_based)


def _bad(text: str) -> statuses.BadRequestError:
    return statuses.BadRequestError(text)


def _bad_requirement(text: str) -> statuses.BadRequestError:
    return statuses.BadRequestError(f"unable to parse requirement: {text}")
