"""Which controllers there are, by Kubernetes' names, and how a reactor is put together.

Names are those of kube-controller-manager's `--controllers` (1.36), and `kube-scheduler`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from understudy.aio import clocks
from understudy.controllers import clusters, garbage, quotas, reactor as reactors, roles
from understudy.controllers.autoscaling import autoscalers
from understudy.controllers.namespaces import defaults, deletion, tokens
from understudy.controllers.nodes import eviction, lifecycle, podgc
from understudy.controllers.runtime import balancers, provisioner, settings, simulated
from understudy.controllers.scheduling import scheduler
from understudy.controllers.services import endpoints, mirrors, slices
from understudy.controllers.storage import binder, ephemeral, expansion, protection
from understudy.controllers.workloads import (
    cronjobs,
    daemonsets,
    deployments,
    disruptions,
    expiry,
    jobs,
    replicasets,
    statefulsets,
)
from understudy.kapi.views import view as views

Factory = Callable[[clusters.Shared], reactors.Controller]


def _replication_controllers(shared: clusters.Shared) -> reactors.Controller:
    return replicasets.ReplicaSets(shared, replicasets.REPLICATION_CONTROLLERS)


FACTORIES: Final[dict[str, Factory]] = {
    "deployment-controller": deployments.Deployments,
    "replicaset-controller": replicasets.ReplicaSets,
    "replicationcontroller-controller": _replication_controllers,
    "statefulset-controller": statefulsets.StatefulSets,
    "daemonset-controller": daemonsets.DaemonSets,
    "cronjob-controller": cronjobs.CronJobs,
    "job-controller": jobs.Jobs,
    "ttl-after-finished-controller": expiry.JobExpiry,
    "horizontal-pod-autoscaler-controller": autoscalers.Autoscalers,
    "disruption-controller": disruptions.DisruptionBudgets,
    "namespace-controller": deletion.NamespaceDeletion,
    "serviceaccount-controller": defaults.DefaultAccounts,
    "serviceaccount-token-controller": tokens.AccountTokens,
    "root-ca-certificate-publisher-controller": defaults.RootCertificates,
    "endpoints-controller": endpoints.Endpoints,
    "endpointslice-controller": slices.Slices,
    "endpointslice-mirroring-controller": mirrors.Mirrors,
    "resourcequota-controller": quotas.QuotaUsage,
    "garbage-collector-controller": garbage.GarbageCollector,
    "kube-scheduler": scheduler.Scheduler,
    "persistentvolume-binder-controller": binder.Binder,
    "persistentvolume-expander-controller": expansion.Expansion,
    "ephemeral-volume-controller": ephemeral.EphemeralVolumes,
    "persistentvolumeclaim-protection-controller": protection.ClaimProtection,
    "persistentvolume-protection-controller": protection.VolumeProtection,
    "volumeattributesclass-protection-controller": protection.AttributeClassProtection,
    "ttl-controller": lifecycle.NodeTtl,
    "node-lifecycle-controller": lifecycle.NodeLifecycle,
    "taint-eviction-controller": eviction.TaintEviction,
    "pod-garbage-collector-controller": podgc.PodGarbageCollector,
    "clusterrole-aggregation-controller": roles.RoleAggregation,
}
"""In the order in which they see a change: who acts on pods before who acts on those, and the
scheduler, which needs no write to look at a pod again, before who writes to volumes and nodes."""


OLDER_NAMES: Final = {
    "replicaset": "replicaset-controller",
    "replicationcontroller": "replicationcontroller-controller",
    "deployment": "deployment-controller",
    "statefulset": "statefulset-controller",
    "daemonset": "daemonset-controller",
    "job": "job-controller",
    "cronjob": "cronjob-controller",
    "ttl-after-finished": "ttl-after-finished-controller",
    "horizontalpodautoscaling": "horizontal-pod-autoscaler-controller",
    "disruption": "disruption-controller",
    "namespace": "namespace-controller",
    "serviceaccount": "serviceaccount-controller",
    "serviceaccount-token": "serviceaccount-token-controller",
    "root-ca-cert-publisher": "root-ca-certificate-publisher-controller",
    "endpoint": "endpoints-controller",
    "endpointslice": "endpointslice-controller",
    "endpointslicemirroring": "endpointslice-mirroring-controller",
    "resourcequota": "resourcequota-controller",
    "garbagecollector": "garbage-collector-controller",
    "persistentvolume-binder": "persistentvolume-binder-controller",
    "persistentvolume-expander": "persistentvolume-expander-controller",
    "ephemeral-volume": "ephemeral-volume-controller",
    "pvc-protection": "persistentvolumeclaim-protection-controller",
    "pv-protection": "persistentvolume-protection-controller",
    "ttl": "ttl-controller",
    "nodelifecycle": "node-lifecycle-controller",
    "podgc": "pod-garbage-collector-controller",
    "clusterrole-aggregation": "clusterrole-aggregation-controller",
}
"""What kube-controller-manager called its controllers before 1.28, and still accepts."""

NOT_HERE: Final = frozenset({
    "attachdetach", "persistentvolume-attach-detach-controller",
    "bootstrapsigner", "bootstrap-signer-controller",
    "csrapproving", "certificatesigningrequest-approving-controller",
    "csrcleaner", "certificatesigningrequest-cleaner-controller",
    "csrsigning", "certificatesigningrequest-signing-controller",
    "device-taint-eviction-controller",
    "kube-apiserver-serving-clustertrustbundle-publisher-controller",
    "legacy-service-account-token-cleaner", "legacy-serviceaccount-token-cleaner-controller",
    "nodeipam", "node-ipam-controller", "podcertificaterequest-cleaner-controller",
    "resource-claim-controller", "resourceclaim-controller", "selinux-warning-controller",
    "service-cidr-controller", "storage-version-gc", "storageversion-garbage-collector-controller",
    "svm", "storage-version-migrator-controller", "tokencleaner", "token-cleaner-controller",
    "validatingadmissionpolicy-status-controller",
})  # fmt: skip
"""Names of controllers of 1.36 that do nothing here; leaving them out changes nothing."""


def choose(names: str | Iterable[str]) -> list[str]:
    """Return the controllers that a choice names, in the order of `FACTORIES`.

    `all` or `*` is every one, `none` is none, otherwise a list (or a text with commas) of names,
    of today or before 1.28; `-name` leaves one out and, if nothing is named besides, all others
    stay in.

    Example: `choose("*,-kube-scheduler")`, `choose("deployment-controller,replicaset-controller")`.

    Raises:
        ValueError: A name that no controller has.
    """
    listed = names.split(",") if isinstance(names, str) else list(names)
    words = [_present_name(word.strip()) for word in listed if word.strip()]
    unknown = [
        word for word in words
        if word not in {"all", "*", "none"} and word.removeprefix("-") not in FACTORIES
        and not (word.startswith("-") and word[1:] in NOT_HERE)
    ]  # fmt: skip
    if unknown:
        raise ValueError(
            f"controllers: unknown name {unknown[0]!r}; use all, none or names out of: "
            + ", ".join(sorted(FACTORIES))
        )
    chosen = {word for word in words if not word.startswith("-")}
    left_out = {word.removeprefix("-") for word in words if word.startswith("-")}
    if "none" in chosen:
        return []
    everything = bool(chosen & {"all", "*"}) or not chosen
    return [name for name in FACTORIES if (everything or name in chosen) and name not in left_out]


def _present_name(word: str) -> str:
    """Return a name of today, with its sign."""
    sign = "-" if word.startswith("-") else ""
    name = word.removeprefix("-")
    return sign + OLDER_NAMES.get(name, name)


def assemble(
    view: views.View,
    names: str | Iterable[str],
    runtime: settings.Runtime,
    clock: clocks.Clock,
    journal: Callable[[clusters.Write], None],
    *,
    more: Iterable[Factory] = (),
    root_ca: str = "",
    sign_token: clusters.TokenSigner = clusters.unsigned,
) -> reactors.Reactor:
    """Return a reactor with the chosen controllers and the runtime's, not yet attached.

    `root_ca` is the PEM bundle that every namespace is given in `kube-root-ca.crt`; `sign_token`
    makes the tokens that are kept in Secrets.
    """
    reactor = reactors.Reactor(view, clock, journal, root_ca=root_ca, follows_leases=runtime.leases)
    reactor.shared.sign_token = sign_token
    for name in choose(names):
        reactor.add(FACTORIES[name](reactor.shared))
    if runtime.kind == "simulated":
        nodes = simulated.SimulatedNodes(reactor.shared, runtime)
        nodes.prepare()
        reactor.add(nodes)
        reactor.add(simulated.SimulatedKubelet(reactor.shared, runtime))
        if runtime.volumes:
            reactor.add(provisioner.SimulatedProvisioner(reactor.shared))
        if runtime.load_balancers:
            reactor.add(balancers.SimulatedBalancers(reactor.shared))
    for factory in more:
        reactor.add(factory(reactor.shared))
    return reactor
