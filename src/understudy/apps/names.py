"""Names that follow from an app's identity: its Knative Service, its URLs.

`kservice_name` gives byte for byte what Flyte's `KServiceName` gives, so that both address the same
object. It is not injective: `(name a-b, project c)` and `(name a, project b-c)` share one name, and
so do names that differ in case. The client therefore compares the identity kept in the Service's
annotations before it touches one.
"""

from __future__ import annotations

import hashlib
import re

from understudy.apps import records, settings
from understudy.kube import names

NAME_BYTES_MAX = 63
HASH_CHARACTERS = 8

_APP_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?")


def kservice_name(app_id: records.Identifier) -> str:
    """Return the name of an app's Knative Service; every identity has one, valid or not.

    `my-app` of project `shop` and domain `dev` is `my-app-shop-dev`. A name of more than 63 bytes
    keeps its first 54 and gets a hyphen and 8 hex digits of the SHA-256 of `project/domain/name`.
    """
    raw = _lower(f"{app_id.name}-{app_id.project}-{app_id.domain}").encode()
    if len(raw) <= NAME_BYTES_MAX:
        return raw.decode()
    identity = f"{app_id.project}/{app_id.domain}/{app_id.name}"
    suffix = "-" + hashlib.sha256(identity.encode()).hexdigest()[:HASH_CHARACTERS]
    kept = raw[: NAME_BYTES_MAX - len(suffix)]
    return kept.decode(errors="surrogateescape") + suffix


def public_ingress(
    app_id: records.Identifier, config: settings.AppSettings
) -> records.Ingress | None:
    """Return an app's public URL, which follows from its name alone; None without a base domain."""
    if not config.base_domain:
        return None
    host = _lower(f"{kservice_name(app_id)}.{config.base_domain}")
    url = f"{config.scheme or 'https'}://{host}"
    if config.ingress_apps_port:
        url += f":{config.ingress_apps_port}"
    return records.Ingress(public_url=url)


def endpoint_pattern(app_id: records.Identifier, config: settings.AppSettings) -> str:
    """Return the URL of apps beside this one, with `{app_fqdn}` where their name goes."""
    suffix = config.namespaced_name_suffix_template
    suffix = suffix.replace("{{ project }}", _lower(app_id.project))
    suffix = suffix.replace("{{ domain }}", _lower(app_id.domain))
    return f"http://{{app_fqdn}}-{suffix}.{config.namespace}.{config.internal_domain}"


def complaints(app_id: records.Identifier) -> list[tuple[str, str]]:
    """Return (field, problem) for everything about an identity that no cluster would accept."""
    found: list[tuple[str, str]] = []
    for key, value in (("project", app_id.project), ("domain", app_id.domain)):
        if not value:
            found.append((f"metadata.id.{key}", "must not be empty"))
        elif problems := names.label_value(value):
            found.append((f"metadata.id.{key}", f"{value!r} cannot be a label: {problems[0]}"))
    name = app_id.name
    if not name:
        found.append(("metadata.id.name", "must not be empty"))
    elif not _APP_NAME.fullmatch(name):
        found.append(
            (
                "metadata.id.name",
                f"{name!r} must be at most 63 letters, digits and hyphens, and start and end with a"
                " letter or digit",
            )
        )
    if any("/" in part for part in (app_id.project, app_id.domain)):
        found.append(("metadata.id", "project and domain must not contain a slash"))
    service = kservice_name(app_id)
    if not found and (problems := names.dns1035_label(service)):
        found.append(
            ("metadata.id", f"the Knative Service would be named {service!r}: {problems[0]}")
        )
    return found


def _lower(text: str) -> str:
    """Lower each character by itself, as Go's strings.ToLower; Python's looks at neighbours."""
    return text.lower() if text.isascii() else "".join(char.lower()[0] for char in text)
