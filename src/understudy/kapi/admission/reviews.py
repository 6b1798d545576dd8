"""AdmissionReviews: what a webhook is sent, and what its answer means.

Source: k8s.io/apiserver 0.36 `admission/plugin/webhook/request/admissionreview.go`,
`errors/statuserror.go`, `mutating/dispatcher.go`.
"""

from __future__ import annotations

import base64
import binascii
from typing import NamedTuple

import orjson

from understudy.kapi.admission import chain, evaluations
from understudy.kapi.resources import calls, catalogue
from understudy.kube import goformats, objects, patches, statuses

GROUP = "admission.k8s.io"
KIND = "AdmissionReview"
VERSIONS = ("v1", "v1beta1")
_OPTIONAL = ("subResource", "requestSubResource", "name", "namespace")


class UnusableError(Exception):
    """The webhook gave no answer, or none that can be used; the text says why."""


class Verdict(NamedTuple):
    """A webhook's answer."""

    allowed: bool
    status: objects.Object | None
    warnings: list[str]
    patch: bytes
    patch_type: str


def content(attributes: chain.Attributes, matched: catalogue.Resource) -> objects.Object:
    """Return an AdmissionRequest in the version that a webhook matched, without its uid."""
    out = evaluations.request_of(attributes, matched)
    for key in _OPTIONAL:
        if not out[key]:
            del out[key]
    out["userInfo"] = {key: value for key, value in out["userInfo"].items() if value}
    out["object"] = evaluations.sent(attributes.obj, attributes, matched)
    out["oldObject"] = evaluations.sent(attributes.old, attributes, matched)
    return out


def verdict(call: calls.Call, answer: calls.Answer, *, mutating: bool) -> Verdict:
    """Read a webhook's answer.

    Raises:
        UnusableError: There is none, or it is no AdmissionReview that fits the question.
    """
    if answer.failure:
        what = "could not get REST client" if answer.unsent else "failed to call webhook"
        raise UnusableError(f"{what}: {answer.failure}")
    try:
        response = _response(call, answer.value)
        return _verdict(response, mutating=mutating)
    except ValueError as error:
        raise UnusableError(f"received invalid webhook response: {error}") from None


def _response(call: calls.Call, review: objects.Json) -> objects.Object:
    response = review.get("response") if isinstance(review, dict) else None
    if not isinstance(response, dict):
        raise ValueError("webhook response was absent")  # noqa: TRY004 (Kubernetes' word for it)
    if call.review["apiVersion"] == f"{GROUP}/v1":
        uid = response.get("uid") or ""
        if uid != call.uid:
            raise ValueError(
                f"expected response.uid={goformats.quoted(call.uid)}, got {goformats.quoted(uid)}"
            )
        said = (review.get("apiVersion") or "", review.get("kind") or "")
        if said != (f"{GROUP}/v1", KIND):
            raise ValueError(
                f"expected webhook response of {GROUP}/v1, Kind={KIND}, got "
                f"{said[0]}, Kind={said[1]}"
            )
    return response


def _verdict(response: objects.Object, *, mutating: bool) -> Verdict:
    kind, raw = response.get("patchType"), response.get("patch")
    try:
        patch = base64.b64decode(raw or "", validate=True)
    except (binascii.Error, TypeError, ValueError):
        raise ValueError("response.patch is not base64") from None
    if not mutating:
        if patch:
            raise ValueError("validating webhook may not return response.patch")
        if kind is not None:
            raise ValueError("validating webhook may not return response.patchType")
    elif patch and kind is None:
        raise ValueError("webhook returned response.patch but not response.patchType")
    elif kind is not None and not patch:
        raise ValueError("webhook returned response.patchType but not response.patch")
    elif kind is not None and not kind:
        raise ValueError('webhook returned invalid response.patchType of ""')
    status = response.get("status")
    return Verdict(
        allowed=response.get("allowed") is True,
        status=status if isinstance(status, dict) else None,
        warnings=[str(text) for text in response.get("warnings") or ()],
        patch=patch,
        patch_type=str(kind or ""),
    )


def refusal(name: str, given: Verdict) -> statuses.ApiError:
    """Return the error of a webhook that does not allow a request, in the webhook's words."""
    status = given.status or {}
    denied = f'admission webhook "{name}" denied the request'
    why = status.get("message") or status.get("reason")
    return statuses.ApiError(
        f"{denied}: {why}" if why else f"{denied} without explanation",
        code=max(int(status.get("code") or 0), 400),
        reason=str(status.get("reason") or ""),
        details=status.get("details"),
    )


def internal(text: str) -> statuses.InternalError:
    """Return `Internal error occurred: text`."""
    return statuses.InternalError(
        f"Internal error occurred: {text}", details={"causes": [{"message": text}]}
    )


def patched(
    name: str, given: Verdict, attributes: chain.Attributes, matched: catalogue.Resource
) -> objects.Object | None:
    """Return the object, in the matched version, as a patch makes it; None if it patches nothing.

    Raises:
        UnusableError: The patch is none. InternalError: it does not apply, or not to an object.
    """
    if not given.patch:
        return None
    try:
        operations = orjson.loads(given.patch)
    except orjson.JSONDecodeError as error:
        text = f"received undecodable patch in webhook response: {error}"
        raise UnusableError(text) from None
    if not operations:
        return None
    if attributes.obj is None:
        raise internal(
            f'admission webhook "{name}" attempted to modify the object, which is not supported '
            "for this operation"
        )
    if given.patch_type != "JSONPatch":
        raise UnusableError(f'unsupported patch type "{given.patch_type}"')
    before = evaluations.sent(attributes.obj, attributes, matched)
    assert before is not None, "an object stays one"
    try:
        schema = evaluations.schema_of(attributes, matched)
        after = patches.apply(patches.JSON_PATCH, before, operations, schema)
        evaluations.decode(after, attributes, matched, "Ignore")
    except statuses.ApiError as error:
        raise internal(str(error.__cause__ or error.message)) from None
    return after
