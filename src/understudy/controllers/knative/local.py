"""Knative on one's own machine: what its ConfigMaps say there.

It is written down in the view and not only passed on, so that rehearsals and apps, which read the
ConfigMaps as they would a real cluster's, come to the same URLs and the same limits.
"""

from __future__ import annotations

from typing import Final

from understudy.controllers.knative import configmaps
from understudy.controllers.knative.settings import KnativeSettings
from understudy.kapi.views import view as views
from understudy.kube import objects

NAMESPACE: Final = "knative-serving"
HTTP_PORT: Final = 80
_DEFAULTS: Final[dict[str, dict[str, str]]] = {
    "config-autoscaler": {"allow-zero-initial-scale": "true"},
    "config-deployment": {"queue-sidecar-image": ""},
    "config-domain": {},
    "config-features": {
        "kubernetes.podspec-persistent-volume-claim": "enabled",
        "kubernetes.podspec-persistent-volume-write": "enabled",
    },
    "config-network": {"autocreate-cluster-domain-claims": "true"},
}
"""What is not as in a fresh installation: volumes may be claimed, the gateway stands in for the
proxy beside each app, and whoever maps a domain need not claim it first."""


def configure(view: views.View, port: int) -> KnativeSettings:
    """Write what is not set yet, and the gateway's port in any case; return what counts then."""
    if view.find("namespaces", "", NAMESPACE) is None:
        view.create("namespaces", {"metadata": {"name": NAMESPACE}})
    for name, data in _DEFAULTS.items():
        present = view.find("configmaps", NAMESPACE, name)
        wanted = dict(data)
        if present is not None:
            wanted |= present.get("data") or {}
        if name == "config-network":
            wanted[configmaps.GATEWAY_PORT] = str(0 if port == HTTP_PORT else port)
        if present is None:
            view.create("configmaps", {"metadata": {"name": name}, "data": wanted}, NAMESPACE)
        elif present.get("data") != wanted:
            view.update("configmaps", objects.copy(present) | {"data": wanted}, NAMESPACE)
    return configmaps.read(lambda name: view.find("configmaps", NAMESPACE, name))
