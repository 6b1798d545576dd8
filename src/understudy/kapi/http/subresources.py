"""Subresources that are no objects: a pod's log, exec, attach, port-forward; proxies.

They need something that runs pods. Without a runtime the answers are those of a cluster whose
kubelet cannot be reached; a runtime (controllers.runtime) plugs in through `PodRuntime`.
"""

from __future__ import annotations

from typing import Protocol

from understudy.kapi.http import protocol, requests, responses
from understudy.kapi.views import view as views
from understudy.kube import objects, statuses

CONNECTS = frozenset({"log", "exec", "attach", "portforward", "proxy"})


class PodRuntime(Protocol):
    """What runs the pods of the base view."""

    def log(
        self, pod: objects.Object, container: str, query: requests.Query
    ) -> protocol.Stream | responses.Response | None:
        """Return a container's log as kubelet would; None where there is none yet."""
        ...


def connect(
    view: views.View,
    resource_name: str,
    path: requests.Path,
    query: requests.Query,
    runtime: PodRuntime | None,
) -> protocol.Answer:
    """Answer a request on one of `CONNECTS`.

    Raises:
        NotFoundError: The object does not exist. BadRequestError: its state does not allow it.
        ServiceUnavailableError: Nothing here can do it.
    """
    resource = view.resolve(resource_name)
    entry = view.get_entry(resource, path.name, path.namespace)
    if resource_name != "pods":
        raise _unavailable(f"{resource_name}/{path.subresource}")
    pod = entry.object(resource)
    if path.subresource == "log":
        return _log(pod, query, runtime)
    container = query.get("container")
    if path.subresource in ("exec", "attach") and container:
        _check_container(pod, container)
    if not objects.lookup(pod, ("spec", "nodeName")):
        raise statuses.BadRequestError(f"pod {path.name} does not have a host assigned")
    raise _unavailable(f"pods/{path.subresource}")


def _unavailable(what: str) -> statuses.ServiceUnavailableError:
    return statuses.ServiceUnavailableError(
        f"{what} needs a runtime that runs pods, and this server has none: "
        "start it with --runtime process"
    )


def container_names(pod: objects.Object) -> list[str]:
    """Return the names of a pod's containers, init and ephemeral ones last."""
    spec = pod.get("spec") or {}
    return [
        str(container.get("name"))
        for kind in ("containers", "initContainers", "ephemeralContainers")
        for container in spec.get(kind) or ()
    ]


def _check_container(pod: objects.Object, container: str) -> None:
    if container not in container_names(pod):
        raise statuses.BadRequestError(
            f"container {container} is not valid for pod {objects.name_of(pod)}"
        )


def _log(pod: objects.Object, query: requests.Query, runtime: PodRuntime | None) -> protocol.Answer:
    container = query.get("container")
    if container:
        _check_container(pod, container)
    else:
        container = _default_container(pod)
    if not objects.lookup(pod, ("spec", "nodeName")):
        # Not on a node yet: there is no log, which is no error.
        return responses.Response(204, b"", "")
    answer = runtime.log(pod, container, query) if runtime is not None else None
    if answer is None:
        raise _unavailable("pods/log")
    return answer


def _default_container(pod: objects.Object) -> str:
    spec = pod.get("spec") or {}
    containers = [str(container.get("name")) for container in spec.get("containers") or ()]
    if len(containers) == 1:
        return containers[0]
    others = [str(container.get("name")) for container in spec.get("initContainers") or ()]
    shown = f"a container name must be specified for pod {objects.name_of(pod)}, choose one of: "
    shown += f"[{' '.join(containers)}]"
    if others:
        shown += f" or one of the init containers: [{' '.join(others)}]"
    raise statuses.BadRequestError(shown)
