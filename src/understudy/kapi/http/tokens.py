"""ServiceAccount tokens: JSON Web Tokens that this server signs and recognises.

ES256 with a key made at start, or kept in the data directory (0600) so that tokens outlive a
restart. `cryptography` is loaded when the first token is made or shown, not at start.
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import orjson

from understudy.kube import objects

if TYPE_CHECKING:
    from understudy.kapi.http import signing

USER_PREFIX = "system:serviceaccount:"
STORED_ISSUER = "kubernetes/serviceaccount"
"""Who issues the tokens that are kept in Secrets; their claims are flat and they do not expire."""
_FLAT = f"{STORED_ISSUER}/"


class InvalidTokenError(ValueError):
    """A token is not ours, damaged or no longer valid."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """What a token says.

    Attributes:
        bound: `(kind, name, uid)` of the object the token lives and dies with, or None. The uid is
            empty where the Secret of that name holds the token.
        expires: End of validity, UTC.
    """

    namespace: str
    account: str
    account_uid: str
    audiences: tuple[str, ...]
    token_id: str
    bound: tuple[str, str, str] | None
    expires: dt.datetime


class TokenIssuer:
    """Signs tokens and reads them back."""

    __slots__ = ("_key", "_path", "issuer")

    def __init__(self, issuer: str, key_path: Path | None = None) -> None:
        self.issuer = issuer
        self._path = key_path
        self._key: signing.SigningKey | None = None

    def sign(self, claims: Claims, issued: dt.datetime) -> str:
        """Return the token, `header.payload.signature`."""
        start = int(issued.timestamp())
        private: objects.Object = {
            "namespace": claims.namespace,
            "serviceaccount": {"name": claims.account, "uid": claims.account_uid},
        }
        if claims.bound is not None:
            kind, name, uid = claims.bound
            private[kind.lower()] = {"name": name, "uid": uid}
        payload: objects.Object = {
            "aud": list(claims.audiences),
            "exp": int(claims.expires.timestamp()),
            "iat": start,
            "iss": self.issuer,
            "jti": claims.token_id,
            "kubernetes.io": private,
            "nbf": start,
            "sub": f"{USER_PREFIX}{claims.namespace}:{claims.account}",
        }
        return self._signed(payload, {"typ": "JWT"})

    def sign_for_secret(self, account: objects.Object, secret: objects.Object) -> str:
        """Return the token of an account that a Secret is to hold; valid while both are there."""
        namespace, name = objects.namespace_of(account), objects.name_of(account)
        payload: objects.Object = {
            "iss": STORED_ISSUER,
            f"{_FLAT}namespace": namespace,
            f"{_FLAT}secret.name": objects.name_of(secret),
            f"{_FLAT}service-account.name": name,
            f"{_FLAT}service-account.uid": objects.uid_of(account),
            "sub": f"{USER_PREFIX}{namespace}:{name}",
        }
        return self._signed(payload, {})

    def _signed(self, payload: objects.Object, more: dict[str, str]) -> str:
        key = self._load()
        header = {"alg": "ES256", "kid": key.key_id, **more}
        signed = f"{_encode(orjson.dumps(header))}.{_encode(orjson.dumps(payload))}"
        return f"{signed}.{_encode(key.sign(signed.encode()))}"

    def read(self, token: str, now: dt.datetime) -> Claims:
        """Verify a token and return what it says.

        Raises:
            InvalidTokenError: It was not signed here, is damaged, or its time is over.
        """
        parts = token.split(".")
        if len(parts) != 3:
            raise InvalidTokenError("a token has three parts separated by dots")
        try:
            header, payload = orjson.loads(_decode(parts[0])), orjson.loads(_decode(parts[1]))
            signature = _decode(parts[2])
        except (binascii.Error, ValueError) as error:
            raise InvalidTokenError(f"the token cannot be decoded: {error}") from error
        if not isinstance(header, dict) or header.get("alg") != "ES256":
            raise InvalidTokenError("the token is not signed with ES256")
        if not self._load().verifies(f"{parts[0]}.{parts[1]}".encode(), signature):
            raise InvalidTokenError("the token was not signed by this server")
        return self._claims(payload, now)

    def _claims(self, payload: objects.Object, now: dt.datetime) -> Claims:
        if payload.get("iss") == STORED_ISSUER:
            return self._claims_of_secret(payload)
        try:
            expires = dt.datetime.fromtimestamp(int(payload["exp"]), dt.UTC)
            private = payload["kubernetes.io"]
            account = private["serviceaccount"]
            claims = Claims(
                namespace=str(private["namespace"]),
                account=str(account["name"]),
                account_uid=str(account["uid"]),
                audiences=tuple(payload["aud"]),
                token_id=str(payload.get("jti") or ""),
                bound=_bound(private),
                expires=expires,
            )
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise InvalidTokenError(f"the token lacks what it must say: {error}") from error
        if payload.get("iss") != self.issuer:
            raise InvalidTokenError(f"the token was issued by {payload.get('iss')!r}")
        if now >= expires:
            raise InvalidTokenError(f"the token expired at {expires:%Y-%m-%dT%H:%M:%SZ}")
        return claims

    def _claims_of_secret(self, payload: objects.Object) -> Claims:
        try:
            return Claims(
                namespace=str(payload[f"{_FLAT}namespace"]),
                account=str(payload[f"{_FLAT}service-account.name"]),
                account_uid=str(payload[f"{_FLAT}service-account.uid"]),
                audiences=(self.issuer,),
                token_id="",
                bound=("Secret", str(payload[f"{_FLAT}secret.name"]), ""),
                expires=dt.datetime.max.replace(tzinfo=dt.UTC),
            )
        except KeyError as error:
            raise InvalidTokenError(f"the token lacks what it must say: {error}") from error

    def public_keys(self) -> objects.Object:
        """Return the JSON Web Key Set with which others may verify tokens."""
        return {"keys": [self._load().public()]}

    def _load(self) -> signing.SigningKey:
        if self._key is None:
            from understudy.kapi.http import signing  # noqa: PLC0415 (loads cryptography)

            self._key = signing.SigningKey.at(self._path)
        return self._key


def _bound(private: objects.Object) -> tuple[str, str, str] | None:
    for kind in ("Pod", "Secret", "Node"):
        found = private.get(kind.lower())
        if isinstance(found, dict):
            return (kind, str(found["name"]), str(found["uid"]))
    return None


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
