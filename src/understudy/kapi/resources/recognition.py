"""Why a body of another kind or version cannot be written where it was sent.

A Kubernetes API server decodes a body as what it says it is and then converts it to what the path
holds; so it knows many kinds which it does not serve, and tells unknown ones from unfitting ones.
"""

from __future__ import annotations

from understudy.kapi.resources import catalogue as catalogues, definitions, tables
from understudy.kube import identities, statuses

_SCHEME = "k8s.io/kubernetes/pkg/api/legacyscheme/scheme.go:30"


def mismatch(
    resource: catalogues.Resource,
    api_version: str,
    kind: str,
    *,
    expected: str = "",
    expected_group: str | None = None,
) -> statuses.BadRequestError:
    """Build the refusal of a body that says `api_version` and `kind`, which are not the resource's.

    `expected` is the kind that the path takes, where it is not the resource's own (Scale), and
    `expected_group` its group.
    """
    wanted = expected or resource.kind
    group, version = identities.split_api_version(api_version)
    refusal = f'{kind} in version "{version}" cannot be handled as a {wanted}: '
    if kind not in definitions.registered(api_version):
        return statuses.BadRequestError(
            f'{refusal}no kind "{kind}" is registered for version "{api_version}" in scheme '
            f'"{_SCHEME}"'
        )
    own = resource.group if expected_group is None else expected_group
    if kind == wanted and _is_convertible(group, own):
        return statuses.BadRequestError(
            f"the API version in the data ({api_version}) does not match the expected API version "
            f"({resource.api_version})"
        )
    package = tables.internal_package(own)
    return statuses.BadRequestError(
        f"{refusal}converting ({version}.{kind}) to ({package}.{wanted}): unknown conversion"
    )


def _is_convertible(said: str, own: str) -> bool:
    """Say whether kinds of one name in two groups are the same to the server."""
    return said == own or "extensions" in (said, own) or {said, own} == {"", "events.k8s.io"}
