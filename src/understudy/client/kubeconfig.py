"""Which cluster, as whom: kubeconfig files merged as kubectl merges them, or a pod's account.

    --kubeconfig PATH            only that file, which must exist
    KUBECONFIG=a:b               both, the first to say something wins; missing files are skipped
    ~/.kube/config               otherwise
    /var/run/secrets/...         when there is no file and the process runs in a pod

A relative path inside a file is relative to that file. Source: client-go `tools/clientcmd`.
"""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from understudy.client import errors
from understudy.kube import objects

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_SECTIONS = (("clusters", "cluster"), ("users", "user"), ("contexts", "context"))


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecPlugin:
    """A command that prints an `ExecCredential` (client.authentication.k8s.io)."""

    command: str
    arguments: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()
    api_version: str = "client.authentication.k8s.io/v1"
    provide_cluster_info: bool = False
    install_hint: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """How to reach one cluster, as one user.

    Attributes:
        server: Base URL without a trailing slash; a path (`/base`) is kept.
        origin: For messages: the file and context it comes from.
        namespace: The context's namespace, `default` where it names none.
        ca_data: PEM of the authorities to trust; empty for the system's.
        token_file: Re-read every minute, because a pod's token is replaced while it runs.
        groups: Impersonated groups, with `impersonate`.
    """

    server: str
    origin: str = ""
    context: str = ""
    namespace: str = "default"
    ca_data: bytes = b""
    insecure: bool = False
    tls_server_name: str = ""
    proxy_url: str = ""
    certificate: bytes = field(default=b"", repr=False)
    key: bytes = field(default=b"", repr=False)
    token: str = field(default="", repr=False)
    token_file: str = ""
    username: str = ""
    password: str = field(default="", repr=False)
    exec_plugin: ExecPlugin | None = None
    impersonate: str = ""
    groups: tuple[str, ...] = ()


def load(
    *,
    kubeconfig: str | Path | None = None,
    context: str | None = None,
    environ: Mapping[str, str] | None = None,
    account: Path = ACCOUNT,
) -> Access:
    """Return the access that kubectl would use with the same options.

    Args:
        kubeconfig: As `--kubeconfig`.
        context: As `--context`; the current context when absent.
        environ: Where KUBECONFIG, HOME and KUBERNETES_SERVICE_* are looked up.
        account: Where a pod finds its service account.

    Raises:
        KubeconfigError: Nothing to use, or something in it is wrong; one sentence says what.
    """
    known = os.environ if environ is None else environ
    paths, must_exist = _paths(kubeconfig, known)
    found = [path for path in paths if path.exists()]
    if must_exist and not found:
        raise errors.KubeconfigError(f"no such kubeconfig file: {paths[0]}")
    if not found:
        if context is None and "KUBERNETES_SERVICE_HOST" in known and (account / "token").exists():
            return in_cluster(known, account)
        looked = ", ".join(str(path) for path in paths)
        raise errors.KubeconfigError(
            f"no kubeconfig found (looked for {looked}): give --kubeconfig or set KUBECONFIG"
        )
    merged = merge(found)
    return resolve(merged, context, origin=", ".join(str(path) for path in found))


def _paths(kubeconfig: str | Path | None, environ: Mapping[str, str]) -> tuple[list[Path], bool]:
    if kubeconfig:
        return [Path(kubeconfig).expanduser()], True
    listed = [part for part in environ.get("KUBECONFIG", "").split(os.pathsep) if part]
    if listed:
        return [Path(part) for part in dict.fromkeys(listed)], False
    home = environ.get("HOME") or str(Path("~").expanduser())
    return [Path(home) / ".kube" / "config"], False


def merge(paths: Iterable[Path]) -> objects.Object:
    """Read files and merge them: of two entries with one name, the first file's counts whole."""
    merged: objects.Object = {"current-context": "", "clusters": {}, "users": {}, "contexts": {}}
    for path in paths:
        document = _read(path)
        merged["current-context"] = merged["current-context"] or document.get("current-context")
        for section, inner in _SECTIONS:
            for position, entry in enumerate(_entries(document, section, path)):
                body = entry.get(inner) or {}
                if not isinstance(body, dict) or not isinstance(entry.get("name"), str):
                    raise errors.KubeconfigError(
                        f"{path}: {section}[{position}] needs a name and a mapping `{inner}`"
                    )
                merged[section].setdefault(entry["name"], {**body, "_dir": str(path.parent)})
    return merged


