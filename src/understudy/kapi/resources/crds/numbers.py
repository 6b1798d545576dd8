"""Numbers as Go's validators see them: int64 and float64 apart, printed with `%v`."""

from __future__ import annotations

import decimal
import math

from understudy.kapi.resources.crds import nodes

_INT32 = (-(2**31), 2**31 - 1)
_INT64 = (-(2**63), 2**63 - 1)
_FLOAT32_MAX = 3.4028234663852886e38
_EXPONENT_FROM = 6
"""From this power of ten on, Go prints a float with an exponent."""


def native(value: float, limit: float) -> float:
    """Return a limit in the type of the value: for integers its whole part."""
    if isinstance(value, int) and isinstance(limit, float):
        return math.trunc(limit)
    if isinstance(value, float) and isinstance(limit, int):
        return float(limit)
    return limit


def printed(value: float) -> str:
    """Print a number as Go's `%v`: `5`, `1.5`, `1e+06`."""
    if isinstance(value, int):
        return str(value)
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    if math.isnan(value):
        return "NaN"
    if value == 0:
        return "0"
    sign, digits, power = decimal.Decimal(repr(value)).normalize().as_tuple()
    exponent = len(digits) - 1 + int(power)
    if -4 <= exponent < _EXPONENT_FROM:
        return repr(value).removesuffix(".0") if "e" not in repr(value) else f"{value:f}"
    text = "".join(map(str, digits))
    body = text[0] + ("." + text[1:] if len(text) > 1 else "")
    return f"{'-' if sign else ''}{body}e{'-' if exponent < 0 else '+'}{abs(exponent):02d}"


def is_multiple(value: float, factor: float) -> bool:
    """Say whether a value is a multiple of a positive factor."""
    if isinstance(value, int) and isinstance(factor, int):
        return value % factor == 0
    quotient = 1 / factor * value if factor < 1 else value / factor
    if math.isinf(quotient) or math.isnan(quotient):
        return False
    nearest = round(quotient)
    return abs(quotient - nearest) <= 1e-9 * max(1.0, abs(quotient))


def out_of_range(node: nodes.Node, value: float) -> str:
    """Return `integer with format int32` (or so) where the value does not fit, else nothing."""
    if len(node.types) != 1:
        return ""
    kind, format = node.types[0], node.format
    if kind == "integer":
        low, high = _INT32 if format == "int32" else _INT64
        if isinstance(value, float) and not value.is_integer():
            return _named(kind, format)
        return "" if low <= value <= high else _named(kind, format)
    if kind == "number" and format == "float" and abs(value) > _FLOAT32_MAX:
        return _named(kind, format)
    return ""


def _named(kind: str, format: str) -> str:
    return f"{kind} with format {format}" if format else f"{kind} (default format)"
