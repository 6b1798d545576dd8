"""From a server's refusal to what a person can do about it."""

from __future__ import annotations

import re

from understudy.delivery import calling, marks, outcomes, refs
from understudy.kube import statuses

_IMMUTABLE = re.compile(
    r"immutable|may not (be )?change|cannot (be )?change|pod updates may not|"
    r"updates to \S+ spec for fields other than|updates to .* are forbidden",
    re.IGNORECASE,
)
_FIELD = re.compile(
    r'(?:unknown|duplicate) field "(?P<decoding>[^"]+)"|'
    r"\.(?P<apply>[^\s:]+): (?:field not declared in schema|expected )"
)
_IDENTITY = ("metadata.uid", "metadata.name", "metadata.namespace", "metadata.resourceVersion")


def immutable_field(error: calling.Failure) -> str:
    """Return the field that only a new object could have otherwise; empty if it is another error.

    Webhooks and CEL rules say it in words of their own, so the words are looked at, not the kind
    of cause.
    """
    if not isinstance(error, statuses.InvalidError):
        return ""
    fields = []
    for cause in error.causes:
        field = str(cause.get("field") or "")
        if field in _IDENTITY or not _IMMUTABLE.search(str(cause.get("message") or "")):
            return ""  # Something else is wrong too: a new object would be refused as well.
        fields.append(field or "spec")
    if not error.causes and _IMMUTABLE.search(error.message):
        fields.append("spec")
    return fields[0] if fields else ""


def from_error(error: calling.Failure, ref: refs.Ref) -> outcomes.Obstacle:
    """Return what a refusal means for an object."""
    message, field, remedy = str(error), "", ""
    if not isinstance(error, statuses.ApiError):
        return outcomes.Obstacle(message=message)
    for cause in error.causes:
        field = field or str(cause.get("field") or "")
    if match := _FIELD.search(message):
        field = field or match["decoding"] or match["apply"]
    if isinstance(error, statuses.ConflictError):
        if any(cause.get("reason") == "FieldManagerConflict" for cause in error.causes):
            remedy = "--force-conflicts takes the fields over"
        else:
            remedy = "it changed meanwhile: run the command again"
    elif immutable := immutable_field(error):
        field = immutable
        remedy = (
            f"annotate {ref.kind} with {marks.RECREATE}: on-immutable, or give --recreate, to "
            "delete and create it"
        )
    elif ": expected string, got " in message:
        remedy = f"quote the value of {field}"
    elif isinstance(error, statuses.ForbiddenError) and "exceeded quota" in message:
        remedy = "raise the ResourceQuota or ask for less"
    elif isinstance(error, statuses.NotFoundError) and "namespaces " in message:
        remedy = f"add the Namespace {ref.namespace} to the manifests, or create it"
    return outcomes.Obstacle(message=message, field=field, remedy=remedy)
