"""Who asks: bearer tokens, client certificates, impersonation.

| mode    | without credentials   | with a known token or certificate     |
| ------- | --------------------- | ------------------------------------- |
| `none`  | an administrator      | an administrator                      |
| `token` | 401 (health: allowed) | allowed everything                    |
| `rbac`  | `system:anonymous`    | what the view's bindings allow        |

Credentials that are shown but not known are 401 in the last two, on every path.
"""

from __future__ import annotations

import base64
import datetime as dt
import hmac
from collections.abc import Callable, Mapping
from typing import Protocol

from understudy.kapi import settings
from understudy.kapi.admission import bindings
from understudy.kapi.http import exchanges, tokens
from understudy.kapi.resources import strategies
from understudy.kapi.views import view as views
from understudy.kube import objects, statuses
from understudy.kube.cel import authorizing

ADMIN = strategies.UserInfo(
    username="admin", uid="1", groups=("system:masters", "system:authenticated")
)
ANONYMOUS = strategies.UserInfo(username="system:anonymous", groups=("system:unauthenticated",))
MASTERS = "system:masters"
AUTHENTICATED = "system:authenticated"
UNAUTHENTICATED = "system:unauthenticated"
CREDENTIAL_ID = "authentication.kubernetes.io/credential-id"


class Authorizer(Protocol):
    """Decides whether somebody may do something in a view."""

    def decide(self, view: views.View, attributes: Attributes) -> Decision:
        """Return whether, and why."""
        ...


class Decision:
    """An authorizer's answer; `reason` may be empty."""

    __slots__ = ("allowed", "reason")

    def __init__(self, allowed: bool, reason: str = "") -> None:
        self.allowed = allowed
        self.reason = reason


class Attributes:
    """What somebody wants to do: a verb on a resource, or on a path that is none."""

    __slots__ = ("group", "name", "namespace", "path", "resource", "subresource", "user", "verb")

    def __init__(
        self,
        user: strategies.UserInfo,
        verb: str,
        *,
        path: str = "",
        group: str = "",
        resource: str = "",
        subresource: str = "",
        namespace: str = "",
        name: str = "",
    ) -> None:
        self.user = user
        self.verb = verb
        self.path = path
        self.group = group
        self.resource = resource
        self.subresource = subresource
        self.namespace = namespace
        self.name = name

    @property
    def is_resource(self) -> bool:
        """Whether a resource is concerned rather than a bare path."""
        return not self.path


class Authenticator:
    """Finds out who sent a request."""

    __slots__ = ("_mode", "_now", "_tokens", "issuer")

    def __init__(
        self,
        mode: settings.AuthMode,
        known: Mapping[str, strategies.UserInfo],
        issuer: tokens.TokenIssuer,
        now: Callable[[], dt.datetime],
    ) -> None:
        self._mode = mode
        self._tokens = [(token.encode(), user) for token, user in known.items()]
        self._now = now
        self.issuer = issuer

    def authenticate(self, request: exchanges.Request, view: views.View) -> strategies.UserInfo:
        """Return the sender.

        Raises:
            UnauthorizedError: Its credentials are not known, or (mode `token`) it shows none.
        """
        if self._mode == "none":
            return ADMIN
        if request.certificate is not None:
            user = user_of_certificate(request.certificate)
            if user is not None:
                return user
        token = bearer_token(request.headers.get(b"authorization", b""))
        if token is not None:
            return self.user_of_token(token, view)
        return ANONYMOUS

    def user_of_token(
        self, token: bytes, view: views.View, audiences: tuple[str, ...] = ()
    ) -> strategies.UserInfo:
        """Return whose token it is.

        Raises:
            UnauthorizedError: Nobody's, or that of an account that is gone.
        """
        for known, user in self._tokens:
            if hmac.compare_digest(known, token):
                return user
        try:
            claims = self.issuer.read(token.decode("ascii"), self._now())
        except (tokens.InvalidTokenError, UnicodeDecodeError) as error:
            raise unauthorized() from error
        accepted = audiences or (self.issuer.issuer,)
        if not set(accepted) & set(claims.audiences) or not _is_live(view, claims, token):
            raise unauthorized()
        return service_account(claims)


