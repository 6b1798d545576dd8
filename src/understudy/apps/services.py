"""Changes to an app's Knative Service as pure functions: deployed, parked, restored.

Each takes the live Service and returns the one to write, or None where nothing has to be written.
What others put there (labels, annotations, traffic, the creator) is kept; our own keys are set
anew, so stale ones go.
"""

from __future__ import annotations

import json

from understudy.apps import keys, specs, storage
from understudy.kube import objects
from understudy.kube.knative import keys as knative

_TO_LATEST = [{"latestRevision": True, "percent": 100}]
_BOOKKEEPING = (keys.STARTED_AT, keys.STOPPED_AT, keys.UPDATED_AT, keys.REASON)


def created(rendered: specs.Rendered, now: str, reason: str, *, stopped: bool) -> objects.Object:
    """Return the Service of an app that does not exist yet."""
    service = objects.copy(rendered.service)
    notes = service["metadata"]["annotations"]
    notes[keys.UPDATED_AT] = now
    if reason:
        notes[keys.REASON] = reason
    if stopped:
        _park(service, now)
    else:
        notes[keys.STARTED_AT] = now
    return _as_object(service)


def deployed(
    live: objects.Object, rendered: specs.Rendered, now: str, reason: str
) -> objects.Object | None:
    """Return the Service with the rendered spec, running; None where it is that already."""
    service = _merged(live, rendered)
    was_stopped = objects.labels_of(live).get(keys.STOPPED) == "true"
    if was_stopped:
        _restore_visibility(service, live, rendered)
        service["spec"]["traffic"] = objects.copy(_TO_LATEST)
    if not was_stopped and _same(service, live):
        return None
    notes = service["metadata"]["annotations"]
    notes[keys.UPDATED_AT] = now
    notes[keys.STARTED_AT] = now if was_stopped else _note(live, keys.STARTED_AT) or now
    if reason:
        notes[keys.REASON] = reason
    return service


def deployed_stopped(
    live: objects.Object, rendered: specs.Rendered, now: str, reason: str
) -> objects.Object | None:
    """Return the Service with the rendered spec kept for later, parked."""
    service = _merged(live, rendered)
    if _is_parked(live):
        service["spec"]["template"] = objects.copy(live["spec"]["template"])
        labels = service["metadata"]["labels"]
        labels[keys.STOPPED] = "true"
        labels[knative.VISIBILITY] = knative.CLUSTER_LOCAL
        _keep(service, live, keys.VISIBILITY_BEFORE, keys.URL_BEFORE, keys.STOPPED_AT)
        if _same(service, live):
            return None
    else:
        _park(service, now)
    service["metadata"]["annotations"][keys.UPDATED_AT] = now
    if reason:
        service["metadata"]["annotations"][keys.REASON] = reason
    return service


def stopped(live: objects.Object, now: str, reason: str) -> objects.Object | None:
    """Return the Service parked; None where it is so already."""
    if _is_parked(live):
        return None
    service: objects.Object = objects.copy(live)
    service["metadata"].setdefault("labels", {})
    notes = service["metadata"].setdefault("annotations", {})
    if storage.decode(notes.get(keys.SPEC)) is None:
        notes[keys.PARKED_TEMPLATE] = json.dumps(
            service["spec"]["template"], sort_keys=True, separators=(",", ":")
        )
    _park(service, now)
    if reason:
        notes[keys.REASON] = reason
    return service


def restored(live: objects.Object, now: str) -> objects.Object | None:
    """Return a stopped Service with the template it had, for apps whose spec we cannot read.

    None where the template was not kept.
    """
    text = _note(live, keys.PARKED_TEMPLATE)
    if not text:
        return None
    service: objects.Object = objects.copy(live)
    service["spec"]["template"] = json.loads(text)
    service["spec"]["traffic"] = objects.copy(_TO_LATEST)
    _restore_visibility(service, live, None)
    labels, notes = service["metadata"]["labels"], service["metadata"]["annotations"]
    labels.pop(keys.STOPPED, None)
    for key in (
        keys.PARKED_TEMPLATE, keys.STOPPED_AT, keys.VISIBILITY_BEFORE, keys.URL_BEFORE,
    ):  # fmt: skip
        notes.pop(key, None)
    notes[keys.STARTED_AT] = notes[keys.UPDATED_AT] = now
    return service


