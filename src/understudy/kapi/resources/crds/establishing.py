"""What becomes of a definition by itself: accepted names, establishment, and its end.

| state | conditions |
| --- | --- |
| new | none, `acceptedNames` empty |
| names free | NamesAccepted True, Established True |
| a name is taken in its group | NamesAccepted False (`KindConflict` ...), Established False |
| deletion asked for | Terminating `InstanceDeletionPending`, a finalizer |
| objects are being deleted | Terminating `InstanceDeletionInProgress` |

Source: k8s.io/apiextensions-apiserver 0.36 `controller/{status,establish,finalizer}`.
"""

from __future__ import annotations

from understudy.kapi.resources.crds import approval, definitions
from understudy.kube import causes, objects

CLEANUP = "customresourcecleanup.apiextensions.k8s.io"
"""Finalizer that keeps a definition until its objects are gone."""
_CONFORMANT = "KubernetesAPIApprovalPolicyConformant"


def establish(crd: objects.Object, others: list[objects.Object], now: str) -> objects.Object | None:
    """Return the definition with names accepted and established, or None if nothing changes.

    `others` are all other definitions; `now` stamps new conditions (RFC 3339).
    """
    new = objects.copy(crd)
    status = new.setdefault("status", {})
    accepted, conflict = _names(crd, others)
    status["acceptedNames"] = accepted
    if status.get("conditions") is None:
        status.pop("conditions", None)
    reason, message = conflict or ("NoConflicts", "no conflicts found")
    definitions.set_condition(
        new, _condition("NamesAccepted", "False" if conflict else "True", reason, message), now
    )
    if not definitions.is_true(crd, "Established"):
        established = _condition(
            "Established", "False", "NotAccepted", "not all names are accepted"
        )
        if not conflict:
            established = _condition(
                "Established",
                "True",
                "InitialNamesAccepted",
                "the initial names have been accepted",
            )
        definitions.set_condition(new, established, now)
    approved = approval.state(crd)
    if approved is not None:
        value = "True" if approved.reason == approval.APPROVED else "False"
        definitions.set_condition(new, _condition(_CONFORMANT, value, *approved), now)
    return new if new != crd else None


def _condition(kind: str, status: str, reason: str, message: str) -> objects.Object:
    return {"type": kind, "status": status, "reason": reason, "message": message}


def _names(
    crd: objects.Object, others: list[objects.Object]
) -> tuple[objects.Object, tuple[str, str] | None]:
    """Return the names that are accepted, and the last conflict as (reason, message)."""
    group = definitions.spec_of(crd).get("group")
    wanted = definitions.names_of(crd)
    had: objects.Object = objects.lookup(crd, ("status", "acceptedNames")) or {}
    resources: set[str] = set()
    kinds: set[str] = set()
    for other in others:
        if definitions.spec_of(other).get("group") != group:
            continue
        theirs = objects.lookup(other, ("status", "acceptedNames")) or {}
        resources |= {theirs.get("plural") or "", theirs.get("singular") or ""}
        resources |= set(theirs.get("shortNames") or ())
        kinds |= {theirs.get("kind") or "", theirs.get("listKind") or ""}
    new: objects.Object = {"kind": "", "plural": ""} | had
    conflict: tuple[str, str] | None = None
    for field, taken, reason in (
        ("plural", resources, "PluralConflict"),
        ("singular", resources, "SingularConflict"),
        ("shortNames", resources, "ShortNamesConflict"),
        ("kind", kinds, "KindConflict"),
        ("listKind", kinds, "ListKindConflict"),
    ):
        texts = _taken(wanted.get(field), had.get(field), taken)
        if texts:
            text = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
            conflict = (reason, text)
        else:
            _put(new, field, wanted.get(field))
    _put(new, "categories", wanted.get("categories"))
    return new, conflict


def _taken(wanted: objects.Json, had: objects.Json, taken: set[str]) -> list[str]:
    if wanted == had:
        return []
    mine = had if isinstance(had, list) else [had]
    asked = wanted if isinstance(wanted, list) else [wanted]
    return [
        f"{causes.quoted(name)} is already in use"
        for name in asked
        if name and name not in mine and name in taken
    ]


def _put(names: objects.Object, field: str, value: objects.Json) -> None:
    if value or field in {"kind", "plural"}:
        names[field] = value or ""
    else:
        names.pop(field, None)


def begin_deletion(crd: objects.Object) -> None:
    """Mark a definition whose deletionTimestamp has just been set, in place."""
    meta = crd["metadata"]
    finalizers = meta.setdefault("finalizers", [])
    if CLEANUP not in finalizers:
        finalizers.append(CLEANUP)
    definitions.set_condition(
        crd,
        _condition(
            "Terminating",
            "True",
            "InstanceDeletionPending",
            "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon",
        ),
        meta["deletionTimestamp"],
    )


def instances_remain(crd: objects.Object, now: str) -> bool:
    """Say in status, in place, that objects are being deleted; returns whether that is new."""
    return definitions.set_condition(
        crd,
        _condition(
            "Terminating",
            "True",
            "InstanceDeletionInProgress",
            "CustomResource deletion is in progress",
        ),
        now,
    )
