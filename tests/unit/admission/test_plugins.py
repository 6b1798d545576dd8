"""What admission adds to objects and refuses, through a view."""

import base64

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from understudy.kapi import views
from understudy.kapi.admission import chains
from understudy.kapi.views import options
from understudy.kube import statuses
from understudy.kube.cel import authorizing


def pod(name="a", **spec):
    return {
        "metadata": {"name": name},
        "spec": {"containers": [{"name": "c", "image": "i"}]} | spec,
    }


def with_quota(view, **hard):
    view.create("resourcequotas", {"metadata": {"name": "q"}, "spec": {"hard": hard}}, "default")
    used = dict.fromkeys(hard, "0")
    view.patch(
        "resourcequotas",
        "q",
        {"status": {"hard": hard, "used": used}},
        "default",
        subresource="status",
    )


@pytest.fixture
def view():
    return views.new_view()


def test_a_pod_stays_five_minutes_on_a_lost_node_and_has_a_priority(view):
    spec = view.create("pods", pod(), "default").object()["spec"]
    assert [t["tolerationSeconds"] for t in spec["tolerations"]] == [300, 300]
    assert (spec["priority"], spec["preemptionPolicy"]) == (0, "PreemptLowerPriority")


def test_a_toleration_of_everything_needs_no_others(view):
    spec = view.create("pods", pod(tolerations=[{"operator": "Exists"}]), "default").object()[
        "spec"
    ]
    assert spec["tolerations"] == [{"operator": "Exists"}]


def test_quota_usage_accumulates_and_names_what_is_over(view):
    with_quota(view, configmaps="2")
    for name in "ab":
        view.create("configmaps", {"metadata": {"name": name}}, "default")
    with pytest.raises(statuses.ForbiddenError) as caught:
        view.create("configmaps", {"metadata": {"name": "c"}}, "default")
    assert caught.value.message == (
        'configmaps "c" is forbidden: exceeded quota: q, requested: configmaps=1, '
        "used: configmaps=2, limited: configmaps=2"
    )
    assert view.get("resourcequotas", "q", "default")["status"]["used"] == {"configmaps": "2"}


def test_a_dry_run_uses_nothing_up(view):
    with_quota(view, configmaps="1")
    for _ in range(3):
        view.create(
            "configmaps",
            {"metadata": {"name": "a"}},
            "default",
            options=options.WriteOptions(dry_run=True),
        )
    assert view.get("resourcequotas", "q", "default")["status"]["used"] == {"configmaps": "0"}


def test_a_refused_create_uses_nothing_up(view):
    with_quota(view, pods="5", configmaps="5")
    with pytest.raises(statuses.InvalidError):
        view.create("pods", {"metadata": {"name": "a"}, "spec": {}}, "default")
    assert view.get("resourcequotas", "q", "default")["status"]["used"]["pods"] == "0"


def test_sidecars_count_beside_the_containers(view):
    with_quota(view, **{"requests.cpu": "10"})
    asks = {"requests": {"cpu": "1"}}
    view.create(
        "pods",
        pod(
            containers=[{"name": "c", "image": "i", "resources": asks}],
            initContainers=[
                {"name": "s", "image": "i", "resources": asks, "restartPolicy": "Always"},
                {"name": "i", "image": "i", "resources": {"requests": {"cpu": "3"}}},
            ],
        ),
        "default",
    )
    assert view.get("resourcequotas", "q", "default")["status"]["used"] == {"requests.cpu": "4"}


def limit_range(view, name, *limits):
    spec = {"limits": list(limits)}
    view.create("limitranges", {"metadata": {"name": name}, "spec": spec}, "default")


def container(name, **resources):
    return {"name": name, "image": "i", "resources": resources}


def refusal(view, *containers):
    """Create a pod that must be refused; returns the message."""
    with pytest.raises(statuses.ForbiddenError) as caught:
        view.create("pods", pod("b", containers=list(containers)), "default")
    return caught.value.message


