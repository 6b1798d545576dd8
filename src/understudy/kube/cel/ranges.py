"""Lower and upper bounds of sizes and costs. They saturate at 2**64 - 1, as in Kubernetes."""

from __future__ import annotations

import math
from typing import NamedTuple

UNBOUNDED = 2**64 - 1
STRING_FACTOR = 0.1
REGEX_FACTOR = 0.25
LIST_BASE, MAP_BASE, STRUCT_BASE = 10, 30, 40


class Range(NamedTuple):
    """A lower and an upper bound of a size or a cost."""

    min: int
    max: int

    def __add__(self, other: object) -> Range:
        assert isinstance(other, tuple), "ranges are added to ranges"
        return Range(add(self.min, other[0]), add(self.max, other[1]))

    def times(self, other: Range) -> Range:
        """Multiply bound by bound."""
        return Range(multiply(self.min, other.min), multiply(self.max, other.max))

    def scaled(self, factor: float) -> Range:
        """Multiply by a factor and round up."""
        return Range(scale(self.min, factor), scale(self.max, factor))

    def union(self, other: Range) -> Range:
        """Return the range that covers both."""
        return Range(min(self.min, other.min), max(self.max, other.max))


def add(left: int, right: int) -> int:
    """Add two bounds."""
    return min(left + right, UNBOUNDED)


def multiply(left: int, right: int) -> int:
    """Multiply two bounds."""
    return min(left * right, UNBOUNDED)


def scale(value: int, factor: float) -> int:
    """Multiply a bound by a factor and round up."""
    return min(math.ceil(float(value) * factor), UNBOUNDED)


ZERO, ONE, UNKNOWN = Range(0, 0), Range(1, 1), Range(0, UNBOUNDED)
