"""PodSecurity: pods are held to the standard that their namespace's labels name."""

import pytest

from understudy.kapi import views
from understudy.kapi.admission import podsecurity, podstandards
from understudy.kube import statuses

PREFIX = "pod-security.kubernetes.io/"
SAFE = {
    "allowPrivilegeEscalation": False,
    "runAsNonRoot": True,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}


@pytest.fixture
def view():
    return views.new_view()


def namespace(view, name="guarded", **labels):
    labels = {PREFIX + key.replace("_", "-"): value for key, value in labels.items()}
    return view.create("namespaces", {"metadata": {"name": name, "labels": labels}})


def pod(name="a", *, security=None, **spec):
    container = {"name": "c", "image": "nginx"} | (
        {"securityContext": security} if security else {}
    )
    return {"metadata": {"name": name}, "spec": {"containers": [container]} | spec}


def deployment(template):
    meta = {"labels": {"app": "a"}}
    return {
        "metadata": {"name": "a"},
        "spec": {
            "selector": {"matchLabels": meta["labels"]},
            "template": {"metadata": meta, "spec": template["spec"]},
        },
    }


def refusal(view, body, ref="pods", namespace="guarded"):
    with pytest.raises(statuses.ForbiddenError) as caught:
        view.create(ref, body, namespace)
    return str(caught.value)


def told(level, body, minor=None):
    return [str(one) for one in podstandards.violations(level, minor, body)]


def test_a_namespace_without_labels_holds_pods_to_nothing(view):
    namespace(view, "free")
    view.create("pods", pod(security={"privileged": True}, hostNetwork=True), "free")


def test_a_pod_below_the_enforced_level_is_refused(view):
    namespace(view, enforce="baseline", enforce_version="v1.30")
    assert refusal(view, pod(security={"privileged": True}, hostNetwork=True)) == (
        'pods "a" is forbidden: violates PodSecurity "baseline:v1.30": host namespaces'
        ' (hostNetwork=true), privileged (container "c" must not set'
        " securityContext.privileged=true)"
    )


def test_a_template_below_the_enforced_level_only_warns(view):
    namespace(view, enforce="restricted")
    written = view.create("deployments.apps", deployment(pod(security=SAFE | {"runAsUser": 0})), "guarded")  # fmt: skip
    assert written.warnings == [
        'would violate PodSecurity "restricted:latest": runAsUser=0 (container "c" must not set'
        " runAsUser=0)"
    ]


def test_a_level_to_warn_of_lets_pods_in(view):
    namespace(view, warn="baseline", warn_version="latest")
    written = view.create("pods", pod(hostPID=True), "guarded")
    assert written.warnings == [
        'would violate PodSecurity "baseline:latest": host namespaces (hostPID=true)'
    ]


def test_a_pod_is_judged_again_when_its_image_changes(view):
    namespace(view)
    view.create("pods", pod(hostPID=True), "guarded")
    labels = {"metadata": {"labels": {PREFIX + "enforce": "baseline"}}}
    view.patch("namespaces", "guarded", labels, patch_type="application/merge-patch+json")
    label = {"metadata": {"labels": {"x": "y"}}}
    view.patch("pods", "a", label, "guarded", patch_type="application/merge-patch+json")
    image = {"spec": {"containers": [{"name": "c", "image": "other"}]}}
    with pytest.raises(statuses.ForbiddenError):
        view.patch(
            "pods", "a", image, "guarded", patch_type="application/strategic-merge-patch+json"
        )


def test_a_stricter_namespace_warns_of_its_pods(view):
    namespace(view)
    for name in ("a", "b", "d"):
        view.create("pods", pod(name, hostPID=True), "guarded")
    view.create("pods", pod("e", hostPID=True, security={"privileged": True}), "guarded")
    labels = {"metadata": {"labels": {PREFIX + "enforce": "baseline"}}}
    written = view.patch("namespaces", "guarded", labels, patch_type="application/merge-patch+json")
    assert written.warnings == [
        'existing pods in namespace "guarded" violate the new PodSecurity enforce level'
        ' "baseline:latest"',
        "a (and 2 other pods): host namespaces",
        "e: host namespaces, privileged",
    ]


def test_a_label_that_means_nothing_is_refused(view):
    with pytest.raises(statuses.InvalidError) as caught:
        namespace(view, enforce="strict", warn_version="1.30")
    assert str(caught.value) == (
        'Namespace "guarded" is invalid:'
        " [metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value:"
        ' "strict": must be one of privileged, baseline, restricted,'
        " metadata.labels[pod-security.kubernetes.io/warn-version]: Invalid value:"
        ' "1.30": must be "latest" or "v1.x"]'
    )


