"""Put Knative into a view: resources, webhook, controllers.

installing.install(view, config)                     # resources and admission
running.start(view, more=installing.controllers(config, worlds.quiet()))
"""

from __future__ import annotations

from understudy.controllers import registry
from understudy.controllers.knative import (
    autoscalers,
    collection,
    configmaps,
    configurations,
    configuring,
    crds,
    gateways,
    labels,
    local,
    mappings,
    metrics,
    revisions,
    routes,
    serverless,
    services,
    webhook,
    worlds,
)
from understudy.controllers.knative.settings import KnativeSettings
from understudy.kapi.views import view as views
from understudy.kube import objects

SYSTEM_NAMESPACE = local.NAMESPACE


def install(view: views.View, config: KnativeSettings | None = None) -> None:
    """Create Knative's resources in a view and let its webhook take part in every write there.

    Harmless when repeated; a view loaded with a real cluster's definitions keeps those.
    """
    crds.install(view)
    webhook.install(view, config or KnativeSettings())
    if view.find("namespaces", "", SYSTEM_NAMESPACE) is None:
        view.create("namespaces", {"metadata": {"name": SYSTEM_NAMESPACE}})


def controllers(config: KnativeSettings, world: worlds.World) -> list[registry.Factory]:
    """Return what makes Knative's controllers, for `running.start(more=...)` and `settle`."""
    return [
        lambda shared: configuring.Settings(shared, config),
        # Before Services: a Configuration edited by hand leaves a Revision, then is reverted.
        lambda shared: configurations.Configurations(shared, config),
        lambda shared: services.Services(shared, config),
        lambda shared: labels.Labels(shared, config),
        lambda shared: routes.Routes(shared, config),
        lambda shared: collection.Collection(shared, config),
        lambda shared: revisions.Revisions(shared, config, world),
        lambda shared: autoscalers.Autoscalers(shared, config, world),
        lambda shared: serverless.Serverless(shared, config),
        lambda shared: metrics.Metrics(shared, config),
        lambda shared: gateways.Ingresses(shared, config, world),
        lambda shared: mappings.DomainMappings(shared, config),
    ]


def rehearsed(view: views.View, *, copied: bool = False) -> list[registry.Factory]:
    """Prepare a rehearsal's own view, which may come from a real cluster; return its controllers.

    Empty where the view serves no Knative Services. The cluster's own ConfigMaps decide on URLs,
    limits and scale; whatever is asked for is there, and nothing goes idle. `copied`: what there is
    was made by another Knative.
    """
    if not is_installed(view):
        return []
    config = read_config(view)
    config.keeps_deployments = copied
    webhook.install(view, config)
    return controllers(config, worlds.steady())


def read_config(view: views.View) -> KnativeSettings:
    """Return how a view's own ConfigMaps set Knative up."""

    def find(name: str) -> objects.Object | None:
        return view.find("configmaps", SYSTEM_NAMESPACE, name)

    return configmaps.read(find)


def complete(view: views.View) -> None:
    """Give a view loaded with a real cluster's Knative the internal resources it lacks."""
    if is_installed(view):
        crds.install(view)


def is_installed(view: views.View) -> bool:
    """Say whether a view serves Knative Services."""
    return view.catalogue.named("services.serving.knative.dev") is not None
