"""Who wants to hear of which objects, where no owner reference says so."""

from __future__ import annotations

from collections.abc import Iterable

from understudy.controllers import reactor


class Watchlist:
    """Remembers for each key what its last reconciliation depended on."""

    __slots__ = ("_by_key", "_by_object")

    def __init__(self) -> None:
        self._by_key: dict[reactor.Key, frozenset[tuple[str, str]]] = {}
        self._by_object: dict[tuple[str, str, str], set[reactor.Key]] = {}

    def put(self, key: reactor.Key, things: Iterable[tuple[str, str]]) -> None:
        """Note that a key depends on (kind, name) things of its namespace, and on nothing else."""
        wanted = frozenset(things)
        before = self._by_key.get(key, frozenset())
        for kind, name in before - wanted:
            known = self._by_object.get((kind, key[0], name))
            if known is not None:
                known.discard(key)
                if not known:
                    del self._by_object[(kind, key[0], name)]
        for kind, name in wanted - before:
            self._by_object.setdefault((kind, key[0], name), set()).add(key)
        if wanted:
            self._by_key[key] = wanted
        else:
            self._by_key.pop(key, None)

    def drop(self, key: reactor.Key) -> None:
        """Forget a key."""
        self.put(key, ())

    def tell(self, kind: str, namespace: str, name: str, queue: reactor.Queue) -> None:
        """Queue the keys that depend on an object."""
        for key in sorted(self._by_object.get((kind, namespace, name), ())):
            queue.add(key)