def _is_live(view: views.View, claims: tokens.Claims, token: bytes) -> bool:
    """Say whether the account, and the object the token is bound to, still exist in the view."""
    account = view.find("serviceaccounts", claims.namespace, claims.account)
    if account is None or objects.uid_of(account) != claims.account_uid:
        return False
    if claims.bound is None:
        return True
    kind, name, uid = claims.bound
    namespace = "" if kind == "Node" else claims.namespace
    bound = view.find(f"{kind.lower()}s", namespace, name)
    if bound is not None and not uid:
        held = str((bound.get("data") or {}).get("token") or "")
        return hmac.compare_digest(base64.b64encode(token), held.encode())
    return bound is not None and objects.uid_of(bound) == uid


def service_account(claims: tokens.Claims) -> strategies.UserInfo:
    """Return the user that a ServiceAccount's token stands for."""
    extra: list[tuple[str, tuple[str, ...]]] = []
    if claims.token_id:
        extra.append((CREDENTIAL_ID, (f"JTI={claims.token_id}",)))
    if claims.bound is not None and claims.bound[0] in ("Pod", "Node"):
        kind, name, uid = claims.bound
        prefix = f"authentication.kubernetes.io/{kind.lower()}"
        extra += [(f"{prefix}-name", (name,)), (f"{prefix}-uid", (uid,))]
    return strategies.UserInfo(
        username=f"{tokens.USER_PREFIX}{claims.namespace}:{claims.account}",
        uid=claims.account_uid,
        groups=(*account_groups(claims.namespace), AUTHENTICATED),
        extra=tuple(extra),
    )


def account_groups(namespace: str) -> tuple[str, str]:
    """Return the groups every ServiceAccount of a namespace is in."""
    return ("system:serviceaccounts", f"system:serviceaccounts:{namespace}")


def unauthorized() -> statuses.UnauthorizedError:
    """Build the refusal of unknown credentials."""
    return statuses.UnauthorizedError("Unauthorized")


def bearer_token(header: bytes) -> bytes | None:
    """Return the token of an Authorization header; None where it holds none.

    `Basic ...` and a bare `Bearer` count as no credentials, as in kube-apiserver.
    """
    scheme, _, token = header.strip().partition(b" ")
    token = token.strip()
    return token if scheme.lower() == b"bearer" and token else None


def user_of_certificate(certificate: exchanges.PeerCertificate) -> strategies.UserInfo | None:
    """Return the user of a verified client certificate: CN is the name, O are the groups."""
    names: dict[str, list[str]] = {}
    subject = certificate.get("subject")
    for relative in subject if isinstance(subject, tuple) else ():
        for key, value in relative:
            names.setdefault(key, []).append(value)
    common = names.get("commonName")
    if not common:
        return None
    groups = tuple(names.get("organizationName", ()))
    return strategies.UserInfo(username=common[-1], groups=(*groups, AUTHENTICATED))


# -- impersonation

_IMPERSONATION = frozenset({b"impersonate-user", b"impersonate-group", b"impersonate-uid"})
_EXTRA = b"impersonate-extra-"


def is_impersonating(request: exchanges.Request) -> bool:
    """Say whether the request asks to be taken as somebody else's."""
    # One search in all names together: nearly no request does.
    if b"impersonate-" not in b"\n".join(request.headers):
        return False
    return any(name in _IMPERSONATION or name.startswith(_EXTRA) for name in request.headers)


def impersonate(
    request: exchanges.Request, view: views.View, user: strategies.UserInfo, authorizer: Authorizer
) -> strategies.UserInfo:
    """Return whom the request is to be taken for, if its sender may.

    Raises:
        BadRequestError: Groups or uid without a user. ForbiddenError: the sender may not.
    """
    name = request.header(b"impersonate-user")
    groups = [group for group in request.header(b"impersonate-group").split("\n") if group]
    uid = request.header(b"impersonate-uid")
    extra = {
        header[len(_EXTRA) :].decode("latin-1"): tuple(value.decode("latin-1").split("\n"))
        for header, value in request.headers.items()
        if header.startswith(_EXTRA)
    }
    if not name:
        shown = ", ".join(f'"{group}"' for group in groups)
        raise statuses.BadRequestError(
            f'requested &user.DefaultInfo{{Name:"", UID:"{uid}", Groups:[]string{{{shown}}}, '
            "Extra:map[string][]string(nil)} without impersonating a user name"
        )
    asked = [_impersonation(user, "users", name)]
    if name.startswith(tokens.USER_PREFIX) and name.count(":") == 3:
        namespace, account = name.removeprefix(tokens.USER_PREFIX).split(":")
        asked = [_impersonation(user, "serviceaccounts", account, namespace)]
        if not groups:
            groups = [*account_groups(namespace)]
    else:
        asked += [_impersonation(user, "groups", group) for group in groups]
    if uid:
        asked.append(_impersonation(user, "uids", uid))
    for key, values in extra.items():
        asked += [_impersonation(user, f"userextras/{key}", value) for value in values]
    for attributes in asked:
        decision = authorizer.decide(view, attributes)
        if not decision.allowed:
            raise forbidden(attributes, decision.reason)
    if name == ANONYMOUS.username:
        groups = groups or [UNAUTHENTICATED]
    elif AUTHENTICATED not in groups and UNAUTHENTICATED not in groups:
        groups.append(AUTHENTICATED)
    return strategies.UserInfo(
        username=name, uid=uid, groups=tuple(groups), extra=tuple(sorted(extra.items()))
    )


