"""Hooks: what runs with a delivery instead of staying: a migration before it, a smoke test after.

| `core.understudy.dev/hook` | `argocd.argoproj.io/hook` | `helm.sh/hook`                      |
| -------------------------- | ------------------------- | ----------------------------------- |
| `pre-deliver`              | `PreSync`                 | `pre-install`, -`upgrade`,          |
|                            |                           | -`rollback`                         |
| `post-deliver`             | `PostSync`                | `post-install`, -`upgrade`,         |
|                            |                           | -`rollback`                         |
| `on-failure`               | `SyncFail`                |                                     |
| `pre-delete`               | `PreDelete`               | `pre-delete`                        |
| `post-delete`              | `PostDelete`              | `post-delete`                       |

Those before a delivery go before everything else, those after it when everything is healthy.
"Before everything else" leaves out what a hook itself refers to: its namespace, its ConfigMaps.
Several of one phase go by weight. A hook is created anew each time (the one of last time is
deleted before), runs once for each revision, is waited for until it is complete, at most until its
own time is up, and can go when it has succeeded or failed. Helm's hooks of installing run only
while nothing was ever delivered, its hooks of rolling back only then. Those of failures run when a
delivery has failed that had begun, those of deleting around the deletion of the application, every
time; they go with it.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from understudy.delivery import marks
from understudy.kube import health, objects, times

HOOK = f"{marks.GROUP}/hook"
DELETE_POLICY = f"{marks.GROUP}/hook-delete-policy"
WEIGHT = f"{marks.GROUP}/hook-weight"
TIMEOUT = f"{marks.GROUP}/hook-timeout"
TIMEOUT_S = 300.0
"""As long as Helm waits for a hook."""

_HELM, _ARGO = "helm.sh/hook", "argocd.argoproj.io/hook"


class Occasion(enum.StrEnum):
    """For what a delivery is made; `NONE` where its revision was delivered before."""

    INSTALL = "install"
    UPGRADE = "upgrade"
    ROLLBACK = "rollback"
    DELETE = "delete"
    FAILURE = "failure"
    NONE = "none"

    @property
    def is_delivery(self) -> bool:
        """Whether a revision is to be put in place, and nothing else."""
        return self in DELIVERING


DELIVERING = (Occasion.INSTALL, Occasion.UPGRADE, Occasion.ROLLBACK)


class Phase(enum.IntEnum):
    """When something goes, in order."""

    BEFORE = 0
    MIDDLE = 1
    AFTER = 2


class Deletion(enum.StrEnum):
    """When a hook that ended is deleted; before its next run it is deleted in any case."""

    BEFORE_CREATION = "before-hook-creation"
    SUCCEEDED = "hook-succeeded"
    FAILED = "hook-failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hook:
    """What an object's annotations say.

    Attributes:
        phases: When it runs, by occasion; nowhere for hooks that a delivery does not run.
        until: The last phase in which it is needed; one of Helm's may be needed in both.
        weight: Of several of one phase, the lighter goes first.
        timeout_s: How long it may take.
    """

    phases: dict[Occasion, Phase]
    until: dict[Occasion, Phase]
    weight: int = 0
    deletion: frozenset[Deletion] = frozenset()
    timeout_s: float = TIMEOUT_S


def of(obj: objects.Object) -> Hook | None:
    """Return what an object is as a hook, None for what is none."""
    said = objects.annotations_of(obj)
    phases = _phases(said)
    if phases is None:
        return None
    policies = _listed(said.get(DELETE_POLICY) or said.get(f"{_HELM}-delete-policy") or "")
    policies |= {_ARGO_POLICIES.get(p, p) for p in _listed(said.get(f"{_ARGO}-delete-policy", ""))}
    weight = _whole(said.get(WEIGHT) or said.get(f"{_HELM}-weight") or said.get(_ARGO_WAVE) or "0")
    timeout_s = times.seconds_of(said[TIMEOUT]) if TIMEOUT in said else TIMEOUT_S
    first, last = phases
    return Hook(
        phases=first,
        until=last,
        weight=weight or 0,
        deletion=frozenset(policy for policy in Deletion if policy in policies),
        timeout_s=timeout_s if timeout_s is not None else TIMEOUT_S,
    )


_When = dict[Occasion, Phase]
_BEFORE: _When = dict.fromkeys(DELIVERING, Phase.BEFORE)
_AFTER: _When = dict.fromkeys(DELIVERING, Phase.AFTER)
_OURS: dict[str, _When] = {
    "pre-deliver": _BEFORE,
    "post-deliver": _AFTER,
    "on-failure": {Occasion.FAILURE: Phase.AFTER},
    "pre-delete": {Occasion.DELETE: Phase.BEFORE},
    "post-delete": {Occasion.DELETE: Phase.AFTER},
}
_ARGOS: dict[str, _When] = {
    "PreSync": _BEFORE,
    "PostSync": _AFTER,
    "SyncFail": {Occasion.FAILURE: Phase.AFTER},
    "PreDelete": {Occasion.DELETE: Phase.BEFORE},
    "PostDelete": {Occasion.DELETE: Phase.AFTER},
}
_HELMS: dict[str, _When] = {
    f"{when}-{occasion}": {occasion: phase}
    for when, phase in (("pre", Phase.BEFORE), ("post", Phase.AFTER))
    for occasion in (*DELIVERING, Occasion.DELETE)
}
_ARGO_WAVE = "argocd.argoproj.io/sync-wave"
_ARGO_POLICIES = {
    "BeforeHookCreation": "before-hook-creation",
    "HookSucceeded": "hook-succeeded",
    "HookFailed": "hook-failed",
}


def _phases(said: dict[str, str]) -> tuple[_When, _When] | None:
    """Return when a hook runs, and until when it is needed; None where it is no hook."""
    for key, table in ((HOOK, _OURS), (_ARGO, _ARGOS), (_HELM, _HELMS)):
        if key not in said:
            continue
        words = _listed(said[key])
        if words == {"Sync"} or "crd-install" in words:
            return None  # A hook among the ordinary objects: an ordinary object here.
        first: _When = {}
        last: _When = {}
        for word in words & table.keys():
            for occasion, phase in table[word].items():
                first[occasion] = min(phase, first.get(occasion, phase))
                last[occasion] = max(phase, last.get(occasion, phase))
        return first, last
    return None


def _listed(text: str) -> set[str]:
    return {part.strip() for part in text.split(",") if part.strip()}


def _whole(text: str) -> int | None:
    try:
        return int(text)
    except ValueError:
        return None


def complaints_about(obj: objects.Object) -> list[str]:
    """Say what is wrong with an object's annotations about hooks; nothing is best."""
    said = objects.annotations_of(obj)
    told = []
    for key, known in ((HOOK, set(_OURS)), (DELETE_POLICY, set(Deletion))):
        wrong = sorted(_listed(said.get(key, "")) - known)
        if wrong or said.get(key) == "":
            told.append(
                f"metadata.annotations[{key!r}] is {said[key]!r}: use {', '.join(sorted(known))}"
            )
    if WEIGHT in said and _whole(said[WEIGHT]) is None:
        told.append(f"metadata.annotations[{WEIGHT!r}] is {said[WEIGHT]!r}: use a whole number")
    if TIMEOUT in said and times.seconds_of(said[TIMEOUT]) is None:
        told.append(
            f"metadata.annotations[{TIMEOUT!r}] is {said[TIMEOUT]!r}: use a duration such as 90s, "
            "15m or 1h30m"
        )
    return told


