"""Numbers as Go's validators see them: int64 and float64 apart."""

from __future__ import annotations

import math

from understudy.kapi.resources.crds import nodes

_INT32 = (-(2**31), 2**31 - 1)
_INT64 = (-(2**63), 2**63 - 1)
_FLOAT32_MAX = 3.4028234663852886e38


def native(value: float, limit: float) -> float:
    """Return a limit in the type of the value: for integers its whole part."""
    return math.trunc(limit) if isinstance(value, int) else float(limit)


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
    kind, width = node.types[0], node.format
    if kind == "integer":
        low, high = _INT32 if width == "int32" else _INT64
        return "" if value == math.trunc(value) and low <= value <= high else _named(kind, width)
    if kind == "number" and width == "float" and abs(value) > _FLOAT32_MAX:
        return _named(kind, width)
    return ""


def _named(kind: str, format: str) -> str:
    return f"{kind} with format {format}" if format else f"{kind} (default format)"
