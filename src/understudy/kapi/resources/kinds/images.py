"""Container image references, as far as defaults depend on them.

Source: pkg/util/parsers and github.com/distribution/reference @1.36.
"""

from __future__ import annotations

import functools
import re

REFERENCES_CACHED_MAX = 4096
"""Image references whose policy is kept; clusters use far fewer."""

_PATH_MAX = 255
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_LABEL = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_REFERENCE = re.compile(
    rf"(?:(?:{_LABEL}(?:\.{_LABEL})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?/)?"
    rf"(?P<path>{_COMPONENT}(?:/{_COMPONENT})*)"
    r"(?::(?P<tag>[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,127}))?"
    r"(?P<digest>@[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,})?"
)


@functools.lru_cache(maxsize=REFERENCES_CACHED_MAX)
def pull_policy(reference: str) -> str:
    """Return `Always` for the tag `latest`, also when it is implied, else `IfNotPresent`."""
    match = _REFERENCE.fullmatch(_normalised(reference))
    if match is None or len(match["path"]) > _PATH_MAX:
        return "IfNotPresent"
    if match["tag"] is None and match["digest"] is None:
        return "Always"
    return "Always" if match["tag"] == "latest" else "IfNotPresent"


def _normalised(reference: str) -> str:
    """Put Docker's registry before a reference that names none."""
    domain, slash, _ = reference.partition("/")
    if not slash:
        return f"docker.io/library/{reference}"
    is_domain = "." in domain or ":" in domain or domain == "localhost"
    return reference if is_domain or domain != domain.lower() else f"docker.io/{reference}"
