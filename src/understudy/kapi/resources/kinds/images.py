"""Container image references, as far as defaults depend on them.

Source: pkg/util/parsers and github.com/distribution/reference @1.36.
"""

from __future__ import annotations

import functools

REFERENCES_CACHED_MAX = 4096
"""Image references whose policy is kept; clusters use far fewer."""


@functools.lru_cache(maxsize=REFERENCES_CACHED_MAX)
def pull_policy(reference: str) -> str:
    """Return `Always` for the tag `latest`, also when it is implied, else `IfNotPresent`."""
    name, at, _ = reference.partition("@")
    last = name.rpartition("/")[2]
    _, colon, tag = last.partition(":")
    if colon:
        return "Always" if tag == "latest" else "IfNotPresent"
    return "IfNotPresent" if at or not _parses(name) else "Always"


def _parses(name: str) -> bool:
    """Say whether a name without tag is a reference at all; others have no tag to imply."""
    if not name:
        return False
    domain, slash, rest = name.partition("/")
    is_domain = bool(slash) and ("." in domain or ":" in domain or domain == "localhost")
    path = rest if is_domain else name
    return bool(path) and path == path.lower() and all(
        char.isalnum() or char in "._-/" for char in path
    )  # fmt: skip