@pytest.mark.parametrize(
    ("limit", "resources", "text"),
    [
        ({"min": {"cpu": "1"}}, {}, "minimum cpu usage per {}.  No request is specified"),
        ({"min": {"cpu": "1"}}, {"requests": {"cpu": "500m"}},
         "minimum cpu usage per {}, but request is 500m"),
        ({"max": {"memory": "1Gi"}}, {"limits": {"memory": "2Gi"}},
         "maximum memory usage per {}, but limit is 2Gi"),
        ({"maxLimitRequestRatio": {"cpu": "2"}},
         {"requests": {"cpu": "250m"}, "limits": {"cpu": "1"}},
         "cpu max limit to request ratio per {}, but provided ratio is 4.000000"),
    ],
)  # fmt: skip
def test_bounds_are_told_in_kubernetes_words(view, limit, resources, text):
    # A container without requests gets those of the bound; a pod as a whole does not.
    limit_range(view, "l", {"type": "Pod"} | limit)
    bound = next(iter(next(iter(limit.values())).values()))
    expected = text.format(f"Pod is {bound}")
    assert refusal(view, container("c", **resources)) == f'pods "b" is forbidden: {expected}'


def test_what_several_containers_do_wrong_alike_is_said_once(view):
    limit_range(view, "l", {"type": "Container", "max": {"cpu": "1"}})
    resources = {"limits": {"cpu": "2"}}
    assert refusal(view, container("c", **resources), container("d", **resources)) == (
        'pods "b" is forbidden: maximum cpu usage per Container is 1, but limit is 2'
    )


def test_the_first_range_that_is_not_met_refuses(view):
    limit_range(view, "a", {"type": "Pod", "max": {"cpu": "1"}})
    limit_range(view, "b", {"type": "Pod", "max": {"memory": "1Gi"}})
    resources = {"limits": {"cpu": "2", "memory": "2Gi"}}
    assert refusal(view, container("c", **resources)).endswith(
        "forbidden: maximum cpu usage per Pod is 1, but limit is 2"
    )


def test_a_range_says_all_that_is_wrong(view):
    limit_range(view, "a", {"type": "Pod", "max": {"cpu": "1"}, "min": {"memory": "1Gi"}})
    resources = {"limits": {"cpu": "2", "memory": "1Mi"}}
    assert refusal(view, container("c", **resources)).endswith(
        "forbidden: [minimum memory usage per Pod is 1Gi, but request is 1Mi, "
        "maximum cpu usage per Pod is 1, but limit is 2]"
    )


def test_limit_ranges_fill_in_and_bound(view):
    limits = {"type": "Container", "default": {"cpu": "500m"}, "max": {"cpu": "1"}}
    view.create("limitranges", {"metadata": {"name": "l"}, "spec": {"limits": [limits]}}, "default")
    made = view.create("pods", pod(), "default").object()
    assert made["spec"]["containers"][0]["resources"]["limits"] == {"cpu": "500m"}
    assert made["metadata"]["annotations"]["kubernetes.io/limit-ranger"].startswith(
        "LimitRanger plugin set: cpu"
    )
    with pytest.raises(statuses.ForbiddenError, match="maximum cpu usage per Container is 1"):
        view.create(
            "pods",
            pod(
                "b", containers=[{"name": "c", "image": "i", "resources": {"limits": {"cpu": "2"}}}]
            ),
            "default",
        )


def test_accounts_of_pods_exist_where_accounts_are_made(view):
    view.create("pods", pod("early", serviceAccountName="robot"), "default")
    view.create("serviceaccounts", {"metadata": {"name": "default"}}, "default")
    with pytest.raises(statuses.ForbiddenError) as refused:
        view.create("pods", pod("p", serviceAccountName="robot"), "default")
    assert refused.value.message == (
        'pods "p" is forbidden: error looking up service account default/robot: '
        'serviceaccount "robot" not found'
    )
    view.create("serviceaccounts", {"metadata": {"name": "robot"}}, "default")
    view.create("pods", pod("p", serviceAccountName="robot"), "default")
    assert "serviceAccountName" not in view.create("pods", pod("q"), "default").object()["spec"]


