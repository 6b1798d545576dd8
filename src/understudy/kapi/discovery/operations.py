"""The paths of a group's version and what can be done at each, independent of OpenAPI's version.

Made from the catalogue by the templates that Kubernetes' own installer follows; `openapi_v3` and
`openapi_v2` only differ in how they write an `Operation`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from understudy.kapi.resources import catalogue as catalogues, definitions, strategies
from understudy.kube import identities

META = definitions.META
DELETE_OPTIONS = META + "DeleteOptions"
STATUS = META + "Status"
PATCH = META + "Patch"
WATCH_EVENT = META + "WatchEvent"

JSON_TYPES = ("application/json", "application/yaml", "application/vnd.kubernetes.protobuf")
CUSTOM_TYPES = ("application/json", "application/yaml")
STREAM_TYPES = ("application/json;stream=watch", "application/vnd.kubernetes.protobuf;stream=watch")
PATCH_TYPES = (
    "application/apply-patch+yaml",
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
)
CUSTOM_PATCH_TYPES = PATCH_TYPES[:-1]
"""Custom kinds know no strategic merge: kubectl chooses its way to patch by what is named here."""

LIST_PARAMETERS = (
    "allowWatchBookmarks", "continue", "fieldSelector", "labelSelector", "limit",
    "resourceVersion", "resourceVersionMatch", "sendInitialEvents", "timeoutSeconds", "watch",
)  # fmt: skip
WRITE_PARAMETERS = ("dryRun", "fieldManager", "fieldValidation")
PATCH_PARAMETERS = ("dryRun", "fieldManager", "fieldValidation", "force")
DELETE_PARAMETERS = (
    "dryRun", "gracePeriodSeconds", "ignoreStoreReadErrorWithClusterBreakingPotential",
    "orphanDependents", "propagationPolicy",
)  # fmt: skip
COLLECTION_PARAMETERS = tuple(
    name
    for name in sorted({*LIST_PARAMETERS, *DELETE_PARAMETERS})
    if name not in {"allowWatchBookmarks", "watch"}
)

PARAMETER_TYPES = {
    "allowWatchBookmarks": "boolean", "force": "boolean", "gracePeriodSeconds": "integer",
    "ignoreStoreReadErrorWithClusterBreakingPotential": "boolean", "limit": "integer",
    "orphanDependents": "boolean", "sendInitialEvents": "boolean", "timeoutSeconds": "integer",
    "watch": "boolean", "follow": "boolean", "insecureSkipTLSVerifyBackend": "boolean",
    "previous": "boolean", "sinceSeconds": "integer", "tailLines": "integer",
    "limitBytes": "integer", "timestamps": "boolean", "stdin": "boolean", "stdout": "boolean",
    "stderr": "boolean", "tty": "boolean", "ports": "integer",
}  # fmt: skip
"""Types of query parameters that are no strings."""

_CONNECT_PARAMETERS = {
    "attach": ("container", "stderr", "stdin", "stdout", "tty"),
    "exec": ("command", "container", "stderr", "stdin", "stdout", "tty"),
    "log": (
        "container", "follow", "insecureSkipTLSVerifyBackend", "limitBytes", "previous",
        "sinceSeconds", "stream", "tailLines", "timestamps",
    ),
    "portforward": ("ports",),
    "proxy": ("path",),
}  # fmt: skip
_PROXY_METHODS = ("delete", "get", "head", "options", "patch", "post", "put")
_STREAM_METHODS = ("get", "post")


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """What one method at one path does.

    Attributes:
        method: `get`, `put`, `post`, `delete`, `patch`, `head` or `options`.
        action: x-kubernetes-action: `list`, `post`, `deletecollection`, `connect`, ...
        identifier: operationId, unique in the whole API.
        parameters: Names of query parameters (besides `pretty`).
        body: Definition of the request's body, empty where it has none.
        answer: Definition of the answer, empty for plain text.
        codes: Success codes.
        produces: Media types of the answer.
        consumes: Media types of the request's body.
    """

    path: str
    method: str
    action: str
    identifier: str
    gvk: identities.GroupVersionKind | None
    parameters: tuple[str, ...] = ()
    body: str = ""
    answer: str = ""
    codes: tuple[int, ...] = (200,)
    produces: tuple[str, ...] = JSON_TYPES
    consumes: tuple[str, ...] = ("*/*",)


def definition_of(catalogue: catalogues.Catalogue, gvk: identities.GroupVersionKind) -> str:
    """Return the name of a kind's definition; custom kinds have one of their reversed group."""
    if catalogue.facts is not None and (found := catalogue.facts.by_kind.get(gvk)):
        return found
    return ".".join([*reversed(gvk.group.split(".")), gvk.version, gvk.kind])


