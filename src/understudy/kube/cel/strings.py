"""String functions beyond the standard ones, and `format`. Overload id -> function."""

from __future__ import annotations

import math
import re
from collections.abc import Callable

from understudy.kube import objects, regexps
from understudy.kube.cel import standard, times, values

_PRECISION = 6
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_CLAUSE = re.compile(r"%(?:(%)|(?:\.(\d+))?(.))", re.DOTALL)
_SPACES = "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009"
_SPACES += "\u200a\u2028\u2029\u202f\u205f\u3000"
_QUOTES = {"\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t",
           "\v": "\\v", "\\": "\\\\", '"': '\\"'}  # fmt: skip


def _out_of_range(position: int) -> Exception:
    return standard.fail(f"index out of range: {position}")


def _char_at(text: str, position: int) -> str:
    if not 0 <= position <= len(text):
        raise _out_of_range(position)
    return text[position : position + 1]


def _index_of(text: str, part: str, start: int = 0) -> int:
    if not part:
        return start
    if start < 0:
        raise _out_of_range(start)
    return text.find(part, start) if start < len(text) else -1


def _last_index_of(text: str, part: str) -> int:
    return text.rfind(part) if part else len(text)


def _last_index_from(text: str, part: str, start: int) -> int:
    if not part:
        return start
    if start < 0:
        raise _out_of_range(start)
    if start >= len(text):
        return -1
    return text.rfind(part, 0, start + len(part))


def _split(text: str, separator: str, limit: int = -1) -> list[str]:
    if limit == 0:
        return []
    if not separator:
        parts = list(text)
        if 0 < limit < len(parts):
            parts = [*parts[: limit - 1], "".join(parts[limit - 1 :])]
        return parts
    return text.split(separator, limit - 1 if limit > 0 else -1)


def _substring(text: str, start: int) -> str:
    if not 0 <= start <= len(text):
        raise _out_of_range(start)
    return text[start:]


def _substring_range(text: str, start: int, end: int) -> str:
    if start > end:
        raise standard.fail(f"invalid substring range. start: {start}, end: {end}")
    for position in (start, end):
        if not 0 <= position <= len(text):
            raise _out_of_range(position)
    return text[start:end]


def _ascii(change: Callable[[str], str]) -> Callable[[str], str]:
    def convert(text: str) -> str:
        if text.isascii():
            return change(text)
        return "".join(change(char) if char.isascii() else char for char in text)

    return convert


def _join(items: list[objects.Json], separator: str = "") -> str:
    for item in items:
        if not isinstance(item, str):
            raise standard.fail(f"join: invalid input: {item}")
    return separator.join(items)


def quote(text: str) -> str:
    """Return a string between double quotes, its control characters escaped."""
    return '"' + "".join(_QUOTES.get(char, char) for char in text) + '"'


def _regex(pattern: str) -> objects.Json:
    try:
        return regexps.compile(pattern)
    except regexps.PatternError as error:
        raise standard.fail(f"Illegal regex: {error}") from None


def _find(text: str, pattern: str) -> str:
    found = _regex(pattern).search(text)
    return str(found[0]) if found else ""


def _find_all(text: str, pattern: str, limit: int = -1) -> list[str]:
    if limit == 0:
        return []
    out: list[str] = []
    for found in _regex(pattern).finditer(text):
        out.append(found[0])
        if len(out) == limit:
            break
    return out


# ---------------------------------------------------------------------- format


def format_text(template: str, args: list[objects.Json]) -> str:
    """Fill `%s`, `%d`, `%f`, `%.2e`, `%x`, `%X`, `%o`, `%b` and `%%` into a template."""
    used = 0

    def replace(found: re.Match[str]) -> str:
        nonlocal used
        if found[1]:
            return "%"
        if used >= len(args):
            raise standard.fail(f"index {used} out of range")
        arg = args[used]
        used += 1
        precision = int(found[2]) if found[2] else _PRECISION
        return _clause(found[3], arg, precision)

    if re.search(r"(?<!%)(?:%%)*%\Z", template):
        raise standard.fail("unexpected end of string")
    return _CLAUSE.sub(replace, template)


