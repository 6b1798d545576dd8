"""What admission adds to pods: tolerations, priority, runtime class, account, where they are.

Source: plugin/pkg/admission/{defaulttolerationseconds,podtopologylabels,priority,runtimeclass,
serviceaccount} @1.36.
"""

from __future__ import annotations

from understudy.kapi.admission import chain
from understudy.kapi.resources import strategies
from understudy.kube import identities, objects, statuses

PODS = identities.GroupResource("", "pods")
PRIORITY_CLASSES = identities.GroupResource("scheduling.k8s.io", "priorityclasses")
TOPOLOGY_LABELS = ("topology.kubernetes.io/zone", "topology.kubernetes.io/region")
EVICTED_AFTER_S = 300
"""Seconds a pod stays on a node that is not ready (DefaultTolerationSeconds)."""
_UNHEALTHY = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")


def is_pod(attributes: chain.Attributes, *operations: str) -> bool:
    """Say whether a write is one of these operations on a pod itself."""
    return (
        attributes.resource.storage == PODS
        and not attributes.subresource
        and attributes.operation in operations
    )


def refuse(attributes: chain.Attributes, why: str) -> statuses.ForbiddenError:
    """Build `pods "a" is forbidden: why`; what has no name yet is called as it will begin."""
    meta = objects.metadata(attributes.obj or {})
    name = attributes.name or str(meta.get("name") or meta.get("generateName") or "Unknown")
    return statuses.forbidden(attributes.resource.group_resource, name, why)


def bounded_namespaces(reader: strategies.Reader, resource: str) -> frozenset[str]:
    """Return the namespaces that have any object of a resource."""
    found: frozenset[str] = reader.derived(
        resource,
        resource,
        lambda: frozenset(objects.namespace_of(one) for one in reader.each(resource)),
    )
    return found


def topology_labels(reader: strategies.Reader, node: str) -> dict[str, str]:
    """Return the labels that pods take over from their node: its zone and its region."""
    found = reader.labels("nodes", "", node)
    return {key: found[key] for key in TOPOLOGY_LABELS if key in found}


class PodTopologyLabels:
    """Labels a pod that is born on a node with where that is; binding does so for the others."""

    name = "PodTopologyLabels"
    storages = frozenset({PODS})

    def handles(self, attributes: chain.Attributes) -> bool:
        return is_pod(attributes, "CREATE") and bool(_spec(attributes).get("nodeName"))

    def mutate(self, attributes: chain.Attributes) -> None:
        added = topology_labels(attributes.reader, _spec(attributes)["nodeName"])
        pod = attributes.obj or {}
        if added.keys() - objects.labels_of(pod).keys():
            pod["metadata"]["labels"] = added | objects.labels_of(pod)

    def validate(self, attributes: chain.Attributes) -> None:
        """Nothing to refuse."""


class DefaultTolerationSeconds:
    """Lets pods stay five minutes on a node that is not ready or unreachable."""

    name = "DefaultTolerationSeconds"
    storages = frozenset({PODS})

    def handles(self, attributes: chain.Attributes) -> bool:
        return is_pod(attributes, "CREATE", "UPDATE")

    def mutate(self, attributes: chain.Attributes) -> None:
        spec = _spec(attributes)
        tolerations = spec.get("tolerations") or []
        missing = [key for key in _UNHEALTHY if not any(_covers(t, key) for t in tolerations)]
        if missing:
            spec["tolerations"] = [
                *tolerations,
                *(
                    {
                        "key": key,
                        "operator": "Exists",
                        "effect": "NoExecute",
                        "tolerationSeconds": EVICTED_AFTER_S,
                    }
                    for key in missing
                ),
            ]

    def validate(self, attributes: chain.Attributes) -> None:
        """Nothing to refuse."""


def _covers(toleration: objects.Object, key: str) -> bool:
    return (toleration.get("key") or key) == key and (
        toleration.get("effect") or "NoExecute"
    ) == "NoExecute"


