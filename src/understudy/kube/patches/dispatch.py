"""One entrance for the three kinds of patch, by media type."""

from __future__ import annotations

from understudy.kube import goformats, objects, schemas, statuses
from understudy.kube.patches import jsonpatches, mergepatches, restoring, strategic

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_MERGE_PATCH = "application/strategic-merge-patch+json"

_OPERATION_FIELDS = frozenset({"op", "path", "from", "value"})


def apply(
    patch_type: str, obj: objects.Object, patch: objects.Json, schema: schemas.Schema
) -> objects.Object:
    """Return the object as a patch changes it; neither argument is modified.

    Example: `apply(MERGE_PATCH, {"data": {"a": "1"}}, {"data": {"b": "2"}}, ANY)` is
    `{"data": {"a": "1", "b": "2"}}`.

    Raises:
        BadRequestError: The patch is not of its kind's form.
        InvalidError: A JSON patch does not apply (also: a `test` failed).
        RequestTooLargeError: A JSON patch has more operations than Kubernetes allows.
        InternalError: A strategic merge patch contradicts the schema or itself.
        UnsupportedMediaTypeError: `patch_type` is none of the three.
    """
    if patch_type == JSON_PATCH:
        return jsonpatches.apply(obj, patch)
    if patch_type == MERGE_PATCH:
        return mergepatches.apply(obj, patch)
    if patch_type == STRATEGIC_MERGE_PATCH:
        return strategic.apply(obj, patch, schema)
    raise statuses.UnsupportedMediaTypeError(
        f"the body of the request was in an unknown format - {patch_type} is none of "
        f"{JSON_PATCH}, {MERGE_PATCH}, {STRATEGIC_MERGE_PATCH}"
    )


def refusal(
    patch_type: str,
    patch: objects.Json,
    patched: objects.Object,
    schema: schemas.Schema,
    error: statuses.BadRequestError,
) -> statuses.InvalidError:
    """Return what to answer to a patch whose result does not decode.

    `error` is what decoding said of the result; a custom resource's is not refused this way.
    """
    return restoring.refusal(
        patch, patched, schema, error, strategic=patch_type == STRATEGIC_MERGE_PATCH
    )


def complaints(patch_type: str, patch: objects.Json) -> list[str]:
    """Return what strict field validation finds in a patch itself: operations' unknown fields."""
    if patch_type != JSON_PATCH or not isinstance(patch, list):
        return []
    return [
        f'json patch unknown field "[{index}].{name}"'
        for index, operation in enumerate(patch)
        if isinstance(operation, dict)
        for name in operation
        if name not in _OPERATION_FIELDS
    ]


def printed(obj: objects.Json) -> str:
    """Quote a document as Kubernetes does when a patched object cannot be decoded."""
    return goformats.quoted(goformats.json_text(obj))
