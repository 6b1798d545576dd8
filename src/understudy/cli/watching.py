"""The command that looks for drift again and again, and corrects it if it may."""

from __future__ import annotations

import click

from understudy.cli import sessions
from understudy.delivery import deliveries, errors, plans, targets
from understudy.kube import objects, statuses

DRIFTED = 2


@click.command()
@click.argument("name")
@click.option("--correct", is_flag=True, help="Deliver the newest revision again on drift.")
@click.option(
    "--interval",
    callback=sessions.duration,
    default="30s",
    show_default=True,
    help="How long to wait between two looks.",
)
@click.option("--once", is_flag=True, help="Look once; exit with 2 if there is drift left.")
@sessions.IGNORED
@sessions.policies
@sessions.target
def watch(
    where: sessions.Where,
    /,
    name: str,
    correct: bool,
    interval: float,
    once: bool,
    ignored: tuple[str, ...],
    **flags: bool,
) -> None:
    """Look for drift from the newest revision of NAME until interrupted; say what changed."""

    async def work(session: sessions.Session) -> int:
        options = sessions.options(flags, ignored=ignored, yes=True, no_wait=True)
        owner, last = session.owner(name), ""
        while True:
            made = await session.deliveries.drift(owner, options)
            if made.digest != last:
                _tell(session, made)
            last, left = made.digest, made.has_changes or bool(made.blocked)
            if correct and made.has_changes:
                left = not await _corrected(session, owner, options)
            if once:
                return DRIFTED if left else 0
            await session.clock.sleep(interval)

    sessions.run(where, work)


def _tell(session: sessions.Session, made: plans.Plan) -> None:
    """Show what has drifted, or that nothing has."""
    if session.where.output != "text":
        sessions.print_json({"type": "drift", **made.as_dict()})
    elif made.has_changes or made.blocked:
        session.show(made, subject="Drift of")
    else:
        sessions.say(f"{made.owner.application}: no drift")


async def _corrected(
    session: sessions.Session, owner: targets.Owner, options: deliveries.Options
) -> bool:
    """Put drift right; what cannot be is told, and tried again with the next look."""
    try:
        await session.deliveries.correct(owner, options)
    except (errors.DeliveryError, statuses.ApiError) as error:
        told: objects.Object = {"type": "error", "messages": str(error).splitlines()}
        if session.where.output == "text":
            click.echo(f"error: {owner.application} is not corrected: {error}", err=True)
        else:
            sessions.print_json(told)
        return False
    if session.where.output == "text":
        sessions.say(f"{owner.application} is corrected")
    else:
        sessions.print_json({"type": "corrected"})
    return True