def of_version(catalogue: catalogues.Catalogue, group: str, version: str) -> Iterator[Operation]:
    """Yield every operation of a group's version, path by path."""
    resources = [
        resource
        for resource in catalogue.resources
        if resource.group == group and resource.version == version
    ]
    for resource in resources:
        yield from _Resource(catalogue, resource).operations()
    if resources and not resources[0].custom:
        yield Operation(
            path=f"{root(group, version)}/",
            method="get",
            action="",
            identifier=f"get{camel(group)}{version.capitalize()}APIResources",
            gvk=None,
            answer=META + "APIResourceList",
        )


_ROOT_ANSWERS = {
    "api": META + "APIVersions",
    "apis": META + "APIGroupList",
    "version": "io.k8s.apimachinery.pkg.version.Info",
}


def of_root(name: str) -> Iterator[Operation]:
    """Yield the one operation of a document above the versions: `apis`, `apis/apps`, `version`."""
    grouped = name.startswith("apis/")
    answer = META + "APIGroup" if grouped else _ROOT_ANSWERS.get(name, "")
    words = re.split(r"[^A-Za-z0-9]+", name)
    what = "".join(word[:1].upper() + word[1:] for word in words)
    slash = "" if name.startswith((".well-known", "openid")) else "/"
    yield Operation(
        path=f"/{name}{slash}",
        method="get",
        action="",
        identifier=f"get{what}",
        gvk=None,
        answer=answer,
        produces=JSON_TYPES if answer else ("application/json",),
    )


def root(group: str, version: str) -> str:
    """Return `/api/v1` or `/apis/group/version`."""
    return f"/apis/{group}/{version}" if group else f"/api/{version}"


def camel(group: str) -> str:
    """Return a group as operation ids name it: `rbac.authorization.k8s.io` -> RbacAuthorization."""
    words = (group.removesuffix(".k8s.io") or "core").split(".")
    return "".join(word[:1].upper() + word[1:] for word in words)


