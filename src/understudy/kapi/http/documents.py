"""Documents about the API itself: versions, groups, resources, OpenAPI, keys, the index."""

from __future__ import annotations

from understudy.kapi import settings
from understudy.kapi.discovery import (
    aggregated,
    documents,
    groups,
    openapi_v2,
    openapi_v2_protobuf,
    openapi_v3,
)
from understudy.kapi.http import (
    exchanges,
    health,
    negotiation,
    rendering,
    requests,
    responses,
    tokens,
    zpages,
)
from understudy.kapi.resources import catalogue as catalogues
from understudy.kapi.views import view as views
from understudy.kube import identities, objects, schemas, statuses

VERSION: objects.Object = {
    "major": "1",
    "minor": "36",
    "emulationMajor": "1",
    "emulationMinor": "36",
    "minCompatibilityMajor": "1",
    "minCompatibilityMinor": "35",
    "gitVersion": "v1.36.0+understudy",
    "gitCommit": "",
    "gitTreeState": "clean",
    "buildDate": "2026-01-01T00:00:00Z",
    "goVersion": "",
    "compiler": "cpython",
    "platform": "any",
}


TOKEN_REQUEST = identities.GroupVersionKind("authentication.k8s.io", "v1", "TokenRequest")
_NOT_FOUND = "the server could not find the requested resource"
_NOT_ALLOWED = "the server does not allow this method on the requested resource"
_FOREVER = "public, immutable"
"""Cache-Control of a document asked for with its hash: other content has another address."""


class Documents:
    """Answers paths that are neither resources nor health."""

    __slots__ = ("_health", "_issuer", "_limits")

    def __init__(
        self,
        issuer: tokens.TokenIssuer,
        checks: health.Health,
        limits: settings.HttpLimits | None = None,
    ) -> None:
        self._issuer = issuer
        self._health = checks
        self._limits = limits or settings.HttpLimits()

    def answer(
        self,
        request: exchanges.Request,
        path: requests.Path,
        query: requests.Query,
        view: views.View,
    ) -> responses.Response:
        """Answer, or say that there is nothing at the path.

        Raises:
            NotFoundError: A version of a built-in group that is not served. NotAcceptableError.
        """
        text = path.text.rstrip("/") or "/"
        page = zpages.answer(text, VERSION["gitVersion"], self._limits, self._health)
        if page is not None:
            return page
        found = self._document(request, path, text, view)
        if found is None:
            return responses.page_not_found()
        if path.version and request.method not in ("GET", "HEAD"):
            # Only these are routed by method; the other documents answer whatever the method.
            raise statuses.MethodNotAllowedError(_NOT_ALLOWED, details={})
        if text.startswith("/openapi/"):
            return _openapi(request, path, query, view)
        if isinstance(found, documents.Document) and text in ("/api", "/apis"):
            return _aggregated(request, query, view, found, core=text == "/api")
        return _shown(request, query, found, routed=bool(path.version))

    def _document(
        self, request: exchanges.Request, path: requests.Path, text: str, view: views.View
    ) -> documents.Document | objects.Object | None:
        """Return what is at a path; for OpenAPI only that there is something."""
        catalogue = view.catalogue
        if text == "/api":
            host = request.header(b"host") or "localhost"
            return documents.Document(responses.dump(groups.api_versions(host)).rstrip())
        if text == "/apis":
            return groups.group_list(catalogue)
        if path.version:
            return _resource_list(catalogue, path)
        if path.api:
            return groups.group(catalogue, path.group)
        if text.startswith("/openapi/"):
            return {}
        if text == "/":
            return {"paths": self._index(catalogue)}
        plain: dict[str, objects.Object] = {
            "/version": VERSION,
            "/openid/v1/jwks": self._issuer.public_keys() if text.startswith("/openid") else {},
            "/.well-known/openid-configuration": self._openid(),
        }
        return plain.get(text)

    def _openid(self) -> objects.Object:
        return {
            "issuer": self._issuer.issuer,
            "jwks_uri": f"{self._issuer.issuer.rstrip('/')}/openid/v1/jwks",
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256"],
        }

    def _index(self, catalogue: catalogues.Catalogue) -> list[str]:
        paths = {
            "/.well-known/openid-configuration", "/api", "/api/v1", "/apis", "/apis/", "/metrics",
            "/openapi/v2", "/openapi/v3", "/openapi/v3/", "/openid/v1/jwks", "/version",
        }  # fmt: skip
        paths |= {*zpages.PATHS, *self._health.paths()}
        for group, versions in groups.versions_by_group(catalogue):
            if group:
                paths.add(f"/apis/{group}")
                paths |= {f"/apis/{group}/{version}" for version in versions}
        return sorted(paths)

    def token_request(self, view: views.View) -> schemas.Schema:
        """Return the schema of TokenRequest."""
        return view.catalogue.schema_of(TOKEN_REQUEST)


