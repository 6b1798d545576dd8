"""Objects tried as new ones of another name, in a dry run.

Those that are there already and that a changed definition would no longer accept: a server lets
them stay as they are and refuses their next change, and nobody hears of it before. And those of
which only the change is refused, by a rule that tells so in words of its own.
"""

from __future__ import annotations

from collections.abc import Iterable

from understudy.client import protocol
from understudy.delivery import masking, outcomes, refs, targets
from understudy.kube import objects, statuses

TRIED_MAX = 500
"""Objects tried of one definition."""
_SUFFIX = "-understudy"
_NAME_MAX = 63 - len(_SUFFIX)


async def refused(
    client: protocol.Client, done: Iterable[outcomes.Outcome], mask: masking.Mask
) -> dict[refs.Ref, str]:
    """Return what the definitions that changed would refuse, each with the server's words."""
    named = {outcome.ref: outcome for outcome in done}
    found: dict[refs.Ref, str] = {}
    for ref, outcome in named.items():
        changed = outcome.op in (outcomes.Op.CHANGE, outcomes.Op.RECREATE, outcomes.Op.ADOPT)
        if (ref.group, ref.kind) != targets.CRD or not changed or outcome.after is None:
            continue
        for resource in targets.resources_of(outcome.after)[:1]:
            listing = await client.list(resource.name, limit=TRIED_MAX)
            for obj in listing.items:
                told = await _tried(client, resource, obj)
                if told and refs.ref_of(obj) not in named:
                    found[refs.ref_of(obj)] = mask.redact(told, [obj])
    return found


async def is_accepted_as_new(
    client: protocol.Client, resource: protocol.ApiResource, obj: objects.Object
) -> bool:
    """Whether an object of another name would be accepted: then only its change is refused."""
    try:
        await _create_another(client, resource, obj)
    except statuses.ApiError:
        return False
    return True


async def _tried(
    client: protocol.Client, resource: protocol.ApiResource, obj: objects.Object
) -> str:
    """Return why an object would be refused as a new one; empty where it would not."""
    try:
        await _create_another(client, resource, obj)
    except statuses.InvalidError as error:
        return "; ".join(f"{cause.get('field')}: {cause.get('message')}" for cause in error.causes)
    except statuses.ApiError:
        return ""
    return ""


async def _create_another(
    client: protocol.Client, resource: protocol.ApiResource, obj: objects.Object
) -> None:
    meta = objects.metadata(obj)
    kept: objects.Object = {key: meta[key] for key in ("labels", "annotations") if key in meta}
    kept["name"] = f"{objects.name_of(obj)[:_NAME_MAX]}{_SUFFIX}"
    tried = {key: value for key, value in obj.items() if key != "status"} | {"metadata": kept}
    await client.create(resource.name, tried, namespace=objects.namespace_of(obj), dry_run=True)
