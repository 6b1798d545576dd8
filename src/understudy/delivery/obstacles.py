"""From a server's refusal to what a person can do about it."""

from __future__ import annotations

import re

from understudy.delivery import calling, diffs, marks, masking, outcomes, refs
from understudy.kube import objects, statuses

_IMMUTABLE = re.compile(
    r"immutable|oldSelf|may not (be )?change|cannot (be )?change|pod updates may not|"
    r"updates to \S+ spec for fields other than|updates to .* are forbidden",
    re.IGNORECASE,
)
_FIELD = re.compile(
    r'(?:unknown|duplicate) field "(?P<decoding>[^"]+)"|'
    r"\.(?P<apply>[^\s:]+): (?:field not declared in schema|expected )"
)
_DENIED = re.compile(r'^admission webhook "[^"]*" denied the request')
_POLICY = re.compile(r"ValidatingAdmissionPolicy '[^']*' with binding '[^']*' denied request")
LINGERS = "is being deleted and does not go away"
_KEYED = re.compile(r"\[([^\]]*)\]")
_SHOWN_MAX = 3
_IDENTITY = ("metadata.uid", "metadata.name", "metadata.namespace", "metadata.resourceVersion")


def immutable_field(error: calling.Failure) -> str:
    """Return the field that only a new object could have otherwise; empty if it is another error.

    Webhooks and CEL rules say it in words of their own, so the words are looked at, not the kind
    of cause.
    """
    if is_denied_by_webhook(error) or is_denied_by_policy(error):
        return "spec" if _IMMUTABLE.search(str(error)) else ""
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


def is_denied_by_webhook(error: calling.Failure) -> bool:
    """Whether an admission webhook refuses an object; a rehearsal does not hear of that."""
    return isinstance(error, statuses.ApiError) and _DENIED.search(error.message) is not None


def is_denied_by_policy(error: calling.Failure) -> bool:
    """Whether a ValidatingAdmissionPolicy refuses an object."""
    return isinstance(error, statuses.ApiError) and _POLICY.search(error.message) is not None


def from_error(
    error: calling.Failure,
    ref: refs.Ref,
    *,
    live: objects.Object | None = None,
    wanted: objects.Object | None = None,
    mask: masking.Mask | None = None,
) -> outcomes.Obstacle:
    """Return what a refusal means for an object; of a conflict, both sides' values.

    Sensitive values that the server repeats are masked.
    """
    mask = mask or masking.Mask()
    message, field, remedy = mask.redact(str(error), (live, wanted)), "", ""
    if not isinstance(error, statuses.ApiError):
        return outcomes.Obstacle(message=message)
    for cause in error.causes:
        field = field or str(cause.get("field") or "")
    if match := _FIELD.search(message):
        field = field or match["decoding"] or match["apply"]
    if isinstance(error, statuses.ConflictError):
        if any(cause.get("reason") == "FieldManagerConflict" for cause in error.causes):
            remedy = "--force-conflicts takes the fields over"
            message += _both_sides(error, live or {}, wanted or {}, mask)
        elif LINGERS not in message:
            remedy = "it changed meanwhile: run the command again"
    elif immutable := immutable_field(error):
        field = immutable
        remedy = (
            f"annotate it with {marks.RECREATE}: on-immutable, or give --recreate, to "
            "delete and create it"
        )
        if is_denied_by_webhook(error):
            remedy = f"annotate it with {marks.RECREATE}: always, to delete and create it"
    elif ": expected string, got " in message:
        remedy = f"quote the value of {field}"
    elif isinstance(error, statuses.ForbiddenError) and "exceeded quota" in message:
        remedy = "raise the ResourceQuota or ask for less"
    elif isinstance(error, statuses.NotFoundError) and "namespaces " in message:
        remedy = f"add the Namespace {ref.namespace} to the manifests, or create it"
    return outcomes.Obstacle(message=message, field=field, remedy=remedy)


def _both_sides(
    error: statuses.ApiError, live: objects.Object, wanted: objects.Object, mask: masking.Mask
) -> str:
    """Say what each side wants of the fields in conflict; sensitive values are not shown."""
    theirs, ours = mask.hide(live, [wanted]), mask.hide(wanted, [live])
    told = []
    for cause in error.causes[:_SHOWN_MAX]:
        field = str(cause.get("field") or "")
        values = [_at(side, field) for side in (theirs, ours)]
        if None not in values:
            shown = [diffs.shown(value) for value in values]
            told.append(f"{field} is {shown[0]} there, {shown[1]} here")
    return f" ({'; '.join(told)})" if told else ""


def _at(value: objects.Json, field: str) -> objects.Json:
    """Return the value at a path as server-side apply writes it; None where it is not found.

    Example: `.spec.template.spec.containers[name="web"].image`. Keys may hold dots, so the longest
    that is there counts.
    """
    rest = field
    while rest:
        if match := _KEYED.match(rest):
            value, rest = _item(value, match[1]), rest[match.end() :]
        elif rest.startswith(".") and isinstance(value, dict):
            keys = [key for key in value if _begins(rest[1:], key)]
            if not keys:
                return None
            key = max(keys, key=len)
            value, rest = value[key], rest[1 + len(key) :]
        else:
            return None
    return value


def _begins(rest: str, key: str) -> bool:
    return rest.startswith(key) and rest[len(key) : len(key) + 1] in ("", ".", "[")


def _item(value: objects.Json, keys: str) -> objects.Json:
    """Return the item of a list by `name="web"` or `containerPort=80,protocol="TCP"`."""
    wanted = [part.partition("=") for part in keys.split(",")]
    for item in value if isinstance(value, list) else ():
        if isinstance(item, dict) and all(
            str(item.get(key)) == text.strip('"') for key, _, text in wanted
        ):
            return item
    return None
