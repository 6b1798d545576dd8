"""Semantic versions (https://semver.org) as values."""

from __future__ import annotations

import functools
import re

_FORM = re.compile(
    r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)"
    r"(?:-((?:0|[1-9]\d*|\d*[A-Za-z-][0-9A-Za-z-]*)(?:\.(?:0|[1-9]\d*|\d*[A-Za-z-][0-9A-Za-z-]*))*))?"
    r"(?:\+([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?"
)
_LOOSE = re.compile(r"(\d+)(?:\.(\d+))?(?:\.(\d+))?(.*)", re.DOTALL)


@functools.total_ordering
class Semver:
    """`major.minor.patch-pre+build`; build metadata does not count in comparisons."""

    __slots__ = ("major", "minor", "patch", "pre")
    cel_type = "kubernetes.Semver"

    def __init__(self, major: int, minor: int, patch: int, pre: str) -> None:
        self.major, self.minor, self.patch, self.pre = major, minor, patch, pre

    def _key(self) -> tuple[int, int, int, tuple[int, tuple[tuple[int, int, str], ...]]]:
        parts = tuple(
            (0, int(part), "") if part.isdigit() else (1, 0, part)
            for part in self.pre.split(".")
            if part
        )
        return self.major, self.minor, self.patch, (0 if parts else 1, parts)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Semver) and self._key() == other._key()

    def __lt__(self, other: Semver) -> bool:
        return self._key() < other._key()

    def __hash__(self) -> int:
        return hash(self._key())


def parse(text: str, *, normalize: bool = False) -> Semver | None:
    """Read a version; `normalize` forgives a leading `v`, missing parts and leading zeros."""
    if normalize:
        text = _normalized(text)
    found = _FORM.fullmatch(text)
    if found is None:
        return None
    return Semver(int(found[1]), int(found[2]), int(found[3]), found[4] or "")


def _normalized(text: str) -> str:
    text = text.removeprefix("v")
    found = _LOOSE.fullmatch(text)
    if found is None:
        return text
    numbers = [str(int(part)) if part else "0" for part in found.groups()[:3]]
    return ".".join(numbers) + found[4]
