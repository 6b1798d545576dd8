"""What a simulated pod does, chosen by the name of its first container's image.

| image (before the colon)  | behaviour                                                        |
| ------------------------- | ---------------------------------------------------------------- |
| `run`                     | starts, becomes ready, ends with 0 when asked to stop            |
| `unready`                 | starts but never becomes ready                                   |
| `slow`                    | as `run`, but running for 2 seconds before it is ready           |
| `pullfail`                | ErrImagePull, then ImagePullBackOff                              |
| `crash`                   | starts, ends with 1, CrashLoopBackOff (restartPolicy Always)     |
| `exit-N`                  | starts, ends with N; restartPolicy decides what follows          |
| `linger`                  | as `run`, but takes the whole grace period to stop               |
| any other                 | as `run`; under restartPolicy Never or OnFailure as `exit-0`     |

The last line makes a Job with a real image complete. Whatever the image, a ConfigMap or Secret
that is missing keeps the pod from starting, for the reason a kubelet would give.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from understudy.controllers import clusters
from understudy.controllers.runtime import settings
from understudy.controllers.workloads import pods
from understudy.kube import objects

CREATING: Final = "ContainerCreating"
_EXIT = re.compile(r"exit-(\d{1,3})")
_NAMED: Final = frozenset({"run", "unready", "slow", "pullfail", "crash", "linger"})


@dataclass(frozen=True, slots=True)
class Move:
    """What a pod does next: the stage's name, and how long until then."""

    stage: str
    delay_s: float


def behaviour_of(pod: objects.Object, chosen: settings.Runtime) -> str:
    """Return the behaviour's name, as in the table."""
    spec = pod.get("spec") or {}
    image = str((spec.get("containers") or [{}])[0].get("image") or "").split(":")[0]
    if image in _NAMED or _EXIT.fullmatch(image):
        return image
    runs_on = (spec.get("restartPolicy") or "Always") == "Always" or not chosen.ends_by_itself
    return "run" if runs_on else "exit-0"


def exit_code_of(behaviour: str) -> int | None:
    """Return the code with which a behaviour ends by itself, None if it does not."""
    if behaviour == "crash":
        return 1
    match = _EXIT.fullmatch(behaviour)
    return int(match[1]) if match else None


def next_move(pod: objects.Object, chosen: settings.Runtime) -> Move | None:
    """Return what a bound pod does next, judged by its status alone; None if nothing."""
    behaviour = behaviour_of(pod, chosen)
    if pods.is_terminating(pod):
        return _leave(pod, behaviour, chosen)
    if pods.is_over(pod):
        return None
    state = _first_state(pod)
    if state is None:
        return Move("admit", chosen.start_delay_s)
    waiting = (state.get("waiting") or {}).get("reason")
    if waiting == CREATING:
        return Move("start", chosen.start_delay_s)
    if waiting == "CreateContainerConfigError":
        return Move("retry", chosen.backoff_delay_s)
    if waiting == "ErrImagePull":
        return Move("back-off", chosen.backoff_delay_s)
    if "running" in state:
        if exit_code_of(behaviour) is not None:
            return Move("exit", chosen.exit_delay_s)
        if behaviour == "slow" and not pods.is_ready(pod):
            return Move("ready", chosen.slow_delay_s)
    return None


def _leave(pod: objects.Object, behaviour: str, chosen: settings.Runtime) -> Move:
    if pods.is_over(pod):
        # At once, but as a step of its own: others see the report of the end first.
        return Move("remove", 0.0)
    if behaviour == "linger":
        grace_s = objects.metadata(pod).get("deletionGracePeriodSeconds")
        return Move("stop", float(grace_s or 0))
    return Move("stop", chosen.stop_delay_s)


def _first_state(pod: objects.Object) -> objects.Object | None:
    statuses = (pod.get("status") or {}).get("containerStatuses")
    if not statuses:
        return None
    state: objects.Object = statuses[0].get("state") or {}
    return state


def missing_for_start(cluster: clusters.Cluster, pod: objects.Object) -> str:
    """Return what keeps containers from being created, in the kubelet's words, or nothing.

    Examples: `configmap "settings" not found`, `couldn't find key port in ConfigMap shop/settings`.
    """
    namespace = objects.namespace_of(pod)
    for kind, name, key in _environment(pod):
        ref = "configmaps" if kind == "ConfigMap" else "secrets"
        found = cluster.peek(ref, namespace, name)
        if found is None:
            return f'{kind.lower()} "{name}" not found'
        held = {**(found.get("data") or {}), **(found.get("binaryData") or {})}
        if key and key not in held:
            return f"couldn't find key {key} in {kind} {namespace}/{name}"
    return ""


def missing_for_mounts(cluster: clusters.Cluster, pod: objects.Object) -> tuple[str, str]:
    """Return the volume that cannot be mounted and why, or two empty texts."""
    namespace = objects.namespace_of(pod)
    for volume in (pod.get("spec") or {}).get("volumes") or ():
        sources = [volume, *((volume.get("projected") or {}).get("sources") or ())]
        for source in sources:
            for field, ref, named in (("configMap", "configmaps", "name"),
                                      ("secret", "secrets", "secretName")):  # fmt: skip
                wanted = source.get(field)
                if not wanted or wanted.get("optional"):
                    continue
                name = str(wanted.get(named) or wanted.get("name") or "")
                if name and cluster.entry(ref, namespace, name) is None:
                    return str(volume.get("name")), f'{field.lower()} "{name}" not found'
    return "", ""


def _environment(pod: objects.Object) -> Iterator[tuple[str, str, str]]:
    """Yield kind, name and key of what the environment needs; the key may be empty."""
    spec = pod.get("spec") or {}
    for container in (*(spec.get("initContainers") or ()), *(spec.get("containers") or ())):
        for source in container.get("envFrom") or ():
            for field, kind in (("configMapRef", "ConfigMap"), ("secretRef", "Secret")):
                wanted = source.get(field)
                if wanted and not wanted.get("optional"):
                    yield kind, str(wanted.get("name")), ""
        for variable in container.get("env") or ():
            chosen = variable.get("valueFrom") or {}
            for field, kind in (("configMapKeyRef", "ConfigMap"), ("secretKeyRef", "Secret")):
                wanted = chosen.get(field)
                if wanted and not wanted.get("optional"):
                    yield kind, str(wanted.get("name")), str(wanted.get("key"))


def needs(pod: objects.Object, ref: str, name: str) -> bool:
    """Whether a pod reads a ConfigMap or Secret (`ref`) of this name."""
    kind = "ConfigMap" if ref == "configmaps" else "Secret"
    if any(found[:2] == (kind, name) for found in _environment(pod)):
        return True
    field, named = ("configMap", "name") if kind == "ConfigMap" else ("secret", "secretName")
    for volume in (pod.get("spec") or {}).get("volumes") or ():
        for source in (volume, *((volume.get("projected") or {}).get("sources") or ())):
            wanted = source.get(field) or {}
            if name in {wanted.get(named), wanted.get("name")}:
                return True
    return False
