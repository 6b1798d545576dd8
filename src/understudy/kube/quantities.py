"""Quantities such as `500m`, `1Gi` or `2e3`: parse, compare, add, and print in canonical form.

A quantity is `mantissa * 10**exponent`, exact, never finer than one billionth (finer ones are
rounded away from zero). It remembers which family of suffixes it was written with and is printed
with the same one:

    >>> canonical("0.5"), canonical("1024Mi"), canonical("1.5Gi"), canonical("100e1")
    ('500m', '1Gi', '1536Mi', '1e3')

Source: k8s.io/apimachinery `pkg/api/resource`. Texts that its fast path takes for canonical are
printed as they were written, even those that are not (`2.250` stays `2.250`); so they are here.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass, field

DECIMAL_SI = "DecimalSI"
BINARY_SI = "BinarySI"
DECIMAL_EXPONENT = "DecimalExponent"

NANO = -9
"""Exponent of the finest step."""

DIGITS_MAX = 1024
"""Longest number of a quantity; Python reads and prints at most 4300 digits."""

EXPONENT_MAX = 1024
"""Largest exponent; a number written out with a billion zeros would stop everything."""

CACHE_ENTRIES_MAX = 8192
"""Texts whose parsed and canonical forms are kept; clusters use a few hundred different ones."""

BINARY_MAX = (1 << 63) - 1
"""Binary quantities are capped here, as Kubernetes caps them."""

EXPONENT_DIGITS_MAX = 9
"""Digits of a decimal exponent; more do not fit the int32 that Kubernetes keeps it in."""

_BINARY = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
_DECIMAL = {
    "n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18,
}  # fmt: skip
_BINARY_OF = {exponent // 10: suffix for suffix, exponent in _BINARY.items()}
_DECIMAL_OF = {exponent: suffix for suffix, exponent in _DECIMAL.items()}

_FORMAT = r"^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$"
_SHAPE = re.compile(
    r"(?P<sign>[+-]?)0*(?P<whole>[0-9]*)(?:\.(?P<fraction>[0-9]*))?"
    r"(?P<suffix>[eEinumkKMGTP]*(?:[-+]?[0-9]*)?)"
)
_EXPONENT = re.compile(r"[eE]([+-]?[0-9]+)")


class QuantityError(ValueError):
    """A text that is no quantity; the message is Kubernetes' own."""


@dataclass(frozen=True, slots=True, eq=False)
class Quantity:
    """An exact amount: `mantissa * 10**exponent`.

    Attributes:
        mantissa: Without trailing zeros, unless the quantity is zero.
        exponent: Power of ten, at least -9.
        format: The family of suffixes it prints with: `DecimalSI`, `BinarySI`, `DecimalExponent`.
        text: Printed instead of the canonical form, where Kubernetes keeps what was written.
    """

    mantissa: int
    exponent: int = 0
    format: str = DECIMAL_SI
    text: str = field(default="", repr=False)

    @property
    def sign(self) -> int:
        """-1, 0 or 1."""
        return (self.mantissa > 0) - (self.mantissa < 0)

    def scaled(self, exponent: int) -> int:
        """Return the amount in units of `10**exponent`, rounded away from zero."""
        shift = self.exponent - exponent
        if shift >= 0:
            return self.mantissa * _power(shift)
        whole, rest = divmod(abs(self.mantissa), _power(-shift))
        return self.sign * (whole + bool(rest))

    @property
    def value(self) -> int:
        """The amount rounded up to a whole number."""
        return self.scaled(0)

    @property
    def milli_value(self) -> int:
        """The amount in thousandths, rounded up; what CPU requests are counted in."""
        return self.scaled(-3)

    def compare(self, other: Quantity) -> int:
        """Return -1, 0 or 1 as the amount is less than, equal to or greater than the other."""
        if self.sign != other.sign:
            return -1 if self.sign < other.sign else 1
        # Sizes decide first, so that 1e999999 is never written out.
        mine, theirs = self._digits(), other._digits()
        if mine != theirs:
            return self.sign if mine > theirs else -self.sign
        common = min(self.exponent, other.exponent)
        left, right = self.scaled(common), other.scaled(common)
        return (left > right) - (left < right)

    def _digits(self) -> int:
        return len(str(abs(self.mantissa))) + self.exponent if self.mantissa else 0

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Quantity) and self.compare(other) == 0

    def __hash__(self) -> int:
        return hash((self.mantissa, self.exponent if self.mantissa else 0))

    def __lt__(self, other: Quantity) -> bool:
        return self.compare(other) < 0

    def __le__(self, other: Quantity) -> bool:
        return self.compare(other) <= 0

    def __gt__(self, other: Quantity) -> bool:
        return self.compare(other) > 0

    def __ge__(self, other: Quantity) -> bool:
        return self.compare(other) >= 0

    def __neg__(self) -> Quantity:
        return Quantity(-self.mantissa, self.exponent, self.format)

    def __add__(self, other: Quantity) -> Quantity:
        # A zero takes the format of what is added to it, so that sums look like their parts.
        form = self.format if self.mantissa else other.format
        common = min(self.exponent, other.exponent)
        return of(self.scaled(common) + other.scaled(common), common, form)

    def __sub__(self, other: Quantity) -> Quantity:
        return (
            self + -other
            if self.mantissa
            else Quantity(-other.mantissa, other.exponent, other.format)
        )

    def __mul__(self, factor: int) -> Quantity:
        return of(self.mantissa * factor, self.exponent, self.format)

    def __str__(self) -> str:
        return self.text or self._canonical()

    def _canonical(self) -> str:
        if not self.mantissa:
            return "0"
        if self.format == BINARY_SI and self.exponent >= 0:
            amount = self.scaled(0)
            if abs(amount) >= 1024:
                steps = 0
                while amount % 1024 == 0 and abs(amount) >= 1024 and steps < len(_BINARY_OF):
                    amount //= 1024
                    steps += 1
                return f"{amount}{_BINARY_OF[steps]}" if steps else str(amount)
        mantissa, exponent = self.mantissa, self.exponent
        while exponent % 3:
            mantissa *= 10
            exponent -= 1
        if self.format == DECIMAL_EXPONENT:
            return f"{mantissa}e{exponent}" if exponent else str(mantissa)
        # Differs: beyond exa there is no suffix; Kubernetes drops the size then, we write it out.
        if exponent > 18:
            mantissa, exponent = mantissa * _power(exponent - 18), 18
        return f"{mantissa}{_DECIMAL_OF[exponent]}"


