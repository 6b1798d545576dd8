"""Take away everything that could start a replica of a stopped app.

The Service's template is parked by now (see `specs.park`). Knative keeps recreating the Revision of
its newest generation only, so once that is the parked one, all others can be deleted for good, and
their autoscalers, Deployments and pods go with them.
"""

from __future__ import annotations

from understudy.aio import clocks
from understudy.apps import errors, settings, specs
from understudy.client import protocol
from understudy.kube import objects, statuses as api
from understudy.kube.knative import keys as knative

_FIRST_LOOK_S = 0.02
_LOOK_MAX_S = 1.0


async def retire(
    client: protocol.Client, config: settings.AppSettings, clock: clocks.Clock, service: str
) -> None:
    """Delete every Revision of a parked Service but the parked one, and see that none comes back.

    Raises:
        AppTimeoutError: Knative did not take the parked template in time.
        ApiError, TransportError: The cluster refused or could not be reached.
    """
    deadline_s = clock.monotonic() + config.stop_timeout_s
    wait_s = _FIRST_LOOK_S
    while True:
        try:
            live = await client.get(knative.SERVICES, service, namespace=config.namespace)
        except api.NotFoundError:
            return
        if not specs.is_parked(objects.lookup(live, ("spec", "template")) or {}):
            return  # started again meanwhile: leave it alone
        found = await client.list(
            knative.REVISIONS,
            namespace=config.namespace,
            label_selector=f"{knative.SERVICE}={service}",
        )
        old = [revision for revision in found.items if not specs.is_parked(revision)]
        if _is_taken(live, found.items):
            if not old:
                return
            for revision in old:
                await _delete(client, config.namespace, revision)
        if clock.monotonic() >= deadline_s:
            raise errors.AppTimeoutError(
                f"stop app: Knative did not act on Service {service!r} within"
                f" {config.stop_timeout_s:g} s; is its controller running? Stop it again to go on"
            )
        await clock.sleep(wait_s)
        wait_s = min(wait_s * 2, _LOOK_MAX_S)


def _is_taken(live: objects.Object, revisions: list[objects.Object]) -> bool:
    """Say whether Knative has made the parked Revision of the Service's present generation."""
    status = live.get("status") or {}
    newest = status.get("latestCreatedRevisionName")
    return status.get("observedGeneration") == objects.metadata(live).get("generation") and any(
        objects.name_of(one) == newest and specs.is_parked(one) for one in revisions
    )


async def _delete(client: protocol.Client, namespace: str, revision: objects.Object) -> None:
    try:
        await client.delete(
            knative.REVISIONS,
            objects.name_of(revision),
            namespace=namespace,
            uid=objects.uid_of(revision),
        )
    except (api.NotFoundError, api.ConflictError):
        return  # gone, or another of the same name by now
