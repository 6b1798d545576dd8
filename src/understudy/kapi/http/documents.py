"""Documents about the API itself: versions, groups, resources, OpenAPI, keys, the index."""

from __future__ import annotations

from understudy.kapi.http import negotiation, protocol, rendering, requests, responses, tokens
from understudy.kapi.views import view as views
from understudy.kube import objects, schemas

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


class Documents:
    """Answers paths that are neither resources nor health."""

    __slots__ = ("_issuer",)

    def __init__(self, issuer: tokens.TokenIssuer) -> None:
        self._issuer = issuer

    def answer(
        self,
        request: protocol.Request,
        path: requests.Path,
        query: requests.Query,
        view: views.View,
    ) -> responses.Response:
        """Answer, or say that there is nothing at the path."""
        text = path.text.rstrip("/") or "/"
        if text == "/version":
            return self._value(request, query, VERSION)
        if text == "/openid/v1/jwks":
            return responses.json_response(self._issuer.public_keys())
        return responses.page_not_found()

    @staticmethod
    def _value(
        request: protocol.Request, query: requests.Query, value: objects.Json
    ) -> responses.Response:
        choice = negotiation.choose(request.header(b"accept"), "object", custom=False)
        indent = negotiation.pretty(choice, query.get("pretty"), request.header(b"user-agent"))
        return rendering.json_value(value, choice, indent=indent)

    def token_request(self, view: views.View) -> schemas.Schema:
        """Return the schema of TokenRequest."""
        return schemas.ANY