def _resource_list(
    catalogue: catalogues.Catalogue, path: requests.Path
) -> documents.Document | None:
    found = groups.resource_list(catalogue, path.group, path.version)
    if found is None and any(
        resource.group == path.group and not resource.custom for resource in catalogue.resources
    ):
        raise statuses.NotFoundError(_NOT_FOUND, details={})
    return found


def _aggregated(
    request: exchanges.Request,
    query: requests.Query,
    view: views.View,
    legacy: documents.Document,
    *,
    core: bool,
) -> responses.Response:
    """Answer `/api` or `/apis` in whichever form the client prefers."""
    for clause in negotiation.parse_accept(request.header(b"accept")):
        if clause.type != "application" or clause.subtype != "json":
            continue
        parameters = clause.parameters
        if not parameters.get("as"):
            break
        version = parameters.get("v", "")
        if (
            parameters["as"] == "APIGroupDiscoveryList"
            and parameters.get("g") == "apidiscovery.k8s.io"
            and version in aggregated.VERSIONS
        ):
            found = aggregated.document(view.catalogue, core=core, version=version)
            return _cached(request, found, aggregated.media_type(version))
    shown = _shown(request, query, legacy, routed=False)
    shown.headers = (*shown.headers, ("Vary", "Accept"))
    return shown


def _cached(
    request: exchanges.Request,
    document: documents.Document,
    content_type: str,
    headers: tuple[responses.Header, ...] = (),
) -> responses.Response:
    """Answer with a document, with 304 where the client has it, compressed where it may be."""
    headers = (*headers, ("ETag", document.etag), ("Vary", "Accept"))
    if document.etag in request.header(b"if-none-match"):
        return responses.Response(304, b"", "", headers)
    if "gzip" in request.header(b"accept-encoding"):
        compressed = (*headers, ("Content-Encoding", "gzip"))
        return responses.Response(
            200, document.gzipped, content_type, compressed, compressible=False
        )
    return responses.Response(200, document.body, content_type, headers, compressible=False)


def _openapi(
    request: exchanges.Request, path: requests.Path, query: requests.Query, view: views.View
) -> responses.Response:
    text = path.text.rstrip("/")
    if text == "/openapi/v2":
        if _takes_protobuf(request):
            whole = openapi_v2_protobuf.document(view.catalogue)
            return _cached(request, whole, openapi_v2_protobuf.CONTENT_TYPE)
        if not _takes_json(request):
            raise statuses.NotAcceptableError(
                "only the following media types are accepted: application/json"
            )
        return _cached(request, openapi_v2.document(view.catalogue), responses.JSON)
    if text == "/openapi/v3":
        prefix = f"/{path.view}" if path.view else ""
        return _cached(request, openapi_v3.index(view.catalogue, prefix), responses.TEXT)
    name = text.removeprefix("/openapi/v3/")
    found = openapi_v3.document(view.catalogue, name) if name != text else None
    if found is None:
        return responses.Response(404, b"", "")
    forever = (("Cache-Control", _FOREVER),) if query.get("hash") else ()
    return _cached(request, found, responses.JSON, forever)


def _takes_protobuf(request: exchanges.Request) -> bool:
    """Tell whether the first acceptable form of `/openapi/v2` is protobuf."""
    for clause in negotiation.parse_accept(request.header(b"accept")):
        if clause.type == "application" and clause.subtype in openapi_v2_protobuf.ACCEPTED:
            return True
        if clause.type == "*" or (clause.type == "application" and clause.subtype in {"*", "json"}):
            return False
    return False


def _takes_json(request: exchanges.Request) -> bool:
    accept = request.header(b"accept")
    return not accept or any(
        (clause.type, clause.subtype) in {("*", "*"), ("application", "*"), ("application", "json")}
        for clause in negotiation.parse_accept(accept)
    )


def _shown(
    request: exchanges.Request,
    query: requests.Query,
    found: documents.Document | objects.Object,
    *,
    routed: bool,
) -> responses.Response:
    """Answer in JSON or YAML, indented for people.

    `routed` documents are negotiated by the real server's router, with an error of its own.
    """
    try:
        choice = negotiation.choose(request.header(b"accept"), "object", custom=not routed)
    except statuses.NotAcceptableError as error:
        raise error if routed else negotiation.discovery_unacceptable() from None
    indent = negotiation.pretty(choice, query.get("pretty"), request.header(b"user-agent"))
    if isinstance(found, documents.Document):
        return rendering.json_bytes(found.body, choice, indent=indent)
    return rendering.json_value(found, choice, indent=indent)
