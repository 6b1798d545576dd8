"""Who somebody is, what they may do, and the questions about both."""

import datetime as dt

import pytest

from understudy.kapi import views
from understudy.kapi.bootstrap import populating
from understudy.kapi.http import auth, exchanges, rbac, reviews, tokens
from understudy.kapi.resources import strategies
from understudy.kapi.views import options as opts
from understudy.kube import statuses

NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
HOUR = dt.timedelta(hours=1)


def claims(**changed):
    said = {
        "namespace": "default",
        "account": "robot",
        "account_uid": "u1",
        "audiences": ("https://k",),
        "token_id": "t1",
        "bound": None,
        "expires": NOW + HOUR,
    }
    return tokens.Claims(**(said | changed))


@pytest.fixture(scope="module")
def issuer():
    return tokens.TokenIssuer("https://k")


@pytest.fixture
def view():
    found = views.new_view()
    populating.populate(found)
    return found


# ---------------------------------------------------------------------- tokens


@pytest.mark.parametrize("bound", [None, ("Pod", "p", "u2"), ("Node", "n", "u3")])
def test_a_token_says_what_was_signed(issuer, bound):
    said = claims(bound=bound)
    assert issuer.read(issuer.sign(said, NOW), NOW) == said


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (lambda token: token.rpartition(".")[0], "three parts"),
        (lambda token: token[:-4] + ("AAAA" if token[-4:] != "AAAA" else "BBBB"), "not signed by"),
        (lambda token: "e30." + token.partition(".")[2], "ES256"),
        (lambda token: "%%%." + token.partition(".")[2], "decoded|ES256"),
        (lambda token: "W10." + token.partition(".")[2], "ES256"),
    ],
)
def test_a_damaged_token_is_refused(issuer, damage, complaint):
    with pytest.raises(tokens.InvalidTokenError, match=complaint):
        issuer.read(damage(issuer.sign(claims(), NOW)), NOW)


def test_a_token_ends_with_its_time(issuer):
    token = issuer.sign(claims(), NOW)
    with pytest.raises(tokens.InvalidTokenError, match="expired at 2026-01-01T01:00:00Z"):
        issuer.read(token, NOW + HOUR)


def test_a_token_of_another_server_is_refused(issuer):
    other = tokens.TokenIssuer("https://k")
    with pytest.raises(tokens.InvalidTokenError, match="not signed by this server"):
        issuer.read(other.sign(claims(), NOW), NOW)


def test_tokens_outlive_a_restart_where_the_key_is_kept(tmp_path):
    path = tmp_path / "key"
    token = tokens.TokenIssuer("https://k", path).sign(claims(), NOW)
    assert path.stat().st_mode & 0o777 == 0o600
    assert tokens.TokenIssuer("https://k", path).read(token, NOW) == claims()
    with pytest.raises(tokens.InvalidTokenError, match="issued by 'https://k'"):
        tokens.TokenIssuer("https://other", path).read(token, NOW)


# ---------------------------------------------------------------------- authentication


def request(**headers):
    named = {name.replace("_", "-").encode(): value for name, value in headers.items()}
    return exchanges.Request("GET", b"/api", named)


@pytest.fixture
def authenticator(issuer):
    return auth.Authenticator("rbac", {"secret": auth.ADMIN}, issuer, lambda: NOW)


@pytest.mark.parametrize(
    ("header", "token"),
    [
        (b"Bearer abc", b"abc"),
        (b"bearer  abc ", b"abc"),
        (b"Bearer", None),
        (b"Basic abc", None),
        (b"", None),
    ],
)
def test_only_bearer_tokens_are_read(header, token):
    assert auth.bearer_token(header) == token


def test_known_unknown_and_no_tokens(authenticator, view):
    admin = authenticator.authenticate(request(authorization=b"Bearer secret"), view)
    assert admin is auth.ADMIN
    assert authenticator.authenticate(request(), view) is auth.ANONYMOUS
    with pytest.raises(statuses.UnauthorizedError):
        authenticator.authenticate(request(authorization=b"Bearer secreT"), view)
    with pytest.raises(statuses.UnauthorizedError):
        authenticator.authenticate(request(authorization=b"Bearer \xff"), view)


