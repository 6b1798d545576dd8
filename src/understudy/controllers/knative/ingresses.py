"""What a Route makes to carry its traffic: an Ingress and placeholder Services.

Source: knative.dev/serving `pkg/reconciler/route/resources`.
"""

from __future__ import annotations

import json

from understudy.controllers import clusters
from understudy.controllers.knative import hosts, meta, rollouts, traffic
from understudy.controllers.knative.settings import KnativeSettings
from understudy.kube import objects
from understudy.kube.knative import keys

ROLLOUT = "networking.internal.knative.dev/rollout"
TAG_TO_HOST = "networking.internal.knative.dev/tag-to-host"
_NOT_COPIED = frozenset({"kubectl.kubernetes.io/last-applied-configuration"})


def make_ingress(
    route: objects.Object,
    found: traffic.Traffic,
    rollout: rollouts.Rollout,
    visibility: dict[str, str],
    config: KnativeSettings,
) -> objects.Object:
    """Return the Ingress of a Route."""
    namespace, name = objects.namespace_of(route), objects.name_of(route)
    rules: list[objects.Object] = []
    tag_hosts: dict[str, list[str]] = {}
    for tag in sorted(found.by_tag):
        host = hosts.host_name(name, tag, config)
        path = {"splits": _splits(namespace, tag, found.by_tag[tag], rollout)}
        shown = [hosts.LOCAL]
        if visibility.get(tag) != hosts.LOCAL:
            shown.append(hosts.EXTERNAL)
        for kind in shown:
            local = kind == hosts.LOCAL
            rules.append(
                {
                    "hosts": hosts.hosts(host, namespace, config, local=local),
                    "http": {"paths": [objects.copy(path)]},
                    "visibility": kind,
                }
            )
            if tag:
                shown_host = hosts.domain(host, namespace, config, local=local)
                tag_hosts.setdefault(tag, []).append(shown_host)
    notes = {
        keys.INGRESS_CLASS: config.ingress_class,
        ROLLOUT: rollouts.dump(rollout),
    } | meta.without(objects.annotations_of(route), _NOT_COPIED)
    if tag_hosts:
        ordered = {tag: tag_hosts[tag] for tag in sorted(tag_hosts)}
        notes[TAG_TO_HOST] = json.dumps(ordered, separators=(",", ":"))
    return meta.owned(
        route,
        "networking.internal.knative.dev/v1alpha1",
        "Ingress",
        name,
        labels=dict(objects.labels_of(route)) | {keys.ROUTE: name, keys.ROUTE_NAMESPACE: namespace},
        annotations=notes,
        spec={"httpOption": "Enabled", "rules": rules},
    )


def _splits(
    namespace: str, tag: str, targets: list[traffic.Target], rollout: rollouts.Rollout
) -> list[objects.Object]:
    splits: list[objects.Object] = []
    for target in targets:
        if target.percent == 0:
            continue
        part = rollouts.find(rollout, tag, target.configuration) if target.latest else None
        shares = [(target.revision, target.percent)]
        if part is not None and not part.is_done:
            shares = [(share.revision, share.percent) for share in part.shares]
        port = meta.service_port(target.protocol)[1]
        splits.extend(
            {
                "appendHeaders": {
                    "Knative-Serving-Namespace": namespace,
                    "Knative-Serving-Revision": revision,
                },
                "percent": percent,
                "serviceName": revision,
                "serviceNamespace": namespace,
                "servicePort": port,
            }
            for revision, percent in shares
        )
    return splits


def make_placeholder(
    route: objects.Object, tag: str, config: KnativeSettings, balancer: str = ""
) -> objects.Object:
    """Return the Service that keeps a Route's in-cluster name, and leads to the gateway."""
    namespace, name = objects.namespace_of(route), objects.name_of(route)
    host = hosts.host_name(name, tag, config)
    labels = {
        key: value for key, value in objects.labels_of(route).items() if key != keys.VISIBILITY
    }
    external = balancer or hosts.domain(host, namespace, config, local=hosts.route_is_local(route))
    spec: objects.Object = {
        "type": "ExternalName",
        "externalName": external,
        "sessionAffinity": "None",
        "ports": [
            {
                "name": "http2",
                "appProtocol": "kubernetes.io/h2c",
                "port": 80,
                "protocol": "TCP",
                "targetPort": 80,
            }
        ],
    }
    return meta.owned(
        route,
        "v1",
        "Service",
        host,
        labels=labels | {keys.ROUTE: name},
        annotations=dict(objects.annotations_of(route)),
        spec=spec,
    )


def visibility(
    cluster: clusters.Cluster, route: objects.Object, config: KnativeSettings
) -> dict[str, str]:
    """Return for the Route (`""`) and each tag whether it is shown outside of the cluster.

    A placeholder Service may carry the label too: so a single tag can be kept private.
    """
    namespace, name = objects.namespace_of(route), objects.name_of(route)
    everything_local = hosts.route_is_local(route)
    tags = {"", *(str(one.get("tag") or "") for one in route["spec"].get("traffic") or ())}
    out = {}
    for tag in tags:
        host = hosts.host_name(name, tag, config)
        service = cluster.peek(meta.SERVICES, namespace, host)
        local = everything_local
        if service is not None and objects.labels_of(service).get(keys.ROUTE) == name:
            local = local or hosts.is_local(objects.labels_of(service))
        out[tag] = hosts.LOCAL if local else hosts.EXTERNAL
    return out
