"""Workloads whose number of replicas two parties decide: the manifest, and an autoscaler."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from understudy.client import protocol
from understudy.delivery import effects, outcomes, references, refs, stage
from understudy.kube import objects, statuses

AUTOSCALERS: Final = "horizontalpodautoscalers.autoscaling"
_REPLICAS: Final = ("spec", "replicas")


async def contested(
    client: protocol.Client, done: Sequence[outcomes.Outcome], left: Sequence[stage.Change]
) -> list[effects.Effect]:
    """Return an effect for each workload whose replicas change although something scales it.

    `client` is the stage's, and `left` what differs there in the end: what the autoscaler made of
    the replicas is told.
    """
    now = {change.ref: change.after for change in left}
    changed = {outcome.ref: outcome for outcome in done if _sets_replicas(outcome)}
    found: list[effects.Effect] = []
    for namespace in sorted({ref.namespace for ref in changed}):
        try:
            scalers = (await client.list(AUTOSCALERS, namespace=namespace)).items
        except statuses.ApiError:
            continue
        for scaler in scalers:
            scaled = references.mentioned(refs.ref_of(scaler), scaler)
            found += (
                _effect(changed[ref], scaler, now.get(ref) or changed[ref].before)
                for ref in scaled
                if ref in changed
            )
    return found


def _sets_replicas(outcome: outcomes.Outcome) -> bool:
    if outcome.op not in (outcomes.Op.CHANGE, outcomes.Op.ADOPT) or outcome.after is None:
        return False
    before, after = (
        objects.lookup(obj or {}, _REPLICAS) for obj in (outcome.before, outcome.after)
    )
    return after is not None and before != after


def _effect(
    outcome: outcomes.Outcome, scaler: objects.Object, now: objects.Object | None
) -> effects.Effect:
    replicas = objects.lookup(outcome.after or {}, _REPLICAS)
    left = objects.lookup(now or {}, _REPLICAS)
    spec = scaler.get("spec") or {}
    least, most = spec.get("minReplicas") or 1, spec.get("maxReplicas")
    does = f"scales it between {least} and {most} again"
    if left not in {None, replicas}:
        does = f"sets it to {left} again, between {least} and {most}"
    text = (
        f"{outcome.ref} is set to {outcomes.number(replicas, 'replica')}, and "
        f"HorizontalPodAutoscaler {objects.name_of(scaler)} {does}: "
        "leave spec.replicas out of the manifest"
    )
    return effects.Effect(type="contested", ref=outcome.ref, text=text)
