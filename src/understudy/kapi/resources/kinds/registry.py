"""Which strategy each built-in kind has, and how its versions convert into one another."""

from __future__ import annotations

from understudy.kapi.resources import strategies
from understudy.kapi.resources.crds import definition_strategy
from understudy.kapi.resources.kinds import (
    admissionregistration,
    apiregistration,
    autoscaling,
    autoscalingv1,
    batch,
    certificates,
    config,
    coordination,
    dynamicresources,
    endpoints,
    events,
    flowcontrol,
    namespaces,
    networking,
    nodes,
    persistentvolumes,
    pods,
    policy,
    quota,
    rbac,
    rules,
    runtimeclasses,
    services,
    storage,
    workloads,
)

_ADMISSION = "admissionregistration.k8s.io"
_FLOWCONTROL = "flowcontrol.apiserver.k8s.io"
_RBAC = "rbac.authorization.k8s.io"
_STORAGE = "storage.k8s.io"

_COMMON = rules.Kind()

_STRATEGIES: dict[tuple[str, str], strategies.Strategy] = {
    ("", "ConfigMap"): config.ConfigMap(),
    ("", "Endpoints"): endpoints.Endpoints(),
    ("", "Event"): events.Event(),
    ("", "LimitRange"): quota.LimitRange(),
    ("", "Namespace"): namespaces.Namespace(),
    ("", "Node"): nodes.Node(),
    ("", "PersistentVolume"): persistentvolumes.PersistentVolume(),
    ("", "PersistentVolumeClaim"): persistentvolumes.PersistentVolumeClaim(),
    ("", "Pod"): pods.Pod(),
    ("", "PodTemplate"): pods.PodTemplate(),
    ("", "ReplicationController"): workloads.ReplicationController(),
    ("", "ResourceQuota"): quota.ResourceQuota(),
    ("", "Secret"): config.Secret(),
    ("", "Service"): services.Service(),
    ("", "ServiceAccount"): config.ServiceAccount(),
    (_ADMISSION, "MutatingAdmissionPolicy"): admissionregistration.MutatingAdmissionPolicy(),
    (_ADMISSION, "MutatingAdmissionPolicyBinding"): (
        admissionregistration.MutatingAdmissionPolicyBinding()
    ),
    (_ADMISSION, "MutatingWebhookConfiguration"): (
        admissionregistration.MutatingWebhookConfiguration()
    ),
    (_ADMISSION, "ValidatingAdmissionPolicy"): admissionregistration.AdmissionPolicy(),
    (_ADMISSION, "ValidatingAdmissionPolicyBinding"): (
        admissionregistration.AdmissionPolicyBinding()
    ),
    (_ADMISSION, "ValidatingWebhookConfiguration"): admissionregistration.WebhookConfiguration(),
    ("apiextensions.k8s.io", "CustomResourceDefinition"): (
        definition_strategy.DefinitionStrategy()
    ),
    ("apiregistration.k8s.io", "APIService"): apiregistration.ApiService(),
    ("apps", "ControllerRevision"): workloads.ControllerRevision(),
    ("apps", "DaemonSet"): workloads.DaemonSet(),
    ("apps", "Deployment"): workloads.Deployment(),
    ("apps", "ReplicaSet"): workloads.ReplicaSet(),
    ("apps", "StatefulSet"): workloads.StatefulSet(),
    ("autoscaling", "HorizontalPodAutoscaler"): autoscaling.HorizontalPodAutoscaler(),
    ("batch", "CronJob"): batch.CronJob(),
    ("batch", "Job"): batch.Job(),
    ("certificates.k8s.io", "CertificateSigningRequest"): (
        certificates.CertificateSigningRequest()
    ),
    ("certificates.k8s.io", "ClusterTrustBundle"): certificates.ClusterTrustBundle(),
    ("coordination.k8s.io", "Lease"): coordination.Lease(),
    ("coordination.k8s.io", "LeaseCandidate"): coordination.LeaseCandidate(),
    ("discovery.k8s.io", "EndpointSlice"): endpoints.EndpointSlice(),
    ("events.k8s.io", "Event"): events.EventsEvent(),
    (_FLOWCONTROL, "FlowSchema"): flowcontrol.FlowSchema(),
    (_FLOWCONTROL, "PriorityLevelConfiguration"): flowcontrol.PriorityLevelConfiguration(),
    ("networking.k8s.io", "IPAddress"): networking.IPAddress(),
    ("networking.k8s.io", "Ingress"): networking.Ingress(),
    ("networking.k8s.io", "IngressClass"): networking.IngressClass(),
    ("networking.k8s.io", "NetworkPolicy"): networking.NetworkPolicy(),
    ("networking.k8s.io", "ServiceCIDR"): networking.ServiceCIDR(),
    ("node.k8s.io", "RuntimeClass"): runtimeclasses.RuntimeClass(),
    ("policy", "PodDisruptionBudget"): policy.PodDisruptionBudget(),
    (_RBAC, "ClusterRole"): rbac.ClusterRole(),
    (_RBAC, "ClusterRoleBinding"): rbac.ClusterRoleBinding(),
    (_RBAC, "Role"): rbac.Role(),
    (_RBAC, "RoleBinding"): rbac.RoleBinding(),
    ("resource.k8s.io", "DeviceClass"): dynamicresources.DeviceClass(),
    ("resource.k8s.io", "ResourceClaim"): dynamicresources.ResourceClaim(),
    ("resource.k8s.io", "ResourceClaimTemplate"): dynamicresources.ResourceClaimTemplate(),
    ("resource.k8s.io", "ResourceSlice"): dynamicresources.ResourceSlice(),
    ("scheduling.k8s.io", "PriorityClass"): quota.PriorityClass(),
    (_STORAGE, "CSIDriver"): storage.CSIDriver(),
    (_STORAGE, "CSINode"): storage.CSINode(),
    (_STORAGE, "CSIStorageCapacity"): storage.CSIStorageCapacity(),
    (_STORAGE, "StorageClass"): storage.StorageClass(),
    (_STORAGE, "VolumeAttachment"): storage.VolumeAttachment(),
    (_STORAGE, "VolumeAttributesClass"): storage.VolumeAttributesClass(),
}

_CONVERTERS: dict[tuple[str, str, str], tuple[strategies.Converter, strategies.Converter]] = {
    ("autoscaling", "v1", "HorizontalPodAutoscaler"): (autoscalingv1.to_v2, autoscalingv1.from_v2),
    ("events.k8s.io", "v1", "Event"): (events.to_core, events.from_core),
}


def strategy_for(group: str, kind: str) -> strategies.Strategy:
    """Return the kind's strategy, the common one where it has none of its own."""
    return _STRATEGIES.get((group, kind), _COMMON)


def converters_for(
    group: str, version: str, kind: str
) -> tuple[strategies.Converter | None, strategies.Converter | None]:
    """Return the functions to and from the stored version; None where nothing differs."""
    return _CONVERTERS.get((group, version, kind), (None, None))