def removes_itself(obj: objects.Object) -> bool:
    """Whether an object is a Job that is deleted some time after it has run."""
    return (
        marks.is_job(obj) and objects.lookup(obj, ("spec", "ttlSecondsAfterFinished")) is not None
    )


def why_idle(hook: Hook, occasion: Occasion, *, has_run: bool) -> str:
    """Say why a hook does not run in a delivery; empty where it does."""
    if occasion is Occasion.NONE or (has_run and occasion.is_delivery):
        return "a hook: has run for this revision"
    if occasion not in hook.phases:
        others = ", ".join(f"{one}s" for one in hook.phases)
        return f"a hook of {others}: does not run now" if others else "a hook that is not run here"
    return ""


def rank_of(obj: objects.Object, occasion: Occasion) -> tuple[int, int]:
    """Return the place of an object among phases and weights."""
    hook = of(obj)
    phase = hook.phases.get(occasion) if hook is not None else None
    return (phase, hook.weight) if hook is not None and phase is not None else (Phase.MIDDLE, 0)


def assess(obj: objects.Object, verdict: health.Health) -> health.Health:
    """Return the verdict on a hook: a pod that runs, however healthy, has not ended."""
    running = objects.lookup(obj, ("status", "phase")) == "Running"
    if obj.get("kind") == "Pod" and running and verdict.is_settled:
        return health.Health(health.State.IN_PROGRESS, "Running", "the pod has not ended")
    return verdict
