"""The default ClusterRoles and their bindings (facts: rbac bootstrappolicy @ 1.34-1.36).

Written small: a rule is `"verbs | resources | groups"` with words separated by spaces; `core` is
the core group, `read` and `write` stand for the usual verbs, a resource may carry a name in
brackets: `"get update | leases[kube-scheduler] | coordination.k8s.io"`. A rule that begins with
`urls` is about paths.

# Differs: the roles of single controllers (`system:controller:...`) are not made; they matter only
# to a kube-controller-manager that uses one account per controller.
"""

from __future__ import annotations

from understudy.kube import objects

GROUP = "rbac.authorization.k8s.io"
_VERBS = {
    "read": ("get", "list", "watch"),
    "write": ("create", "delete", "deletecollection", "patch", "update"),
}
_AUTOUPDATE = {"rbac.authorization.kubernetes.io/autoupdate": "true"}
_LABELS = {"kubernetes.io/bootstrapping": "rbac-defaults"}
_EVENTS = "create patch update | events | core events.k8s.io"
_REVIEWS = (
    "create | tokenreviews | authentication.k8s.io",
    "create | subjectaccessreviews | authorization.k8s.io",
)
_ROLES: dict[str, tuple[str, ...]] = {
    "cluster-admin": ("* | * | *", "urls * | *"),
    "system:discovery": (
        "urls get | /api /api/* /apis /apis/* /healthz /livez /openapi /openapi/* /readyz "
        "/version /version/",
        "urls get | /.well-known /.well-known/*",
    ),
    "system:basic-user": (
        "create | selfsubjectaccessreviews selfsubjectrulesreviews | authorization.k8s.io",
        "create | selfsubjectreviews | authentication.k8s.io",
    ),
    "system:public-info-viewer": ("urls get | /healthz /livez /readyz /version /version/",),
    "system:service-account-issuer-discovery": (
        "urls get | /.well-known/openid-configuration /openid/v1/jwks",
    ),
    "system:monitoring": (
        "urls get | /healthz /healthz/* /livez /livez/* /metrics /metrics/slis /readyz /readyz/*",
    ),
    "system:auth-delegator": _REVIEWS,
    "system:heapster": (
        "read | events namespaces nodes pods | core",
        "read | deployments | extensions",
    ),
    "system:kube-aggregator": ("read | endpoints services | core",),
    "system:kube-dns": ("list watch | endpoints services | core",),
    "system:kubelet-api-admin": (
        "read | nodes | core",
        "proxy | nodes | core",
        "* | nodes/log nodes/metrics nodes/proxy nodes/stats | core",
    ),
    "system:node-bootstrapper": (
        "create get list watch | certificatesigningrequests | certificates.k8s.io",
    ),
    "system:node-problem-detector": (
        "get | nodes | core",
        "patch | nodes/status | core",
        _EVENTS,
    ),
    "system:node-proxier": (
        "list watch | endpoints services | core",
        "read | nodes | core",
        _EVENTS,
        "list watch | endpointslices | discovery.k8s.io",
    ),
    "system:node": (
        "create | tokenreviews | authentication.k8s.io",
        "create | localsubjectaccessreviews subjectaccessreviews | authorization.k8s.io",
        "read | services | core",
        "create get list watch | nodes | core",
        "patch update | nodes/status | core",
        "patch update | nodes | core",
        "create patch update | events | core",
        "read | pods | core",
        "create delete | pods | core",
        "patch update | pods/status | core",
        "create | pods/eviction | core",
        "read | configmaps secrets | core",
        "get | persistentvolumeclaims persistentvolumes | core",
        "get | endpoints | core",
        "create get list watch | certificatesigningrequests | certificates.k8s.io",
        "create delete get patch update | leases | coordination.k8s.io",
        "get | volumeattachments | storage.k8s.io",
        "create | serviceaccounts/token | core",
        "get patch update | persistentvolumeclaims/status | core",
        "read | csidrivers | storage.k8s.io",
        "create delete get patch update | csinodes | storage.k8s.io",
        "read | runtimeclasses | node.k8s.io",
    ),
    "system:persistent-volume-provisioner": (
        "create delete get list watch | persistentvolumes | core",
        "get list update watch | persistentvolumeclaims | core",
        "read | storageclasses | storage.k8s.io",
        "watch | events | core",
        _EVENTS,
    ),
    "system:volume-scheduler": (
        "get list patch update watch | persistentvolumes | core",
        "read | storageclasses | storage.k8s.io",
        "get list patch update watch | persistentvolumeclaims | core",
    ),
    "system:kube-controller-manager": (
        _EVENTS,
        "create | leases | coordination.k8s.io",
        "get update | leases[kube-controller-manager] | coordination.k8s.io",
        "create | secrets serviceaccounts | core",
        "delete | secrets | core",
        "get | configmaps namespaces secrets serviceaccounts | core",
        "update | secrets serviceaccounts | core",
        *_REVIEWS,
        "list watch | * | *",
        "create | serviceaccounts/token | core",
    ),
    "system:kube-scheduler": (
        _EVENTS,
        "create | leases | coordination.k8s.io",
        "get update | leases[kube-scheduler] | coordination.k8s.io",
        "read | nodes | core",
        "delete get list watch | pods | core",
        "create | bindings pods/binding | core",
        "patch update | pods/status | core",
        "read | replicationcontrollers services | core",
        "read | replicasets | apps extensions",
        "read | statefulsets | apps",
        "read | poddisruptionbudgets | policy",
        "read | persistentvolumeclaims persistentvolumes | core",
        *_REVIEWS,
        "read | csinodes | storage.k8s.io",
        "read | namespaces | core",
        "read | csidrivers | storage.k8s.io",
        "read | csistoragecapacities | storage.k8s.io",
    ),
    **{
        f"system:certificates.k8s.io:certificatesigningrequests:{kind}": (
            f"create | certificatesigningrequests/{kind} | certificates.k8s.io",
        )
        for kind in ("nodeclient", "selfnodeclient")
    },
    **{
        f"system:certificates.k8s.io:{signer}-approver": (
            f"approve | signers[kubernetes.io/{signer}] | certificates.k8s.io",
        )
        for signer in (
            "kube-apiserver-client",
            "kube-apiserver-client-kubelet",
            "kubelet-serving",
            "legacy-unknown",
        )
    },
}
_PARTS: dict[str, tuple[str, ...]] = {
    "admin": (
        "create | localsubjectaccessreviews | authorization.k8s.io",
        "read write | rolebindings roles | rbac.authorization.k8s.io",
    ),
    "edit": (
        "read | pods/attach pods/exec pods/portforward pods/proxy secrets services/proxy | core",
        "impersonate | serviceaccounts | core",
        "write | pods pods/attach pods/exec pods/portforward pods/proxy | core",
        "create | pods/eviction | core",
        "write | configmaps events persistentvolumeclaims replicationcontrollers "
        "replicationcontrollers/scale secrets serviceaccounts services services/proxy | core",
        "create | serviceaccounts/token | core",
        "write | daemonsets deployments deployments/rollback deployments/scale replicasets "
        "replicasets/scale statefulsets statefulsets/scale | apps",
        "write | horizontalpodautoscalers | autoscaling",
        "write | cronjobs jobs | batch",
        "write | poddisruptionbudgets | policy",
        "write | ingresses networkpolicies | networking.k8s.io",
        "read write | leases | coordination.k8s.io",
    ),
    "view": (
        "read | configmaps endpoints persistentvolumeclaims persistentvolumeclaims/status pods "
        "replicationcontrollers replicationcontrollers/scale serviceaccounts services "
        "services/status | core",
        "read | bindings events limitranges namespaces/status pods/log pods/status "
        "replicationcontrollers/status resourcequotas resourcequotas/status | core",
        "read | namespaces | core",
        "read | endpointslices | discovery.k8s.io",
        "read | controllerrevisions daemonsets daemonsets/status deployments deployments/scale "
        "deployments/status replicasets replicasets/scale replicasets/status statefulsets "
        "statefulsets/scale statefulsets/status | apps",
        "read | horizontalpodautoscalers horizontalpodautoscalers/status | autoscaling",
        "read | cronjobs cronjobs/status jobs jobs/status | batch",
        "read | poddisruptionbudgets poddisruptionbudgets/status | policy",
        "read | ingresses ingresses/status networkpolicies | networking.k8s.io",
    ),
}
"""What `admin`, `edit` and `view` are aggregated from; each is also part of the one before."""

