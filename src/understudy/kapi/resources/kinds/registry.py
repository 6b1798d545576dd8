"""Which strategy each built-in kind has."""

from __future__ import annotations

from understudy.kapi.resources import strategies
from understudy.kapi.resources.kinds import (
    admissionregistration,
    apiregistration,
    batch,
    certificates,
    coordination,
    dynamicresources,
    flowcontrol,
    pods,
    rules,
    runtimeclasses,
    services,
    workloads,
)

_COMMON = rules.Kind()

_STRATEGIES: dict[tuple[str, str], strategies.Strategy] = {
    ("", "Pod"): pods.Pod(),
    ("", "PodTemplate"): pods.PodTemplate(),
    ("", "ReplicationController"): workloads.ReplicationController(),
    ("", "Service"): services.Service(),
    ("admissionregistration.k8s.io", "MutatingAdmissionPolicy"): (
        admissionregistration.MutatingAdmissionPolicy()
    ),
    ("admissionregistration.k8s.io", "MutatingAdmissionPolicyBinding"): (
        admissionregistration.MutatingAdmissionPolicyBinding()
    ),
    ("admissionregistration.k8s.io", "MutatingWebhookConfiguration"): (
        admissionregistration.MutatingWebhookConfiguration()
    ),
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy"): (
        admissionregistration.AdmissionPolicy()
    ),
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicyBinding"): (
        admissionregistration.AdmissionPolicyBinding()
    ),
    ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"): (
        admissionregistration.WebhookConfiguration()
    ),
    ("apiregistration.k8s.io", "APIService"): apiregistration.ApiService(),
    ("certificates.k8s.io", "CertificateSigningRequest"): (
        certificates.CertificateSigningRequest()
    ),
    ("certificates.k8s.io", "ClusterTrustBundle"): certificates.ClusterTrustBundle(),
    ("coordination.k8s.io", "Lease"): coordination.Lease(),
    ("coordination.k8s.io", "LeaseCandidate"): coordination.LeaseCandidate(),
    ("flowcontrol.apiserver.k8s.io", "FlowSchema"): flowcontrol.FlowSchema(),
    ("flowcontrol.apiserver.k8s.io", "PriorityLevelConfiguration"): (
        flowcontrol.PriorityLevelConfiguration()
    ),
    ("node.k8s.io", "RuntimeClass"): runtimeclasses.RuntimeClass(),
    ("resource.k8s.io", "DeviceClass"): dynamicresources.DeviceClass(),
    ("resource.k8s.io", "ResourceClaim"): dynamicresources.ResourceClaim(),
    ("resource.k8s.io", "ResourceClaimTemplate"): dynamicresources.ResourceClaimTemplate(),
    ("resource.k8s.io", "ResourceSlice"): dynamicresources.ResourceSlice(),
    ("apps", "ControllerRevision"): workloads.ControllerRevision(),
    ("apps", "DaemonSet"): workloads.DaemonSet(),
    ("apps", "Deployment"): workloads.Deployment(),
    ("apps", "ReplicaSet"): workloads.ReplicaSet(),
    ("apps", "StatefulSet"): workloads.StatefulSet(),
    ("batch", "CronJob"): batch.CronJob(),
    ("batch", "Job"): batch.Job(),
}


def strategy_for(group: str, kind: str) -> strategies.Strategy:
    """Return the kind's strategy, the common one where it has none of its own."""
    return _STRATEGIES.get((group, kind), _COMMON)


def converters_for(
    group: str, version: str, kind: str
) -> tuple[strategies.Converter | None, strategies.Converter | None]:
    """Return the functions to and from the stored version; None where nothing differs."""
    return (None, None)