def _read(path: Path) -> objects.Object:
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise errors.KubeconfigError(f"{path} cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        where = getattr(error, "problem_mark", None)
        place = f" at line {where.line + 1}" if where is not None else ""
        raise errors.KubeconfigError(f"{path} is not YAML{place}") from error
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise errors.KubeconfigError(f"{path} is not a kubeconfig: it holds no mapping")
    return document


def _entries(document: objects.Object, section: str, path: Path) -> list[objects.Object]:
    entries = document.get(section) or []
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise errors.KubeconfigError(f"{path}: {section} must be a list of mappings")
    return entries


def resolve(merged: objects.Object, context: str | None, *, origin: str) -> Access:
    """Return the access of one context of a merged kubeconfig.

    Raises:
        KubeconfigError: No such context, cluster or user, or a field in them cannot be used.
    """
    name = context or merged["current-context"]
    if not name:
        raise errors.KubeconfigError(
            f"{origin} has no current-context: give --context, one of {_known(merged)}"
        )
    chosen = merged["contexts"].get(name)
    if chosen is None:
        raise errors.KubeconfigError(f"{origin} has no context {name!r}: it has {_known(merged)}")
    cluster = _named(merged, "clusters", chosen.get("cluster"), name, origin)
    user = _named(merged, "users", chosen.get("user"), name, origin) if chosen.get("user") else {}
    server = str(cluster.get("server") or "").rstrip("/")
    if not server.startswith(("http://", "https://")):
        raise errors.KubeconfigError(
            f"{origin}: cluster {chosen.get('cluster')!r} has server {server!r}, which is no "
            "http:// or https:// URL"
        )
    if user.get("auth-provider"):
        raise errors.KubeconfigError(
            f"{origin}: user {chosen.get('user')!r} uses auth-provider, which Kubernetes removed "
            "in 1.26: use exec instead"
        )
    token_file = user.get("tokenFile") or ""
    return Access(
        server=server,
        origin=origin,
        context=name,
        namespace=str(chosen.get("namespace") or "default"),
        ca_data=_data(cluster, "certificate-authority", origin),
        insecure=bool(cluster.get("insecure-skip-tls-verify")),
        tls_server_name=str(cluster.get("tls-server-name") or ""),
        proxy_url=str(cluster.get("proxy-url") or ""),
        certificate=_data(user, "client-certificate", origin),
        key=_data(user, "client-key", origin),
        token=str(user.get("token") or "") if not token_file else "",
        token_file=str(Path(user["_dir"]) / token_file) if token_file else "",
        username=str(user.get("username") or ""),
        password=str(user.get("password") or ""),
        exec_plugin=_exec_plugin(user, origin),
        impersonate=str(user.get("as") or ""),
        groups=tuple(user.get("as-groups") or ()),
    )


def _known(merged: objects.Object) -> str:
    return ", ".join(sorted(merged["contexts"])) or "no contexts"


def _named(
    merged: objects.Object, section: str, name: objects.Json, context: str, origin: str
) -> objects.Object:
    found = merged[section].get(name)
    if found is None:
        raise errors.KubeconfigError(
            f"{origin}: context {context!r} names the {section[:-1]} {name!r}, which is not there"
        )
    body: objects.Object = found
    return body


def _data(body: objects.Object, key: str, origin: str) -> bytes:
    """Return `<key>-data`, else the content of the file named by `<key>`, else nothing."""
    inline = body.get(f"{key}-data")
    if inline:
        try:
            return base64.b64decode(inline, validate=True)
        except (binascii.Error, ValueError) as error:
            raise errors.KubeconfigError(f"{origin}: {key}-data is not base64") from error
    if not body.get(key):
        return b""
    path = Path(body["_dir"]) / str(body[key])
    try:
        return path.read_bytes()
    except OSError as error:
        raise errors.KubeconfigError(
            f"{origin}: {key} {path} cannot be read: {error.strerror}"
        ) from error


def _exec_plugin(user: objects.Object, origin: str) -> ExecPlugin | None:
    body = user.get("exec")
    if not body:
        return None
    if not isinstance(body, dict) or not body.get("command"):
        raise errors.KubeconfigError(f"{origin}: an exec plugin needs a command")
    command = str(body["command"])
    if "/" in command and not command.startswith("/"):
        command = str(Path(user["_dir"]) / command)
    return ExecPlugin(
        command=command,
        arguments=tuple(str(item) for item in body.get("args") or ()),
        environment=tuple((str(e["name"]), str(e["value"])) for e in body.get("env") or ()),
        api_version=str(body.get("apiVersion") or "client.authentication.k8s.io/v1"),
        provide_cluster_info=bool(body.get("provideClusterInfo")),
        install_hint=str(body.get("installHint") or "").strip(),
    )


def in_cluster(environ: Mapping[str, str], account: Path = ACCOUNT) -> Access:
    """Return the access of the pod this process runs in.

    Raises:
        KubeconfigError: It does not run in a pod, or the pod has no service account.
    """
    host = environ.get("KUBERNETES_SERVICE_HOST", "")
    port = environ.get("KUBERNETES_SERVICE_PORT", "443")
    if not host:
        raise errors.KubeconfigError("not in a pod: KUBERNETES_SERVICE_HOST is not set")
    try:
        authority = (account / "ca.crt").read_bytes()
        namespace = (account / "namespace").read_text().strip()
    except OSError as error:
        raise errors.KubeconfigError(
            f"the pod's service account at {account} cannot be read: {error.strerror}"
        ) from error
    return Access(
        server=f"https://{f'[{host}]' if ':' in host else host}:{port}",
        origin="the pod's service account",
        namespace=namespace or "default",
        ca_data=authority,
        token_file=str(account / "token"),
    )
