"""What a deletion must not do: the rules, and what has to be read to keep them.

| object                           | guard                                              |
| -------------------------------- | -------------------------------------------------- |
| another uid than was shipped     | abandoned: somebody deleted it and made another    |
| without our label                | abandoned: it was taken from us, or never was ours |
| annotated to be kept             | released: our marks are removed, the object stays  |
| annotated to ask before          | kept until it is annotated with the approval       |
| kube-system, default, ...        | kept                                               |
| a namespace with foreign things  | kept, and looked at again next time                |
| a definition with foreign things | blocked, unless allowed                            |
| a volume or claim                | kept, unless data may be deleted                   |
"""

from __future__ import annotations

import enum
from collections.abc import Collection
from dataclasses import dataclass

from understudy.aio import clocks
from understudy.client import errors as client_errors, protocol
from understudy.delivery import calling, marks, targets, trackers
from understudy.kube import objects, statuses

SYSTEM_NAMESPACES = {"default", "kube-system", "kube-public", "kube-node-lease"}
MANY_DELETIONS = 10
MANY_DELETIONS_SHARE = 0.3
NOBODY = "it belongs to no application"
_SHOWN_MAX = 5


class Verdict(enum.Enum):
    """What is to be done with an object that is no longer wanted."""

    DELETE = "delete"
    KEEP = "keep"
    RELEASE = "release"
    ABANDON = "abandon"
    BLOCK = "block"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict, why, and what would change it."""

    verdict: Verdict
    reason: str = ""
    remedy: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardSettings:
    """What may be deleted all the same.

    Attributes:
        allow_empty: An empty wanted set may delete everything.
        allow_many: More deletions than max(10, 30 % of the application) may go.
        allow_crd_prune: Definitions may go although others have objects of their kind.
        allow_data: Persistent volumes and claims may go.
        records_leave: The application itself goes, its records with it.
    """

    allow_empty: bool = False
    allow_many: bool = False
    allow_crd_prune: bool = False
    allow_data: bool = False
    records_leave: bool = False


DELETE = Judgement(Verdict.DELETE)
GONE = Judgement(Verdict.GONE, "is gone already")


def judge(
    entry: trackers.Entry,
    live: objects.Object | None,
    owner: targets.Owner,
    settings: GuardSettings,
    *,
    applied_now: Collection[str] = (),
) -> Judgement:
    """Judge an object by itself; namespaces and definitions need `Surroundings` besides."""
    if live is None:
        return GONE
    uid = objects.uid_of(live)
    if uid in applied_now:
        return Judgement(Verdict.GONE, "is the same object as one that was just applied")
    if entry.uid and uid != entry.uid:
        return Judgement(
            Verdict.ABANDON, f"somebody made it anew (uid {uid}, shipped was {entry.uid})"
        )
    if not owner.owns(live):
        if not entry.uid:
            return Judgement(Verdict.GONE, "was never applied")
        return Judgement(Verdict.ABANDON, f"no longer carries our label: {whose(live)}")
    leaves = settings.records_leave
    if annotation := marks.is_kept(live, at_the_end=leaves):
        return Judgement(Verdict.RELEASE, f"annotation {annotation} keeps it")
    if annotation := marks.needs_approval(live, at_the_end=leaves):
        return Judgement(
            Verdict.KEEP,
            f"annotation {annotation} asks before it is deleted",
            f"annotate it with {marks.APPROVED} to let it go",
        )
    group, kind, _, name = entry.ref
    if (group, kind) == ("", "Namespace") and name in SYSTEM_NAMESPACES:
        return Judgement(Verdict.RELEASE, "is a system namespace")
    if (
        group == ""
        and kind in {"PersistentVolume", "PersistentVolumeClaim"}
        and not settings.allow_data
    ):
        return Judgement(Verdict.KEEP, "holds data", "--delete-data deletes it")
    return DELETE


def whose(live: objects.Object) -> str:
    """Say whom an object seems to belong to."""
    annotations, labels = objects.annotations_of(live), objects.labels_of(live)
    if marks.PART_OF in labels and marks.APPLICATION in annotations:
        return f"it belongs to the application {annotations[marks.APPLICATION]}"
    if release := annotations.get("meta.helm.sh/release-name"):
        space = annotations.get("meta.helm.sh/release-namespace", "")
        return f"it belongs to the Helm release {space}/{release}"
    for key, tool in (
        ("kustomize.toolkit.fluxcd.io/name", "the Flux Kustomization"),
        ("argocd.argoproj.io/instance", "the Argo CD application"),
        ("app.oam.dev/name", "the KubeVela application"),
        ("kapp.k14s.io/app", "the kapp application"),
    ):
        if found := labels.get(key) or annotations.get(key):
            return f"it belongs to {tool} {found}"
    if marks.PART_OF in labels:
        return f"it belongs to the ApplySet {labels[marks.PART_OF]}"
    for owner in objects.metadata(live).get("ownerReferences") or ():
        if owner.get("controller"):
            return f"it belongs to {owner.get('kind')} {owner.get('name')}, its controller"
    return NOBODY


def too_many(deletions: int, total: int, settings: GuardSettings) -> str:
    """Return why so many deletions need a word, or an empty string."""
    limit = max(MANY_DELETIONS, int(total * MANY_DELETIONS_SHARE))
    if settings.allow_many or deletions <= limit:
        return ""
    return (
        f"{deletions} of {total} objects would be deleted, more than {limit}: "
        "if that is meant, give --allow-many-deletions"
    )


class Surroundings:
    """Looks at what would go with a namespace or a definition."""

    __slots__ = ("_client", "_clock", "_owner", "_settings")

    def __init__(
        self,
        client: protocol.Client,
        owner: targets.Owner,
        settings: GuardSettings,
        clock: clocks.Clock,
    ) -> None:
        self._client = client
        self._owner = owner
        self._settings = settings
        self._clock = clock

    async def judge_namespace(self, name: str, going: Collection[str]) -> Judgement:
        """Keep a namespace that holds what is not going, or what cannot be looked at.

        `going` holds the uids of objects that this collection deletes; an object that is still
        wanted, or was abandoned, keeps its namespace as a stranger's does.
        """
        if name == self._owner.namespace and not self._settings.records_leave:
            return Judgement(Verdict.KEEP, "holds the records of this application")
        served = await self._client.discover()
        foreign: list[str] = []
        seen: set[str] = set()
        for resource in served.resources:
            if not resource.namespaced or "list" not in resource.verbs or _derived(resource):
                continue
            try:
                listing = await self._client.list(resource.name, namespace=name)
            except statuses.NotFoundError:
                continue
            except (statuses.ApiError, client_errors.TransportError) as error:
                return Judgement(Verdict.KEEP, f"its {resource.plural} cannot be listed: {error}")
            for obj in listing.items:
                uid = objects.uid_of(obj)
                if uid not in seen and uid not in going and await self._is_foreign(obj):
                    foreign.append(f"{obj.get('kind')} {objects.name_of(obj)}")
                seen.add(uid)
        if not foreign:
            return DELETE
        return Judgement(Verdict.KEEP, f"is used by others: {_some(foreign)}")

    async def _is_foreign(self, obj: objects.Object) -> bool:
        meta = objects.metadata(obj)
        if meta.get("ownerReferences") or meta.get("deletionTimestamp"):
            return False
        kind, name = obj.get("kind"), objects.name_of(obj)
        if kind == "Secret" and obj.get("type") == "kubernetes.io/service-account-token":
            return False
        if objects.labels_of(obj).get(marks.APPLICATION) == self._owner.application:
            return not self._settings.records_leave
        if (kind, name) in {("ServiceAccount", "default"), ("ConfigMap", _ROOT_CA)}:
            return False
        return kind != "ConfigMap" or not await self._is_everywhere(obj)

    async def _is_everywhere(self, config: objects.Object) -> bool:
        """Whether the application's own namespace has the same ConfigMap: no user put it there.

        Service meshes and distributions give every namespace one with their certificates.
        """
        name = objects.name_of(config)
        try:
            twin = await self._client.get("configmaps", name, namespace=self._owner.namespace)
        except (statuses.ApiError, client_errors.TransportError):
            return False
        return bool(config.get("data")) and config["data"] == twin.get("data")

    async def judge_definition(
        self, definition: objects.Object, going: Collection[str]
    ) -> Judgement:
        """Block the deletion of a definition of whose kind other objects stay."""
        if self._settings.allow_crd_prune:
            return DELETE
        served = targets.resources_of(definition)
        if not served:
            return DELETE
        try:
            listing = await calling.patiently(
                lambda: self._client.list(served[0].name), self._clock
            )
        except statuses.NotFoundError:
            return DELETE
        foreign = [
            f"{objects.namespace_of(obj)}/{objects.name_of(obj)}".lstrip("/")
            for obj in listing.items
            if objects.uid_of(obj) not in going
        ]
        if not foreign:
            return DELETE
        return Judgement(
            Verdict.BLOCK,
            f"{len(foreign)} other objects of kind {served[0].kind} would be deleted with it: "
            f"{_some(foreign)}",
            "--allow-crd-prune deletes them",
        )


_ROOT_CA = "kube-root-ca.crt"


def _derived(resource: protocol.ApiResource) -> bool:
    """Whether objects of a kind follow from others, so that losing them loses nothing."""
    return (resource.group, resource.plural) in {
        ("", "events"), ("events.k8s.io", "events"), ("", "endpoints"),
        ("discovery.k8s.io", "endpointslices"), ("metrics.k8s.io", "pods"),
    }  # fmt: skip


def _some(names: list[str]) -> str:
    shown = ", ".join(names[:_SHOWN_MAX])
    more = len(names) - _SHOWN_MAX
    return f"{shown} and {more} more" if more > 0 else shown
