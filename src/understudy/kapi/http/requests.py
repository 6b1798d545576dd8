"""From a request target to what it means: view, resource, namespace, name, subresource, query.

    /api/v1/namespaces/default/pods/web/log?follow=1    base view
    /trial/apis/apps/v1/deployments                     the view named `trial`
    /trial@41/apis/apps/v1/deployments                  the same as it was at revision 41

Parsing is pure and cached by the exact bytes: clients repeat themselves.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Generic, TypeVar
from urllib import parse

from understudy.kapi.views import registries

V = TypeVar("V")

ROOTS = registries.RESERVED | {".well-known", "favicon.ico"}
"""First segments that are paths of the API itself, and so never names of views."""

_VERBS = {"GET": "get", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
_NAMESPACE_SUBRESOURCES = ("status", "finalize")


@dataclass(frozen=True, slots=True, kw_only=True)
class Path:
    """A parsed path.

    Attributes:
        view: Name of the view, empty for the base view.
        revision: What follows `@` in the view's prefix, None for the present.
        text: The path without the view's prefix, as Kubernetes would see it.
        api: `api` or `apis` for paths of resources, else empty.
        group: Empty for the core group.
        parts: What follows `/api/v1` or `/apis/group/version`, namespaces taken out.
        watch: The old `/watch/` form.
    """

    view: str
    text: str
    api: str = ""
    group: str = ""
    version: str = ""
    namespace: str = ""
    resource: str = ""
    name: str = ""
    subresource: str = ""
    rest: str = ""
    watch: bool = False
    revision: str | None = None

    @property
    def api_version(self) -> str:
        """`apps/v1`, or `v1`."""
        return f"{self.group}/{self.version}" if self.group else self.version


class Query:
    """Parsed query parameters; a parameter may be given several times."""

    __slots__ = ("_values",)

    def __init__(self, values: dict[str, list[str]]) -> None:
        self._values = values

    def get(self, name: str) -> str:
        """Return the first value, empty where the parameter is absent."""
        found = self._values.get(name)
        return found[0] if found else ""

    def all(self, name: str) -> list[str]:
        """Return every value."""
        return self._values.get(name, [])

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def flag(self, name: str) -> bool:
        """Return a boolean as apimachinery reads one: present and not `false` or `0`."""
        found = self._values.get(name)
        return bool(found) and found is not None and found[0].lower() not in ("false", "0")


EMPTY_QUERY = Query({})


class BoundedCache(Generic[V]):
    """Remembers what pure functions returned; forgets everything when full."""

    __slots__ = ("_entries", "_entries_max")

    def __init__(self, entries_max: int) -> None:
        self._entries: dict[bytes, V] = {}
        self._entries_max = entries_max

    def get(self, key: bytes) -> V | None:
        """Return what is remembered, or None."""
        return self._entries.get(key)

    def put(self, key: bytes, value: V) -> V:
        """Remember and return a value."""
        if len(self._entries) >= self._entries_max:
            self._entries.clear()
        self._entries[key] = value
        return value


class Targets:
    """Parses request targets, remembering the last ones."""

    __slots__ = ("_base", "_paths", "_plain", "_queries")

    def __init__(self, base_view: str, entries_max: int) -> None:
        self._base = base_view
        self._plain: BoundedCache[tuple[Path, Query]] = BoundedCache(entries_max)
        self._paths: BoundedCache[Path] = BoundedCache(entries_max)
        self._queries: BoundedCache[Query] = BoundedCache(entries_max)

    def parse(self, target: bytes) -> tuple[Path, Query]:
        """Split a target into path and query and parse both."""
        plain = self._plain.get(target)
        if plain is not None:
            return plain
        raw_path, _, raw_query = target.partition(b"?")
        path = self._paths.get(raw_path)
        if path is None:
            path = self._paths.put(raw_path, parse_path(raw_path, self._base))
        if not raw_query:
            return self._plain.put(target, (path, EMPTY_QUERY))
        query = self._queries.get(raw_query)
        if query is None:
            query = self._queries.put(raw_query, parse_query(raw_query))
        return path, query


def parse_query(raw: bytes) -> Query:
    """Parse `a=1&b=x%20y&b=z` into `{"a": ["1"], "b": ["x y", "z"]}`."""
    pairs = parse.parse_qsl(
        raw.decode("latin-1"), keep_blank_values=True, errors="replace", max_num_fields=None
    )
    values: dict[str, list[str]] = {}
    for name, value in pairs:
        values.setdefault(name, []).append(value)
    return Query(values)


def parse_path(raw: bytes, base_view: str) -> Path:
    """Parse a path; unknown forms keep `api` empty and only carry `text`.

    An absolute form (`http://host/path`, sent to proxies) is taken as its path.
    """
    text = raw.decode("latin-1")
    if "://" in text[:8]:
        text = "/" + text.partition("://")[2].partition("/")[2]
    # Empty segments count for nothing: `/version/` and `//version` mean `/version`.
    segments = [parse.unquote(part, errors="replace") for part in text.split("/") if part]
    slash = "/" if text.endswith("/") and segments else ""
    view = mark = revision = ""
    if segments and segments[0] not in ROOTS:
        view, mark, revision = segments[0].partition("@")
        segments = segments[1:]
        if view == base_view:
            view = ""
    shown = "/" + "/".join(segments) + (slash if segments else "")
    path = _resource_path(view, shown, segments) or Path(view=view, text=shown)
    return dataclasses.replace(path, revision=revision) if mark else path


def _resource_path(view: str, text: str, segments: list[str]) -> Path | None:
    """Read `/api/v1/...` and `/apis/group/version/...`, as apiserver's RequestInfo does."""
    if not segments or segments[0] not in ("api", "apis"):
        return None
    api = segments[0]
    if api == "api":
        group, versioned = "", segments[1:]
    else:
        if len(segments) < 2:
            return Path(view=view, text=text, api=api)
        group, versioned = segments[1], segments[2:]
    if not versioned:
        return Path(view=view, text=text, api=api, group=group)
    version, rest = versioned[0], versioned[1:]
    watch = bool(rest) and rest[0] == "watch"
    if watch:
        rest = rest[1:]
    namespace = ""
    if len(rest) > 1 and rest[0] == "namespaces":
        namespace = rest[1]
        if len(rest) > 2 and rest[2] not in _NAMESPACE_SUBRESOURCES:
            rest = rest[2:]
    if rest and rest[0] == "namespaces" and len(rest) < 2:
        namespace = ""
    part = (*rest, "", "", "")
    return Path(
        view=view,
        text=text,
        api=api,
        group=group,
        version=version,
        namespace=namespace,
        resource=part[0],
        name=part[1],
        subresource=part[2],
        rest="/".join(rest[3:]),
        watch=watch,
    )


def verb_of(method: str, path: Path, query: Query) -> str:
    """Return Kubernetes' verb of a request on a resource, empty for methods it does not know.

    GET without a name lists, or watches with `watch=true`; DELETE without one deletes the
    collection. A watch of one name by field selector stays a watch of the collection.
    """
    verb = _VERBS.get(method, "")
    if verb == "get" and not path.subresource:
        if path.watch:
            return "watch"
        if not path.name:
            return "watch" if query.flag("watch") else "list"
        # `GET .../pods/web?watch=true` is a plain get, as in kube-apiserver.
    if verb == "delete" and not path.name:
        return "deletecollection"
    return verb
