"""Resources that are questions: who am I, may I, may they, whose token is this, and TokenRequest.

Nothing is stored: the answer is the object posted, with its status filled in.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

import orjson

from understudy.aio import clocks
from understudy.kapi.http import auth, rbac, selections, tokens
from understudy.kapi.resources import catalogue, strategies
from understudy.kapi.views import options as opts, view as views
from understudy.kube import apply as fields, decoding, objects, schemas, statuses

AUTHORIZATION = "authorization.k8s.io"
AUTHENTICATION = "authentication.k8s.io"
TOKEN_SECONDS_MIN = 600
TOKEN_SECONDS_DEFAULT = 3600
TOKEN_SECONDS_MAX = 1 << 32
_EVERYTHING: tuple[objects.Object, ...] = (
    {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]},
    {"verbs": ["*"], "nonResourceURLs": ["*"]},
)


class Reviews:
    """Answers the virtual resources of one server."""

    __slots__ = ("_answers", "_authenticator", "_authorizer")

    def __init__(self, authenticator: auth.Authenticator, authorizer: auth.Authorizer) -> None:
        self._authenticator = authenticator
        self._authorizer = authorizer
        self._answers: dict[tuple[str, str], Callable[[views.View, Question], None]] = {
            (AUTHENTICATION, "SelfSubjectReview"): self._who_am_i,
            (AUTHENTICATION, "TokenReview"): self._whose_token,
            (AUTHORIZATION, "SelfSubjectAccessReview"): self._may_i,
            (AUTHORIZATION, "SubjectAccessReview"): self._may_they,
            (AUTHORIZATION, "LocalSubjectAccessReview"): self._may_they_here,
            (AUTHORIZATION, "SelfSubjectRulesReview"): self._what_may_i,
        }

    def answers(self, resource: catalogue.Resource) -> bool:
        """Say whether the resource is one of these questions."""
        return (resource.group, resource.kind) in self._answers

    def create(
        self,
        view: views.View,
        resource: catalogue.Resource,
        obj: objects.Object,
        namespace: str,
        options: opts.WriteOptions,
    ) -> tuple[objects.Object, list[str]]:
        """Answer a question; also returns warnings about its fields.

        Raises:
            BadRequestError, InvalidError: The question is not understood.
        """
        warnings = _decode(resource.strategy, resource.schema, obj, resource, options)
        now = clocks.rfc3339(view.now())
        fields.track_update(
            None,
            obj,
            schema=resource.schema,
            manager=options.manager,
            api_version=resource.api_version,
            subresource="",
            now=now,
        )
        question = Question(resource, obj, namespace, options.user)
        self._answers[(resource.group, resource.kind)](view, question)
        return {"kind": resource.kind, "apiVersion": resource.api_version} | obj, warnings

    # -- authentication.k8s.io

    def _who_am_i(self, view: views.View, question: Question) -> None:
        question.obj["metadata"] = {"creationTimestamp": clocks.rfc3339(view.now())}
        question.obj["status"] = {"userInfo": user_info(question.user)}

    def _whose_token(self, view: views.View, question: Question) -> None:
        spec = question.obj.get("spec") or {}
        token = spec.get("token") or ""
        if not token:
            raise statuses.BadRequestError("token is required for TokenReview in authentication")
        audiences = tuple(spec.get("audiences") or ())
        status: objects.Object = {"user": {}}
        try:
            user = self._authenticator.user_of_token(token.encode(), view, audiences)
        except statuses.UnauthorizedError:
            status["error"] = "invalid bearer token"
        else:
            accepted = list(audiences) or [self._authenticator.issuer.issuer]
            status = {"authenticated": True, "user": user_info(user), "audiences": accepted}
        question.obj["status"] = status

    # -- authorization.k8s.io

    def _may_i(self, view: views.View, question: Question) -> None:
        question.check()
        self._decide(view, question, question.user)

    def _may_they(self, view: views.View, question: Question) -> None:
        question.check(names_subject=True)
        self._decide(view, question, _subject(question.spec))

    def _may_they_here(self, view: views.View, question: Question) -> None:
        question.check(names_subject=True, local=True)
        question.obj["metadata"]["namespace"] = question.namespace
        self._decide(view, question, _subject(question.spec))

    def _decide(self, view: views.View, question: Question, user: strategies.UserInfo) -> None:
        decision = self._authorizer.decide(view, _attributes(question.spec, user))
        status: objects.Object = {"allowed": decision.allowed}
        if decision.reason:
            status["reason"] = decision.reason
        if unread := selections.unread(question.spec.get("resourceAttributes") or {}):
            status["evaluationError"] = unread
        question.obj["status"] = status

    def _what_may_i(self, view: views.View, question: Question) -> None:
        namespace = question.spec.get("namespace") or ""
        if not namespace:
            raise statuses.BadRequestError("no namespace on request")
        rules = _EVERYTHING
        if isinstance(self._authorizer, rbac.RbacAuthorizer):
            grants = self._authorizer.rules(view).of(question.user, namespace)
            rules = tuple(rule for grant in grants for rule in grant.rules)
        question.obj["metadata"] = {}
        question.obj["spec"] = {}
        question.obj["status"] = {
            "resourceRules": [
                _picked(rule, "verbs", "apiGroups", "resources", "resourceNames")
                for rule in rules
                if rule.get("resources")
            ],
            "nonResourceRules": [
                _picked(rule, "verbs", "nonResourceURLs")
                for rule in rules
                if rule.get("nonResourceURLs")
            ],
            "incomplete": False,
        }

    # -- serviceaccounts/token

    def request_token(
        self,
        view: views.View,
        account: objects.Object,
        request: objects.Object,
        schema: schemas.Schema,
        options: opts.WriteOptions,
    ) -> objects.Object:
        """Answer a TokenRequest for a ServiceAccount.

        Raises:
            BadRequestError: A field has another type.
            InvalidError: The duration or the name is not allowed.
            NotFoundError: The object to bind to does not exist. ConflictError: its uid differs.
        """
        name, namespace = objects.name_of(account), objects.namespace_of(account)
        decoding.decode(
            request,
            schema,
            mode=options.field_validation,
            api_version=f"{AUTHENTICATION}/v1",
            kind="TokenRequest",
            duplicates=options.duplicates,
        )
        spec = request.setdefault("spec", {})
        if spec.get("expirationSeconds") is None:
            spec["expirationSeconds"] = TOKEN_SECONDS_DEFAULT
        _check_token_request(request, name, namespace)
        fields.track_update(
            None,
            request,
            schema=schema,
            manager=options.manager,
            api_version=f"{AUTHENTICATION}/v1",
            subresource="token",
            now=clocks.rfc3339(view.now()),
        )
        bound = _bound_object(view, namespace, spec.get("boundObjectRef"))
        issuer = self._authenticator.issuer
        audiences = spec.get("audiences") or [issuer.issuer]
        now = view.now()
        expires = now + dt.timedelta(seconds=spec["expirationSeconds"])
        token = issuer.sign(
            tokens.Claims(
                namespace=namespace,
                account=name,
                account_uid=objects.uid_of(account),
                audiences=tuple(audiences),
                token_id=view.ids.uid(),
                bound=bound,
                expires=expires,
            ),
            now,
        )
        metadata = request["metadata"]
        metadata |= {
            "name": name,
            "namespace": namespace,
            "uid": objects.uid_of(account),
            "creationTimestamp": clocks.rfc3339(now),
        }
        return {
            "kind": "TokenRequest",
            "apiVersion": f"{AUTHENTICATION}/v1",
            "metadata": metadata,
            "spec": {
                "audiences": audiences,
                "expirationSeconds": spec["expirationSeconds"],
                "boundObjectRef": spec.get("boundObjectRef"),
            },
            "status": {"token": token, "expirationTimestamp": clocks.rfc3339(expires)},
        }


class Question:
    """One posted review."""

    __slots__ = ("namespace", "obj", "resource", "user")

    def __init__(
        self,
        resource: catalogue.Resource,
        obj: objects.Object,
        namespace: str,
        user: strategies.UserInfo,
    ) -> None:
        self.resource = resource
        self.obj = obj
        self.namespace = namespace
        self.user = user

    @property
    def spec(self) -> objects.Object:
        """The spec, an empty one where it is missing."""
        found = self.obj.get("spec")
        return found if isinstance(found, dict) else {}

    def check(self, *, names_subject: bool = False, local: bool = False) -> None:
        """Refuse a question that does not ask exactly one thing.

        Raises:
            InvalidError: With every reason.
        """
        causes: list[statuses.Cause] = []
        spec = self.spec
        resource, path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
        if resource is not None and path is not None:
            causes.append(
                _invalid(
                    "spec.nonResourceAttributes",
                    _go_struct(path),
                    "cannot be specified in combination with resourceAttributes",
                )
            )
        if resource is None and path is None:
            causes.append(
                _invalid(
                    "spec.resourceAttributes",
                    None,
                    "exactly one of nonResourceAttributes or resourceAttributes must be specified",
                )
            )
        if names_subject and not spec.get("user") and not spec.get("groups"):
            causes.append(
                _invalid("spec.user", "", "at least one of user or group must be specified")
            )
        causes += selections.complaints(resource or {})
        metadata = self.obj.get("metadata") or {}
        kept = {"managedFields", "namespace"} if local else {"managedFields"}
        if any(value for key, value in metadata.items() if key not in kept):
            why = "must be empty except for namespace" if local else "must be empty"
            causes.append(_invalid("metadata", metadata, why))
        if local:
            causes += self._local_complaints(metadata, resource, path)
        if causes:
            raise statuses.invalid(AUTHORIZATION, "", "", causes)

    def _local_complaints(
        self, metadata: objects.Object, resource: objects.Json, path: objects.Json
    ) -> list[statuses.Cause]:
        causes: list[statuses.Cause] = []
        namespace = metadata.get("namespace") or self.namespace
        if resource is not None and resource.get("namespace", "") != namespace:
            causes.append(
                _invalid(
                    "spec.resourceAttributes.namespace",
                    resource.get("namespace", ""),
                    "must match metadata.namespace",
                )
            )
        if path is not None:
            causes.append(
                _invalid(
                    "spec.nonResourceAttributes",
                    _go_struct(path),
                    "disallowed on this kind of request",
                )
            )
        return causes


def _go_struct(path: objects.Object) -> objects.Object:
    """Return NonResourceAttributes as Go's internal type prints them."""
    return {"Path": path.get("path") or "", "Verb": path.get("verb") or ""}


