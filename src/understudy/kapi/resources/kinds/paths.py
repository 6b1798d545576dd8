"""File paths in specs: relative, without `..`, not reserved.

Source: pkg/apis/core/validation @1.36.
"""

from __future__ import annotations

from understudy.kube import causes, statuses

Causes = list[statuses.Cause]


def no_backsteps(path: str, field: str) -> Causes:
    """Check that no element of a path is `..`."""
    if ".." in path and ".." in path.split("/"):
        return [causes.invalid(field, path, "must not contain '..'")]
    return []


def descending(path: str, field: str) -> Causes:
    """Check that a path is relative and never leads upwards."""
    out: Causes = []
    if path.startswith("/"):
        out.append(causes.invalid(field, path, "must be a relative path"))
    return out + no_backsteps(path, field)


def unreserved(path: str, field: str) -> Causes:
    """Check that a path is descending and does not begin with `..`."""
    out = descending(path, field)
    if path.startswith("..") and not path.startswith("../"):
        out.append(causes.invalid(field, path, "must not start with '..'"))
    return out
