"""A certificate authority of our own: the server's certificate, and clients' on request.

Loads `cryptography`; imported only by servers that speak TLS.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import os
import ssl
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509 import oid

AUTHORITY_DAYS = 3650
CERTIFICATE_DAYS = 825
"""Longest validity that clients accept of a server's certificate."""

_BACKDATED = dt.timedelta(hours=1)
"""Clocks differ; a certificate is valid a little before it was made."""


class Authority:
    """A CA in a directory: `ca.crt`, `ca.key` (0600); made there if there is none."""

    __slots__ = ("_certificate", "_key", "directory")

    def __init__(self, directory: Path, now: dt.datetime) -> None:
        self.directory = directory
        if self.path.exists() and (directory / "ca.key").exists():
            self._certificate = x509.load_pem_x509_certificate(self.path.read_bytes())
            key = serialization.load_pem_private_key(
                (directory / "ca.key").read_bytes(), password=None
            )
            if not isinstance(key, ec.EllipticCurvePrivateKey):
                raise ValueError(f"{directory}/ca.key is no elliptic curve key: remove it")
            self._key = key
        else:
            self._key = ec.generate_private_key(ec.SECP256R1())
            self._certificate = self._self_signed(now)
            write_private(directory / "ca.key", _private_pem(self._key))
            write_private(self.path, self._certificate.public_bytes(serialization.Encoding.PEM))

    @property
    def path(self) -> Path:
        """The CA's certificate."""
        return self.directory / "ca.crt"

    @property
    def pem(self) -> bytes:
        """The CA's certificate as PEM."""
        return self._certificate.public_bytes(serialization.Encoding.PEM)

    def _self_signed(self, now: dt.datetime) -> x509.Certificate:
        name = x509.Name([x509.NameAttribute(oid.NameOID.COMMON_NAME, "understudy-ca")])
        return (
            _builder(name, name, self._key, now, AUTHORITY_DAYS)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
            .sign(self._key, hashes.SHA256())
        )

    def server(self, hosts: Sequence[str], now: dt.datetime) -> tuple[bytes, bytes]:
        """Return certificate and key (PEM) for a server reached by any of `hosts`."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(oid.NameOID.COMMON_NAME, "understudy")])
        certificate = (
            self._builder_for(name, key, now)
            .add_extension(
                x509.SubjectAlternativeName([_general_name(host) for host in hosts]),
                critical=False,
            )
            .add_extension(
                x509.ExtendedKeyUsage([oid.ExtendedKeyUsageOID.SERVER_AUTH]), critical=False
            )
            .sign(self._key, hashes.SHA256())
        )
        return certificate.public_bytes(serialization.Encoding.PEM), _private_pem(key)

    def client(self, user: str, groups: Sequence[str], now: dt.datetime) -> tuple[bytes, bytes]:
        """Return certificate and key (PEM) of a client: user name and groups."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name(
            [
                *(x509.NameAttribute(oid.NameOID.ORGANIZATION_NAME, group) for group in groups),
                x509.NameAttribute(oid.NameOID.COMMON_NAME, user),
            ]
        )
        certificate = (
            self._builder_for(name, key, now)
            .add_extension(
                x509.ExtendedKeyUsage([oid.ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False
            )
            .sign(self._key, hashes.SHA256())
        )
        return certificate.public_bytes(serialization.Encoding.PEM), _private_pem(key)

    def _builder_for(
        self, name: x509.Name, key: ec.EllipticCurvePrivateKey, now: dt.datetime
    ) -> x509.CertificateBuilder:
        return (
            _builder(name, self._certificate.subject, key, now, CERTIFICATE_DAYS)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
                critical=False,
            )
        )

    def context(self, hosts: Sequence[str], now: dt.datetime) -> ssl.SSLContext:
        """Return the context of a server: TLS 1.2 or later, HTTP/1.1, client certificates welcome.

        The server's certificate is made anew at each start and lies beside the CA's.
        """
        certificate, key = self.server(hosts, now)
        certificate_path, key_path = self.directory / "server.crt", self.directory / "server.key"
        write_private(certificate_path, certificate)
        write_private(key_path, key)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(certificate_path, key_path)
        context.load_verify_locations(self.path)
        context.verify_mode = ssl.CERT_OPTIONAL
        context.set_alpn_protocols(["http/1.1"])
        return context


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    now: dt.datetime,
    days: int,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(now + dt.timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=not signs_certificates,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def write_private(path: Path, content: bytes) -> None:
    """Write a file that only its owner may read, whole or not at all."""
    temporary = path.with_name(f".{path.name}.new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    temporary.replace(path)