def _clause(letter: str, arg: objects.Json, precision: int) -> str:
    kind = values.type_name(arg)
    match letter:
        case "s":
            return text_of(arg)
        case "d" if kind in {"int", "uint"}:
            return str(int(arg))
        case "d":
            raise _unfit("decimal clause can only be used on integers", kind)
        case "f" | "e" if kind == "string" and arg in {"NaN", "Infinity", "-Infinity"}:
            return str(arg)
        case "f" if kind == "double":
            return _numeral(arg) or f"{arg:,.{precision}f}"
        case "e" if kind == "double":
            return _numeral(arg) or _scientific(arg, precision)
        case "f":
            raise _unfit("fixed-point clause can only be used on doubles", kind)
        case "e":
            raise _unfit("scientific clause can only be used on doubles", kind)
        case "b" if kind in {"int", "uint", "bool"}:
            return f"{int(arg):b}"
        case "b":
            raise _unfit("only integers and bools can be formatted as binary", kind)
        case "o" if kind in {"int", "uint"}:
            return f"{int(arg):o}"
        case "o":
            raise _unfit("octal clause can only be used on integers", kind)
        case "x" | "X":
            return _hex(letter, arg, kind)
        case _:
            raise standard.fail(
                f'could not parse formatting clause: unrecognized formatting clause "{letter}"'
            )


def _numeral(value: float) -> str:
    """Return how a number that has no digits is shown, else nothing."""
    if math.isnan(value):
        return "NaN"
    return ("∞" if value > 0 else "-∞") if math.isinf(value) else ""


def _scientific(value: float, precision: int) -> str:
    """Print as the root locale does: `3.140000`, a multiplication sign, `10⁰⁰`."""
    digits, _, power = f"{value:.{precision}e}".partition("e")
    return f"{digits}\u00d710{power.removeprefix('+').translate(_RAISED)}"


def _hex(letter: str, arg: objects.Json, kind: str) -> str:
    if kind in {"int", "uint"}:
        text = f"{int(arg):x}"
    elif kind == "string":
        text = arg.encode().hex()
    elif kind == "bytes":
        text = arg.hex()
    else:
        why = "only integers, byte buffers, and strings can be formatted as hex"
        raise _unfit(why, kind)
    return text.upper() if letter == "X" else text


def _unfit(why: str, kind: str) -> Exception:
    return standard.fail(f"error during formatting: {why}, was given {kind}")


def text_of(value: objects.Json, *, nested: bool = False) -> str:
    """Return what `%s` shows of a value; strings inside lists and maps are quoted."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return quote(value) if nested else value
    if isinstance(value, bytes):
        text = value.decode(errors="replace")
        return f"b{quote(text)}" if nested else text
    if isinstance(value, float):
        return f"{value:.{_PRECISION}f}" if nested else standard.double_text(value)
    if isinstance(value, int):
        return str(int(value))
    if isinstance(value, list):
        return "[" + ", ".join(text_of(item, nested=True) for item in value) + "]"
    if isinstance(value, dict):
        entries = sorted(
            f"{text_of(key, nested=True)}: {text_of(item, nested=True)}"
            for key, item in value.items()
        )
        return "{" + ", ".join(entries) + "}"
    if isinstance(value, times.Duration):
        text = str(standard.FUNCTIONS["duration_to_string"](value))
        return f"duration({quote(text)})" if nested else text
    if isinstance(value, times.Timestamp):
        return f"timestamp({quote(str(value))})" if nested else str(value)
    if isinstance(value, values.TypeValue):
        return value.name
    raise standard.fail(
        "error during formatting: string clause can only be used on strings, bools, bytes, ints, "
        "doubles, maps, lists, types, durations, and timestamps, was given "
        + values.type_name(value)
    )


FUNCTIONS: dict[str, standard.Function] = {
    "string_char_at_int": _char_at,
    "string_index_of_string": _index_of,
    "string_index_of_string_int": _index_of,
    "string_last_index_of_string": _last_index_of,
    "string_last_index_of_string_int": _last_index_from,
    "string_lower_ascii": _ascii(str.lower),
    "string_upper_ascii": _ascii(str.upper),
    "string_replace_string_string": lambda text, old, new: text.replace(old, new),
    "string_replace_string_string_int": lambda text, old, new, n: text.replace(old, new, n),
    "string_split_string": _split,
    "string_split_string_int": _split,
    "string_substring_int": _substring,
    "string_substring_int_int": _substring_range,
    "string_trim": lambda text: text.strip(_SPACES),
    "string_format": format_text,
    "strings_quote": quote,
    "list_join": _join,
    "list_join_string": _join,
    "string_find_string": _find,
    "string_find_all_string": _find_all,
    "string_find_all_string_int": _find_all,
}
