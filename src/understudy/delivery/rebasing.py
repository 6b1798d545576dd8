"""What a cluster has put into an object and an adoption must not take out again.

Adopting an object takes over the fields of whoever delivered it before, so that what the new
manifest leaves out goes. Some of those fields were never anybody's wish: the server, a controller
or an operator filled them in, and they got into a manifest by `kubectl get -o yaml`, or were
written under the old deliverer's name. They stay as they are, unless the manifest sets them.
Source: the rebase rules of kapp's default configuration.
"""

from __future__ import annotations

import re

from understudy.delivery import fields, refs
from understudy.kube import objects

_CA_BUNDLE = "webhooks/*/clientConfig/caBundle"
_RULES: dict[tuple[str, str], tuple[str, ...]] = {
    ("", "Service"): (
        "spec/clusterIP", "spec/clusterIPs", "spec/healthCheckNodePort", "spec/ipFamilies",
        "spec/ipFamilyPolicy", "spec/ports/*/nodePort",
    ),
    ("", "Namespace"): ("spec/finalizers", "metadata/annotations/openshift.io~sa.scc.*"),
    ("", "PersistentVolumeClaim"): (
        "spec/volumeName", "spec/storageClassName", "spec/volumeMode",
        "metadata/annotations/pv.kubernetes.io~*",
        "metadata/annotations/volume*.kubernetes.io~*",
    ),
    ("", "PersistentVolume"): ("spec/claimRef", "metadata/annotations/pv.kubernetes.io~*"),
    ("", "Pod"): ("spec/nodeName",),
    ("", "ServiceAccount"): ("secrets", "imagePullSecrets"),
    ("apps", "Deployment"): ("metadata/annotations/deployment.kubernetes.io~revision",),
    ("admissionregistration.k8s.io", "MutatingWebhookConfiguration"): (_CA_BUNDLE,),
    ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"): (_CA_BUNDLE,),
    ("apiregistration.k8s.io", "APIService"): ("spec/caBundle",),
    ("apiextensions.k8s.io", "CustomResourceDefinition"): (
        "spec/conversion/webhook/clientConfig/caBundle",
    ),
}  # fmt: skip
"""By kind: paths, `~` for a slash within a key, `*` for any text, as a step for any item."""
_AGGREGATED = ("rules",)


def kept(
    ref: refs.Ref, live: objects.Object, wanted: objects.Object, tree: objects.Object
) -> objects.Object:
    """Return a tree of fields without those that stay the cluster's."""
    rules = _RULES.get((ref.group, ref.kind), ())
    if ref.kind == "ClusterRole" and "aggregationRule" in live:
        rules = _AGGREGATED
    for rule in rules:
        tree = _without(tree, [_step(step) for step in rule.split("/")], wanted)
    return tree


def _step(step: str) -> re.Pattern[str]:
    if step == "*":
        return re.compile("[kv]:.*")
    return re.compile("f:" + re.escape(step.replace("~", "/")).replace(r"\*", ".*"))


def _without(
    tree: objects.Object, steps: list[re.Pattern[str]], wanted: objects.Json
) -> objects.Object:
    """Return a tree without what the steps lead to and `wanted` does not have."""
    out = dict(tree)
    for key, below in tree.items():
        if not steps[0].fullmatch(key):
            continue
        mine = fields.child(wanted, key)
        if len(steps) == 1:
            if mine is fields.ABSENT:
                del out[key]
            continue
        out[key] = _without(below, steps[1:], mine)
        if below and not out[key].keys() - {"."}:
            del out[key]  # An empty tree would stand for the whole value.
    return out
