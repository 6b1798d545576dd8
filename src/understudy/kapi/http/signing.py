"""ES256 keys and signatures (JSON Web Algorithms, RFC 7518 section 3.4).

The only module of tokens that loads `cryptography`; it is imported when the first token is signed
or verified, so that a server without tokens starts without it.
"""

from __future__ import annotations

import base64
import hashlib
import os
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils

from understudy.kube import objects

_HALF_BYTES = 32


class SigningKey:
    """A P-256 key pair; `key_id` is the hash of its public part."""

    __slots__ = ("_private", "key_id")

    def __init__(self, private: ec.EllipticCurvePrivateKey) -> None:
        self._private = private
        der = private.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        self.key_id = encode(hashlib.sha256(der).digest())

    @classmethod
    def at(cls, path: Path | None) -> SigningKey:
        """Load the key of a file, or make one, written 0600 before anything is signed with it."""
        if path is not None and path.exists():
            loaded = serialization.load_pem_private_key(path.read_bytes(), password=None)
            if not isinstance(loaded, ec.EllipticCurvePrivateKey):
                raise ValueError(f"{path} does not hold an elliptic curve key: remove it")
            return cls(loaded)
        private = ec.generate_private_key(ec.SECP256R1())
        if path is not None:
            pem = private.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(pem)
        return cls(private)

    def sign(self, data: bytes) -> bytes:
        """Return the signature, both halves as 32 bytes."""
        r, s = utils.decode_dss_signature(self._private.sign(data, ec.ECDSA(hashes.SHA256())))
        return r.to_bytes(_HALF_BYTES, "big") + s.to_bytes(_HALF_BYTES, "big")

    def verifies(self, data: bytes, signature: bytes) -> bool:
        """Say whether the signature is this key's, of this data."""
        if len(signature) != 2 * _HALF_BYTES:
            return False
        halves = signature[:_HALF_BYTES], signature[_HALF_BYTES:]
        der = utils.encode_dss_signature(*(int.from_bytes(half, "big") for half in halves))
        try:
            self._private.public_key().verify(der, data, ec.ECDSA(hashes.SHA256()))
        except InvalidSignature:
            return False
        return True

    def public(self) -> objects.Object:
        """Return the public key as a JSON Web Key."""
        numbers = self._private.public_key().public_numbers()
        return {
            "use": "sig",
            "kty": "EC",
            "kid": self.key_id,
            "crv": "P-256",
            "alg": "ES256",
            "x": encode(numbers.x.to_bytes(_HALF_BYTES, "big")),
            "y": encode(numbers.y.to_bytes(_HALF_BYTES, "big")),
        }


def encode(data: bytes) -> str:
    """Encode as base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
