"""Views as of kept revisions: `/NAME@REVISION/...` is read like any view, and only read."""

from __future__ import annotations

from understudy.kapi.store import stores
from understudy.kapi.views import view as views
from understudy.kube import statuses

KEPT_MAX = 8
"""Pasts kept for the next request; the state of each is found again where it is not."""
_READS = frozenset({"get", "list"})


class Pasts:
    """Finds the past of a view, and keeps the last ones asked for."""

    __slots__ = ("_kept",)

    def __init__(self) -> None:
        # By store, not by view: a view that was reset has another past.
        self._kept: dict[tuple[stores.Store, int], views.View] = {}

    def of(self, view: views.View, revision: str) -> views.View:
        """Return a view as of a revision; it must not be written to.

        Raises:
            BadRequestError: The revision is no number, or still to come.
        """
        if not revision.isascii() or not revision.isdigit():
            raise statuses.BadRequestError(
                f'view "{view.name}@{revision}": {revision!r} is no resourceVersion: give a number'
            )
        wanted = int(revision)
        if wanted > view.revision:
            raise statuses.BadRequestError(
                f'view "{view.name}" has no revision {wanted} yet: its newest is {view.revision}'
            )
        key = (view.store, wanted)
        found = self._kept.pop(key, None) or view.at(wanted)
        self._kept[key] = found
        if len(self._kept) > KEPT_MAX:
            del self._kept[next(iter(self._kept))]
        return found


def check(view: views.View, verb: str) -> None:
    """Refuse what cannot be asked of the past.

    Raises:
        MethodNotAllowedError: The request writes, watches or connects.
    """
    if verb in _READS:
        return
    present = view.name.partition("@")[0]
    raise statuses.MethodNotAllowedError(
        f'view "{view.name}" is the past, which is only read: {verb or "ask"} in view "{present}"',
        details={},
    )