_INTO = {"edit": "admin", "view": "edit"}
_BINDINGS: dict[str, tuple[tuple[str, str], ...]] = {
    "cluster-admin": (("Group", "system:masters"),),
    "system:basic-user": (("Group", "system:authenticated"),),
    "system:discovery": (("Group", "system:authenticated"),),
    "system:public-info-viewer": (
        ("Group", "system:authenticated"),
        ("Group", "system:unauthenticated"),
    ),
    "system:monitoring": (("Group", "system:monitoring"),),
    "system:service-account-issuer-discovery": (("Group", "system:serviceaccounts"),),
    "system:kube-controller-manager": (("User", "system:kube-controller-manager"),),
    "system:kube-scheduler": (("User", "system:kube-scheduler"),),
    "system:volume-scheduler": (("User", "system:kube-scheduler"),),
    "system:node-proxier": (("User", "system:kube-proxy"),),
    "system:kube-dns": (("ServiceAccount", "kube-system/kube-dns"),),
    "system:node": (),
}


def rule(text: str) -> objects.Object:
    """Read one rule of this module's notation.

    Example: `"read | pods | core"` ->
    `{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"]}`.
    """
    if text.startswith("urls "):
        verbs, urls = (part.split() for part in text.removeprefix("urls ").split("|"))
        return {"nonResourceURLs": urls, "verbs": verbs}
    words, resources, groups = (part.split() for part in text.split("|"))
    expanded = sorted(verb for word in words for verb in _VERBS.get(word, (word,)))
    plain, _, name = resources[0].partition("[")
    out: objects.Object = {
        "apiGroups": ["" if group == "core" else group for group in groups],
        "resources": [plain] if name else resources,
        "verbs": expanded,
    }
    if name:
        out["resourceNames"] = [name.rstrip("]")]
    return out