def test_a_token_lives_as_long_as_its_account_and_pod(authenticator, issuer, view):
    account = view.create("serviceaccounts", {"metadata": {"name": "robot"}}, "default").object()
    pod = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    uid = view.create("pods", pod, "default").object()["metadata"]["uid"]
    said = claims(account_uid=account["metadata"]["uid"], bound=("Pod", "p", uid))
    shown = request(authorization=b"Bearer " + issuer.sign(said, NOW).encode())
    user = authenticator.authenticate(shown, view)
    assert user.username == "system:serviceaccount:default:robot"
    assert user.groups[-1] == "system:authenticated"
    assert dict(user.extra)["authentication.kubernetes.io/pod-name"] == ("p",)
    view.delete("pods", "p", "default", options=opts.DeleteOptions(grace_period_s=0))
    with pytest.raises(statuses.UnauthorizedError):
        authenticator.authenticate(shown, view)


def test_a_token_is_for_its_audience(authenticator, issuer, view):
    account = view.create("serviceaccounts", {"metadata": {"name": "robot"}}, "default").object()
    said = claims(account_uid=account["metadata"]["uid"], audiences=("vault",))
    token = issuer.sign(said, NOW).encode()
    with pytest.raises(statuses.UnauthorizedError):
        authenticator.user_of_token(token, view)
    assert authenticator.user_of_token(token, view, ("vault", "x")).uid == said.account_uid


def test_a_certificate_names_user_and_groups():
    subject = ((("organizationName", "devs"),), (("commonName", "jane"),))
    user = auth.user_of_certificate({"subject": subject})
    assert (user.username, user.groups) == ("jane", ("devs", "system:authenticated"))
    assert auth.user_of_certificate({"subject": ((("organizationName", "devs"),),)}) is None


# ---------------------------------------------------------------------- authorization

JANE = strategies.UserInfo(username="jane", groups=("devs", "system:authenticated"))
GROUP = "rbac.authorization.k8s.io"


def grant(view, role, subjects, namespace="", rules=None, kind="ClusterRole"):
    """Bind a role, made with `rules` where those are given."""
    if rules is not None:
        plural = "clusterroles" if kind == "ClusterRole" else "roles"
        scope = "" if kind == "ClusterRole" else namespace
        view.create(f"{plural}.{GROUP}", {"metadata": {"name": role}, "rules": rules}, scope)
    binding = {
        "metadata": {"name": f"b-{role}"},
        "roleRef": {"apiGroup": GROUP, "kind": kind, "name": role},
        "subjects": subjects,
    }
    plural = "rolebindings" if namespace else "clusterrolebindings"
    view.create(f"{plural}.{GROUP}", binding, namespace)


def user(name, kind="User"):
    return {"kind": kind, "name": name, "apiGroup": GROUP}


def wants(verb, resource="pods", group="", **more):
    return auth.Attributes(JANE, verb, group=group, resource=resource, **more)


