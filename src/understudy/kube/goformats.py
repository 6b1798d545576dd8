r"""How Go prints JSON values: `%v`, `%#v`, `%T` and `%q`, for error texts that quote them.

>>> plain({"b": [1, "x"], "a": None})
'map[a:<nil> b:[1 x]]'
>>> sharp({"a": 1}), type_name([]), quoted('say "hi"')
('map[string]interface {}{"a":1}', '[]interface {}', '"say \\"hi\\""')
"""

from __future__ import annotations

import json

from understudy.kube import objects

_ESCAPES = {
    "\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v",
    "\\": "\\\\", '"': '\\"',
}  # fmt: skip


def plain(value: objects.Json) -> str:
    """Return `%v`: maps as `map[a:1]` with sorted keys, lists as `[1 2]`, null as `<nil>`."""
    if isinstance(value, dict):
        inner = " ".join(f"{key}:{plain(value[key])}" for key in sorted(value))
        return f"map[{inner}]"
    if isinstance(value, list):
        return f"[{' '.join(plain(item) for item in value)}]"
    return "<nil>" if value is None else _scalar(value)


def sharp(value: objects.Json) -> str:
    """Return `%#v`: Go syntax, e.g. `map[string]interface {}{"a":1}`."""
    if isinstance(value, dict):
        inner = ", ".join(f"{quoted(key)}:{sharp(value[key])}" for key in sorted(value))
        return f"map[string]interface {{}}{{{inner}}}"
    if isinstance(value, list):
        return f"[]interface {{}}{{{', '.join(sharp(item) for item in value)}}}"
    if isinstance(value, str):
        return quoted(value)
    return "interface {}(nil)" if value is None else _scalar(value)


def type_name(value: objects.Json) -> str:
    """Return `%T`: the Go type that a JSON value is read into."""
    if isinstance(value, bool):
        return "bool"
    names = {
        str: "string",
        int: "int64",
        float: "float64",
        dict: "map[string]interface {}",
        list: "[]interface {}",
    }
    return names.get(type(value), "<nil>")


def quoted(text: str) -> str:
    r"""Return `%q`: in double quotes, escaped; printable letters of any language stay."""
    return '"' + "".join(_letter(letter) for letter in text) + '"'


def json_text(value: objects.Json) -> str:
    """Return a value as Go's encoding/json writes it: compact, keys sorted, HTML escaped."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    if "<" in text or ">" in text or "&" in text:
        text = text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    return text


def label_selector(selector: objects.Object | None) -> str:
    """Return a v1.LabelSelector as its Go type prints itself, as in events that quote one."""
    if selector is None:
        return "nil"
    labels = selector.get("matchLabels") or {}
    wanted = "".join(f"{key}: {labels[key]}," for key in sorted(labels))
    terms = "".join(
        f"LabelSelectorRequirement{{Key:{one.get('key', '')},Operator:{one.get('operator', '')},"
        f"Values:[{' '.join(one.get('values') or ())}],}},"
        for one in selector.get("matchExpressions") or ()
    )
    return (
        f"&LabelSelector{{MatchLabels:map[string]string{{{wanted}}},"
        f"MatchExpressions:[]LabelSelectorRequirement{{{terms}}},}}"
    )


def _scalar(value: objects.Json) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return _float(value)
    return str(value)


def _float(value: float) -> str:
    """Print as `%v`: the shortest digits, with an exponent from 1e+06 on and below 1e-04."""
    sign, digits, exponent = _shortest(value)
    if exponent < -4 or exponent >= 6:
        point = "." if len(digits) > 1 else ""
        return f"{sign}{digits[0]}{point}{digits[1:]}e{exponent:+03d}"
    return f"{value:.{max(len(digits) - 1 - exponent, 0)}f}"


def _shortest(value: float) -> tuple[str, str, int]:
    """Return sign, significant digits and decimal exponent: 1250.0 -> `("", "125", 3)`."""
    number, _, exponent_text = f"{value!r}".partition("e")
    sign = "-" if number.startswith("-") else ""
    whole, _, fraction = number.lstrip("-").partition(".")
    digits = (whole + fraction).lstrip("0")
    exponent = len(whole) - 1 - (len(whole + fraction) - len(digits)) + int(exponent_text or 0)
    return (sign, digits.rstrip("0"), exponent) if digits else (sign, "0", 0)


def _letter(letter: str) -> str:
    if letter in _ESCAPES:
        return _ESCAPES[letter]
    if letter.isprintable():
        return letter
    code = ord(letter)
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
