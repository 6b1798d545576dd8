"""Where webhooks are called: of admission and of conversion alike.

Source: k8s.io/apiserver 0.36 `util/webhook/{validation,client}.go`, `util/proxy`.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator
from typing import Protocol

from understudy.kapi.resources import calls
from understudy.kube import causes, names, objects, statuses, urls


def client_config(client: objects.Object, path: str) -> Iterator[statuses.Cause]:
    """Check a clientConfig: an https URL or a service, one of the two."""
    url, service = client.get("url"), client.get("service")
    if (url is None) == (service is None):
        yield causes.required(path, "exactly one of url or service is required")
    elif url is not None:
        yield from _url(url, f"{path}.url")
    elif service is not None:
        yield from _service(service, f"{path}.service")


_URL_HELP = "; desired format: https://host[/path]"


def _url(url: str, path: str) -> Iterator[statuses.Cause]:
    try:
        parts = urls.parse(url)
    except ValueError as error:
        yield causes.required(path, f"url must be a valid URL: {error}{_URL_HELP}")
        return
    if parts.scheme != "https":
        text = f"'https' is the only allowed URL scheme{_URL_HELP}"
        yield causes.invalid(path, parts.scheme, text)
    if not parts.host:
        yield causes.invalid(path, parts.host, f"host must be specified{_URL_HELP}")
    if parts.user is not None:
        yield causes.invalid(path, parts.user, "user information is not permitted in the URL")
    if parts.fragment:
        text = "fragments are not permitted in the URL"
        yield causes.invalid(path, parts.fragment, text)
    if parts.query:
        text = "query parameters are not permitted in the URL"
        yield causes.invalid(path, parts.query, text)


def _service(service: objects.Object, path: str) -> Iterator[statuses.Cause]:
    # Kubernetes mixes the two up, in definitions as in webhook configurations.
    if not service.get("namespace"):
        yield causes.required(f"{path}.name")
    if not service.get("name"):
        yield causes.required(f"{path}.namespace")
    port = service.get("port")
    if port is not None and not 0 < port < 65536:
        text = "port is not valid: must be between 1 and 65535, inclusive"
        yield causes.invalid(f"{path}.port", port, text)
    said = service.get("path")
    if said is None:
        return
    place = f"{path}.path"
    if said in {"", "/"}:
        return
    if not said.startswith("/"):
        yield causes.invalid(place, said, "must start with a '/'")
    steps = said[1:].removesuffix("/").split("/")
    for position, step in enumerate(steps):
        if not step:
            yield causes.invalid(place, said, f"segment[{position}] may not be empty")
        elif complaints := names.dns_subdomain(step):
            for complaint in complaints:
                yield causes.invalid(place, said, f"segment[{position}]: {complaint}")


class Services(Protocol):
    """Where services are looked up."""

    def find(self, resource: str, namespace: str, name: str) -> objects.Object | None: ...

    def each(self, resource: str, namespace: str = "") -> Iterable[objects.Object]: ...


def target(client: objects.Object, services: Services) -> calls.Target:
    """Return where a clientConfig leads to, a service by way of one of its ready endpoints."""
    ca = base64.b64decode(client.get("caBundle") or "").decode("utf-8", "replace")
    service = client.get("service")
    if service is None:
        return calls.Target(url=_base(str(client.get("url") or "")), ca=ca)
    namespace, name = str(service["namespace"]), str(service["name"])
    port = int(service.get("port") or 443)
    url = _base(f"https://{name}.{namespace}.svc:{port}{service.get('path') or ''}")
    try:
        address = _endpoint(services, namespace, name, port)
    except LookupError as error:
        return calls.Target(url=url, failure=str(error.args[0]), ca=ca)
    return calls.Target(url=url, address=address, ca=ca)


def _base(url: str) -> str:
    """Return a URL with a path, without a slash at its end."""
    scheme, _, rest = url.partition("://")
    host, _, path = rest.partition("/")
    path = "/".join(step for step in path.split("/") if step)
    return f"{scheme}://{host}/{path}"


def _endpoint(services: Services, namespace: str, name: str, port: int) -> str:
    """Return `host:port` of a service's first ready endpoint.

    Raises:
        LookupError: There is none, in the words of kube-apiserver.
    """
    service = services.find("services", namespace, name)
    if service is None:
        raise LookupError(f'service "{name}" not found')
    spec = service.get("spec") or {}
    if spec.get("type") == "ExternalName":
        return f"{spec.get('externalName')}:{port}"
    found = [one for one in spec.get("ports") or () if one.get("port") == port]
    if not found:
        raise LookupError(f'no service port {port} found for service "{name}"')
    wanted = found[0].get("name") or ""
    for slice_ in services.each("endpointslices.discovery.k8s.io", namespace):
        if objects.labels_of(slice_).get("kubernetes.io/service-name") != name:
            continue
        numbers = [
            p.get("port") for p in slice_.get("ports") or () if (p.get("name") or "") == wanted
        ]
        for endpoint in slice_.get("endpoints") or ():
            if numbers and (endpoint.get("conditions") or {}).get("ready") is not False:
                return _joined(str(endpoint["addresses"][0]), numbers[0])
    endpoints = services.find("endpoints", namespace, name) or {}
    for subset in endpoints.get("subsets") or ():
        numbers = [
            p.get("port") for p in subset.get("ports") or () if (p.get("name") or "") == wanted
        ]
        if numbers and subset.get("addresses"):
            return _joined(str(subset["addresses"][0]["ip"]), numbers[0])
    raise LookupError(f'no endpoints available for service "{name}"')


def _joined(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
