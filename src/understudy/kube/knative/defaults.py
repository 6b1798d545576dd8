"""What Knative's mutating webhook fills in, on private copies, in place."""

from __future__ import annotations

from understudy.kube import objects
from understudy.kube.knative import keys, limits

_HANDLERS = ("tcpSocket", "httpGet", "exec", "grpc")


def default_service(
    service: objects.Object, allowed: limits.Limits, old: objects.Object | None = None
) -> None:
    """Fill in a Service: its template, and traffic to the latest Revision where none is given."""
    spec = service.setdefault("spec", {})
    default_template(spec, allowed, (old or {}).get("spec"))
    traffic = spec.get("traffic")
    if not traffic:
        spec["traffic"] = [{"latestRevision": True, "percent": 100}]
        return
    default_traffic(traffic)


def default_configuration(
    configuration: objects.Object, allowed: limits.Limits, old: objects.Object | None = None
) -> None:
    """Fill in a Configuration's template."""
    default_template(configuration.setdefault("spec", {}), allowed, (old or {}).get("spec"))


def default_route(route: objects.Object) -> None:
    """Fill in a Route: traffic to a Configuration follows its latest Revision."""
    default_traffic(route.setdefault("spec", {}).get("traffic") or [])


def default_traffic(traffic: list[objects.Object]) -> None:
    """Say of each entry whether it follows the latest Revision, and its percent, if it does not."""
    for target in traffic:
        if target.get("latestRevision") is None:
            target["latestRevision"] = not target.get("revisionName")
        if target.get("percent") is None:
            target["percent"] = 0


def default_template(
    spec: objects.Object, allowed: limits.Limits, old_spec: objects.Object | None = None
) -> None:
    """Fill in `spec.template`; what Go's types print when empty (`metadata: {}`) is there too.

    A template that keeps the Revision name its author gave is left alone: filling it in could be
    taken for a change without a new name.
    """
    template = spec.get("template")
    if not isinstance(template, dict):
        template = spec["template"] = {}
    if not isinstance(template.get("metadata"), dict):
        template["metadata"] = {}
    if not isinstance(template.get("spec"), dict):
        template["spec"] = {}
    name = template["metadata"].get("name")
    if name and name == objects.lookup(old_spec, ("template", "metadata", "name")):
        template["spec"].setdefault("containers", None)
        return
    default_revision_spec(template["spec"], allowed, creating=old_spec is None)


def default_revision_spec(
    spec: objects.Object, allowed: limits.Limits, *, creating: bool = True
) -> None:
    """Fill in a Revision's spec: timeouts, concurrency, names of containers, a readiness probe."""
    if not spec.get("timeoutSeconds"):
        spec["timeoutSeconds"] = allowed.revision_timeout_s
    start_s = allowed.revision_response_start_timeout_s
    if spec.get("responseStartTimeoutSeconds") is None and 0 < start_s < _number(
        spec["timeoutSeconds"]
    ):
        spec["responseStartTimeoutSeconds"] = start_s
    if spec.get("containerConcurrency") is None:
        spec["containerConcurrency"] = allowed.container_concurrency
    containers = spec.setdefault("containers", None)
    if not isinstance(containers, list):
        return
    if creating and containers and allowed.enable_service_links is not None:
        spec.setdefault("enableServiceLinks", allowed.enable_service_links)
    init = [one for one in spec.get("initContainers") or () if isinstance(one, dict)]
    known = [one for one in containers if isinstance(one, dict)]
    taken = {str(one.get("name") or "") for one in (*known, *init)}
    _name_all(known, taken, keys.USER_CONTAINER)
    _name_all(init, taken, "init-container")
    writable = _writable_volumes(spec)
    for container in known:
        _default_container(container, alone=len(containers) == 1)
        for mount in container.get("volumeMounts") or ():
            if isinstance(mount, dict) and mount.get("name") not in writable:
                mount["readOnly"] = True


def _number(value: objects.Json) -> int:
    return value if isinstance(value, int) else 0


def _name_all(containers: list[objects.Object], taken: set[str], base: str) -> None:
    """Name the nameless: the base name, with a number where there are several or it is taken."""
    numbered = len(containers) > 1 or base in taken
    number = 0
    for container in containers:
        if container.get("name"):
            continue
        name = base
        while numbered and (name == base or name in taken):
            name, number = f"{base}-{number}", number + 1
        container["name"] = name


def _default_container(container: objects.Object, *, alone: bool) -> None:
    if container.get("resources") is None:
        container["resources"] = {}
    for port in container.get("ports") or ():
        if isinstance(port, dict) and not port.get("protocol"):
            port["protocol"] = "TCP"
    if alone or container.get("ports"):
        _default_handler(container)
    probe = container.get("readinessProbe")
    if isinstance(probe, dict):
        probe["successThreshold"] = probe.get("successThreshold") or 1
        if probe.get("periodSeconds"):  # a probe of Kubernetes' own kind has Kubernetes' defaults
            probe["failureThreshold"] = probe.get("failureThreshold") or 3
            probe["timeoutSeconds"] = probe.get("timeoutSeconds") or 1
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        _default_probe_details(container.get(name))


def _default_handler(container: objects.Object) -> None:
    """The container that takes the requests is probed at its port, if nothing else is said."""
    probe = container.get("readinessProbe")
    if not isinstance(probe, dict):
        probe = container["readinessProbe"] = {}
    if not any(isinstance(probe.get(handler), dict) for handler in _HANDLERS):
        probe["tcpSocket"] = {}


def _default_probe_details(probe: objects.Json) -> None:
    if not isinstance(probe, dict):
        return
    for handler in ("tcpSocket", "httpGet"):
        if isinstance(probe.get(handler), dict):
            probe[handler].setdefault("port", 0)
    if isinstance(probe.get("grpc"), dict):
        probe["grpc"].setdefault("service", "")


def _writable_volumes(spec: objects.Object) -> set[str]:
    """Volumes of any other kind are mounted read-only."""
    return {
        str(volume.get("name"))
        for volume in spec.get("volumes") or ()
        if isinstance(volume, dict)
        and any(
            volume.get(kind) is not None
            for kind in ("emptyDir", "persistentVolumeClaim", "ephemeral")
        )
    }
