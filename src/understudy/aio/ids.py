"""Identifiers and random suffixes from a source that a test can seed."""

from __future__ import annotations

import os
import random
from typing import Protocol

SUFFIX_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
"""Letters of generated names: no vowels, nothing that looks alike (apimachinery `util/rand`)."""


class IdSource(Protocol):
    """Where uids and generated names come from."""

    def uid(self) -> str:
        """Return a new UUID in its usual text form."""
        ...

    def suffix(self, length: int = 5) -> str:
        """Return `length` letters of `SUFFIX_ALPHABET`."""
        ...

    def integer(self, low: int, high: int) -> int:
        """Return a whole number with low <= n <= high."""
        ...


class SystemIds:
    """Identifiers from the operating system's randomness."""

    __slots__ = ("_random",)

    def __init__(self) -> None:
        self._random = random.SystemRandom()

    def uid(self) -> str:
        text = os.urandom(16).hex()
        variant = "89ab"[int(text[16], 16) & 3]
        return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-{variant}{text[17:20]}-{text[20:]}"

    def suffix(self, length: int = 5) -> str:
        return "".join(SUFFIX_ALPHABET[byte % 27] for byte in os.urandom(length))

    def integer(self, low: int, high: int) -> int:
        return self._random.randint(low, high)


class SeededIds:
    """The same identifiers in the same order for the same seed."""

    __slots__ = ("_random",)

    def __init__(self, seed: int = 0) -> None:
        self._random = random.Random(seed)  # noqa: S311 (not secret: reproducible)

    def uid(self) -> str:
        text = f"{self._random.getrandbits(128):032x}"
        variant = "89ab"[int(text[16], 16) & 3]
        return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-{variant}{text[17:20]}-{text[20:]}"

    def suffix(self, length: int = 5) -> str:
        return "".join(self._random.choice(SUFFIX_ALPHABET) for _ in range(length))

    def integer(self, low: int, high: int) -> int:
        return self._random.randint(low, high)
