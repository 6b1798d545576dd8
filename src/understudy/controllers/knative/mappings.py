"""A DomainMapping gives a Service a further name.

Source: knative.dev/serving `pkg/reconciler/domainmapping`.
"""

from __future__ import annotations

from collections.abc import Sequence

from understudy.controllers import changes, clusters, reactor, recorders
from understudy.controllers.knative import (
    conditions,
    configuring,
    meta,
    reconciling,
    watchlists,
)
from understudy.controllers.knative.settings import KnativeSettings
from understudy.kube import identities, objects
from understudy.kube.knative import keys

FINALIZER = "domainmappings.serving.knative.dev"
CLAIMED, RESOLVED = "DomainClaimed", "ReferenceResolved"
INGRESS, CERTIFICATE = "IngressReady", "CertificateProvisioned"
_NOT_CONFIGURED = ("IngressNotConfigured", "Ingress has not yet been reconciled.")
_UID = "serving.knative.dev/domainMappingUID"
_NAMESPACE = "serving.knative.dev/domainMappingNamespace"


class DomainMappings:
    """The DomainMapping controller."""

    name = "knative-domainmapping-controller"
    watched: Sequence[str] = (
        keys.DOMAIN_MAPPINGS,
        keys.SERVICES,
        meta.SERVICES,
        meta.INGRESSES,
        meta.CLAIMS,
        configuring.CONFIG_MAPS,
    )

    recalled: Sequence[str] = (keys.DOMAIN_MAPPINGS,)

    def __init__(self, shared: clusters.Shared, config: KnativeSettings) -> None:
        self._cluster = clusters.Cluster(shared, "domainmapping-controller", "controller")
        self._recorder = recorders.Recorder(self._cluster, "domainmapping-controller")
        self._config = config
        self._watchlist = watchlists.Watchlist()

    def observe(self, change: changes.Change, queue: reactor.Queue) -> None:
        namespace, name = change.key
        match change.ref:
            case keys.DOMAIN_MAPPINGS:
                queue.add((namespace, name))
            case configuring.CONFIG_MAPS:
                if configuring.is_about(change):
                    for entry in self._cluster.entries(keys.DOMAIN_MAPPINGS):
                        queue.add((entry.namespace, entry.name))
            case meta.CLAIMS:
                owner = str(objects.lookup(change.object, ("spec", "namespace")) or "")
                queue.add((owner, name))
            case meta.INGRESSES:
                reference = meta.controller_of(change.object)
                if reference is not None and reference.get("kind") == "DomainMapping":
                    queue.add((namespace, str(reference["name"])))
            case _:
                self._watchlist.tell(change.ref, namespace, name, queue)

    def reconcile(self, key: reactor.Key) -> float | None:
        namespace, name = key
        mapping = self._cluster.find(keys.DOMAIN_MAPPINGS, namespace, name)
        if mapping is None:
            self._watchlist.drop((namespace, name))
            return None
        if objects.metadata(mapping).get("deletionTimestamp"):
            self._give_up_claim(mapping)
            reconciling.drop_finalizer(
                self._cluster, self._recorder, keys.DOMAIN_MAPPINGS, mapping, FINALIZER
            )
            return None
        reconciling.add_finalizer(
            self._cluster, self._recorder, keys.DOMAIN_MAPPINGS, mapping, FINALIZER
        )
        return reconciling.reconcile(
            self._cluster,
            self._recorder,
            keys.DOMAIN_MAPPINGS,
            key,
            (CLAIMED, RESOLVED, INGRESS, CERTIFICATE),
            self._body,
        )

    def _body(self, mapping: objects.Object, managed: conditions.Conditions) -> float | None:
        if not conditions.is_observed(mapping):
            managed.mark_unknown(INGRESS, *_NOT_CONFIGURED)
        name, status = objects.name_of(mapping), mapping["status"]
        secured = objects.lookup(mapping, ("spec", "tls")) is not None
        port = f":{self._config.port}" if self._config.port else ""
        status["url"] = f"{'https' if secured else 'http'}://{name}{port}"
        status["address"] = {"url": status["url"]}
        self._claim(mapping, managed)
        if secured:
            text = "TLS certificate was provided externally"
            managed.mark_true(CERTIFICATE, "TLSCertificateProvidedExternally", text)
        else:
            managed.mark_true(CERTIFICATE, "TLSNotEnabled", "external-domain-tls is not enabled")
        host, backend = self._resolve(mapping, managed)
        ingress = self._ingress(mapping, host, backend)
        if not conditions.is_observed(ingress):
            managed.mark_unknown(INGRESS, *_NOT_CONFIGURED)
        else:
            _propagate(managed, ingress)
        return None

    # ------------------------------------------------------------------ the claim

    def _claim(self, mapping: objects.Object, managed: conditions.Conditions) -> None:
        namespace, name = objects.namespace_of(mapping), objects.name_of(mapping)
        claim = self._cluster.peek(meta.CLAIMS, "", name)
        if claim is None:
            if not self._config.claims_domains:
                self._not_owned(managed)
                raise reconciling.ReconcileError(
                    f'no ClusterDomainClaim found for domain "{name}" (and'
                    " autocreate-cluster-domain-claims property is not true)"
                )
            self._cluster.create(
                meta.CLAIMS,
                {
                    "apiVersion": "networking.internal.knative.dev/v1alpha1",
                    "kind": "ClusterDomainClaim",
                    "metadata": {"name": name},
                    "spec": {"namespace": namespace},
                },
            )
        elif claim["spec"].get("namespace") != namespace:
            self._not_owned(managed)
            raise reconciling.ReconcileError(
                f'namespace "{namespace}" does not own ClusterDomainClaim for "{name}"'
            )
        managed.mark_true(CLAIMED)

    def _not_owned(self, managed: conditions.Conditions) -> None:
        managed.mark_false(
            CLAIMED,
            "DomainAlreadyClaimed",
            "The domain name is already in use by another DomainMapping",
        )

    def _give_up_claim(self, mapping: objects.Object) -> None:
        name = objects.name_of(mapping)
        claim = self._cluster.peek(meta.CLAIMS, "", name)
        if not self._config.claims_domains or claim is None:
            return
        if claim["spec"].get("namespace") == objects.namespace_of(mapping):
            self._cluster.delete(meta.CLAIMS, "", name)

    # ------------------------------------------------------------------ the reference

    def _resolve(self, mapping: objects.Object, managed: conditions.Conditions) -> tuple[str, str]:
        """Return host and Service that the reference leads to."""
        reference = mapping["spec"]["ref"]
        try:
            url = self._url_of(mapping, reference)
        except reconciling.ReconcileError as error:
            managed.mark_false(RESOLVED, "ResolveFailed", error.message)
            raise reconciling.ReconcileError(f"resolving reference: {error.message}") from None
        suffix = f".svc.{self._config.cluster_domain}"
        rest = url.removeprefix("http://").removeprefix("https://")
        host, _, path = rest.partition("/")
        parts = host.removesuffix(suffix).split(".")
        problem = ""
        if path:
            problem = f'resolved URI "{url}" contains a path'
        elif not host.endswith(suffix) or len(parts) != 2:
            problem = f'resolved URI "{url}" must be of the form {{name}}.{{namespace}}{suffix}'
        elif parts[1] != objects.namespace_of(mapping):
            problem = f'resolved URI "{url}" must be in same namespace as DomainMapping'
        if problem:
            managed.mark_false(RESOLVED, "ResolveFailed", problem)
            raise reconciling.ReconcileError(problem)
        managed.mark_true(RESOLVED)
        return host, parts[0]

    def _url_of(self, mapping: objects.Object, reference: objects.Object) -> str:
        namespace = str(reference.get("namespace") or objects.namespace_of(mapping))
        api_version, kind = str(reference.get("apiVersion")), str(reference.get("kind"))
        name = str(reference.get("name"))
        resource = self._cluster.resource_of(api_version, kind)
        if resource is None:
            group = identities.split_api_version(api_version)[0]
            raise reconciling.ReconcileError(
                f'failed to get object {namespace}/{name}: no matches for kind "{kind}" in'
                f' group "{group}"'
            )
        ref = str(resource.group_resource)
        key = (objects.namespace_of(mapping), objects.name_of(mapping))
        self._watchlist.put(key, [(ref, name)])
        found = self._cluster.peek(ref, namespace, name)
        if found is None:
            raise reconciling.ReconcileError(
                f'failed to get object {namespace}/{name}: {ref} "{name}" not found'
            )
        if ref == meta.SERVICES:
            return f"http://{name}.{namespace}.svc.{self._config.cluster_domain}"
        url = objects.lookup(found, ("status", "address", "url"))
        if not url:
            raise reconciling.ReconcileError(
                f"address not set for Kind = {kind}, Namespace = {namespace}, Name = {name},"
                f" APIVersion = {api_version}, Group = , Address = "
            )
        return str(url)

    # ------------------------------------------------------------------ the ingress

    def _ingress(self, mapping: objects.Object, host: str, backend: str) -> objects.Object:
        namespace, name = objects.namespace_of(mapping), objects.name_of(mapping)
        wanted = self._make_ingress(mapping, host, backend)
        present = self._cluster.find(meta.INGRESSES, namespace, objects.name_of(wanted))
        if present is None:
            made = self._cluster.create(meta.INGRESSES, wanted)
            self._recorder.event(mapping, "Normal", "Created", f'Created Ingress "{name}"')
            return made
        if (
            present["spec"] == wanted["spec"]
            and objects.labels_of(present) == objects.labels_of(wanted)
            and objects.annotations_of(present) == objects.annotations_of(wanted)
        ):
            return present
        changed = objects.copy(present)
        changed["spec"] = wanted["spec"]
        changed["metadata"]["labels"] = wanted["metadata"]["labels"]
        changed["metadata"]["annotations"] = wanted["metadata"]["annotations"]
        updated: objects.Object = self._cluster.update(meta.INGRESSES, changed)
        return updated

    def _make_ingress(self, mapping: objects.Object, host: str, backend: str) -> objects.Object:
        namespace, name = objects.namespace_of(mapping), objects.name_of(mapping)
        split = {
            "appendHeaders": {"K-Original-Host": name},
            "percent": 100,
            "serviceName": backend,
            "serviceNamespace": namespace,
            "servicePort": 80,
        }
        rule = {
            "hosts": [name],
            "http": {"paths": [{"rewriteHost": host, "splits": [split]}]},
            "visibility": "ExternalIP",
        }
        spec: objects.Object = {"httpOption": "Enabled", "rules": [rule]}
        secret = objects.lookup(mapping, ("spec", "tls", "secretName"))
        if secret:
            spec["tls"] = [{"hosts": [name], "secretName": secret, "secretNamespace": namespace}]
        return meta.owned(
            mapping,
            "networking.internal.knative.dev/v1alpha1",
            "Ingress",
            meta.child_name(name, ""),
            labels=dict(objects.labels_of(mapping))
            | {_UID: objects.uid_of(mapping), _NAMESPACE: namespace},
            annotations={keys.INGRESS_CLASS: self._config.ingress_class}
            | dict(objects.annotations_of(mapping)),
            spec=spec,
        )


def _propagate(managed: conditions.Conditions, ingress: objects.Object) -> None:
    ready = conditions.find(ingress.get("status"), conditions.READY) or {}
    reason, message = str(ready.get("reason") or ""), str(ready.get("message") or "")
    match ready.get("status"):
        case "True":
            managed.mark_true(INGRESS)
        case "False":
            managed.mark_false(INGRESS, reason, message)
        case "Unknown":
            managed.mark_unknown(INGRESS, reason, message)
        case _:
            managed.mark_unknown(INGRESS, *_NOT_CONFIGURED)