def cluster_roles() -> list[objects.Object]:
    """Return every default ClusterRole."""
    roles = [_role(name, rules=[rule(text) for text in texts]) for name, texts in _ROLES.items()]
    for name, texts in _PARTS.items():
        whole = f"{GROUP}/aggregate-to-{name}"
        labels = {f"{GROUP}/aggregate-to-{_INTO[name]}": "true"} if name in _INTO else {}
        aggregated = _role(name, labels=labels)
        aggregated["aggregationRule"] = {"clusterRoleSelectors": [{"matchLabels": {whole: "true"}}]}
        part = _role(
            f"system:aggregate-to-{name}",
            labels={whole: "true"},
            rules=[rule(text) for text in texts],
        )
        roles += [aggregated, part]
    return roles


def _role(
    name: str,
    *,
    labels: dict[str, str] | None = None,
    rules: list[objects.Object] | None = None,
) -> objects.Object:
    return {
        "apiVersion": f"{GROUP}/v1",
        "kind": "ClusterRole",
        "metadata": {
            "name": name,
            "labels": _LABELS | (labels or {}),
            "annotations": dict(_AUTOUPDATE),
        },
        "rules": rules,
    }


def cluster_role_bindings() -> list[objects.Object]:
    """Return every default ClusterRoleBinding."""
    return [
        {
            "apiVersion": f"{GROUP}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": name, "labels": dict(_LABELS), "annotations": dict(_AUTOUPDATE)},
            "roleRef": {"apiGroup": GROUP, "kind": "ClusterRole", "name": name},
            "subjects": [_subject(kind, who) for kind, who in subjects] or None,
        }
        for name, subjects in _BINDINGS.items()
    ]


def _subject(kind: str, name: str) -> objects.Object:
    if kind == "ServiceAccount":
        namespace, _, account = name.partition("/")
        return {"kind": kind, "name": account, "namespace": namespace}
    return {"apiGroup": GROUP, "kind": kind, "name": name}
