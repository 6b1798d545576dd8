"""The chain as a server runs it: one visible, ordered list."""

from __future__ import annotations

from understudy.kapi.admission import (
    bindings,
    certificates,
    chain,
    defaults,
    lifecycles,
    limits,
    mutations,
    pods,
    podsecurity,
    policies,
    quotas,
    resizing,
    webhooks,
)


def default_chain(*, authorize: bindings.Authorize = bindings.allow_all) -> chain.Chain:
    """Return the plugins in the order in which every write passes them.

    The order is kube-apiserver's (pkg/kubeapiserver/options/plugins.go). Webhooks see what all
    others have made of an object; quotas are last, so that only what everybody else lets in is
    counted. `authorize` answers what the expressions of policies ask the authorizer.
    """
    plugins: list[chain.Plugin] = [
        lifecycles.NamespaceLifecycle(),
        limits.LimitRanger(),
        pods.ServiceAccount(),
        defaults.TaintNodesByCondition(),
        podsecurity.PodSecurity(),
        pods.Priority(),
        pods.DefaultTolerationSeconds(),
        defaults.DefaultStorageClass(),
        defaults.StorageObjectInUseProtection(),
        resizing.PersistentVolumeClaimResize(),
        resizing.PodResize(),
        pods.RuntimeClass(),
        certificates.CertificateApproval(authorize),
        certificates.CertificateSubjectRestriction(),
        defaults.DefaultIngressClass(),
        pods.PodTopologyLabels(),
        mutations.MutatingAdmissionPolicy(authorize),
        webhooks.MutatingWebhooks(authorize),
        policies.ValidatingAdmissionPolicy(authorize),
        webhooks.ValidatingWebhooks(authorize),
        quotas.ResourceQuota(),
    ]
    return chain.Chain(plugins)
