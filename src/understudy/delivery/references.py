"""Which object refers to which: the edges of the order of delivery.

An edge is *required* when the API server would refuse the object without the other (a namespace's
content, a custom resource) or when somebody said so (depends-on, an owner reference); all others
only make sense in that order (a pod template's ConfigMap) and are set aside if they form a circle.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from understudy.delivery import crds, marks, refs
from understudy.kube import identities, objects

RBAC = "rbac.authorization.k8s.io"


class Edge(NamedTuple):
    """`before` is delivered earlier than `after`, and deleted later."""

    before: refs.Ref
    after: refs.Ref
    required: bool
    why: str


class Known:
    """The objects among which references are looked for."""

    __slots__ = ("_definitions", "_namespaces", "objects")

    def __init__(self, items: Mapping[refs.Ref, objects.Object]) -> None:
        self.objects = items
        self._namespaces = {
            ref.name: ref for ref in items if (ref.group, ref.kind) == ("", "Namespace")
        }
        self._definitions: dict[tuple[str, str], refs.Ref] = {}
        for ref, obj in items.items():
            for kind in crds.defined_by(obj):
                self._definitions[kind] = ref

    def edges(self) -> Iterator[Edge]:
        """Yield every edge between known objects; never one from an object to itself."""
        for ref, obj in self.objects.items():
            for before, required, why in self._of(ref, obj):
                if before != ref and before in self.objects:
                    yield Edge(before, ref, required, why)

    def _of(self, ref: refs.Ref, obj: objects.Object) -> Iterator[tuple[refs.Ref, bool, str]]:
        namespace = self._namespaces.get(ref.namespace) if ref.namespace else None
        if namespace is not None:
            yield namespace, True, "is in the namespace"
        definition = self._definitions.get((ref.group, ref.kind))
        if definition is not None:
            yield definition, True, "is of the kind"
        for owner in objects.metadata(obj).get("ownerReferences") or ():
            group, _ = identities.split_api_version(str(owner.get("apiVersion") or ""))
            kind, name = str(owner.get("kind")), str(owner.get("name"))
            yield refs.Ref(group, kind, ref.namespace, name), True, "is owned by"
            yield refs.Ref(group, kind, "", name), True, "is owned by"
        for wanted in explicit(obj, ref.namespace):
            yield wanted, True, "depends on"
        for wanted in mentioned(ref, obj):
            yield wanted, False, "refers to"


def explicit(obj: objects.Object, namespace: str) -> Iterator[refs.Ref]:
    """Yield what the depends-on annotations name, malformed entries left out.

    `core.understudy.dev/depends-on: ConfigMap/settings, apps/Deployment/other-ns/db` and cli-utils'
    `config.kubernetes.io/depends-on: apps/namespaces/other-ns/Deployment/db`.
    """
    annotations = objects.annotations_of(obj)
    for text in _listed(annotations.get(marks.DEPENDS_ON)):
        match text.split("/"):
            case [kind, name]:
                yield from _either("", kind, namespace, name)
            case [first, second, name] if first[:1].isupper():
                yield refs.Ref("", first, second, name)
            case [group, kind, name]:
                yield from _either(group, kind, namespace, name)
            case [group, kind, space, name]:
                yield refs.Ref(group, kind, space, name)
    for text in _listed(annotations.get(marks.CLI_UTILS_DEPENDS_ON)):
        match text.split("/"):
            case [group, "namespaces", space, kind, name]:
                yield refs.Ref(group, kind, space, name)
            case [group, kind, name]:
                yield refs.Ref(group, kind, "", name)


def _listed(text: str | None) -> list[str]:
    return [part.strip() for part in (text or "").split(",") if part.strip()]


def _either(group: str, kind: str, namespace: str, name: str) -> Iterator[refs.Ref]:
    yield refs.Ref(group, kind, namespace, name)
    yield refs.Ref(group, kind, "", name)


# ---------------------------------------------------------------------- what kinds refer to


def mentioned(ref: refs.Ref, obj: objects.Object) -> Iterator[refs.Ref]:
    """Yield the objects that an object's fields name, whether or not they exist."""
    spec = obj.get("spec")
    namespace = ref.namespace
    if isinstance(spec, dict):
        template = pod_spec(ref, obj)
        if template is not None:
            yield from _of_pods(template, namespace)
        for claim in spec.get("volumeClaimTemplates") or ():
            yield from _of_claim(objects.lookup(claim, ("spec",), {}), namespace)
    match (ref.group, ref.kind):
        case ("", "PersistentVolumeClaim"):
            yield from _of_claim(spec or {}, namespace)
        case (_, "RoleBinding" | "ClusterRoleBinding") if ref.group == RBAC:
            yield from _of_binding(obj, namespace)
        case ("autoscaling", "HorizontalPodAutoscaler"):
            yield from _target(objects.lookup(obj, ("spec", "scaleTargetRef"), {}), namespace)
        case ("networking.k8s.io", "Ingress"):
            yield from _of_ingress(spec or {}, namespace)
        case ("admissionregistration.k8s.io", "ValidatingAdmissionPolicyBinding"):
            policy = objects.lookup(obj, ("spec", "policyName"), "")
            yield refs.Ref(ref.group, "ValidatingAdmissionPolicy", "", str(policy))
        case ("", "ServiceAccount"):
            for secret in (*(obj.get("secrets") or ()), *(obj.get("imagePullSecrets") or ())):
                yield refs.Ref("", "Secret", namespace, str(secret.get("name")))
        case _:
            pass


