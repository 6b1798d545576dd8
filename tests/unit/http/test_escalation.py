"""Nobody gives away rights that he does not have."""

import pytest

from understudy.kapi import views
from understudy.kapi.admission import chains
from understudy.kapi.bootstrap import populating
from understudy.kapi.http import escalation, rbac
from understudy.kapi.resources import strategies
from understudy.kapi.views import options as opts
from understudy.kube import statuses

GROUP = "rbac.authorization.k8s.io"
JANE = opts.WriteOptions(user=strategies.UserInfo(username="jane", groups=("devs",)))
READ = {"verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods"]}
MANAGE = {
    "verbs": ["create", "update", "patch"],
    "apiGroups": [GROUP],
    "resources": ["roles", "rolebindings", "clusterroles"],
}


@pytest.fixture
def view():
    chain = chains.default_chain()
    chain.plugins = (escalation.Permissions(rbac.RbacAuthorizer()), *chain.plugins)
    found = views.new_view(chain=chain)
    populating.populate(found)
    grant(found, "manager", [MANAGE, READ])
    return found


def grant(view, name, rules):
    view.create(f"clusterroles.{GROUP}", {"metadata": {"name": name}, "rules": rules})
    binding = {
        "metadata": {"name": name},
        "roleRef": {"apiGroup": GROUP, "kind": "ClusterRole", "name": name},
        "subjects": [{"kind": "User", "name": "jane", "apiGroup": GROUP}],
    }
    view.create(f"clusterrolebindings.{GROUP}", binding)


def role(name, *rules, **more):
    return {"metadata": {"name": name}, "rules": list(rules), **more}


def binding(name, of, kind="ClusterRole"):
    return {
        "metadata": {"name": name},
        "roleRef": {"apiGroup": GROUP, "kind": kind, "name": of},
        "subjects": [{"kind": "User", "name": "bob", "apiGroup": GROUP}],
    }


def test_a_role_may_give_what_its_writer_holds(view):
    one = READ | {"verbs": ["get"], "resourceNames": ["a"]}
    view.create(f"roles.{GROUP}", role("r", READ, one), "default", options=JANE)


def test_a_role_may_not_give_more(view):
    more = READ | {"verbs": ["get", "delete", "watch"], "resources": ["pods", "secrets"]}
    with pytest.raises(statuses.ForbiddenError) as caught:
        view.create(f"roles.{GROUP}", role("r", more), "default", options=JANE)
    assert caught.value.message == (
        f'roles.{GROUP} "r" is forbidden: user "jane" (groups=["devs"]) is attempting to grant '
        "RBAC permissions not currently held:\n"
        '{APIGroups:[""], Resources:["pods"], Verbs:["delete" "watch"]}\n'
        '{APIGroups:[""], Resources:["secrets"], Verbs:["get" "delete" "watch"]}'
    )


def test_the_verb_escalate_lifts_the_limit(view):
    grant(view, "escalator", [MANAGE | {"verbs": ["escalate"]}])
    more = READ | {"verbs": ["*"]}
    view.create(f"roles.{GROUP}", role("r", more), "default", options=JANE)


def test_aggregation_needs_every_right(view):
    body = role("r", aggregationRule={"clusterRoleSelectors": [{"matchLabels": {"a": "b"}}]})
    with pytest.raises(statuses.ForbiddenError, match="must have cluster-admin privileges"):
        view.create(f"clusterroles.{GROUP}", body, options=JANE)


def test_a_binding_gives_what_its_role_gives(view):
    view.create(f"roles.{GROUP}", role("r", READ), "default")
    view.create(f"rolebindings.{GROUP}", binding("b", "r", "Role"), "default", options=JANE)
    with pytest.raises(statuses.ForbiddenError, match="attempting to grant RBAC permissions"):
        view.create(f"rolebindings.{GROUP}", binding("c", "view"), "default", options=JANE)
    with pytest.raises(statuses.NotFoundError, match='"none" not found'):
        view.create(f"rolebindings.{GROUP}", binding("d", "none"), "default", options=JANE)
    bind = {"verbs": ["bind"], "resources": ["clusterroles"], "resourceNames": ["view"]}
    grant(view, "binder", [MANAGE | bind])
    view.create(f"rolebindings.{GROUP}", binding("c", "view"), "default", options=JANE)


def test_housekeeping_needs_no_rights(view):
    made = view.create(f"clusterroles.{GROUP}", role("r", READ | {"verbs": ["*"]})).object()
    made["metadata"]["finalizers"] = ["example.com/x"]
    view.update(f"clusterroles.{GROUP}", made, options=JANE)
    patch = {"metadata": {"labels": {"a": "b"}}}
    with pytest.raises(statuses.ForbiddenError, match="attempting to grant"):
        view.patch(
            f"clusterroles.{GROUP}",
            "r",
            patch,
            patch_type="application/merge-patch+json",
            options=JANE,
        )


def test_creating_by_a_patch_needs_the_verb_create(view):
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}
    options = opts.WriteOptions(user=JANE.user, field_manager="me")
    with pytest.raises(statuses.ForbiddenError, match='cannot create resource "configmaps"'):
        view.apply("configmaps", config, "default", options=options)
    grant(view, "maker", [{"verbs": ["create"], "apiGroups": [""], "resources": ["configmaps"]}])
    view.apply("configmaps", config, "default", options=options)


@pytest.mark.parametrize(
    ("held", "asked", "covered"),
    [
        ({"verbs": ["*"], "nonResourceURLs": ["/a/*"]}, {"nonResourceURLs": ["/a/b"]}, True),
        ({"verbs": ["get"], "nonResourceURLs": ["/a"]}, {"nonResourceURLs": ["/b"]}, False),
        ({"verbs": ["get"], "resources": ["*/scale"]}, {"resources": ["x/scale"]}, True),
        ({"verbs": ["get"], "resources": ["x"]}, {"resources": ["x/scale"]}, False),
        (
            {"verbs": ["get"], "resources": ["x"], "resourceNames": ["a"]},
            {"resources": ["x"]},
            False,
        ),
    ],
)
def test_rules_cover_rules(held, asked, covered):
    assert escalation.covers(held, {"verbs": ["get"], **asked}) is covered
