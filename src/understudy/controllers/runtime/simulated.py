"""Simulated nodes and the kubelets on them: pods run by rule, after stated delays.

The kubelet keeps nothing that matters: what a pod does next follows from its status, so a restart
goes on where it was. Nodes that somebody else keeps (a real kubelet, a test's) are left alone; one
of ours is given up as soon as somebody else renews its lease.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Final

from understudy.aio import clocks
from understudy.controllers import changes, clusters, reactor, recorders
from understudy.controllers.runtime import behaviours, reports, settings
from understudy.controllers.workloads import pods
from understudy.kube import objects, statuses

SIMULATED: Final = "understudy.dev/simulated"
"""Annotation of the leases of nodes whose kubelet is simulated here."""
PROCESSES: Final = "understudy.dev/processes"
"""Annotation of the lease, and label, of the node whose pods run as local processes."""
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
NO_INFO: Final[Mapping[str, str]] = {}
SIZES: Final = {"cpu": "8", "memory": "16Gi", "pods": "110", "ephemeral-storage": "100Gi"}


class SimulatedNodes:
    """Makes the simulated nodes and renews their leases. Keys are a task and a node.

    The mark that a node is simulated stands on its lease: whoever else renews that, keeps the node.
    """

    name = "simulated-nodes"
    watched = (LEASES,)
    mark = SIMULATED

    def __init__(self, shared: clusters.Shared, chosen: settings.Runtime) -> None:
        self.cluster = clusters.Cluster(shared, "kubelet", clusters.KUBELET)
        self.chosen = chosen
        self._renewed: dict[str, str] = {}
        self.report_s = 0.0

    def prepare(self) -> None:
        """Make the nodes that are missing, unless the view has nodes of somebody else."""
        present = [entry.name for entry in self.cluster.entries("nodes")]
        if all(is_kept_here(self.cluster, name) for name in present):
            for number in range(1, self.chosen.nodes_count + 1):
                name = f"{self.chosen.node_prefix}{number}"
                if name not in present:
                    self.add(name)

    def add(self, name: str, labels: dict[str, str] | None = None) -> None:
        """Make a node; it reports itself ready as its next step."""
        own = {
            "kubernetes.io/hostname": name,
            "kubernetes.io/os": "linux",
            "kubernetes.io/arch": "amd64",
        }
        meta = {"name": name, "labels": {**own, **(labels or {})}}
        node = {"apiVersion": "v1", "kind": "Node", "metadata": meta, "spec": {}}
        self.cluster.create("nodes", node)
        self.renew(name, first=True)

    def _report(self, name: str) -> None:
        """Say how a node is and what it has, once."""
        node = self.cluster.peek("nodes", "", name)
        if node is None or (node.get("status") or {}).get("conditions"):
            return
        names = [entry.name for entry in self.cluster.entries("nodes")]
        self.describe(name, f"192.168.0.{names.index(name) + 1}", SIZES)

    def describe(
        self, name: str, address: str, sizes: Mapping[str, str], info: Mapping[str, str] = NO_INFO
    ) -> None:
        """Report a node ready, with its address, what it has, and more `info` about it."""
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
            "capacity": dict(sizes),
            "allocatable": dict(sizes),
            "conditions": conditions,
            "nodeInfo": {"kubeletVersion": "v1.36.0", **info},
            "addresses": [
                {"type": "InternalIP", "address": address},
                {"type": "Hostname", "address": name},
            ],
        }
        self.cluster.patch("nodes", "", name, {"status": status}, subresource="status")

    def forget(self, name: str) -> None:
        """Let a node's machine die: no more lease, and its pods are left alone."""
        self._renewed.pop(name, None)
        body = {"metadata": {"annotations": {self.mark: None}}}
        with contextlib.suppress(statuses.NotFoundError):
            self.cluster.patch(LEASES, LEASE_NAMESPACE, name, body, patch_type=clusters.MERGE)

    def observe(self, change: changes.Change, queue: reactor.Queue) -> None:
        lease = change.object
        if change.deleted or self.mark not in objects.annotations_of(lease):
            return
        name = change.entry.name
        if change.type == "ADDED":
            queue.add_after(("report", name), self.report_s)
        renewed = str((lease.get("spec") or {}).get("renewTime") or "")
        known = self._renewed.setdefault(name, renewed)
        if renewed != known:
            queue.add(("give-up", name))
        elif self.chosen.leases:
            queue.add_after(("lease", name), RENEWAL_S, idle=True)

    def reconcile(self, key: reactor.Key) -> float | None:
        what, name = key
        if what == "report":
            self._report(name)
        elif what == "give-up":
            self.forget(name)
        elif name in self._renewed and self.cluster.entry("nodes", "", name) is not None:
            self.renew(name)
        return None

    def renew(self, name: str, *, first: bool = False) -> None:
        """Renew a node's lease; seeing it renewed sets the timer of the next renewal."""
        stamp = clocks.rfc3339_micro(self.cluster.now())
        self._renewed[name] = stamp
        spec: objects.Object = {
            "holderIdentity": name,
            "leaseDurationSeconds": LEASE_S,
            "renewTime": stamp,
        }
        meta: objects.Object = {"annotations": {self.mark: "true"}} if first else {}
        try:
            self.cluster.patch(
                LEASES, LEASE_NAMESPACE, name, {"metadata": meta, "spec": spec},
                patch_type=clusters.MERGE,
            )  # fmt: skip
        except statuses.NotFoundError:
            meta |= {"name": name, "namespace": LEASE_NAMESPACE}
            lease = {
                "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
                "metadata": meta, "spec": spec,
            }  # fmt: skip
            self.cluster.create(LEASES, lease)


def is_simulated(cluster: clusters.Cluster, node: str) -> bool:
    """Whether a node's kubelet is simulated, which its lease tells."""
    lease = cluster.entry(LEASES, LEASE_NAMESPACE, node)
    return lease is not None and SIMULATED.encode() in lease.encoded


def is_kept_here(cluster: clusters.Cluster, node: str) -> bool:
    """Whether a node is simulated, or was this server's own when it ran local processes."""
    lease = cluster.entry(LEASES, LEASE_NAMESPACE, node)
    return lease is not None and any(
        mark.encode() in lease.encoded for mark in (SIMULATED, PROCESSES)
    )


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
        due = self.cluster.clock.monotonic() + move.delay_s
        stage, known = self._due.get(change.entry.uid, ("", 0.0))
        # The same move may be due earlier than thought: a second deletion leaves less time.
        if stage != move.stage or due < known:
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
        return self.chosen.every_node or is_simulated(self.cluster, str(node))

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
        behaviour = behaviours.behaviour_of(pod, self.chosen)
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
        code = behaviours.exit_code_of(behaviours.behaviour_of(pod, self.chosen)) or 0
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