ZERO = Quantity(0)


def of(amount: int, exponent: int = 0, form: str = DECIMAL_SI) -> Quantity:
    """Return `amount * 10**exponent` as a quantity; `of(1500, -3)` is `1500m`.

    >>> str(of(2048, form=BINARY_SI))
    '2Ki'
    """
    if not amount:
        return Quantity(0, 0, form)
    while amount % 10 == 0:
        amount //= 10
        exponent += 1
    return Quantity(amount, exponent, form)


@functools.lru_cache(maxsize=CACHE_ENTRIES_MAX)
def parse(text: str) -> Quantity:
    """Return the quantity that a text writes.

    Raises:
        QuantityError: It is none; the message is Kubernetes' own.
    """
    match = _SHAPE.fullmatch(text)
    if match is None or not text:
        raise QuantityError(f"quantities must match the regular expression '{_FORMAT}'")
    whole, fraction = match["whole"] or "0", match["fraction"] or ""
    form, exponent = _suffix(match["suffix"])
    if len(whole) + len(fraction) > DIGITS_MAX:
        raise QuantityError("unable to parse numeric part of quantity")
    digits = int(whole + fraction)
    kept = _kept_text(text, whole + fraction, len(fraction), form, exponent)
    sign = -1 if match["sign"] == "-" else 1
    if form == BINARY_SI:
        return _binary(sign, digits, len(fraction), exponent, kept)
    exponent -= len(fraction)
    if exponent < NANO and digits:
        step = _power(min(NANO - exponent, len(whole + fraction) + 1))
        digits, exponent = -(-digits // step), NANO
    plain = of(sign * digits, exponent, form)
    return Quantity(plain.mantissa, plain.exponent, form, kept) if kept else plain


@functools.lru_cache(maxsize=CACHE_ENTRIES_MAX, typed=True)
def canonical(text: str | float) -> str:
    """Return the form in which Kubernetes keeps and shows a quantity.

    Numbers are taken as JSON writes them: `canonical(4)` is `4`, `canonical(0.5)` is `500m`.

    Raises:
        QuantityError: It is no quantity.
    """
    return str(parse(text.strip() if isinstance(text, str) else _number(text)))


def _number(value: float) -> str:
    if isinstance(value, bool):
        raise QuantityError(f"quantities must match the regular expression '{_FORMAT}'")
    return repr(value) if isinstance(value, int) or not value.is_integer() else str(int(value))


def _suffix(suffix: str) -> tuple[str, int]:
    if suffix in _DECIMAL:
        return DECIMAL_SI, _DECIMAL[suffix]
    if suffix in _BINARY:
        return BINARY_SI, _BINARY[suffix]
    match = _EXPONENT.fullmatch(suffix)
    if (
        match is None
        or len(match[1].lstrip("+-0")) > EXPONENT_DIGITS_MAX
        or int(match[1]) > EXPONENT_MAX
    ):
        raise QuantityError("unable to parse quantity's suffix")
    return DECIMAL_EXPONENT, int(match[1])


def _kept_text(text: str, digits: str, places: int, form: str, exponent: int) -> str:
    """Return the text if Kubernetes' fast path would print it as it is, else nothing."""
    if len(digits) > 18:
        return ""
    if form == BINARY_SI:
        fast = not places and 15 - len(digits) - int(exponent * 3 / 10) - 1 >= 0
        return text if fast and int(digits) & 7 else ""
    scale = exponent - places
    fits = scale >= NANO and scale % 3 == 0
    return text if fits and digits[0] != "0" and not digits.endswith("000") else ""


def _binary(sign: int, digits: int, places: int, exponent: int, kept: str) -> Quantity:
    amount = digits << exponent
    if places > -NANO:
        step = _power(places + NANO)
        amount, places = -(-amount // step), -NANO
    form = BINARY_SI
    if amount > BINARY_MAX * _power(places):
        amount, places = BINARY_MAX, 0
    if 0 < amount < _power(places):
        form = DECIMAL_SI
    plain = of(sign * amount, -places, form)
    return Quantity(plain.mantissa, plain.exponent, form, kept) if kept else plain


def _power(exponent: int) -> int:
    power: int = 10**exponent
    return power
