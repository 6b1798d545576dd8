"""What goes into a request to say who asks: tokens that are replaced, plugins, certificates."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import datetime as dt
import os
import ssl
import tempfile
from dataclasses import dataclass
from pathlib import Path

import orjson

from understudy.aio import clocks
from understudy.client import errors, kubeconfig
from understudy.kube import objects

TOKEN_FILE_AGE_S = 60.0
"""How long a token file's content is used; client-go's value. Kubelet replaces it at 80 % of its
life, an hour by default, so a minute is early enough."""

EXEC_TIMEOUT_S = 60.0
"""How long a credential plugin may take: some open a browser; kubectl waits for ever."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecCredential:
    """What an exec plugin printed."""

    token: str = ""
    certificate: bytes = b""
    key: bytes = b""
    expires: dt.datetime | None = None


class Credentials:
    """Gives the headers of each request and the TLS context of each connection."""

    __slots__ = ("_access", "_clock", "_exec", "_lock", "_token", "_token_read_at")

    def __init__(self, access: kubeconfig.Access, clock: clocks.Clock) -> None:
        self._access = access
        self._clock = clock
        self._exec: ExecCredential | None = None
        self._lock = asyncio.Lock()
        self._token = ""
        self._token_read_at = float("-inf")

    async def headers(self) -> list[tuple[str, str]]:
        """Return the headers that identify the user now; impersonated groups are one each.

        Raises:
            CredentialsError: A plugin or token file gave nothing.
        """
        access = self._access
        found: list[tuple[str, str]] = []
        if access.impersonate:
            found.append(("Impersonate-User", access.impersonate))
            found += (("Impersonate-Group", group) for group in access.groups)
        token = access.token
        if access.token_file:
            token = self._from_file(access.token_file)
        elif access.exec_plugin is not None and not token:
            token = (await self._from_plugin(access.exec_plugin)).token
        if token:
            found.append(("Authorization", f"Bearer {token}"))
        elif access.username:
            pair = f"{access.username}:{access.password}".encode()
            found.append(("Authorization", f"Basic {base64.b64encode(pair).decode()}"))
        return found

    async def tls(self) -> ssl.SSLContext | None:
        """Return the TLS context, None for plain HTTP.

        Raises:
            KubeconfigError: A certificate in the kubeconfig cannot be used.
        """
        access = self._access
        if not access.server.startswith("https://"):
            return None
        context = ssl.create_default_context()
        if access.ca_data:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            try:
                context.load_verify_locations(cadata=access.ca_data.decode())
            except (ssl.SSLError, ValueError) as error:
                raise errors.KubeconfigError(
                    f"{access.origin}: the certificate authority is not a PEM certificate"
                ) from error
        if access.insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        certificate, key = access.certificate, access.key
        if not certificate and access.exec_plugin is not None:
            made = await self._from_plugin(access.exec_plugin)
            certificate, key = made.certificate, made.key
        if certificate:
            _load_chain(context, certificate, key, access.origin)
        return context

    def forget(self) -> bool:
        """Drop what was cached, after a 401; say whether asking again may help."""
        self._exec = None
        self._token_read_at = float("-inf")
        return bool(self._access.exec_plugin or self._access.token_file)

    def _from_file(self, path: str) -> str:
        now = self._clock.monotonic()
        if now - self._token_read_at >= TOKEN_FILE_AGE_S:
            try:
                self._token = Path(path).read_text(encoding="ascii").strip()
            except (OSError, UnicodeDecodeError) as error:
                raise errors.CredentialsError(f"the token file {path} cannot be read") from error
            if not self._token:
                raise errors.CredentialsError(f"the token file {path} is empty")
            self._token_read_at = now
        return self._token

    async def _from_plugin(self, plugin: kubeconfig.ExecPlugin) -> ExecCredential:
        async with self._lock:  # One plugin run serves every request that waits for it.
            made = self._exec
            if made is None or (made.expires is not None and made.expires <= self._clock.now()):
                made = self._exec = await run_plugin(plugin, self._access)
            return made


def _load_chain(context: ssl.SSLContext, certificate: bytes, key: bytes, origin: str) -> None:
    """Load a client certificate; ssl takes only files, so one exists, private, for that moment."""
    handle, name = tempfile.mkstemp(prefix="understudy-", suffix=".pem")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(certificate.rstrip() + b"\n" + key)
        context.load_cert_chain(name)
    except (ssl.SSLError, ValueError) as error:
        raise errors.KubeconfigError(
            f"{origin}: client-certificate and client-key are not a PEM pair"
        ) from error
    finally:
        Path(name).unlink()


async def run_plugin(plugin: kubeconfig.ExecPlugin, access: kubeconfig.Access) -> ExecCredential:
    """Run a credential plugin and read what it prints.

    Raises:
        CredentialsError: It cannot be run, fails, takes too long or prints something else.
    """
    spec: objects.Object = {"interactive": False}
    if plugin.provide_cluster_info:
        spec["cluster"] = {
            "server": access.server,
            "certificate-authority-data": base64.b64encode(access.ca_data).decode(),
            "insecure-skip-tls-verify": access.insecure,
            "tls-server-name": access.tls_server_name,
        }
    info = {"apiVersion": plugin.api_version, "kind": "ExecCredential", "spec": spec}
    environment = {**os.environ, "KUBERNETES_EXEC_INFO": orjson.dumps(info).decode()}
    environment.update(plugin.environment)
    try:
        process = await asyncio.create_subprocess_exec(
            plugin.command,
            *plugin.arguments,
            env=environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
    except OSError as error:
        hint = f": {plugin.install_hint}" if plugin.install_hint else ""
        raise errors.CredentialsError(
            f"the credential plugin {plugin.command!r} of {access.origin} cannot be run "
            f"({error.strerror}){hint}"
        ) from error
    try:
        async with asyncio.timeout(EXEC_TIMEOUT_S):
            printed, complaint = await process.communicate()
    except TimeoutError as error:
        raise errors.CredentialsError(
            f"the credential plugin {plugin.command!r} took longer than {EXEC_TIMEOUT_S:.0f} s"
        ) from error
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    if process.returncode:
        said = complaint.decode(errors="replace").strip().splitlines()
        why = said[-1] if said else "it said nothing"
        raise errors.CredentialsError(
            f"the credential plugin {plugin.command!r} failed with exit code "
            f"{process.returncode}: {why}"
        )
    return _parse_credential(plugin.command, printed)


def _parse_credential(command: str, printed: bytes) -> ExecCredential:
    try:
        status = orjson.loads(printed)["status"]
        expires = status.get("expirationTimestamp")
        made = ExecCredential(
            token=status.get("token") or "",
            certificate=(status.get("clientCertificateData") or "").encode(),
            key=(status.get("clientKeyData") or "").encode(),
            expires=dt.datetime.fromisoformat(expires) if expires else None,
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise errors.CredentialsError(
            f"the credential plugin {command!r} printed no ExecCredential with a status"
        ) from error
    if not made.token and not made.certificate:
        raise errors.CredentialsError(
            f"the credential plugin {command!r} gave neither a token nor a client certificate"
        )
    return made
