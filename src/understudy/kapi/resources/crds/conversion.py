"""Conversion of custom objects by webhook: what is asked, and what may come back.

What is stored stays as it was written; each entry keeps what a webhook has made of it, so that it
is asked once for each version of an object. Only what waits (requests over HTTP) converts this way.
Everything else in the process reads the fields that both versions have (conversion `None`).
Source: k8s.io/apiextensions-apiserver 0.36 `pkg/apiserver/conversion/webhook_converter.go`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from understudy.kapi.resources import calls, catalogue, webhooks
from understudy.kapi.resources.crds import strategy
from understudy.kube import goformats, names, objects, statuses

GROUP = "apiextensions.k8s.io"
KIND = "ConversionReview"
VERSIONS = ("v1", "v1beta1")
TIMEOUT_S = 30


class Conversion:
    """Converts the objects of one definition by its webhook.

    Example: `conversion.require("g.io/v2", entries, attempt, services)` sees to it that every entry
    has a form in v2, or breaks the request off until the webhook was asked.
    """

    def __init__(
        self,
        definition: str,
        webhook: objects.Object,
        versions: Mapping[str, strategy.CustomStrategy],
    ) -> None:
        self._asker = f"conversion_webhook_for_{definition}"
        self._client: objects.Object = webhook.get("clientConfig") or {}
        spoken = webhook.get("conversionReviewVersions") or ()
        self._version = next((one for one in spoken if one in VERSIONS), "v1")
        self._versions = dict(versions)

    def require(
        self,
        api_version: str,
        entries: Sequence[catalogue.Form],
        attempt: calls.Attempt,
        services: webhooks.Services,
    ) -> None:
        """Give every entry its form in a version.

        Raises:
            WaitingError: The webhook has to be called first. ApiError: it failed.
        """
        missing = [entry for entry in entries if entry.lacks(api_version, self)]
        if not missing:
            return
        stored = [self._read(entry.load()) for entry in missing]
        made = self._convert(stored, api_version, attempt, services)
        for entry, obj in zip(missing, made, strict=True):
            entry.keep_form(api_version, self, obj)

    def convert(
        self,
        obj: objects.Object,
        api_version: str,
        attempt: calls.Attempt,
        services: webhooks.Services,
    ) -> objects.Object:
        """Return an object in another version; errors as `require`."""
        if obj.get("apiVersion") == api_version:
            return obj
        return self._convert([obj], api_version, attempt, services)[0]

    def _read(self, obj: objects.Object) -> objects.Object:
        """Return a stored object as its own version reads it."""
        own = self._versions.get(str(obj.get("apiVersion")))
        return own.normalize(obj) if own is not None else obj

    def _convert(
        self,
        given: Sequence[objects.Object],
        api_version: str,
        attempt: calls.Attempt,
        services: webhooks.Services,
    ) -> list[objects.Object]:
        call = calls.question(
            self._asker,
            webhooks.target(self._client, services),
            {"desiredAPIVersion": api_version, "objects": list(given)},
            kind=KIND,
            api_version=f"{GROUP}/{self._version}",
            timeout_s=TIMEOUT_S,
        )
        (answer,) = attempt.answers([call])
        head = f"conversion webhook for {given[0]['apiVersion']}, Kind={given[0]['kind']}"
        if answer.failure:
            raise _failure(f"{head} failed: {answer.failure}")
        try:
            found = _converted(call, answer.value)
        except ValueError as error:
            raise _failure(f"{head} failed: {error}") from None
        if len(found) != len(given):
            raise _failure(f"{head} returned {len(found)} objects, expected {len(given)}")
        target = self._versions[api_version]
        out: list[objects.Object] = []
        for index, (before, after) in enumerate(zip(given, found, strict=True)):
            try:
                _restore(before, after, api_version)
            except ValueError as error:
                text = f"{head} returned invalid converted object at index {index}: {error}"
                raise _failure(text) from None
            out.append(target.prune(after))
        return out


def _failure(text: str) -> statuses.ApiError:
    """Return a failed conversion as the real server tells it: 500, without a reason."""
    return statuses.ApiError(text, code=500, reason="")


def _converted(call: calls.Call, review: objects.Json) -> list[objects.Object]:
    """Return the objects of an answer.

    Raises:
        ValueError: It has none; in the words of the real server.
    """
    response = review.get("response") if isinstance(review, dict) else None
    if not isinstance(response, dict):
        raise ValueError("no response provided")  # noqa: TRY004 (Kubernetes' words)
    if call.review["apiVersion"] == f"{GROUP}/v1":
        said = (review.get("apiVersion") or "", review.get("kind") or "")
        if said != (f"{GROUP}/v1", KIND):
            raise ValueError(
                f"expected webhook response of {GROUP}/v1, Kind={KIND}, got "
                f"{said[0]}, Kind={said[1]}"
            )
        uid = str(response.get("uid") or "")
        if uid != call.uid:
            raise ValueError(
                f"expected response.uid={goformats.quoted(call.uid)}, got {goformats.quoted(uid)}"
            )
    result = response.get("result") or {}
    if result.get("status") != "Success":
        text = f"response.result.status was '{result.get('status') or ''}', not 'Success'"
        raise ValueError(result.get("message") or text)
    found: list[objects.Object] = list(response.get("convertedObjects") or ())
    return found


def _restore(before: objects.Object, after: objects.Object, api_version: str) -> None:
    """Give a converted object the metadata it had; labels and annotations it may have changed.

    Raises:
        ValueError: It is another object, another kind or another version.
    """
    for key, wanted, what in (
        ("apiVersion", api_version, "groupVersion"),
        ("kind", before["kind"], "kind"),
    ):
        if after.get(key) != wanted:
            raise ValueError(f"invalid {what} (expected {wanted}, received {after.get(key) or ''})")
    said, kept = after.get("metadata"), objects.copy(before["metadata"])
    if not isinstance(said, dict):
        raise ValueError("missing metadata in converted object")  # noqa: TRY004 (as above)
    for key, shown in (("name", "name"), ("namespace", "namespace"), ("uid", "UID")):
        mine, theirs = kept.get(key) or "", said.get(key) or ""
        if mine != theirs:
            raise ValueError(f"must have the same {shown}: {mine} != {theirs}")
    for key in ("labels", "annotations"):
        values = said.get(key)
        if values is None:
            kept.pop(key, None)
            continue
        _check_texts(key, values)
        kept[key] = values
    after["metadata"] = kept


def _check_texts(key: str, values: objects.Json) -> None:
    if not isinstance(values, dict):
        raise ValueError(  # noqa: TRY004 (as above)
            f"invalid metadata.{key} of type {goformats.type_name(values)} in converted object"
        )
    for name, value in values.items():
        if not isinstance(value, str):
            raise ValueError(  # noqa: TRY004 (as above)
                f"metadata.{key}[{name}] must be a string, but is "
                f"{goformats.type_name(value)} in converted object"
            )
    check = names.validate_labels if key == "labels" else names.validate_annotations
    if found := check(values, f"metadata.{key}"):
        raise ValueError(", ".join(map(str, found)))