def _impersonation(
    user: strategies.UserInfo, resource: str, name: str, namespace: str = ""
) -> Attributes:
    group = "" if resource in ("users", "groups", "serviceaccounts") else "authentication.k8s.io"
    resource, _, subresource = resource.partition("/")
    return Attributes(
        user,
        "impersonate",
        group=group,
        resource=resource,
        subresource=subresource,
        namespace=namespace,
        name=name,
    )


_HTML = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


def forbidden(attributes: Attributes, reason: str) -> statuses.ForbiddenError:
    """Build the refusal of what somebody may not do, in Kubernetes' words."""
    user = f'User "{attributes.user.username}" cannot {attributes.verb}'
    details: objects.Object = {}
    if not attributes.is_resource:
        message = f'forbidden: {user} path "{attributes.path}"'.translate(_HTML)
    else:
        resource, group = attributes.resource, attributes.group
        whole = f"{resource}/{attributes.subresource}" if attributes.subresource else resource
        place = (
            f'in the namespace "{attributes.namespace}"'
            if attributes.namespace
            else "at the cluster scope"
        )
        named = f' "{attributes.name}"' if attributes.name else ""
        target = f"{resource}.{group}" if group else resource
        why = f'{user} resource "{whole}" in API group "{group}" {place}'.translate(_HTML)
        message = f"{target}{named} is forbidden: {why}"
        shown = {"name": attributes.name, "group": group, "kind": resource}
        details = {key: value for key, value in shown.items() if value}
    return statuses.ForbiddenError(f"{message}: {reason}" if reason else message, details=details)


class AllowAll:
    """Everybody may do everything (modes `none` and `token`)."""

    __slots__ = ()

    def decide(self, view: views.View, attributes: Attributes) -> Decision:
        """Allow."""
        return _ALLOWED


class KnownUsers:
    """Whoever is known may do everything; others may only ask for health (mode `token`)."""

    __slots__ = ()

    def decide(self, view: views.View, attributes: Attributes) -> Decision:
        """Allow who is known; raise 401 for who is not, so that clients ask for credentials."""
        if UNAUTHENTICATED not in attributes.user.groups:
            return _ALLOWED
        if attributes.path.partition("?")[0] in HEALTH_PATHS:
            return _ALLOWED
        raise unauthorized()


def for_policies(authorizer: Authorizer) -> bindings.Authorize:
    """Let an authorizer answer what the expressions of admission policies ask."""

    def answer(
        reader: strategies.Reader, user: strategies.UserInfo, question: authorizing.Question
    ) -> authorizing.Decision:
        assert isinstance(reader, views.View), "requests are admitted to views"
        if question.service_account:
            namespace, _, name = question.service_account.partition("/")
            user = strategies.UserInfo(
                username=f"system:serviceaccount:{namespace}:{name}",
                groups=account_groups(namespace),
            )
        asked = Attributes(
            user,
            question.verb,
            path=question.path,
            group=question.group,
            resource=question.resource,
            subresource=question.subresource,
            namespace=question.namespace,
            name=question.name,
        )
        decision = authorizer.decide(reader, asked)
        return authorizing.Decision(allowed=decision.allowed, reason=decision.reason)

    return answer


HEALTH_PATHS = frozenset({"/healthz", "/livez", "/readyz", "/version", "/version/"})
_ALLOWED = Decision(allowed=True)