def _invalid(field: str, value: objects.Json, why: str) -> statuses.Cause:
    shown = orjson.dumps(value).decode()
    return statuses.Cause(field, "FieldValueInvalid", f"Invalid value: {shown}: {why}")


def _decode(
    strategy: strategies.Strategy,
    schema: schemas.Schema,
    obj: objects.Object,
    resource: catalogue.Resource,
    options: opts.WriteOptions,
) -> list[str]:
    obj.setdefault("metadata", {})
    warnings = strategy.decode(
        obj,
        schema,
        mode=options.field_validation,
        api_version=resource.api_version,
        kind=resource.kind,
        duplicates=options.duplicates,
    )
    metadata = obj.setdefault("metadata", {})
    metadata.pop("managedFields", None)
    return warnings


def _attributes(spec: objects.Object, user: strategies.UserInfo) -> auth.Attributes:
    path = spec.get("nonResourceAttributes")
    if path is not None:
        return auth.Attributes(user, path.get("verb") or "", path=path.get("path") or "/")
    asked = spec.get("resourceAttributes") or {}
    return auth.Attributes(
        user,
        asked.get("verb") or "",
        group=asked.get("group") or "",
        resource=asked.get("resource") or "",
        subresource=asked.get("subresource") or "",
        namespace=asked.get("namespace") or "",
        name=asked.get("name") or "",
    )


