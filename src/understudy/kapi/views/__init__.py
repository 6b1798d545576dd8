"""The verbs: one verb is one synchronous transaction on one view.

Face: `new_view` makes a base view with nothing in it but what every cluster has; `View` has the
verbs. Never here: bytes, headers, query strings (kapi.http), waiting, tasks.
"""

from __future__ import annotations

from understudy.aio import clocks, ids as idents
from understudy.kapi.admission import chain as admission, chains
from understudy.kapi.resources import builtins, catalogue as catalogues
from understudy.kapi.store import stores
from understudy.kapi.views import options as opts, view as views

View = views.View
SYSTEM_NAMESPACES = ("default", "kube-node-lease", "kube-public", "kube-system")
_SERVER = opts.WriteOptions(user_agent="kube-apiserver")


def new_view(
    *,
    clock: clocks.Clock | None = None,
    ids: idents.IdSource | None = None,
    catalogue: catalogues.Catalogue | None = None,
    chain: admission.Chain | None = None,
    first_revision: int = 1,
    events_max: int = 10_000,
) -> views.View:
    """Return a fresh base view with the namespaces every cluster has.

    Example: `new_view().create("configmaps", {"metadata": {"name": "a"}}, "default")`.
    """
    shared = views.Shared(
        builtins=catalogue or builtins.catalogue(),
        clock=clock or clocks.SystemClock(),
        ids=ids or idents.SystemIds(),
        chain=chains.default_chain() if chain is None else chain,
        events_max=events_max,
    )
    store = stores.Store(stores.Counter(first_revision), events_max=events_max)
    view = views.View("base", store, shared)
    for name in SYSTEM_NAMESPACES:
        view.create("namespaces", {"metadata": {"name": name}}, options=_SERVER)
    return view
