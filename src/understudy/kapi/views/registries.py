"""The views of one server by name: the base and its sandboxes, their sandboxes, and so on."""

from __future__ import annotations

from collections.abc import Callable

from understudy.kapi.store import stores
from understudy.kapi.views import view as views
from understudy.kube import identities, names, statuses

VIEWS = identities.GroupResource("", "views")
RESERVED = frozenset(
    [
        "api",
        "apis",
        "openapi",
        "version",
        "healthz",
        "livez",
        "readyz",
        "metrics",
        "views",
        "openid",
        "flagz",
        "statusz",
    ]
)
"""Names that would stand in the way of a path of the unprefixed base view."""


class Views:
    """Creates, finds, resets and deletes views.

    Attributes:
        base: The view without a parent; its name is the base prefix.
        changed: Called after a view was created, reset or deleted, with what happened and the
            view: `("created" | "reset" | "deleted", view)`. For journals and routes.
    """

    def __init__(self, base: views.View, sandboxes_max: int = 1_000) -> None:
        self.base = base
        self.sandboxes_max = sandboxes_max
        self.changed: list[Callable[[str, views.View], None]] = []
        self._views: dict[str, views.View] = {base.name: base}

    def get(self, name: str) -> views.View:
        """Return a view; NotFoundError where there is none of that name."""
        found = self._views.get(name)
        if found is None:
            raise statuses.not_found(VIEWS, name)
        return found

    def find(self, name: str) -> views.View | None:
        """Return a view, or None."""
        return self._views.get(name)

    def all(self) -> list[views.View]:
        """Return every view, the base first, then by name."""
        others = [view for name, view in sorted(self._views.items()) if view is not self.base]
        return [self.base, *others]

    def create(self, name: str, *, of: str = "", follow: bool = True) -> views.View:
        """Make a sandbox of a view (the base where `of` is empty).

        Raises:
            InvalidError: The name is no DNS label, or is reserved.
            AlreadyExistsError: There is a view of that name.
            NotFoundError: There is no view `of`.
            ForbiddenError: There are as many sandboxes as allowed.
        """
        complaints = names.dns_label(name)
        if not complaints and name in RESERVED:
            complaints = [f"is reserved (reserved are: {', '.join(sorted(RESERVED))})"]
        if complaints:
            raise statuses.invalid(
                "",
                "View",
                name,
                [
                    statuses.Cause("name", "FieldValueInvalid", f'Invalid value: "{name}": {text}')
                    for text in complaints
                ],
            )
        if name in self._views:
            raise statuses.already_exists(VIEWS, name)
        if len(self._views) > self.sandboxes_max:
            raise statuses.forbidden(
                VIEWS,
                name,
                f"this server keeps at most {self.sandboxes_max} sandboxes; delete one first",
            )
        parent = self.get(of) if of else self.base
        view = parent.fork(name, follow=follow)
        view.caller = parent.caller
        parent.children[name] = view
        self._views[name] = view
        self._tell("created", view)
        return view

    def reset(self, name: str) -> views.View:
        """Bring a sandbox back to its parent's present; its watches end, its clients list again.

        Raises:
            BadRequestError: It is the base, or has sandboxes of its own.
        """
        view = self._without_children(name, "reset")
        parent = view.parent
        assert parent is not None, "only sandboxes get here"
        following = isinstance(view.store, stores.FollowingStore)
        view.close()
        view.store = parent.store.follow() if following else parent.store.fork()
        view.caches.clear()
        self._tell("reset", view)
        return view

    def delete(self, name: str) -> None:
        """Forget a sandbox; its watches end.

        Raises:
            BadRequestError: It is the base, or has sandboxes of its own.
        """
        view = self._without_children(name, "deleted")
        assert view.parent is not None, "only sandboxes get here"
        view.close()
        del self._views[name]
        view.parent.children.pop(name, None)
        self._tell("deleted", view)

    def _without_children(self, name: str, verb: str) -> views.View:
        view = self.get(name)
        if view.parent is None:
            raise statuses.BadRequestError(
                f'view "{name}" is the base: only a sandbox can be {verb}'
            )
        if view.children:
            raise statuses.BadRequestError(
                f'view "{name}" has sandboxes of its own ({", ".join(sorted(view.children))}): '
                "delete them first"
            )
        return view

    def _tell(self, what: str, view: views.View) -> None:
        for listener in self.changed:
            listener(what, view)