@pytest.mark.parametrize("name", ["default", "kube-public", "kube-system"])
def test_some_namespaces_stay_whoever_asks(view, name):
    with pytest.raises(statuses.ForbiddenError) as refused:
        view.delete("namespaces", name)
    assert refused.value.message == (
        f'namespaces "{name}" is forbidden: this namespace may not be deleted'
    )
    view.delete("namespaces", "kube-node-lease")


def claim(view, **spec):
    view.create(
        "storageclasses.storage.k8s.io",
        {"metadata": {"name": "fast"}, "provisioner": "p", "allowVolumeExpansion": True},
    )
    view.create(
        "storageclasses.storage.k8s.io", {"metadata": {"name": "fixed"}, "provisioner": "p"}
    )
    size = {"resources": {"requests": {"storage": "1Gi"}}, "accessModes": ["ReadWriteOnce"]}
    view.create(
        "persistentvolumeclaims", {"metadata": {"name": "c"}, "spec": size | spec}, "default"
    )
    bound = {"status": {"phase": "Bound"}}
    view.patch("persistentvolumeclaims", "c", bound, "default", subresource="status")


GROWN = {"spec": {"resources": {"requests": {"storage": "2Gi"}}}}


def test_a_claim_grows_where_its_class_allows_it(view):
    claim(view, storageClassName="fast")
    view.patch("persistentvolumeclaims", "c", GROWN, "default")


def test_a_claim_of_another_class_does_not(view):
    claim(view, storageClassName="fixed")
    with pytest.raises(statuses.ForbiddenError, match="only dynamically provisioned pvc can be"):
        view.patch("persistentvolumeclaims", "c", GROWN, "default")


def request(view, organization, signer="kubernetes.io/kube-apiserver-client", **more):
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, organization)])
    made = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    pem = made.public_bytes(serialization.Encoding.PEM)
    spec = {
        "request": base64.b64encode(pem).decode(),
        "signerName": signer,
        "usages": ["client auth"],
    }
    return view.create(
        "certificatesigningrequests.certificates.k8s.io", {"metadata": {"name": "r"}, "spec": spec}
    )


def test_nobody_gets_a_certificate_as_a_master(view):
    with pytest.raises(statuses.ForbiddenError, match="with system:masters group is not allowed"):
        request(view, "system:masters")
    request(view, "devs")


@pytest.mark.parametrize(("may", "refused"), [("example.com/*", False), ("other.com/*", True)])
def test_requests_are_approved_by_those_who_may_for_the_signer(may, refused):
    def authorize(reader, user, question):
        asked = (question.verb, question.resource, question.name)
        return authorizing.Decision(allowed=asked == ("approve", "signers", may))

    view = views.new_view(chain=chains.default_chain(authorize=authorize))
    request(view, "devs", "example.com/a")
    approved = {"status": {"conditions": [
        {"type": "Approved", "status": "True", "reason": "Asked", "message": ""}
    ]}}  # fmt: skip
    arguments = ("certificatesigningrequests.certificates.k8s.io", "r", approved)
    if refused:
        with pytest.raises(statuses.ForbiddenError, match=r'approve .* signerName "example.com/a"'):
            view.patch(*arguments, subresource="approval")
    else:
        view.patch(*arguments, subresource="approval")


def test_a_pod_is_labelled_with_the_zone_of_its_node(view):
    zone = {"topology.kubernetes.io/zone": "z1"}
    view.create("nodes", {"metadata": {"name": "n", "labels": zone | {"other": "x"}}})
    born = view.create("pods", pod("born", nodeName="n"), "default").object()
    assert born["metadata"]["labels"] == zone
    view.create("pods", pod("bound"), "default")
    view.bind("bound", "n")
    assert view.get("pods", "bound", "default")["metadata"]["labels"] == zone
