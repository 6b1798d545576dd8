"""Which Service fronts which workload, and whether a definition is what it says it is.

Pure. Where things do not meet, the error says how: a Service without selector, with an empty one,
with one that selects nothing; a definition of another kind, of nothing, of several things; an
image that nobody uses.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import yaml

from understudy.kube import objects, selectors
from understudy.platform import errors, records

_CONTAINERS = ("initContainers", "containers")
_KINDS = {("serving.knative.dev", "Service"): "kservice"}
"""What a kind is called in ids where its own name means something else."""


def selects(front: objects.Object, namespace: str, labels: Mapping[str, str]) -> bool:
    """Say whether a Service sends requests to pods with these labels."""
    selector = objects.lookup(front, ("spec", "selector"))
    return (
        bool(selector)
        and objects.namespace_of(front) == namespace
        and selectors.from_labels(selector).matches(dict(labels))
    )


def kind_of(workload: objects.Object) -> str:
    """Return a workload's kind as ids have it, in lower case."""
    group = str(workload.get("apiVersion") or "").rpartition("/")[0]
    kind = str(workload.get("kind") or "")
    return _KINDS.get((group, kind), kind.lower())


def told_of(obj: objects.Object) -> dict[str, str]:
    """Return what a service's metadata says of its object."""
    meta = objects.metadata(obj)
    return {
        "created_at": str(meta.get("creationTimestamp") or ""),
        "resource_version": str(meta.get("resourceVersion") or ""),
        "uid": str(meta.get("uid") or ""),
    }


def template_of(workload: objects.Object) -> objects.Object:
    """Return a workload's pod template; a pod is its own."""
    kind = workload.get("kind")
    if kind == "Pod":
        return workload
    path: tuple[str, ...] = ("spec", "template")
    if kind == "CronJob":
        path = ("spec", "jobTemplate", "spec", "template")
    found: objects.Object = objects.lookup(workload, path) or {}
    return found


def alone(
    fronts: Iterable[objects.Object],
    workloads: Sequence[objects.Object],
    hidden: Sequence[str] = (),
) -> list[records.Service]:
    """Return the Services that front no workload, each with its excuse.

    `hidden` are the resources that could not be listed: the workload may be one of them.
    """
    found = []
    for front in fronts:
        excuse = _excuse(front, workloads, hidden)
        if excuse is None:
            continue
        identity = records.ServiceId(objects.namespace_of(front), "service", objects.name_of(front))
        found.append(
            records.Service(
                id=str(identity),
                ip=str(objects.lookup(front, ("spec", "clusterIP")) or ""),
                metadata=told_of(front),
                containers=records.ContainersOrExcuse(excuse=excuse.message, code=excuse.code),
                labels=dict(objects.labels_of(front)),
            )
        )
    return found


def _excuse(
    front: objects.Object, workloads: Sequence[objects.Object], hidden: Sequence[str]
) -> errors.PlatformError | None:
    name = f"service {objects.name_of(front)}"
    spec = front.get("spec") or {}
    if spec.get("type") == "ExternalName":
        return errors.ServiceHasNoSelectorError(
            f"{name} has no selector: it stands for {spec.get('externalName')}"
        )
    if "selector" not in spec:
        return errors.ServiceHasNoSelectorError(f"{name} has no selector: it selects no pods")
    if not spec["selector"]:
        return errors.EmptySelectorError(f"{name} has an empty selector")
    namespace = objects.namespace_of(front)
    for workload in workloads:
        labels = objects.labels_of(template_of(workload))
        if objects.namespace_of(workload) == namespace and selects(front, namespace, labels):
            return None
    if hidden:
        return errors.MatchError(
            f"{name} selects no workload that is seen; {', '.join(hidden)} may not be listed"
        )
    return errors.MatchError(f"{name} selects no workload: no pod template has its labels")


def check(definition: records.ServiceDefinition, found: Sequence[objects.Object]) -> None:
    """See that a definition's objects are those of its service: exactly one is the workload.

    Raises:
        InvalidRequestError: The service id is malformed.
        WrongResourceKindError: The object is of another kind.
        NoMatchingServiceError: None of the objects is the service.
        MultipleMatchingError: Several are.
    """
    wanted = records.ServiceId.parse(definition.service_id)
    named = [
        obj
        for obj in found
        if objects.name_of(obj) == wanted.name
        and (objects.namespace_of(obj) or "default") == wanted.namespace
    ]
    same = [obj for obj in named if kind_of(obj) == wanted.kind]
    if len(same) > 1:
        raise errors.MultipleMatchingError(
            f"{definition.service_id}: its definition holds {len(same)} objects of that name"
        )
    if same:
        return
    kinds = [obj for obj in named if (obj.get("spec") or {}).get("template")]
    if kinds:
        raise errors.WrongResourceKindError(
            f"{definition.service_id}: its definition is a {kinds[0].get('kind')}"
        )
    shown = ", ".join(f"{obj.get('kind')} {objects.name_of(obj)}" for obj in found) or "nothing"
    raise errors.NoMatchingServiceError(f"{definition.service_id}: its definition holds {shown}")


def with_images(
    definition: records.ServiceDefinition, images: Mapping[str, str]
) -> records.ServiceDefinition:
    """Return a definition whose containers use other images.

    Args:
        definition: YAML documents; all containers of all workloads in it are looked at.
        images: New image by repository, e.g. `{"registry.example/web": "registry.example/web:2"}`.

    Raises:
        NoMatchingImagesError: No container uses any of them.
        InvalidRequestError: The definition is not YAML.
    """
    try:
        documents = [one for one in yaml.safe_load_all(definition.definition) if one is not None]
    except yaml.YAMLError as error:
        raise errors.InvalidRequestError(
            f"{definition.service_id}: its definition is not YAML: {' '.join(str(error).split())}"
        ) from error
    changed = 0
    for document in documents:
        spec = template_of(document).get("spec") if isinstance(document, dict) else None
        for container in _containers(spec or {}):
            image = images.get(repository(str(container.get("image") or "")))
            if image is not None:
                container["image"] = image
                changed += 1
    if not changed:
        raise errors.NoMatchingImagesError(
            f"{definition.service_id}: no container uses {', '.join(sorted(images))}"
        )
    return records.ServiceDefinition(
        service_id=definition.service_id,
        definition=yaml.safe_dump_all(documents, sort_keys=False),
        asynchronous=definition.asynchronous,
    )


def repository(image: str) -> str:
    """Return an image without tag and digest: `reg:5000/web:1@sha256:…` -> `reg:5000/web`."""
    name = image.partition("@")[0]
    before, colon, tag = name.rpartition(":")
    return before if colon and "/" not in tag else name


def _containers(spec: objects.Object) -> list[objects.Object]:
    return [one for key in _CONTAINERS for one in spec.get(key) or () if isinstance(one, dict)]
