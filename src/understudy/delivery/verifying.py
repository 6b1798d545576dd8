"""A second opinion on a plan: the real server's dry run of every object that can be asked about.

A dry run knows what a rehearsal cannot (webhooks, admission plug-ins that this project does not
have) and not what it can: each object is looked at alone. So only those are asked about whose
namespace and kind are there already, and only where both know enough and still disagree is
anything said.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from understudy.aio import clocks
from understudy.client import protocol
from understudy.delivery import calling, diffs, masking, outcomes, refs, targets
from understudy.kube import objects

PARALLEL = 8
_ALLOTTED = re.compile(
    r"(^|\.)(clusterIPs?|nodePort|healthCheckNodePort|volumeName|ipFamil(y|ies)|finalizers)\b|"
    r"controller-uid|batch.kubernetes.io|^metadata\.uid"
)
"""What every server gives differently, or only when an object is really made."""
_SHOWN_MAX = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Opinion:
    """Where the server and the rehearsal disagree about one object.

    Attributes:
        refusal: Why the server would refuse it; empty where it would not.
        text: One sentence.
    """

    ref: refs.Ref
    text: str
    refusal: str = ""

    def as_dict(self) -> objects.Object:
        """Render for JSON output."""
        return {"ref": self.ref.as_dict(), "text": self.text}


async def ask(
    client: protocol.Client,
    wanted: Sequence[targets.Target],
    done: Sequence[outcomes.Outcome],
    owner: targets.Owner,
    clock: clocks.Clock,
    *,
    force: bool,
    mask: masking.Mask,
) -> tuple[list[Opinion], int]:
    """Return where the server disagrees with a rehearsal, and how many objects it was asked of."""
    rehearsed = {outcome.ref: outcome for outcome in done}
    asked = [target for target in await _independent(client, wanted, clock)
             if rehearsed.get(target.ref) and rehearsed[target.ref].op in _ASKED]  # fmt: skip

    async def dry_run(target: targets.Target) -> objects.Object:
        return await calling.patiently(
            lambda: client.apply(
                target.resource.name,
                owner.marked(target.obj),
                field_manager=owner.manager,
                namespace=target.ref.namespace,
                force=force,
                field_validation="Strict",
                dry_run=True,
            ),
            clock,
        )

    found: list[Opinion] = []
    for target, answer in await calling.each(asked, PARALLEL, dry_run):
        outcome = rehearsed[target.ref]
        if isinstance(answer, calling.Failed):
            if outcome.op is not outcomes.Op.BLOCKED:
                said = " ".join(mask.redact(str(answer.error), [target.obj]).split())
                text = f"{target.ref}: the server's dry run refuses it: {said}"
                found.append(Opinion(ref=target.ref, text=text, refusal=said))
        elif outcome.op is outcomes.Op.BLOCKED:
            text = f"{target.ref}: alone, the server's dry run accepts it"
            found.append(Opinion(ref=target.ref, text=text))
        elif differing := _differing(outcome, answer.value, mask):
            text = f"{target.ref}: the server would make it otherwise: {differing}"
            found.append(Opinion(ref=target.ref, text=text))
    return found, len(asked)


_ASKED = {outcomes.Op.CREATE, outcomes.Op.CHANGE, outcomes.Op.ADOPT, outcomes.Op.BLOCKED}


async def _independent(
    client: protocol.Client, wanted: Sequence[targets.Target], clock: clocks.Clock
) -> list[targets.Target]:
    """Return what can be asked about alone: namespace and kind are there, the kind unchanged."""
    served = await client.discover()
    changing = {
        (resource.group, resource.kind)
        for target in wanted
        if (target.ref.group, target.ref.kind) == targets.CRD
        for resource in targets.resources_of(target.obj)
    }
    namespaces = served.named("namespaces")
    assert namespaces is not None, "every API server serves namespaces"
    spaces = {target.ref.namespace for target in wanted if target.ref.namespace}
    present = await calling.read(
        client,
        ((refs.Ref("", "Namespace", "", name), namespaces) for name in sorted(spaces)),
        limit=PARALLEL,
        clock=clock,
    )
    there = {ref.name for ref in present} | {""}
    return [
        target
        for target in wanted
        if target.ref.namespace in there
        and (target.ref.group, target.ref.kind) not in changing
        and served.by_kind(target.api_version, target.ref.kind) is not None
    ]


def _differing(outcome: outcomes.Outcome, real: objects.Object, mask: masking.Mask) -> str:
    """Say where the server's account differs from the rehearsal's.

    What an adopted object loses is no difference: a delivery first makes fields of the earlier
    deliverer its own, of which a dry run of the apply alone knows nothing.
    """
    states = (outcome.after or {}, real, outcome.before or {})
    rehearsed, after, live = (diffs.comparable(mask.hide(obj, states)) for obj in states)
    adopted = outcome.op is outcomes.Op.ADOPT
    new = {diffs.told(steps) for steps, _, _ in diffs.differences(live, after)} if adopted else ()
    told = [
        f"{path} is {diffs.shown(theirs)}, rehearsed as {diffs.shown(ours)}"
        for steps, ours, theirs in diffs.differences(rehearsed, after)
        if not _ALLOTTED.search(path := diffs.told(steps))
        and not (adopted and ours is None and path not in new)
    ]
    more = len(told) - _SHOWN_MAX
    return "; ".join(told[:_SHOWN_MAX]) + (f"; and {more} more" if more > 0 else "")