class _Resource:
    """Writes the operations of one resource."""

    def __init__(self, catalogue: catalogues.Catalogue, resource: catalogues.Resource) -> None:
        self._catalogue = catalogue
        self._resource = resource
        self._gvk = identities.GroupVersionKind(resource.group, resource.version, resource.kind)
        self._kind = definition_of(catalogue, self._gvk)
        self._list = definition_of(catalogue, self._gvk._replace(kind=resource.kind_of_list))
        self._produces = CUSTOM_TYPES if resource.custom else JSON_TYPES
        self._consumes = CUSTOM_TYPES if resource.custom else ("*/*",)
        self._patches = CUSTOM_PATCH_TYPES if resource.custom else PATCH_TYPES
        base = root(resource.group, resource.version)
        scope = "/namespaces/{namespace}" if resource.namespaced else ""
        self._all = f"/{resource.plural}"
        self._base = base
        self._collection = f"{scope}/{resource.plural}"
        self._item = f"{self._collection}/{{name}}"
        self._scope = "Namespaced" if resource.namespaced else ""
        self._group = camel(resource.group) + resource.version[:1].upper() + resource.version[1:]

    def operations(self) -> Iterator[Operation]:
        yield from self._collections()
        yield from self._items()
        if not self._resource.custom:
            yield from self._watches()
        for subresource in self._resource.subresources.values():
            if subresource.name in _CONNECT_PARAMETERS and subresource.name != "log":
                yield from self._connects(subresource)
            else:
                yield from self._subresource(subresource)

    def _identifier(self, verb: str, suffix: str = "", *, middle: str = "") -> str:
        kind = self._resource.kind
        return f"{verb}{self._group}{middle}{self._scope}{kind}{suffix}"

    def _collections(self) -> Iterator[Operation]:
        verbs = self._resource.verbs
        path = self._base + self._collection
        if "list" in verbs:
            yield self._listing(path, self._identifier("list"))
            if self._resource.namespaced:
                name = f"list{self._group}{self._resource.kind}ForAllNamespaces"
                yield self._listing(self._base + self._all, name)
        if "create" in verbs:
            yield Operation(
                path=path,
                method="post",
                action="post",
                identifier=self._identifier("create"),
                gvk=self._gvk,
                parameters=WRITE_PARAMETERS,
                body=self._kind,
                answer=self._kind,
                codes=(200, 201, 202),
                produces=self._produces,
                consumes=self._consumes,
            )
        if "deletecollection" in verbs:
            yield Operation(
                path=path,
                method="delete",
                action="deletecollection",
                identifier=self._identifier("delete", middle="Collection"),
                gvk=self._gvk,
                parameters=COLLECTION_PARAMETERS,
                body=DELETE_OPTIONS,
                answer=STATUS,
                produces=self._produces,
                consumes=self._consumes,
            )

    def _listing(self, path: str, identifier: str) -> Operation:
        streams = STREAM_TYPES if "watch" in self._resource.verbs else ()
        return Operation(
            path=path,
            method="get",
            action="list",
            identifier=identifier,
            gvk=self._gvk,
            parameters=LIST_PARAMETERS,
            answer=self._list,
            produces=self._produces + (() if self._resource.custom else streams),
            consumes=self._consumes,
        )

    def _items(self) -> Iterator[Operation]:
        verbs = self._resource.verbs
        path = self._base + self._item
        for verb in ("get", "update", "patch"):
            if verb in verbs:
                yield self._plain(verb, path, self._gvk, self._kind, "")
        if "delete" in verbs:
            returned = self._resource.strategy.returns_object_on_delete
            yield Operation(
                path=path,
                method="delete",
                action="delete",
                identifier=self._identifier("delete"),
                gvk=self._gvk,
                parameters=DELETE_PARAMETERS,
                body=DELETE_OPTIONS,
                answer=self._kind if returned else STATUS,
                codes=(200, 202),
                produces=self._produces,
                consumes=self._consumes,
            )

    def _plain(
        self, verb: str, path: str, gvk: identities.GroupVersionKind, kind: str, suffix: str
    ) -> Operation:
        """Write get, create, update or patch of an object or of one of its subresources."""
        names = {"get": "read", "create": "create", "update": "replace", "patch": "patch"}
        methods = {"get": "get", "create": "post", "update": "put", "patch": "patch"}
        parameters: tuple[str, ...] = {"get": (), "patch": PATCH_PARAMETERS}.get(
            verb, WRITE_PARAMETERS
        )
        body = {"get": "", "patch": PATCH}.get(verb, kind)
        codes = {"get": (200,), "create": (200, 201, 202)}.get(verb, (200, 201))
        return Operation(
            path=path,
            method=methods[verb],
            action=methods[verb],
            identifier=self._identifier(names[verb], suffix),
            gvk=gvk,
            parameters=parameters,
            body=body,
            answer=kind,
            codes=codes,
            produces=self._produces,
            consumes=self._patches if verb == "patch" else self._consumes,
        )

    def _watches(self) -> Iterator[Operation]:
        if "watch" not in self._resource.verbs:
            return
        watched = [
            (self._collection, "watchlist", self._identifier("watch", "List")),
            (self._item, "watch", self._identifier("watch")),
        ]
        if self._resource.namespaced:
            name = f"watch{self._group}{self._resource.kind}ListForAllNamespaces"
            watched.insert(0, (self._all, "watchlist", name))
        for path, action, identifier in watched:
            yield Operation(
                path=f"{self._base}/watch{path}",
                method="get",
                action=action,
                identifier=identifier,
                gvk=self._gvk,
                parameters=LIST_PARAMETERS,
                answer=WATCH_EVENT,
                produces=JSON_TYPES + STREAM_TYPES,
            )

    def _subresource(self, subresource: strategies.Subresource) -> Iterator[Operation]:
        path = f"{self._base}{self._item}/{subresource.name}"
        suffix = subresource.name[:1].upper() + subresource.name[1:]
        if subresource.name == "log":
            yield Operation(
                path=path,
                method="get",
                action="get",
                identifier=self._identifier("read", suffix),
                gvk=self._gvk,
                parameters=_CONNECT_PARAMETERS["log"],
                produces=("text/plain", *JSON_TYPES),
            )
            return
        kind = definition_of(self._catalogue, subresource.kind)
        for verb in subresource.verbs:
            yield self._plain(verb, path, subresource.kind, kind, suffix)

    def _connects(self, subresource: strategies.Subresource) -> Iterator[Operation]:
        proxied = subresource.name == "proxy"
        suffix = subresource.name[:1].upper() + subresource.name[1:]
        path = f"{self._base}{self._item}/{subresource.name}"
        for ending, more in (("", ""), ("/{path}", "WithPath")) if proxied else (("", ""),):
            for method in _PROXY_METHODS if proxied else _STREAM_METHODS:
                middle = method.capitalize()
                yield Operation(
                    path=path + ending,
                    method=method,
                    action="connect",
                    identifier=self._identifier("connect", suffix + more, middle=middle),
                    gvk=subresource.kind,
                    parameters=_CONNECT_PARAMETERS[subresource.name],
                    produces=("*/*",),
                )
