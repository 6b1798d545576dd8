"""ControllerRevisions: the history of a StatefulSet's or DaemonSet's template.

Source: pkg/controller/history, and the two controllers' own handling of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from understudy.controllers import clusters
from understudy.controllers.workloads import hashes
from understudy.kube import objects, statuses

REF: Final = "controllerrevisions.apps"


def data_of(template: objects.Object) -> objects.Object:
    """Return a revision's data: the patch that sets spec.template."""
    return {"spec": {"template": {**objects.copy(template), "$patch": "replace"}}}


def number_of(revision: objects.Object) -> int:
    """Return the revision's number."""
    return int(revision.get("revision") or 0)


def ordered(revisions: Iterable[objects.Object]) -> list[objects.Object]:
    """Order revisions from the oldest to the newest."""
    return sorted(
        revisions,
        key=lambda one: (
            number_of(one),
            str(objects.metadata(one).get("creationTimestamp")),
            objects.name_of(one),
        ),
    )


def template_of(revision: objects.Object) -> objects.Object:
    """Return the template that a revision holds."""
    held = objects.copy(revision["data"]["spec"]["template"])
    held.pop("$patch", None)
    template: objects.Object = held
    return template


def next_number(revisions: list[objects.Object]) -> int:
    """Return one more than the newest number."""
    return number_of(revisions[-1]) + 1 if revisions else 1


def build(
    owner: objects.Object, number: int, hashed: str, labels: dict[str, str]
) -> objects.Object:
    """Build the revision of an owner's present template."""
    template = owner["spec"]["template"]
    return {
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": {
            "name": f"{objects.name_of(owner)[:223]}-{hashed}",
            "namespace": objects.namespace_of(owner),
            "labels": labels,
            "ownerReferences": [clusters.owner_reference(owner)],
        },
        "data": data_of(template),
        "revision": number,
    }


def renumber(cluster: clusters.Cluster, revision: objects.Object, number: int) -> objects.Object:
    """Give a revision a new number if it has another one; return it as it then is."""
    if number_of(revision) == number:
        return revision
    changed = objects.copy(revision)
    changed["revision"] = number
    return cluster.update(REF, changed)


def find_equal(revisions: Iterable[objects.Object], wanted: objects.Object) -> list[objects.Object]:
    """Return the revisions with the same data, in order."""
    data = hashes.canonical(wanted["data"])
    return [one for one in revisions if hashes.canonical(one["data"]) == data]


def put(
    cluster: clusters.Cluster, owner: objects.Object, wanted: objects.Object
) -> objects.Object | None:
    """Create a revision; return None if its name is taken by another one (a collision)."""
    try:
        return cluster.create(REF, wanted)
    except statuses.AlreadyExistsError:
        found = cluster.find(REF, objects.namespace_of(owner), objects.name_of(wanted))
        return found if found is not None and find_equal([found], wanted) else None
