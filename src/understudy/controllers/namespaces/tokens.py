"""Tokens kept in Secrets: filled in for the ServiceAccount that the Secret names, gone with it.

Most tokens are asked for when they are needed and never stored; these are the older kind, which
somebody asks for by making a Secret of type `kubernetes.io/service-account-token`. They do not
expire. Keys are

    (account, namespace, name, uid)            an account that went
    (secret, namespace, name, account, uid)    a Secret, and the account it names

Source: pkg/controller/serviceaccount/tokens_controller.go.
"""

from __future__ import annotations

import base64
import contextlib
from typing import Final

from understudy.controllers import changes, clusters, reactor
from understudy.kube import objects, statuses

TYPE: Final = "kubernetes.io/service-account-token"
ACCOUNT_NAME: Final = "kubernetes.io/service-account.name"
ACCOUNT_UID: Final = "kubernetes.io/service-account.uid"
SECRETS: Final = "secrets"
ACCOUNTS: Final = "serviceaccounts"
_TYPED: Final = TYPE.encode()


class AccountTokens:
    """Reconciles token Secrets."""

    name = "serviceaccount-token-controller"
    watched = (SECRETS, ACCOUNTS)

    def __init__(self, shared: clusters.Shared) -> None:
        self.cluster = clusters.Cluster(shared, "tokens-controller")
        self._sign = shared.sign_token
        self._root_ca = _encode(shared.root_ca)

    def observe(self, change: changes.Change, queue: reactor.Queue) -> None:
        if change.ref == ACCOUNTS:
            if change.deleted:
                queue.add(("account", *change.key, change.entry.uid))
        elif _TYPED in change.entry.encoded and change.object.get("type") == TYPE:
            marks = objects.annotations_of(change.object)
            name, uid = marks.get(ACCOUNT_NAME) or "", marks.get(ACCOUNT_UID) or ""
            if name:
                queue.add(("secret", *change.key, name, uid))

    def reconcile(self, key: reactor.Key) -> None:
        what, namespace, *rest = key
        if what == "account":
            self._delete_tokens(namespace, *rest)
            return
        name, account_name, uid = rest
        secret = self.cluster.find(SECRETS, namespace, name)
        account = self.cluster.find(ACCOUNTS, namespace, account_name)
        if account is not None and uid and objects.uid_of(account) != uid:
            account = None
        if secret is None:
            if account is not None:
                self._remove_reference(account, name)
        elif account is None:
            self._delete(namespace, secret)
        else:
            self._fill(secret, account)

    def _delete_tokens(self, namespace: str, account: str, uid: str) -> None:
        for secret in self.cluster.each(SECRETS, namespace):
            marks = objects.annotations_of(secret)
            if (
                secret.get("type") == TYPE
                and marks.get(ACCOUNT_NAME) == account
                and marks.get(ACCOUNT_UID) == uid
            ):
                self._delete(namespace, secret)

    def _delete(self, namespace: str, secret: objects.Object) -> None:
        with contextlib.suppress(statuses.NotFoundError):
            uid = objects.uid_of(secret)
            self.cluster.delete(SECRETS, namespace, objects.name_of(secret), uid=uid)

    def _remove_reference(self, account: objects.Object, secret: str) -> None:
        listed = account.get("secrets") or []
        kept = [one for one in listed if one.get("name") != secret]
        if len(kept) < len(listed):
            account["secrets"] = kept
            self.cluster.update(ACCOUNTS, account)

    def _fill(self, secret: objects.Object, account: objects.Object) -> None:
        data = dict(secret.get("data") or {})
        if self._root_ca:
            data["ca.crt"] = self._root_ca
        data.setdefault("namespace", _encode(objects.namespace_of(secret)))
        if not data.get("token"):
            data["token"] = _encode(self._sign(account, secret))
        if data == secret.get("data"):
            return
        marks = objects.annotations_of(secret)
        own = {ACCOUNT_NAME: objects.name_of(account), ACCOUNT_UID: objects.uid_of(account)}
        secret["data"] = data
        secret["metadata"]["annotations"] = {**marks, **own}
        self.cluster.update(SECRETS, secret)


def _encode(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
