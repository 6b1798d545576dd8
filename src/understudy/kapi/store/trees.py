"""A persistent sorted map: strings to values, cheap to copy, cheap to change, ordered to read.

Two levels: a list of chunks, each a pair of parallel sorted lists. A change copies one chunk and
the list of chunks and shares the rest, so an older tree stays as it was for whoever holds it, and
holding one costs one pointer. With 100,000 keys a change copies about 10 KB in about 2 us.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Generic, TypeVar

V = TypeVar("V")

CHUNK_KEYS_MAX = 512
"""A chunk that grows beyond this is split in two: small enough to copy, large enough to be few."""


class Tree(Generic[V]):
    """An immutable sorted map; `set` and `delete` return the changed map."""

    __slots__ = ("_firsts", "_keys", "_values", "size")

    def __init__(
        self,
        firsts: list[str] | None = None,
        keys: list[list[str]] | None = None,
        values: list[list[V]] | None = None,
        size: int = 0,
    ) -> None:
        self._firsts = firsts or []
        self._keys = keys or []
        self._values = values or []
        self.size = size

    @classmethod
    def of(cls, items: Iterable[tuple[str, V]]) -> Tree[V]:
        """Build a tree from pairs in any order; the last value of a repeated key counts."""
        pairs = sorted(dict(items).items(), key=lambda pair: pair[0])
        half = CHUNK_KEYS_MAX // 2
        chunks = [pairs[at : at + half] for at in range(0, len(pairs), half)]
        keys = [[key for key, _ in chunk] for chunk in chunks]
        values = [[value for _, value in chunk] for chunk in chunks]
        return cls([chunk[0] for chunk in keys], keys, values, len(pairs))

    @classmethod
    def of_chunks(cls, chunks: Iterable[tuple[list[str], list[V]]]) -> Tree[V]:
        """Build a tree from chunks as `chunks` gives them; trees made of one chunk share it."""
        pairs = list(chunks)
        keys = [chunk for chunk, _ in pairs]
        firsts = [chunk[0] for chunk in keys]
        return cls(firsts, keys, [values for _, values in pairs], sum(map(len, keys)))

    def chunks(self) -> list[tuple[list[str], list[V]]]:
        """Return the chunks, keys beside values, in order; not to be changed."""
        return list(zip(self._keys, self._values, strict=True))

    def __len__(self) -> int:
        return self.size

    def get(self, key: str) -> V | None:
        """Return the value of a key, or None."""
        at = bisect_right(self._firsts, key) - 1
        if at < 0:
            return None
        keys = self._keys[at]
        inner = bisect_left(keys, key)
        if inner < len(keys) and keys[inner] == key:
            return self._values[at][inner]
        return None

    def set(self, key: str, value: V) -> Tree[V]:
        """Return a tree in which `key` has `value`."""
        if not self._firsts:
            return Tree([key], [[key]], [[value]], 1)
        at = max(bisect_right(self._firsts, key) - 1, 0)
        keys, values = self._keys[at], self._values[at]
        inner = bisect_left(keys, key)
        all_values = self._values.copy()
        if inner < len(keys) and keys[inner] == key:
            values = values.copy()
            values[inner] = value
            all_values[at] = values
            return Tree(self._firsts, self._keys, all_values, self.size)
        keys, values = keys.copy(), values.copy()
        keys.insert(inner, key)
        values.insert(inner, value)
        firsts, all_keys = self._firsts.copy(), self._keys.copy()
        if len(keys) <= CHUNK_KEYS_MAX:
            firsts[at], all_keys[at], all_values[at] = keys[0], keys, values
        else:
            # Keys that only ever grow (generated names, benchmarks) would leave half-full chunks
            # behind; splitting at the end for appends keeps them full.
            cut = CHUNK_KEYS_MAX if inner == CHUNK_KEYS_MAX else len(keys) // 2
            firsts[at : at + 1] = [keys[0], keys[cut]]
            all_keys[at : at + 1] = [keys[:cut], keys[cut:]]
            all_values[at : at + 1] = [values[:cut], values[cut:]]
        return Tree(firsts, all_keys, all_values, self.size + 1)

    def delete(self, key: str) -> Tree[V]:
        """Return a tree without `key`; the same tree where it has no such key."""
        at = bisect_right(self._firsts, key) - 1
        if at < 0:
            return self
        keys = self._keys[at]
        inner = bisect_left(keys, key)
        if inner >= len(keys) or keys[inner] != key:
            return self
        firsts, all_keys, all_values = self._firsts.copy(), self._keys.copy(), self._values.copy()
        if len(keys) == 1:
            del firsts[at], all_keys[at], all_values[at]
        else:
            keys, values = keys.copy(), all_values[at].copy()
            del keys[inner], values[inner]
            firsts[at], all_keys[at], all_values[at] = keys[0], keys, values
        return Tree(firsts, all_keys, all_values, self.size - 1)

    def values(self, prefix: str = "") -> list[V]:
        """Return the values of all keys, or of those with a prefix, in the order of the keys."""
        if not prefix:
            return list(chain.from_iterable(self._values))
        return [value for _, value in self.items(prefix)]

    def items(self, prefix: str = "", after: str = "") -> Iterator[tuple[str, V]]:
        """Yield pairs in order, of keys with a prefix and greater than `after`."""
        start = max(prefix, after)
        at = max(bisect_right(self._firsts, start) - 1, 0)
        for index in range(at, len(self._firsts)):
            keys, values = self._keys[index], self._values[index]
            inner = 0
            if index == at:
                inner = bisect_right(keys, after) if after >= prefix and after else 0
                inner = max(inner, bisect_left(keys, prefix))
            for place in range(inner, len(keys)):
                key = keys[place]
                if prefix and not key.startswith(prefix):
                    return
                yield key, values[place]


def differences(before: Tree[V], after: Tree[V]) -> Iterator[tuple[str, V | None, V | None]]:
    """Yield (key, value before, value after) for each key whose value is not the same object.

    Costs what differs, not the size: chunks that both trees share are skipped.
    """
    shared = {id(values) for _, values in before.chunks()}
    shared &= {id(values) for _, values in after.chunks()}
    old, new = _unshared(before, shared), _unshared(after, shared)
    for key in sorted(old.keys() | new.keys()):
        was, is_now = old.get(key), new.get(key)
        if was is not is_now:
            yield key, was, is_now


def _unshared(tree: Tree[V], shared: set[int]) -> dict[str, V]:
    return {
        key: value
        for keys, values in tree.chunks()
        if id(values) not in shared
        for key, value in zip(keys, values, strict=True)
    }