class Priority:
    """Resolves a pod's priority class to its number; one class may be the default."""

    name = "Priority"
    storages = frozenset({PODS, PRIORITY_CLASSES})

    def handles(self, attributes: chain.Attributes) -> bool:
        return is_pod(attributes, "CREATE", "UPDATE") or (
            attributes.resource.storage == PRIORITY_CLASSES
            and attributes.operation in {"CREATE", "UPDATE"}
        )

    def mutate(self, attributes: chain.Attributes) -> None:
        if attributes.resource.storage != PODS:
            return
        spec = _spec(attributes)
        if attributes.operation == "UPDATE":
            before = (attributes.old or {}).get("spec") or {}
            for key in ("priority", "preemptionPolicy"):
                if spec.get(key) is None and before.get(key) is not None:
                    spec[key] = before[key]
            return
        name = spec.get("priorityClassName") or ""
        found = self._class(attributes, name)
        if name and found is None:
            raise refuse(attributes, f"no PriorityClass with name {name} was found")
        value = int(found.get("value") or 0) if found is not None else 0
        policy = (found or {}).get("preemptionPolicy") or "PreemptLowerPriority"
        if found is not None and not name:
            spec["priorityClassName"] = objects.name_of(found)
        said = spec.get("priority")
        if said is not None and said != value:
            raise refuse(
                attributes,
                f"the integer value of priority ({said}) must not be provided in pod spec; "
                f"priority admission controller computed {value} from the given PriorityClass name",
            )
        said_policy = spec.get("preemptionPolicy")
        if said_policy is not None and said_policy != policy:
            raise refuse(
                attributes,
                f"the string value of PreemptionPolicy ({said_policy}) must not be provided in pod "
                f"spec; priority admission controller computed {policy} from the given "
                "PriorityClass name",
            )
        spec["priority"], spec["preemptionPolicy"] = value, policy

    @staticmethod
    def _class(attributes: chain.Attributes, name: str) -> objects.Object | None:
        resource = "priorityclasses.scheduling.k8s.io"
        if name:
            return attributes.reader.find(resource, "", name)

        def default() -> objects.Object | None:
            marked = [one for one in attributes.reader.each(resource) if one.get("globalDefault")]
            return min(marked, key=lambda one: int(one.get("value") or 0), default=None)

        found: objects.Object | None = attributes.reader.derived(
            resource, "default priority class", default
        )
        return found

    def validate(self, attributes: chain.Attributes) -> None:
        if attributes.resource.storage != PRIORITY_CLASSES:
            return
        obj = attributes.obj or {}
        if not obj.get("globalDefault"):
            return
        for other in attributes.reader.each("priorityclasses.scheduling.k8s.io"):
            if other.get("globalDefault") and objects.name_of(other) != objects.name_of(obj):
                raise refuse(
                    attributes,
                    f"PriorityClass {objects.name_of(other)} is already marked as default. Only "
                    "one default can exist",
                )


class RuntimeClass:
    """Gives pods what their runtime class says: overhead, node selector, tolerations."""

    name = "RuntimeClass"
    storages = frozenset({PODS})

    def handles(self, attributes: chain.Attributes) -> bool:
        return is_pod(attributes, "CREATE")

    def mutate(self, attributes: chain.Attributes) -> None:
        spec = _spec(attributes)
        found = self._class(attributes, spec)
        if found is None:
            return
        overhead = (found.get("overhead") or {}).get("podFixed")
        if overhead:
            said = spec.get("overhead")
            if said is not None and said != overhead:
                raise self._rejected(
                    attributes, "Pod's Overhead doesn't match RuntimeClass's defined Overhead"
                )
            spec["overhead"] = dict(overhead)
        scheduling = found.get("scheduling") or {}
        selector = spec.get("nodeSelector") or {}
        for key, value in (scheduling.get("nodeSelector") or {}).items():
            if selector.get(key, value) != value:
                raise self._rejected(
                    attributes,
                    f"conflict: runtimeClass.scheduling.nodeSelector[{key}] = {value}; "
                    f"pod.spec.nodeSelector[{key}] = {selector[key]}",
                )
            selector[key] = value
        if selector:
            spec["nodeSelector"] = selector
        tolerations = spec.get("tolerations") or []
        for toleration in scheduling.get("tolerations") or ():
            if toleration not in tolerations:
                tolerations = [*tolerations, toleration]
        if tolerations:
            spec["tolerations"] = tolerations

    def validate(self, attributes: chain.Attributes) -> None:
        spec = _spec(attributes)
        found = self._class(attributes, spec)
        if spec.get("overhead") and not ((found or {}).get("overhead") or {}).get("podFixed"):
            raise self._rejected(
                attributes, "Pod Overhead set without corresponding RuntimeClass defined Overhead"
            )

    def _class(self, attributes: chain.Attributes, spec: objects.Object) -> objects.Object | None:
        name = spec.get("runtimeClassName") or ""
        if not name:
            return None
        found = attributes.reader.find("runtimeclasses.node.k8s.io", "", name)
        if found is None:
            raise self._rejected(attributes, f'RuntimeClass "{name}" not found')
        return found

    @staticmethod
    def _rejected(attributes: chain.Attributes, why: str) -> statuses.ForbiddenError:
        return refuse(attributes, f"pod rejected: {why}")


class ServiceAccount:
    """Refuses pods whose account does not exist, in namespaces where accounts are made.

    Those have an account `default`; where nobody makes that, no pod could be created. Pods that
    name no account get none, and tokens are not mounted: nothing here would read them.
    """

    name = "ServiceAccount"

    def handles(self, attributes: chain.Attributes) -> bool:
        return is_pod(attributes, "CREATE") and bool(_spec(attributes).get("serviceAccountName"))

    def mutate(self, _attributes: chain.Attributes) -> None:
        return

    def validate(self, attributes: chain.Attributes) -> None:
        name = _spec(attributes)["serviceAccountName"]
        find, namespace = attributes.reader.find, attributes.namespace
        if find("serviceaccounts", namespace, name) is not None:
            return
        if find("serviceaccounts", namespace, "default") is not None:
            raise refuse(
                attributes,
                f"error looking up service account {namespace}/{name}: "
                f'serviceaccount "{name}" not found',
            )


def _spec(attributes: chain.Attributes) -> objects.Object:
    obj = attributes.obj
    assert obj is not None, "only writes with an object are handled"
    spec: objects.Object = obj.setdefault("spec", {})
    return spec
