"""What other applications claim: an object may be wanted by one only.

An object that is there says whose it is. One that is not there yet may be wanted all the same, by
an application whose delivery is under way, or that has lost it and will make it again: its tracker
says so. Looked at in a rehearsal, before anything is written.
"""

from __future__ import annotations

from understudy.client import protocol
from understudy.delivery import outcomes, refs, targets, trackers
from understudy.kube import statuses

Rivals = dict[refs.Ref, targets.Owner]


async def of(client: protocol.Client, owner: targets.Owner) -> Rivals:
    """Return what the trackers of other applications want, each with the application."""
    try:
        listing = await client.list(trackers.RESOURCE)
    except statuses.NotFoundError:
        return {}  # Nothing was ever delivered.
    found: Rivals = {}
    for obj in listing.items:
        tracker = trackers.from_object(obj)
        if tracker.owner != owner:
            found |= {
                ref: tracker.owner
                for ref, entry in tracker.entries.items()
                if entry.revision == tracker.revision
            }
    return found


def obstacle(rival: targets.Owner) -> outcomes.Obstacle:
    """Say that another application wants an object too."""
    return outcomes.Obstacle(
        message=f"is wanted by the application {rival} too",
        remedy="take it out of one of them, or --take-over takes it from there",
    )
