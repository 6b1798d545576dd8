"""JSON text as Go reads it: what is wrong with it, in Go's words, and which keys come twice.

orjson reads every body; this module is asked only when orjson refused one, or when a key may
have come twice. So it is written for the words, not for speed.
"""

from __future__ import annotations

import json
import re

from understudy.kube import goformats, objects

DEPTH_MAX = 10_000
"""Nesting beyond which Go's reader gives up."""

_SPACE = re.compile(r"[ \t\r\n]*")
_PLAIN = re.compile(r'[^"\\\x00-\x1f]*')
_LITERALS = {"t": "true", "f": "false", "n": "null"}
_DIGITS = re.compile(r"[0-9]*")


class _FoundError(Exception):
    """What the scanner stopped at."""


def complaint(body: bytes) -> str:
    """Say in Go's words why a body is not JSON; empty when Go would accept it.

    Example: `{"a": nope}` -> `invalid character 'o' in literal null (expecting 'u')`.
    """
    scanner = _Scanner(body.decode("latin-1"))  # Go complains of bytes, not of letters
    try:
        scanner.document()
    except _FoundError as found:
        return str(found)
    return ""


class _Scanner:
    """Walks a document without building it; mirrors the states of Go's scanner."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def document(self) -> None:
        open_brackets: list[str] = []
        closed = self._value(open_brackets, "looking for beginning of value")
        while open_brackets:
            closed = self._member(open_brackets, first=not closed)
        self._skip()
        if self._at < len(self._text):
            raise self._wrong("after top-level value")

    def _skip(self) -> None:
        match = _SPACE.match(self._text, self._at)
        assert match is not None
        self._at = match.end()

    def _peek(self) -> str:
        """Return the next character that is no space; the end of the text is an error."""
        self._skip()
        if self._at >= len(self._text):
            raise _FoundError("unexpected end of JSON input")
        return self._text[self._at]

    def _wrong(self, context: str) -> _FoundError:
        if self._at >= len(self._text):
            return _FoundError("unexpected end of JSON input")
        return _FoundError(f"invalid character {_quoted(self._text[self._at])} {context}")

    def _value(self, open_brackets: list[str], context: str) -> bool:
        """Read a scalar whole and say True; of an object or a list only read the bracket."""
        first = self._peek()
        if first in "{[":
            open_brackets.append(first)
            if len(open_brackets) > DEPTH_MAX:
                raise _FoundError("exceeded max depth")
            self._at += 1
            return False
        if first == '"':
            self._string()
        elif first in _LITERALS:
            self._literal(_LITERALS[first])
        elif first == "-" or "0" <= first <= "9":
            self._number()
        else:
            raise self._wrong(context)
        return True

    def _member(self, open_brackets: list[str], *, first: bool) -> bool:
        """Read what follows a value or an opening bracket: its end, or the next member."""
        in_object = open_brackets[-1] == "{"
        end = "}" if in_object else "]"
        following = self._peek()
        if following == end:
            self._at += 1
            open_brackets.pop()
            return True
        if not first:
            if following != ",":
                what = "object key:value pair" if in_object else "array element"
                raise self._wrong(f"after {what}")
            self._at += 1
        if in_object:
            if self._peek() != '"':
                raise self._wrong("looking for beginning of object key string")
            self._string()
            if self._peek() != ":":
                raise self._wrong("after object key")
            self._at += 1
        return self._value(open_brackets, "looking for beginning of value")

    def _string(self) -> None:
        self._at += 1
        while True:
            match = _PLAIN.match(self._text, self._at)
            assert match is not None
            self._at = match.end()
            following = self._text[self._at : self._at + 1]
            if following == '"':
                self._at += 1
                return
            if following != "\\":
                raise self._wrong("in string literal")
            self._escape()

    def _escape(self) -> None:
        self._at += 1
        letter = self._text[self._at : self._at + 1]
        if not letter or letter not in '"\\/bfnrtu':
            raise self._wrong("in string escape code")
        self._at += 1
        if letter == "u":
            for _ in range(4):
                digit = self._text[self._at : self._at + 1]
                if not digit or digit not in "0123456789abcdefABCDEF":
                    raise self._wrong("in \\u hexadecimal character escape")
                self._at += 1

    def _literal(self, word: str) -> None:
        for expected in word:
            if self._text[self._at : self._at + 1] != expected:
                raise self._wrong(f"in literal {word} (expecting {_quoted(expected)})")
            self._at += 1

    def _digits(self, context: str) -> None:
        match = _DIGITS.match(self._text, self._at)
        assert match is not None
        if match.end() == self._at:
            raise self._wrong(context)
        self._at = match.end()

    def _number(self) -> None:
        if self._text[self._at] == "-":
            self._at += 1
        if self._text[self._at : self._at + 1] == "0":
            self._at += 1
        else:
            self._digits("in numeric literal")
        if self._text[self._at : self._at + 1] == ".":
            self._at += 1
            self._digits("after decimal point in numeric literal")
        if self._text[self._at : self._at + 1] in {"e", "E"}:
            self._at += 1
            if self._text[self._at : self._at + 1] in {"+", "-"}:
                self._at += 1
            self._digits("in exponent of numeric literal")


def _quoted(character: str) -> str:
    r"""Print one byte as Go does in these errors: `'x'`, `'\\''`, `'\\x01'`."""
    if character == "'":
        return "'\\''"
    return "'" + ('"' if character == '"' else goformats.quoted(character)[1:-1]) + "'"


class Duplicate(str):
    """A complaint about a key that comes twice: `duplicate field "spec.x"`.

    Attributes:
        steps: Where it is, e.g. `("spec", "containers", 0, "name")`.
        places: For every key of the document by path, when it was met; shared by all complaints.
    """

    __slots__ = ("places", "steps")

    steps: tuple[str | int, ...]
    places: dict[str, int]

    @property
    def path(self) -> str:
        """The path as it is printed."""
        return path_of(self.steps)


def path_of(steps: tuple[str | int, ...]) -> str:
    """Print a path: `("spec", "containers", 0, "name")` -> `spec.containers[0].name`."""
    text = ""
    for step in steps:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text


def duplicates(body: bytes) -> list[str]:
    """Return a `Duplicate` for each key that comes twice in its object, in the order met."""
    tree = json.loads(body.decode("utf-8", "replace"), object_pairs_hook=_Pairs)
    found: dict[str, Duplicate] = {}
    _collect(tree, (), found, {})
    return list(found.values())


def loads(body: bytes) -> objects.Json:
    """Read JSON that orjson refuses and Go accepts: bytes that are no UTF-8, lone surrogates.

    What is no text becomes U+FFFD, as in Go.
    """
    text = json.dumps(json.loads(body.decode("utf-8", "replace")), ensure_ascii=False)
    return json.loads(text.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))


class _Pairs(list[tuple[str, objects.Json]]):
    """An object's members in order, duplicates included."""


def _collect(
    value: objects.Json,
    steps: tuple[str | int, ...],
    found: dict[str, Duplicate],
    places: dict[str, int],
) -> None:
    if isinstance(value, _Pairs):
        seen = set()
        for key, item in value:
            inner = (*steps, key)
            path = path_of(inner)
            if key in seen and path not in found:
                complaint = Duplicate(f'duplicate field "{path}"')
                complaint.steps, complaint.places = inner, places
                found[path] = complaint
                # The second of the two is what is complained of, so that is when it was met.
                places[f"duplicate {path}"] = len(places)
            seen.add(key)
            places.setdefault(path, len(places))
            _collect(item, inner, found, places)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _collect(item, (*steps, index), found, places)
