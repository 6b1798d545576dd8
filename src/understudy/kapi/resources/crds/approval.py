"""The annotation that definitions in Kubernetes' own groups (`*.k8s.io`) must have.

Source: k8s.io/apiextensions-apiserver 0.36 `apihelpers/helpers.go`, `controller/apiapproval`.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from understudy.kapi.resources.crds import definitions
from understudy.kube import causes, objects, urls

ANNOTATION = "api-approved.kubernetes.io"
MISSING, INVALID = "MissingAnnotation", "InvalidAnnotation"
APPROVED, UNAPPROVED = "ApprovedAnnotation", "UnapprovedAnnotation"
_PROTECTED = re.compile(r"(.+\.)?(k8s\.io|kubernetes\.io)")
_NEEDED = f"protected groups must have approval annotation {causes.quoted(ANNOTATION)}"
_WHERE = "see https://github.com/kubernetes/enhancements/pull/1111"


class State(NamedTuple):
    """Whether a definition is approved: one of this module's words, and a sentence."""

    reason: str
    message: str


def state(crd: objects.Object) -> State | None:
    """Return a definition's state, None where its group needs no approval."""
    group = str(definitions.spec_of(crd).get("group") or "")
    if not _PROTECTED.fullmatch(group):
        return None
    value = objects.annotations_of(crd).get(ANNOTATION) or ""
    if not value:
        return State(MISSING, f"{_NEEDED}, {_WHERE}")
    if value.startswith("unapproved"):
        return State(UNAPPROVED, f"not approved: {causes.quoted(value)}")
    if _is_url(value):
        return State(APPROVED, f"approved in {value}")
    words = 'either a URL or a reason starting with "unapproved"'
    return State(INVALID, f"{_NEEDED} with {words}, {_WHERE}")


def _is_url(text: str) -> bool:
    try:
        parts = urls.parse(text)
    except ValueError:
        return False
    return bool(parts.scheme and parts.host)