def pod_spec(ref: refs.Ref, obj: objects.Object) -> objects.Object | None:
    """Return the pod spec in an object: a pod's own, a workload's template's; None without."""
    paths: tuple[tuple[str, ...], ...] = (("spec", "template", "spec"),)
    if ref.kind == "CronJob":
        paths = (("spec", "jobTemplate", "spec", "template", "spec"),)
    elif (ref.group, ref.kind) == ("", "Pod"):
        paths = (("spec",),)
    for path in paths:
        found = objects.lookup(obj, path)
        if isinstance(found, dict) and isinstance(found.get("containers"), list):
            return found
    return None


def _of_pods(spec: objects.Object, namespace: str) -> Iterator[refs.Ref]:
    for kind, name, _ in configuration(spec):
        yield refs.Ref("", kind, namespace, name)
    if account := spec.get("serviceAccountName"):
        yield refs.Ref("", "ServiceAccount", namespace, str(account))
    if priority := spec.get("priorityClassName"):
        yield refs.Ref("scheduling.k8s.io", "PriorityClass", "", str(priority))
    if runtime := spec.get("runtimeClassName"):
        yield refs.Ref("node.k8s.io", "RuntimeClass", "", str(runtime))
    for secret in _dicts(spec.get("imagePullSecrets")):
        yield refs.Ref("", "Secret", namespace, str(secret.get("name")))
    for volume in _dicts(spec.get("volumes")):
        claim = objects.lookup(volume, ("persistentVolumeClaim", "claimName"))
        if claim:
            yield refs.Ref("", "PersistentVolumeClaim", namespace, str(claim))


def configuration(spec: objects.Object) -> Iterator[tuple[str, str, str]]:
    """Yield (`ConfigMap` or `Secret`, name, how) for all that a pod spec reads.

    `how` is `env` for what is read once, when a container starts, and `volume` for what kubelet
    keeps up to date in a running pod; `subPath` mounts are not kept up to date and count as env.
    """
    fixed = {
        mount.get("name")
        for container in containers(spec)
        for mount in _dicts(container.get("volumeMounts"))
        if mount.get("subPath") or mount.get("subPathExpr")
    }
    for container in containers(spec):
        for source in _dicts(container.get("envFrom")):
            yield from _named(source, "configMapRef", "secretRef", "env")
        for variable in _dicts(container.get("env")):
            value = variable.get("valueFrom")
            if isinstance(value, dict):
                yield from _named(value, "configMapKeyRef", "secretKeyRef", "env")
    for volume in _dicts(spec.get("volumes")):
        how = "env" if volume.get("name") in fixed else "volume"
        projected = _dicts(objects.lookup(volume, ("projected", "sources")))
        for part in (volume, *projected):
            name = objects.lookup(part, ("configMap", "name"))
            if name:
                yield "ConfigMap", str(name), how
            secret = objects.lookup(part, ("secret", "secretName")) or objects.lookup(
                part, ("secret", "name")
            )
            if secret:
                yield "Secret", str(secret), how


def _named(
    value: objects.Object, config_map: str, secret: str, how: str
) -> Iterator[tuple[str, str, str]]:
    for kind, key in (("ConfigMap", config_map), ("Secret", secret)):
        name = objects.lookup(value, (key, "name"))
        if name:
            yield kind, str(name), how


def containers(spec: objects.Object) -> list[objects.Object]:
    """Return a pod spec's containers, init containers first."""
    return [*_dicts(spec.get("initContainers")), *_dicts(spec.get("containers"))]


def _dicts(value: objects.Json) -> list[objects.Object]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _of_claim(spec: objects.Object, namespace: str) -> Iterator[refs.Ref]:
    if storage := spec.get("storageClassName"):
        yield refs.Ref("storage.k8s.io", "StorageClass", "", str(storage))
    if volume := spec.get("volumeName"):
        yield refs.Ref("", "PersistentVolume", "", str(volume))
    source = spec.get("dataSource")
    if isinstance(source, dict):
        yield from _target(source, namespace)


def _of_binding(obj: objects.Object, namespace: str) -> Iterator[refs.Ref]:
    role = obj.get("roleRef")
    if isinstance(role, dict):
        kind = str(role.get("kind"))
        space = namespace if kind == "Role" else ""
        yield refs.Ref(RBAC, kind, space, str(role.get("name")))
    for subject in _dicts(obj.get("subjects")):
        if subject.get("kind") == "ServiceAccount":
            space = str(subject.get("namespace") or namespace)
            yield refs.Ref("", "ServiceAccount", space, str(subject.get("name")))


def _of_ingress(spec: objects.Object, namespace: str) -> Iterator[refs.Ref]:
    if name := spec.get("ingressClassName"):
        yield refs.Ref("networking.k8s.io", "IngressClass", "", str(name))
    backends = [spec.get("defaultBackend")]
    for rule in _dicts(spec.get("rules")):
        paths = _dicts(objects.lookup(rule, ("http", "paths")))
        backends += [path.get("backend") for path in paths]
    for backend in _dicts(backends):
        if service := objects.lookup(backend, ("service", "name")):
            yield refs.Ref("", "Service", namespace, str(service))
    for entry in _dicts(spec.get("tls")):
        if secret := entry.get("secretName"):
            yield refs.Ref("", "Secret", namespace, str(secret))


def _target(value: objects.Object, namespace: str) -> Iterable[refs.Ref]:
    group, _ = identities.split_api_version(str(value.get("apiVersion") or ""))
    group = str(value.get("apiGroup") or group)
    return [refs.Ref(group, str(value.get("kind")), namespace, str(value.get("name")))]
