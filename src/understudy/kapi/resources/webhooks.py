"""Where webhooks are called: of admission and of conversion alike.

Source: k8s.io/apiserver 0.36 `util/webhook/validation.go`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from understudy.kube import causes, names, objects, statuses


def client_config(client: objects.Object, path: str) -> Iterator[statuses.Cause]:
    """Check a clientConfig: an https URL or a service, one of the two."""
    url, service = client.get("url"), client.get("service")
    if (url is None) == (service is None):
        yield causes.required(path, "exactly one of url or service is required")
    elif url is not None:
        yield from _url(url, f"{path}.url")
    elif service is not None:
        yield from _service(service, f"{path}.service")


_URL = re.compile(r"(?:(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*):)?(?://(?P<host>[^/?#]*))?(?P<rest>.*)")
_URL_HELP = "; desired format: https://host[/path]"


def _url(url: str, path: str) -> Iterator[statuses.Cause]:
    found = _URL.fullmatch(url) if url.isprintable() else None
    if found is None or url.startswith(":"):
        why = "net/url: invalid control character in URL"
        if found is not None:
            why = "missing protocol scheme"
        text = f"url must be a valid URL: parse {causes.quoted(url)}: {why}{_URL_HELP}"
        yield causes.required(path, text)
        return
    scheme, host, rest = found["scheme"] or "", found["host"] or "", found["rest"]
    if scheme != "https":
        text = f"'https' is the only allowed URL scheme{_URL_HELP}"
        yield causes.invalid(path, scheme, text)
    if not host:
        yield causes.invalid(path, host, f"host must be specified{_URL_HELP}")
    if "@" in host:
        user = host.rpartition("@")[0]
        yield causes.invalid(path, user, "user information is not permitted in the URL")
    fragment = rest.partition("#")[2]
    if fragment:
        yield causes.invalid(path, fragment, "fragments are not permitted in the URL")
    query = rest.partition("#")[0].partition("?")[2]
    if query:
        yield causes.invalid(path, query, "query parameters are not permitted in the URL")


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
