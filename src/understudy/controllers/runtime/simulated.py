"""Simulated nodes and the kubelets on them: pods run by rule, after stated delays.

The kubelet keeps nothing that matters: what a pod does next follows from its status, so a restart
goes on where it was. Nodes that somebody else keeps (a real kubelet, a test's) are left alone; one
of ours is given up as soon as somebody else renews its lease.
"""

from __future__ import annotations

import contextlib
from typing import Final

from understudy.aio import clocks
from understudy.controllers import changes, clusters, reactor, recorders
from understudy.controllers.runtime import behaviours, reports, settings
from understudy.controllers.workloads import pods
from understudy.kube import objects, statuses

SIMULATED: Final = "understudy.dev/simulated"
"""Annotation of nodes whose kubelet is simulated here."""
LEASE_NAMESPACE: Final = "kube-node-lease"
LEASES: Final = "leases.coordination.k8s.io"
LEASE_S: Final = 40
RENEWAL_S: Final = 10.0
HEALTH: Final = (
    ("MemoryPressure", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
    ("DiskPressure", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
    ("PIDPressure", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
    ("Ready", "KubeletReady", "kubelet is posting ready status"),
)
SIZES: Final = {"cpu": "8", "memory": "16Gi", "pods": "110", "ephemeral-storage": "100Gi"}


class SimulatedNodes:
    """Makes the simulated nodes and renews their leases. The key is `("nodes",)` or a lease's."""

    name = "simulated-nodes"
    watched = ("nodes", LEASES)

    def __init__(self, shared: clusters.Shared, chosen: settings.Runtime) -> None:
        self.cluster = clusters.Cluster(shared, "kubelet", clusters.KUBELET)
        self.chosen = chosen
        self._renewed: dict[str, str] = {}

    @property
    def names(self) -> list[str]:
        """The names of the nodes to make."""
        count = self.chosen.nodes_count
        return [f"{self.chosen.node_prefix}{number}" for number in range(1, count + 1)]

    def prepare(self) -> None:
        """Make the nodes that are missing, unless the view has nodes of somebody else."""
        present = list(self.cluster.each("nodes"))
        if any(SIMULATED not in objects.annotations_of(node) for node in present):
            return
        known = {objects.name_of(node) for node in present}
        for number, name in enumerate(self.names, start=1):
            if name not in known:
                self._make(name, number)

    def observe(self, change: changes.Change, queue: reactor.Queue) -> None:
        if change.ref == "nodes":
            if not change.deleted and SIMULATED in objects.annotations_of(change.object):
                queue.add(("lease", change.entry.name))
        elif change.entry.name in self._renewed and not change.deleted:
            renewed = (change.object.get("spec") or {}).get("renewTime")
            if renewed == self._renewed[change.entry.name]:
                queue.add_after(("lease", change.entry.name), RENEWAL_S, idle=True)
            else:
                queue.add(("give-up", change.entry.name))

    def reconcile(self, key: reactor.Key) -> float | None:
        what, name = key
        if what == "give-up":
            self._renewed.pop(name, None)
            body = {"metadata": {"annotations": {SIMULATED: None}}}
            self.cluster.patch("nodes", "", name, body, patch_type=clusters.MERGE)
        elif self.chosen.leases and self.cluster.entry("nodes", "", name) is not None:
            self._renew(name)
        return None

    def _make(self, name: str, number: int) -> None:
        labels = {
            "kubernetes.io/hostname": name,
            "kubernetes.io/os": "linux",
            "kubernetes.io/arch": "amd64",
        }
        self.cluster.create("nodes", {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": name, "labels": labels, "annotations": {SIMULATED: "true"}},
            "spec": {},
        })  # fmt: skip
        stamp = self.cluster.stamp()
        conditions = [
            {
                "type": kind,
                "status": "True" if kind == "Ready" else "False",
                "reason": reason,
                "message": message,
                "lastHeartbeatTime": stamp,
                "lastTransitionTime": stamp,
            }
            for kind, reason, message in HEALTH
        ]
        status: objects.Object = {
            "capacity": dict(SIZES),
            "allocatable": dict(SIZES),
            "conditions": conditions,
            "nodeInfo": {"kubeletVersion": "v1.36.0"},
            "addresses": [
                {"type": "InternalIP", "address": f"192.168.0.{number}"},
                {"type": "Hostname", "address": name},
            ],
        }
        self.cluster.patch("nodes", "", name, {"status": status}, subresource="status")

    def _renew(self, name: str) -> None:
        """Renew a node's lease; seeing it renewed sets the timer of the next renewal."""
        stamp = clocks.rfc3339_micro(self.cluster.now())
        self._renewed[name] = stamp
        spec: objects.Object = {
            "holderIdentity": name, "leaseDurationSeconds": LEASE_S, "renewTime": stamp,
        }  # fmt: skip
        try:
            self.cluster.patch(
                LEASES, LEASE_NAMESPACE, name, {"spec": spec}, patch_type=clusters.MERGE
            )
        except statuses.NotFoundError:
            meta = {"name": name, "namespace": LEASE_NAMESPACE}
            self.cluster.create(LEASES, {
                "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
                "metadata": meta, "spec": spec,
            })  # fmt: skip


class SimulatedKubelet:
    """Plays the kubelet of the simulated nodes. Keys are `(namespace, name)` of pods."""

    name = "simulated-kubelet"
    watched = ("pods", "configmaps", "secrets")

    def __init__(self, shared: clusters.Shared, chosen: settings.Runtime) -> None:
        self.cluster = clusters.Cluster(shared, "kubelet", clusters.KUBELET)
        self.recorder = recorders.Recorder(self.cluster, "kubelet")
        self.reporter = reports.Reporter(self.cluster)
        self.chosen = chosen
        self._due: dict[str, tuple[str, float]] = {}
        self._hindered: dict[reactor.Key, None] = {}

    def observe(self, change: changes.Change, queue: reactor.Queue) -> None:
        if change.ref != "pods":
            if self._hindered and not change.deleted:
                self._wake(change, queue)
            return
        if change.deleted:
            self._due.pop(change.entry.uid, None)
            self._hindered.pop(change.key, None)
            return
        pod = change.object
        if not self._is_ours(pod):
            return
        move = behaviours.next_move(pod, self.chosen)
        if move is None:
            self._due.pop(change.entry.uid, None)
            return
        if self._due.get(change.entry.uid, ("", 0.0))[0] != move.stage:
            due = self.cluster.clock.monotonic() + move.delay_s
            self._due[change.entry.uid] = (move.stage, due)
            queue.add_after(change.key, move.delay_s)

    def _wake(self, change: changes.Change, queue: reactor.Queue) -> None:
        for key in self._hindered:
            pod = self.cluster.peek("pods", *key)
            if pod is None or key[0] != change.entry.namespace:
                continue
            if behaviours.needs(pod, change.ref, change.entry.name):
                queue.add(key)

    def _is_ours(self, pod: objects.Object) -> bool:
        node = (pod.get("spec") or {}).get("nodeName")
        if not node:
            return False
        if self.chosen.every_node:
            return True
        found = self.cluster.peek("nodes", "", str(node))
        return found is not None and SIMULATED in objects.annotations_of(found)

    def reconcile(self, key: reactor.Key) -> float | None:
        pod = self.cluster.peek("pods", *key)
        if pod is None or not self._is_ours(pod):
            return None
        move = behaviours.next_move(pod, self.chosen)
        if move is None:
            return None
        stage, due_s = self._due.get(objects.uid_of(pod), (move.stage, 0.0))
        left_s = due_s - self.cluster.clock.monotonic()
        if stage == move.stage and left_s > 1e-6:
            return left_s
        with contextlib.suppress(statuses.NotFoundError):
            self._act(pod, move.stage)
        return None

    def _act(self, pod: objects.Object, stage: str) -> None:
        report = self.reporter
        match stage:
            case "admit":
                waiting = {"waiting": {"reason": behaviours.CREATING}}
                report.write(pod, "Pending", waiting, started=False, address=False)
            case "start" | "retry":
                self._start(pod)
            case "back-off":
                image = pod["spec"]["containers"][0].get("image")
                text = f'Back-off pulling image "{image}"'
                state = {"waiting": {"reason": "ImagePullBackOff", "message": text}}
                report.write(pod, "Pending", state, started=False)
            case "ready":
                report.write(pod, "Running", report.state_of(pod), ready=True)
            case "exit":
                self._exit(pod)
            case "stop":
                report.write(pod, "Succeeded", report.terminated(pod, 0))
            case _:
                self.cluster.delete(
                    "pods", objects.namespace_of(pod), objects.name_of(pod),
                    uid=objects.uid_of(pod), grace_period_s=0,
                )  # fmt: skip

    def _start(self, pod: objects.Object) -> None:
        key = clusters.key_of(pod)
        volume, why = behaviours.missing_for_mounts(self.cluster, pod)
        if why:
            text = f'MountVolume.SetUp failed for volume "{volume}" : {why}'
            self._hinder(pod, "FailedMount", text)
            return
        why = behaviours.missing_for_start(self.cluster, pod)
        if why:
            state = {"waiting": {"reason": "CreateContainerConfigError", "message": why}}
            if self.reporter.state_of(pod) != state:
                self.reporter.write(pod, "Pending", state, started=False)
            self._hinder(pod, "Failed", f"Error: {why}")
            return
        self._hindered.pop(key, None)
        behaviour = behaviours.behaviour_of(pod)
        if behaviour == "pullfail":
            text = "failed to pull image: not found"
            state = {"waiting": {"reason": "ErrImagePull", "message": text}}
            self.reporter.write(pod, "Pending", state, started=False)
            return
        running = {"running": {"startedAt": self.cluster.stamp()}}
        ready = behaviour not in {"unready", "slow"}
        self.reporter.write(pod, "Running", running, ready=ready)

    def _hinder(self, pod: objects.Object, reason: str, text: str) -> None:
        """Tell why a pod cannot start; it is looked at again when what is missing appears."""
        self._hindered[clusters.key_of(pod)] = None
        self.recorder.event(pod, "Warning", reason, text)

    def _exit(self, pod: objects.Object) -> None:
        code = behaviours.exit_code_of(behaviours.behaviour_of(pod)) or 0
        ended = self.reporter.terminated(pod, code)
        policy = pod["spec"].get("restartPolicy") or "Always"
        if policy == "Never" or (policy == "OnFailure" and code == 0):
            self.reporter.write(pod, "Succeeded" if code == 0 else "Failed", ended)
            return
        container = pod["spec"]["containers"][0].get("name")
        text = f"back-off 10s restarting failed container={container}"
        state = {"waiting": {"reason": "CrashLoopBackOff", "message": text}}
        restarts = pods.restarts_of(pod) + 1
        self.reporter.write(pod, "Running", state, last=ended, restarts=restarts)