@pytest.mark.parametrize(
    ("rule", "asked", "allowed"),
    [
        ({"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}, wants("get"), True),
        ({"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}, wants("list"), False),
        ({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}, wants("list", "x", "y"), True),
        ({"verbs": ["get"], "apiGroups": ["apps"], "resources": ["pods"]}, wants("get"), False),
        (
            {"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]},
            wants("get", subresource="log"),
            False,
        ),
        (
            {"verbs": ["get"], "apiGroups": [""], "resources": ["pods/log"]},
            wants("get", subresource="log"),
            True,
        ),
        (
            {"verbs": ["get"], "apiGroups": [""], "resources": ["*/log"]},
            wants("get", subresource="log"),
            True,
        ),
        (
            {"verbs": ["get"], "apiGroups": [""], "resources": ["pods"], "resourceNames": ["a"]},
            wants("get", name="a"),
            True,
        ),
        (
            {"verbs": ["get"], "apiGroups": [""], "resources": ["pods"], "resourceNames": ["a"]},
            wants("get", name="b"),
            False,
        ),
        (
            {"verbs": ["get"], "nonResourceURLs": ["/metrics", "/logs/*"]},
            auth.Attributes(JANE, "get", path="/logs/x"),
            True,
        ),
        (
            {"verbs": ["get"], "nonResourceURLs": ["/metrics"]},
            auth.Attributes(JANE, "get", path="/metrics/x"),
            False,
        ),
        (
            {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]},
            auth.Attributes(JANE, "get", path="/metrics"),
            False,
        ),
    ],
)
def test_a_rule_covers_what_it_names(rule, asked, allowed):
    assert rbac.allows(rule, asked) is allowed


def test_bindings_hold_where_they_are(view):
    authorizer = rbac.RbacAuthorizer()
    rules = [{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}]
    grant(view, "reader", [user("jane")], "default", rules, kind="Role")
    decision = authorizer.decide(view, wants("get", namespace="default"))
    assert decision.allowed
    assert decision.reason == (
        'RBAC: allowed by RoleBinding "b-reader/default" of Role "reader" to User "jane"'
    )
    assert not authorizer.decide(view, wants("get", namespace="kube-system")).allowed
    assert not authorizer.decide(view, wants("get")).allowed
    view.delete(f"rolebindings.{GROUP}", "b-reader", "default")
    assert not authorizer.decide(view, wants("get", namespace="default")).allowed


def test_groups_and_accounts_are_subjects(view):
    authorizer = rbac.RbacAuthorizer()
    rules = [{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}]
    account = {"kind": "ServiceAccount", "name": "robot", "namespace": "default"}
    grant(view, "reader", [user("devs", "Group"), account], rules=rules)
    assert authorizer.decide(view, wants("get", namespace="kube-system")).allowed
    robot = strategies.UserInfo(username="system:serviceaccount:default:robot", groups=())
    asked = auth.Attributes(robot, "get", resource="pods")
    assert "ServiceAccount" in authorizer.decide(view, asked).reason


def test_a_binding_to_a_role_that_is_missing_says_so(view):
    grant(view, "gone", [user("jane")])
    decision = rbac.RbacAuthorizer().decide(view, wants("get"))
    assert not decision.allowed
    assert decision.reason == f'RBAC: clusterrole.{GROUP} "gone" not found'


def test_default_roles_are_aggregated(view):
    authorizer = rbac.RbacAuthorizer()
    grant(view, "view", [user("jane")], "default")
    assert authorizer.decide(view, wants("list", namespace="default")).allowed
    assert not authorizer.decide(view, wants("create", namespace="default")).allowed
    extra = {
        "metadata": {
            "name": "widgets",
            "labels": {"rbac.authorization.k8s.io/aggregate-to-view": "true"},
        },
        "rules": [{"verbs": ["get"], "apiGroups": ["example.com"], "resources": ["widgets"]}],
    }
    asked = wants("get", "widgets", "example.com", namespace="default")
    assert not authorizer.decide(view, asked).allowed
    view.create(f"clusterroles.{GROUP}", extra)
    assert authorizer.decide(view, asked).allowed


def test_masters_need_no_binding_and_strangers_find_health(view):
    authorizer = rbac.RbacAuthorizer()
    assert authorizer.decide(view, auth.Attributes(auth.ADMIN, "delete", resource="x")).allowed
    health = auth.Attributes(auth.ANONYMOUS, "get", path="/readyz")
    assert authorizer.decide(view, health).allowed
    assert not authorizer.decide(view, auth.Attributes(auth.ANONYMOUS, "get", path="/api")).allowed


def test_refusals_use_kubernetes_words():
    asked = wants("get", "deployments", "apps", name="a", namespace="ns", subresource="scale")
    assert auth.forbidden(asked, "why").message == (
        'deployments.apps "a" is forbidden: User "jane" cannot get resource "deployments/scale" '
        'in API group "apps" in the namespace "ns": why'
    )
    path = auth.Attributes(JANE, "get", path="/metrics")
    assert auth.forbidden(path, "").message == 'forbidden: User "jane" cannot get path "/metrics"'


def test_mode_token_lets_strangers_ask_for_health_only(view):
    authorizer = auth.KnownUsers()
    assert authorizer.decide(view, wants("delete")).allowed
    assert authorizer.decide(view, auth.Attributes(auth.ANONYMOUS, "get", path="/livez")).allowed
    with pytest.raises(statuses.UnauthorizedError):
        authorizer.decide(view, auth.Attributes(auth.ANONYMOUS, "get", resource="pods"))


# ---------------------------------------------------------------------- impersonation


def test_somebody_may_be_taken_for_another_with_permission(view):
    authorizer = rbac.RbacAuthorizer()
    asked = request(impersonate_user=b"bob", impersonate_group=b"ops\ndevs")
    with pytest.raises(statuses.ForbiddenError, match='cannot impersonate resource "users"'):
        auth.impersonate(asked, view, JANE, authorizer)
    taken = auth.impersonate(asked, view, auth.ADMIN, authorizer)
    assert taken.username == "bob"
    assert taken.groups == ("ops", "devs", "system:authenticated")


def test_an_impersonated_account_is_in_its_groups(view):
    asked = request(impersonate_user=b"system:serviceaccount:default:robot")
    taken = auth.impersonate(asked, view, auth.ADMIN, rbac.RbacAuthorizer())
    assert taken.groups[:2] == ("system:serviceaccounts", "system:serviceaccounts:default")


def test_impersonated_groups_need_a_user(view):
    asked = request(impersonate_group=b"ops")
    assert auth.is_impersonating(asked)
    with pytest.raises(statuses.BadRequestError, match="without impersonating a user name"):
        auth.impersonate(asked, view, auth.ADMIN, rbac.RbacAuthorizer())


# ---------------------------------------------------------------------- reviews


@pytest.fixture
def ask(view, authenticator):
    asked = reviews.Reviews(authenticator, rbac.RbacAuthorizer())

    def put(ref, spec, who=JANE, namespace="", **more):
        resource = view.resolve(ref)
        assert asked.answers(resource)
        body = {"kind": resource.kind, "apiVersion": resource.api_version, "spec": spec}
        answer, _ = asked.create(
            view, resource, body | more, namespace, opts.WriteOptions(user=who)
        )
        return answer["status"]

    return put


def test_who_am_i(ask):
    status = ask("selfsubjectreviews.authentication.k8s.io", {})
    assert status["userInfo"] == {"username": "jane", "groups": list(JANE.groups)}


def test_may_i(ask, view):
    grant(view, "view", [user("jane")], "default")
    spec = {"resourceAttributes": {"namespace": "default", "verb": "get", "resource": "pods"}}
    status = ask("selfsubjectaccessreviews.authorization.k8s.io", spec)
    assert status["allowed"]
    spec["resourceAttributes"]["verb"] = "create"
    assert ask("selfsubjectaccessreviews.authorization.k8s.io", spec) == {"allowed": False}


def test_may_they(ask):
    spec = {
        "user": "x",
        "groups": ["system:masters"],
        "nonResourceAttributes": {"path": "/a", "verb": "get"},
    }
    assert ask("subjectaccessreviews.authorization.k8s.io", spec) == {"allowed": True}
    with pytest.raises(statuses.InvalidError):
        ask("subjectaccessreviews.authorization.k8s.io", {"user": "x"})


LOCAL = "localsubjectaccessreviews.authorization.k8s.io"


def test_may_they_here_is_asked_of_one_namespace(ask):
    spec = {"user": "x", "resourceAttributes": {"namespace": "b"}, "nonResourceAttributes": {}}
    with pytest.raises(statuses.InvalidError) as refused:
        ask(LOCAL, spec, namespace="a", metadata={"name": "n", "namespace": "a"})
    assert [
        (cause["field"], cause["message"].rpartition(": ")[2]) for cause in refused.value.causes
    ] == [
        (
            "spec.nonResourceAttributes",
            "cannot be specified in combination with resourceAttributes",
        ),
        ("metadata", "must be empty except for namespace"),
        ("spec.resourceAttributes.namespace", "must match metadata.namespace"),
        ("spec.nonResourceAttributes", "disallowed on this kind of request"),
    ]


@pytest.mark.parametrize(
    ("selectors", "complaints"),
    [
        (
            {"labelSelector": {"rawSelector": "a", "requirements": [{"key": "a"}]}},
            [
                'spec.resourceAttributes.labelSelector.rawSelector: Invalid value: "a": '
                "may not specified at the same time as requirements"
            ],
        ),
        (
            {"fieldSelector": {}, "labelSelector": {}},
            [
                f"spec.resourceAttributes.{name}.requirements: Required value: when "
                f"spec.resourceAttributes.{name} is specified, requirements or rawSelector is required"
                for name in ("fieldSelector", "labelSelector")
            ],
        ),
        (
            {"fieldSelector": {"requirements": [{"operator": "In"}]}},
            [
                "spec.resourceAttributes.fieldSelector.requirements[0].key: Required value: "
                "must be specified",
                "spec.resourceAttributes.fieldSelector.requirements[0].values: Required value: "
                "must be specified when `operator` is 'In' or 'NotIn'",
            ],
        ),
        (
            {"labelSelector": {"requirements": [{"operator": "Exists", "values": ["a"]}]}},
            [
                "spec.resourceAttributes.labelSelector.requirements[0].values: Forbidden: "
                "may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
                'spec.resourceAttributes.labelSelector.requirements[0].key: Invalid value: "": '
                "name part must be non-empty",
                'spec.resourceAttributes.labelSelector.requirements[0].key: Invalid value: "": '
                "name part must consist of alphanumeric characters, '-', '_' or '.', and must start "
                "and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc',"
                " regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')",
            ],
        ),
    ],
)
def test_what_is_asked_about_selectors_must_be_whole(ask, selectors, complaints):
    with pytest.raises(statuses.InvalidError) as refused:
        ask(
            "selfsubjectaccessreviews.authorization.k8s.io",
            {"resourceAttributes": {"verb": "list", "resource": "pods"} | selectors},
        )
    assert [f"{cause['field']}: {cause['message']}" for cause in refused.value.causes] == complaints


@pytest.mark.parametrize(
    ("selectors", "said"),
    [
        ({"labelSelector": {"rawSelector": "a=b"}, "fieldSelector": {"rawSelector": "a=b"}}, None),
        (
            {"labelSelector": {"rawSelector": "a in"}, "fieldSelector": {"rawSelector": "a"}},
            "spec.resourceAttributes.fieldSelector ignored due to parse error; "
            "spec.resourceAttributes.labelSelector ignored due to parse error",
        ),
        (
            {
                "fieldSelector": {
                    "requirements": [
                        {"key": "a", "operator": "In", "values": ["b"]},
                        {"key": "a", "operator": "NotIn", "values": ["b", "c"]},
                    ]
                },
                "labelSelector": {"requirements": [{"key": "a", "operator": "Near"}]},
            },
            "spec.resourceAttributes.fieldSelector partially ignored due to parse error; "
            "spec.resourceAttributes.labelSelector ignored due to parse error",
        ),
    ],
)
def test_selectors_that_cannot_be_read_are_told(ask, selectors, said):
    status = ask(
        "selfsubjectaccessreviews.authorization.k8s.io",
        {"resourceAttributes": {"verb": "list", "resource": "pods"} | selectors},
    )
    assert status.get("evaluationError") == said


def test_whose_token(ask):
    status = ask("tokenreviews.authentication.k8s.io", {"token": "secret"})
    assert status["authenticated"]
    assert status["user"]["username"] == "admin"
    assert ask("tokenreviews.authentication.k8s.io", {"token": "x"}) == {
        "user": {},
        "error": "invalid bearer token",
    }


def test_what_may_i(ask, view):
    rules = [{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}]
    grant(view, "reader", [user("jane")], "default", rules, kind="Role")
    status = ask("selfsubjectrulesreviews.authorization.k8s.io", {"namespace": "default"})
    assert rules[0] in status["resourceRules"]


def test_a_token_in_a_secret_is_valid_while_the_secret_holds_it(view, issuer):
    view.create("serviceaccounts", {"metadata": {"name": "robot"}}, "default")
    view.create("secrets", {"metadata": {"name": "robot-token"}}, "default")
    account = view.find("serviceaccounts", "default", "robot")
    secret = view.find("secrets", "default", "robot-token")
    token = issuer.sign_for_secret(account, secret)
    who = auth.Authenticator("token", {}, issuer, lambda: NOW)
    with pytest.raises(statuses.UnauthorizedError):
        who.user_of_token(token.encode(), view)
    secret["stringData"] = {"token": token}
    view.update("secrets", secret, "default")
    user = who.user_of_token(token.encode(), view)
    assert user.username == "system:serviceaccount:default:robot"
    view.delete("secrets", "robot-token", "default")
    with pytest.raises(statuses.UnauthorizedError):
        who.user_of_token(token.encode(), view)