def _subject(spec: objects.Object) -> strategies.UserInfo:
    return strategies.UserInfo(
        username=spec.get("user") or "",
        uid=spec.get("uid") or "",
        groups=tuple(spec.get("groups") or ()),
    )


def user_info(user: strategies.UserInfo) -> objects.Object:
    """Render a user as authentication/v1 UserInfo; what is empty is left out."""
    shown: objects.Object = {
        "username": user.username,
        "uid": user.uid,
        "groups": list(user.groups),
        "extra": {key: list(values) for key, values in user.extra},
    }
    return {key: value for key, value in shown.items() if value}


def _picked(rule: objects.Object, *keys: str) -> objects.Object:
    return {key: rule[key] for key in keys if rule.get(key)}


def _check_token_request(request: objects.Object, name: str, namespace: str) -> None:
    metadata = request.setdefault("metadata", {})
    causes: list[statuses.Cause] = []
    said = metadata.get("name")
    if said and said != name:
        causes.append(
            _invalid("metadata.name", said, "must match the service account name if specified")
        )
    elsewhere = metadata.get("namespace")
    if elsewhere and elsewhere != namespace:
        causes.append(
            _invalid(
                "metadata.namespace",
                elsewhere,
                "must match the service account namespace if specified",
            )
        )
    if causes:
        raise statuses.invalid(AUTHENTICATION, "TokenRequest", name, causes)
    seconds = request["spec"]["expirationSeconds"]
    field = "spec.expirationSeconds"
    if seconds < TOKEN_SECONDS_MIN:
        causes.append(_invalid(field, seconds, "may not specify a duration less than 10 minutes"))
    elif seconds > TOKEN_SECONDS_MAX:
        causes.append(
            _invalid(field, seconds, "may not specify a duration larger than 2^32 seconds")
        )
    if causes:
        raise statuses.invalid(AUTHENTICATION, "TokenRequest", "", causes)


_BOUND = {("v1", "Pod"): "pods", ("v1", "Secret"): "secrets", ("v1", "Node"): "nodes"}


def _bound_object(
    view: views.View, namespace: str, reference: objects.Json
) -> tuple[str, str, str] | None:
    if not reference:
        return None
    api_version, kind = reference.get("apiVersion") or "", reference.get("kind") or ""
    plural = _BOUND.get((api_version, kind))
    if plural is None:
        raise statuses.BadRequestError(
            f"cannot bind token to object of type {api_version}, Kind={kind}"
        )
    name = reference.get("name") or ""
    resource = view.resolve(plural)
    entry = view.get_entry(resource, name, namespace if resource.namespaced else "")
    uid = reference.get("uid") or ""
    if uid and uid != entry.uid:
        raise statuses.conflict(
            resource.group_resource,
            name,
            f"the UID in the bound object reference ({uid}) does not match the UID in record. "
            "The object might have been deleted and then recreated",
        )
    return (kind, name, entry.uid)