@pytest.mark.parametrize(
    ("labels", "enforced", "warned"),
    [
        ({}, "privileged:latest", "privileged:latest"),
        ({"enforce": "baseline"}, "baseline:latest", "baseline:latest"),
        (
            {"enforce": "baseline", "enforce-version": "v1.29"},
            "baseline:v1.29",
            "baseline:v1.29",
        ),
        ({"enforce": "baseline", "warn": "restricted"}, "baseline:latest", "restricted:latest"),
        (
            {"enforce": "baseline", "warn-version": "v1.20"},
            "baseline:latest",
            "baseline:v1.20",
        ),
        ({"enforce": "oops"}, "restricted:latest", "privileged:latest"),
    ],
)
def test_labels_name_a_standard(labels, enforced, warned):
    policy = podsecurity.policy_of({PREFIX + key: value for key, value in labels.items()})
    assert (str(policy.enforce), str(policy.warn)) == (enforced, warned)


@pytest.mark.parametrize(
    ("body", "violation"),
    [
        (
            pod(security={"capabilities": {"add": ["NET_RAW", "BPF", "CHOWN"]}}),
            'non-default capabilities (container "c" must not include "BPF", "NET_RAW" in'
            " securityContext.capabilities.add)",
        ),
        (
            pod(volumes=[{"name": "v", "hostPath": {"path": "/"}}]),
            'hostPath volumes (volume "v")',
        ),
        (
            pod(
                initContainers=[{"name": "i", "ports": [{"hostPort": 90}, {"hostPort": 100}]}],
                containers=[{"name": "c", "ports": [{"hostPort": 90}]}],
            ),
            'hostPort (containers "i", "c" use hostPorts 100, 90)',
        ),
        (
            pod(containers=[{"name": "c", "livenessProbe": {"httpGet": {"host": "h"}}}]),
            'probe or lifecycle host (container "c" uses probe or lifecycle host "h")',
        ),
        (
            pod(security={"procMount": "Unmasked"}),
            'procMount (container "c" must not set securityContext.procMount to "Unmasked")',
        ),
        (
            pod(securityContext={"seLinuxOptions": {"type": "spc_t", "user": "u"}}),
            "seLinuxOptions (pod set forbidden securityContext.seLinuxOptions:"
            ' type "spc_t"; user may not be set)',
        ),
        (
            pod(
                security={"seccompProfile": {"type": "Unconfined"}},
                securityContext={"seccompProfile": {"type": "Unconfined"}},
            ),
            'seccompProfile (pod and container "c" must not set'
            ' securityContext.seccompProfile.type to "Unconfined")',
        ),
        (
            pod(securityContext={"sysctls": [{"name": "kernel.msgmax"}]}),
            "forbidden sysctls (kernel.msgmax)",
        ),
        (
            pod(security={"windowsOptions": {"hostProcess": True}}),
            'hostProcess (container "c" must not set'
            " securityContext.windowsOptions.hostProcess=true)",
        ),
        (
            pod(security={"appArmorProfile": {"type": "Unconfined"}}),
            'forbidden AppArmor profile (container "c" must not set AppArmor profile type to'
            ' "Unconfined")',
        ),
    ],
)
def test_the_baseline_forbids(body, violation):
    assert told("baseline", body) == [violation]


@pytest.mark.parametrize(
    ("body", "violations"),
    [
        (pod(security=SAFE), []),
        (
            pod(security=SAFE, volumes=[{"name": "v", "hostPath": {"path": "/"}}]),
            [
                'restricted volume types (volume "v" uses restricted volume type "hostPath")',
            ],
        ),
        (
            pod(security=SAFE | {"capabilities": {"drop": ["ALL"], "add": ["BPF"]}}),
            [
                'unrestricted capabilities (container "c" must not include "BPF" in'
                " securityContext.capabilities.add)"
            ],
        ),
        (
            pod(security=SAFE, securityContext={"runAsNonRoot": False}),
            ["runAsNonRoot != true (pod must not set securityContext.runAsNonRoot=false)"],
        ),
        (
            pod(os={"name": "windows"}, securityContext={"runAsNonRoot": True}),
            [],
        ),
    ],
)
def test_the_restricted_level_forbids(body, violations):
    assert told("restricted", body) == violations


def test_an_older_version_of_a_standard_forbids_less():
    body = pod(containers=[{"name": "c", "livenessProbe": {"httpGet": {"host": "h"}}}])
    assert told("baseline", body, 33) == []
    assert told("baseline", body, 34) != []
