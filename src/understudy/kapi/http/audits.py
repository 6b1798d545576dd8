"""The audit log: one line of JSON for every write, as kube-apiserver's own at RequestResponse.

Tools that read audit logs of clusters read this one. Reads leave no line. Of Secrets and tokens
there are only the metadata. Controllers of this process write past HTTP: their lines have their
name as the last part of the user agent, and no request body.
Source: Kubernetes, "Auditing" (audit.k8s.io/v1).
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Final

import orjson

from understudy.aio import clocks, ids as idents
from understudy.kapi.http import bodies, exchanges, negotiation, requests, responses
from understudy.kube import objects, statuses

WRITES: Final = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_SECRET: Final = frozenset({("", "secrets"), ("authentication.k8s.io", "tokenreviews")})
_CACHED_MAX: Final = 1024

WriteLine = Callable[[bytes], object]


class AuditLog:
    """Writes lines; `write` takes one with its line break.

    `base_view` is the prefix of the base view in paths; `depth_max` bounds the nesting of bodies.
    """

    __slots__ = ("_clock", "_depth_max", "_ids", "_targets", "_write")

    def __init__(
        self,
        write: WriteLine,
        clock: clocks.Clock,
        *,
        base_view: str,
        depth_max: int,
    ) -> None:
        self._write = write
        self._clock = clock
        self._ids = idents.SystemIds()
        self._targets = requests.Targets(base_view, _CACHED_MAX)
        self._depth_max = depth_max

    def around(
        self, handler: exchanges.Handler, user_of: Callable[[exchanges.Request], str]
    ) -> exchanges.Handler:
        """Return a handler that answers the same and leaves a line for each write."""

        def handle(
            request: exchanges.Request,
        ) -> exchanges.Answer | Awaitable[exchanges.Answer]:
            if request.method not in WRITES:
                return handler(request)
            received = clocks.rfc3339_micro(self._clock.now())
            user = user_of(request)
            answer = handler(request)
            if not inspect.isawaitable(answer):
                self._asked(request, user, received, answer)
                return answer
            return later(request, user, received, answer)

        async def later(
            request: exchanges.Request,
            user: str,
            received: str,
            waiting: Awaitable[exchanges.Answer],
        ) -> exchanges.Answer:
            answer = await waiting
            self._asked(request, user, received, answer)
            return answer

        return handle

    def _asked(
        self, request: exchanges.Request, user: str, received: str, answer: exchanges.Answer
    ) -> None:
        path, query = self._targets.parse(request.target)
        if not path.resource:
            return
        line: objects.Object = {
            "verb": requests.verb_of(request.method, path, query),
            "requestURI": request.target.decode("latin-1"),
            "user": {"username": user},
            "sourceIPs": [request.peer],
            "userAgent": request.header(b"user-agent"),
            "objectRef": _ref(
                path.group, path.version, path.resource, path.namespace, path.name, path.subresource
            ),
        }
        given = self._given(request)
        shown = _json(answer)
        if isinstance(answer, responses.Response):
            line["responseStatus"] = _status(answer.status, shown)
        self._line(line, received, given, shown)

    def wrote(
        self,
        agent: str,
        verb: str,
        ref: tuple[str, str, str],
        namespace: str,
        name: str,
        shown: objects.Object,
        *,
        subresource: str = "",
    ) -> None:
        """Leave a line for a write of a controller.

        `ref` is group, version and resource; `shown` the object, or a Status where it is gone.
        """
        line: objects.Object = {
            "verb": verb,
            "user": {"username": f"system:serviceaccount:kube-system:{agent}"},
            "userAgent": f"understudy/{agent}",
            "objectRef": _ref(*ref, namespace, name, subresource),
            "responseStatus": _status(201 if verb == "create" else 200, None),
        }
        self._line(line, clocks.rfc3339_micro(self._clock.now()), None, shown)

    def _line(
        self,
        line: objects.Object,
        received: str,
        given: objects.Json,
        shown: objects.Object | None,
    ) -> None:
        ref = line["objectRef"]
        meta = objects.metadata(shown) if shown is not None else {}
        for key in ("name", "namespace", "uid", "resourceVersion"):
            if meta.get(key) and not ref.get(key):
                ref[key] = meta[key]
        level = "RequestResponse"
        if _is_secret(ref):
            level = "Metadata"
        else:
            line |= {"requestObject": given} if given is not None else {}
            line |= {"responseObject": shown} if shown is not None else {}
        whole = {
            "kind": "Event",
            "apiVersion": "audit.k8s.io/v1",
            "level": level,
            "auditID": self._ids.uid(),
            "stage": "ResponseComplete",
            **line,
            "requestReceivedTimestamp": received,
            "stageTimestamp": clocks.rfc3339_micro(self._clock.now()),
        }
        self._write(orjson.dumps(whole, option=orjson.OPT_APPEND_NEWLINE))

    def _given(self, request: exchanges.Request) -> objects.Json:
        """Return a body as JSON; None for what is none."""
        if not request.body:
            return None
        try:
            return orjson.loads(request.body)
        except orjson.JSONDecodeError:
            pass
        kind = request.header(b"content-type")
        form = negotiation.PROTOBUF if negotiation.PROTOBUF in kind else bodies.YAML
        try:
            return bodies.parse_object(
                request.body, form, "", custom=False, depth_max=self._depth_max
            )[0]
        except statuses.ApiError:
            return None


def _ref(
    group: str, version: str, resource: str, namespace: str, name: str, subresource: str
) -> objects.Object:
    said = {
        "resource": resource,
        "namespace": namespace,
        "name": name,
        "apiGroup": group,
        "apiVersion": version,
        "subresource": subresource,
    }
    return {key: value for key, value in said.items() if value}


def _is_secret(ref: objects.Object) -> bool:
    kind = (ref.get("apiGroup", ""), ref["resource"])
    return kind in _SECRET or ref.get("subresource") == "token"


def _json(answer: exchanges.Answer) -> objects.Object | None:
    if not isinstance(answer, responses.Response):
        return None
    try:
        found = orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        return None
    return found if isinstance(found, dict) else None


def _status(code: int, shown: objects.Object | None) -> objects.Object:
    said: objects.Object = {"metadata": {}, "code": code}
    if shown is not None and shown.get("kind") == "Status":
        said |= {key: shown[key] for key in ("status", "reason", "message") if key in shown}
    return said
