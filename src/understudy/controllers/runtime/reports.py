"""Pod statuses as a kubelet reports them: whole conditions, one state for every container."""

from __future__ import annotations

from understudy.controllers import clusters
from understudy.controllers.workloads import pods
from understudy.kube import objects

POD_NETWORK = "10.244"
_HOSTS_PER_BLOCK = 250


class Reporter:
    """Writes pod statuses; gives each pod an address of its own."""

    def __init__(self, cluster: clusters.Cluster, *, init_containers: bool = True) -> None:
        self.cluster = cluster
        self._tells_init = init_containers
        self._next_address = 0

    def write(
        self,
        pod: objects.Object,
        phase: str,
        state: objects.Object,
        *,
        ready: bool = False,
        started: bool = True,
        address: bool = True,
        last: objects.Object | None = None,
        restarts: int | None = None,
    ) -> None:
        """Report a pod: its phase, and `state` for each of its containers.

        `started`: the containers were created. `address`: the pod has its network. `last` is the
        containers' lastState, `restarts` their restartCount, both as before unless given.
        """
        is_over = phase in {"Succeeded", "Failed"}
        generation = objects.metadata(pod).get("generation", 1)
        host = self._host_of(pod) or (pod.get("status") or {}).get("hostIP")
        status: objects.Object = {
            "phase": phase,
            "observedGeneration": generation,
            "conditions": self._conditions(pod, phase, ready=ready, address=address),
            "hostIP": host,
            "hostIPs": [{"ip": host}] if host else None,
            "startTime": (pod.get("status") or {}).get("startTime") or pods.creation_of(pod),
            "containerStatuses": [
                {
                    "name": container["name"],
                    "image": container.get("image"),
                    "imageID": f"sha256:{container.get('image')}" if started else "",
                    "ready": ready,
                    "started": started and not is_over and "running" in state,
                    "restartCount": pods.restarts_of(pod) if restarts is None else restarts,
                    "state": state,
                    "lastState": last if last is not None else self._last_of(pod),
                }
                for container in pod["spec"].get("containers") or ()
            ],
        }
        initial = self._init_statuses(pod, started=started)
        if initial and self._tells_init:
            status["initContainerStatuses"] = initial
        if address:
            ip = self._address_of(pod)
            status |= {"podIP": ip, "podIPs": [{"ip": ip}]}
        self.cluster.patch(
            "pods", objects.namespace_of(pod), objects.name_of(pod),
            {"metadata": {"uid": objects.uid_of(pod)}, "status": status}, subresource="status",
            quiet=True,
        )  # fmt: skip

    def state_of(self, pod: objects.Object) -> objects.Object:
        """Return the state that the first container was last reported in."""
        reported = (pod.get("status") or {}).get("containerStatuses") or [{}]
        state: objects.Object = reported[0].get("state") or {}
        return state

    def terminated(self, pod: objects.Object, code: int) -> objects.Object:
        """Return the state of a container that ended now with an exit code."""
        stamp = self.cluster.stamp()
        started = (self.state_of(pod).get("running") or {}).get("startedAt") or stamp
        return {
            "terminated": {
                "exitCode": code,
                "reason": "Completed" if code == 0 else "Error",
                "startedAt": started,
                "finishedAt": stamp,
            }
        }

    def _last_of(self, pod: objects.Object) -> objects.Object:
        reported = (pod.get("status") or {}).get("containerStatuses") or [{}]
        last: objects.Object = reported[0].get("lastState") or {}
        return last

    def _conditions(
        self, pod: objects.Object, phase: str, *, ready: bool, address: bool
    ) -> list[objects.Object]:
        is_over = phase in {"Succeeded", "Failed"}
        names = " ".join(str(one["name"]) for one in pod["spec"].get("containers") or ())
        why: objects.Object = {}
        if is_over:
            why = {"reason": "PodCompleted" if phase == "Succeeded" else "PodFailed"}
        elif not ready:
            text = f"containers with unready status: [{names}]"
            why = {"reason": "ContainersNotReady", "message": text}
        table: list[tuple[str, bool, objects.Object]] = [
            ("PodReadyToStartContainers", address and not is_over, {}),
            ("Initialized", True, {"reason": "PodCompleted"} if phase == "Succeeded" else {}),
            ("Ready", ready, why),
            ("ContainersReady", ready, why),
        ]
        stamp = self.cluster.stamp()
        generation = objects.metadata(pod).get("generation", 1)
        found: list[objects.Object] = []
        for kind, holds, extra in table:
            value = "True" if holds else "False"
            known = pods.condition_of(pod, kind) or {}
            since = known.get("lastTransitionTime") if known.get("status") == value else stamp
            found.append({
                "type": kind, "status": value, "lastProbeTime": None,
                "lastTransitionTime": since or stamp, "observedGeneration": generation,
                "reason": None, "message": None, **extra,
            })  # fmt: skip
        return found

    def _init_statuses(self, pod: objects.Object, *, started: bool) -> list[objects.Object]:
        stamp = self.cluster.stamp()
        found: list[objects.Object] = []
        for container in pod["spec"].get("initContainers") or ():
            ended: objects.Object = {"exitCode": 0, "reason": "Completed",
                                     "startedAt": stamp, "finishedAt": stamp}  # fmt: skip
            state: objects.Object = {"waiting": {"reason": "PodInitializing"}}
            if started:
                stays = container.get("restartPolicy") == "Always"
                state = {"running": {"startedAt": stamp}} if stays else {"terminated": ended}
            image = container.get("image")
            found.append({
                "name": container["name"], "image": image, "restartCount": 0, "lastState": {},
                "imageID": f"sha256:{image}" if started else "", "ready": started,
                "started": started and "running" in state, "state": state,
            })  # fmt: skip
        return found

    def _host_of(self, pod: objects.Object) -> str | None:
        node = self.cluster.peek("nodes", "", str(pod["spec"].get("nodeName"))) or {}
        for address in (node.get("status") or {}).get("addresses") or ():
            if address.get("type") == "InternalIP":
                return str(address.get("address"))
        return None

    def _address_of(self, pod: objects.Object) -> str:
        known = (pod.get("status") or {}).get("podIP")
        if known:
            return str(known)
        if self._next_address == 0:
            self._next_address = max(
                (_number_of(other) for other in self.cluster.each("pods")), default=1
            )
        self._next_address += 1
        block, host = divmod(self._next_address, _HOSTS_PER_BLOCK)
        return f"{POD_NETWORK}.{block}.{host + 2}"


def _number_of(pod: objects.Object) -> int:
    """Return the number of the address a pod was given, 1 if it has none of ours."""
    address = str((pod.get("status") or {}).get("podIP") or "")
    if not address.startswith(f"{POD_NETWORK}."):
        return 1
    block, host = address.split(".")[2:]
    return int(block) * _HOSTS_PER_BLOCK + int(host) - 2