def _merged(live: objects.Object, rendered: specs.Rendered) -> objects.Object:
    service: objects.Object = objects.copy(live)
    wanted = rendered.service
    meta = service["metadata"]
    labels = {
        key: value for key, value in objects.labels_of(live).items() if key not in keys.OWN_LABELS
    }
    if _was_private(live) and knative.VISIBILITY not in wanted["metadata"]["labels"]:
        labels.pop(knative.VISIBILITY, None)
    meta["labels"] = labels | wanted["metadata"]["labels"]
    notes = {
        key: value
        for key, value in objects.annotations_of(live).items()
        if key not in keys.OWN_ANNOTATIONS
    }
    meta["annotations"] = notes | wanted["metadata"]["annotations"]
    template = wanted["spec"]["template"]
    if not specs.is_shown_by(objects.lookup(live, ("spec", "template")), template):
        service["spec"]["template"] = objects.copy(template)
    return service


def _same(service: objects.Object, live: objects.Object) -> bool:
    """Compare what is written with what is there, but for the times we note."""

    def notes(obj: objects.Object) -> dict[str, str]:
        found = objects.annotations_of(obj)
        return {key: value for key, value in found.items() if key not in _BOOKKEEPING}

    return (
        service["spec"] == live["spec"]
        and objects.labels_of(service) == objects.labels_of(live)
        and notes(service) == notes(live)
    )


def _park(service: objects.Object, now: str) -> None:
    """Turn a Service, in place, into its stopped form."""
    labels = service["metadata"]["labels"]
    notes = service["metadata"]["annotations"]
    notes[keys.VISIBILITY_BEFORE] = labels.get(knative.VISIBILITY, "")
    notes[keys.STOPPED_AT] = now
    if url := objects.lookup(service, ("status", "url")):
        notes[keys.URL_BEFORE] = url  # what Knative shows while it is private is not its address
    labels[keys.STOPPED] = "true"
    labels[knative.VISIBILITY] = knative.CLUSTER_LOCAL
    service["spec"]["template"] = specs.park(service["spec"]["template"])
    service["spec"]["traffic"] = objects.copy(_TO_LATEST)


def _restore_visibility(
    service: objects.Object, live: objects.Object, rendered: specs.Rendered | None
) -> None:
    """Give back the visibility from before the stop, unless the new spec says otherwise."""
    labels = service["metadata"]["labels"]
    if rendered is not None and knative.VISIBILITY in rendered.service["metadata"]["labels"]:
        return
    before = _note(live, keys.VISIBILITY_BEFORE)
    private = _was_private(live)
    labels.pop(knative.VISIBILITY, None)
    if before and (rendered is None or not private):
        labels[knative.VISIBILITY] = before


def _was_private(live: objects.Object) -> bool:
    """Say whether the visibility label is there because the previous spec asked for it."""
    spec = storage.decode(_note(live, keys.SPEC))
    return spec is not None and spec.ingress is not None and spec.ingress.private


def _is_parked(live: objects.Object) -> bool:
    return objects.labels_of(live).get(keys.STOPPED) == "true" and specs.is_parked(
        objects.lookup(live, ("spec", "template")) or {}
    )


def _keep(service: objects.Object, live: objects.Object, *names: str) -> None:
    for name in names:
        if name in objects.annotations_of(live):
            service["metadata"]["annotations"][name] = objects.annotations_of(live)[name]


def _note(obj: objects.Object, key: str) -> str:
    return objects.annotations_of(obj).get(key, "")


def _as_object(service: objects.Json) -> objects.Object:
    out: objects.Object = service
    return out
