"""`/views`: sandboxes over HTTP.

GET    /views                 {"views": [{"name", "of", "kind", "url", "kubeconfig", ...}]}
POST   /views                 {"name": "trial", "of": "base", "follow": true} -> 201
GET    /views/NAME            one of the above
DELETE /views/NAME            a v1.Status
GET    /views/NAME/diff       {"name", "of", "changes": [{"operation", "before", "after", ...}]}
       ?from=REV&to=REV       the same between two kept revisions of one view; `to` is the present
POST   /views/NAME/promote    the same, of what was carried over; 409 with every conflict
POST   /views/NAME/reset      the view, back at its parent's present
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qs

import orjson

from understudy.kapi.http import exchanges, responses
from understudy.kapi.views import registries, sandboxes, view as views
from understudy.kube import objects, statuses

_MASK = "***"


class ViewsApi:
    """Answers requests under `/views`."""

    __slots__ = ("_kubeconfig_of", "_registry", "_url_of")

    def __init__(
        self,
        registry: registries.Views,
        *,
        url_of: Callable[[str], str],
        kubeconfig_of: Callable[[str], Path],
    ) -> None:
        self._registry = registry
        self._url_of = url_of
        self._kubeconfig_of = kubeconfig_of

    def answer(self, request: exchanges.Request, path: str) -> responses.Response:
        """Answer a request on `/views` or below.

        Raises:
            ApiError: As the registry and the view say; MethodNotAllowedError.
        """
        _, _, name, *rest = (*path.split("/"), "")
        action = rest[0] if rest else ""
        method = "GET" if request.method == "HEAD" else request.method
        if not name:
            if method == "GET":
                shown = [self._show(view) for view in self._registry.all()]
                return responses.json_response({"views": shown})
            if method == "POST":
                return self._create(request.body)
            raise _not_allowed()
        if not action:
            return self._one(method, name)
        wanted = "GET" if action == "diff" else "POST"
        if action not in ("diff", "promote", "reset"):
            return responses.page_not_found()
        if method != wanted:
            raise _not_allowed()
        return self._act(action, name, request)

    def _one(self, method: str, name: str) -> responses.Response:
        if method == "GET":
            return responses.json_response(self._show(self._registry.get(name)))
        if method != "DELETE":
            raise _not_allowed()
        self._registry.delete(name)
        return responses.json_response(
            {
                "kind": "Status",
                "apiVersion": "v1",
                "metadata": {},
                "status": "Success",
                "details": {"name": name, "kind": "views"},
            }
        )

    def _create(self, body: bytes) -> responses.Response:
        asked = _parse(body)
        name, parent = asked.get("name"), asked.get("of") or ""
        follow = asked.get("follow", True)
        if not isinstance(name, str) or not name:
            raise statuses.BadRequestError(
                'name: required: POST /views takes {"name": "trial", "of": "base", "follow": true}'
            )
        if not isinstance(parent, str):
            raise statuses.BadRequestError(f"of: {parent!r} is no name of a view")
        if not isinstance(follow, bool):
            raise statuses.BadRequestError(f"follow: {follow!r} is neither true nor false")
        view = self._registry.create(name, of=parent, follow=follow)
        return responses.json_response(self._show(view), 201)

    def _act(self, action: str, name: str, request: exchanges.Request) -> responses.Response:
        view = self._registry.get(name)
        query = parse_qs(request.target.partition(b"?")[2].decode("latin-1"))
        if action == "diff" and "from" in query:
            return responses.json_response(_between(view, query))
        if action == "reset":
            return responses.json_response(self._show(self._registry.reset(name)))
        found = view.promote() if action == "promote" else view.diff()
        parent = view.parent.name if view.parent is not None else ""
        return responses.json_response(
            {"name": name, "of": parent, "changes": [show_change(change) for change in found]}
        )

    def _show(self, view: views.View) -> objects.Object:
        return {
            "name": view.name,
            "of": view.parent.name if view.parent is not None else None,
            "kind": view.kind,
            "url": self._url_of(view.name),
            "kubeconfig": str(self._kubeconfig_of(view.name)),
            "resourceVersion": str(view.revision),
            "changes": view.change_count,
        }


def _between(view: views.View, query: dict[str, list[str]]) -> objects.Object:
    """Return what changed in a view between two of its revisions."""
    revisions: list[int] = []
    for key in ("from", "to"):
        text = query.get(key, [str(view.revision)])[0]
        if not text.isascii() or not text.isdigit():
            raise statuses.BadRequestError(f"{key}: {text!r} is no resourceVersion: give a number")
        revisions.append(int(text))
    before, after = (view.at(revision) for revision in revisions)
    return {
        "name": view.name,
        "from": str(revisions[0]),
        "to": str(revisions[1]),
        "changes": [show_change(change) for change in before.compare(after)],
    }


def _not_allowed() -> statuses.MethodNotAllowedError:
    return statuses.MethodNotAllowedError(
        "the server does not allow this method on the requested resource", details={}
    )


def _parse(body: bytes) -> objects.Object:
    try:
        parsed = orjson.loads(body or b"{}")
    except orjson.JSONDecodeError as error:
        raise statuses.BadRequestError(f"the body is not JSON: {error}") from error
    if not isinstance(parsed, dict):
        raise statuses.BadRequestError("the body must be a JSON object")
    return parsed


def show_change(change: sandboxes.Change) -> objects.Object:
    """Render one difference; values of Secrets are masked, whether they differ is shown."""
    before = change.before.load() if change.before is not None else None
    after = change.after.load() if change.after is not None else None
    either = after or before or {}
    if either.get("kind") == "Secret" and either.get("apiVersion") == "v1":
        before, after = _masked(before, after)
    namespace, _, name = change.key.rpartition("/")
    return {
        "operation": change.operation,
        "apiVersion": either.get("apiVersion"),
        "kind": either.get("kind"),
        "resource": str(change.storage),
        "namespace": namespace,
        "name": name,
        "before": before,
        "after": after,
    }


def _masked(
    before: objects.Object | None, after: objects.Object | None
) -> tuple[objects.Object | None, objects.Object | None]:
    """Replace a Secret's values as `kubectl diff` does: equal `***`, else with the side's name."""
    sides = {"before": before, "after": after}
    values = {side: (obj or {}).get("data") or {} for side, obj in sides.items()}
    shown: dict[str, objects.Object | None] = {}
    for side, obj in sides.items():
        if obj is None or not obj.get("data"):
            shown[side] = obj
            continue
        other = values["after" if side == "before" else "before"]
        shown[side] = obj | {
            "data": {
                key: _MASK if key not in other or other[key] == value else f"{_MASK} ({side})"
                for key, value in obj["data"].items()
            }
        }
    return shown["before"], shown["after"]
