"""The commands that rehearse, deliver and look at applications.

Exit codes: `plan` 0 no change, 1 error, 2 changes, 3 blocked; `deliver`, `rollback` and `delete`
0 healthy, 1 error, 3 blocked, 4 stale plan, 5 lock held, 6 unhealthy or timed out, 7 the same and
rolled back; `drift` 2 on drift.
"""

from __future__ import annotations

import dataclasses
import functools
import os
from pathlib import Path

import click
import orjson

from understudy.cli import fleets, sessions
from understudy.delivery import deliveries, errors, plans, reasons, render
from understudy.kube import objects

CHANGED, BLOCKED = 2, 3
WAY_BACK = "The way back of"


# ---------------------------------------------------------------------- plan


@click.command()
@click.argument("name")
@click.option(
    "-f",
    "--filename",
    "files",
    multiple=True,
    help="File, directory, kustomization, chart, URL, or - for standard input; may be repeated.",
)
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Save the plan.")
@click.option(
    "--rollback",
    is_flag=True,
    help="Rehearse going back to the previous revision; with -f, the way back from there too.",
)
@click.option(
    "--after",
    multiple=True,
    metavar="NAME=PATH",
    help="As if this other application had been delivered before; may be repeated.",
)
@click.option("--to", "end", default="", help="With --rollback or --from: to this revision.")
@click.option("--from", "start", default="", help="Begin at this revision, whatever is delivered.")
@click.option("--exit-zero", is_flag=True, help="Exit with 0 where there are changes.")
@click.option(
    "--chaos",
    is_flag=True,
    help="Rehearse dying too: after each write, and what the next run makes of what is left.",
)
@sessions.charts
@sessions.VERIFY
@sessions.DIFF
@sessions.policies
@sessions.target
def plan(
    where: sessions.Where,
    /,
    name: str,
    files: tuple[str, ...],
    out: Path | None,
    rollback: bool,
    after: tuple[str, ...],
    end: str,
    start: str,
    exit_zero: bool,
    chaos: bool,
    verify: str | None,
    values: tuple[str, ...],
    settings: tuple[str, ...],
    **flags: bool,
) -> None:
    """Rehearse the delivery of NAME, and say what would happen. Nothing is changed."""
    _check_what_is_planned(files, out, end, start, after, rollback=rollback)
    options = dataclasses.replace(sessions.options(flags, verify=verify), chaos=chaos)
    read = sessions.Reading(files, values, settings)

    async def rehearse(session: sessions.Session) -> plans.Plan:
        owner = session.owner(name)
        if rollback and not files:
            return await session.deliveries.plan_rollback(owner, end, options)
        if start:
            return await session.deliveries.plan_between(owner, start, end, options)
        others = [await _other(session, text) for text in after]
        given = await read(session, owner)
        return await session.deliveries.plan(owner, given, options, after=others)

    async def back(session: sessions.Session) -> plans.Plan | None:
        """Rehearse the way back, where that was asked for and there is a way there."""
        if not (files and rollback):
            return None
        owner = session.owner(name)
        given = await read(session, owner)
        return await session.deliveries.plan_way_back(owner, given, sessions.options(flags))

    if where.cluster.is_fleet:
        if out is not None:
            raise click.UsageError("--out saves the plan of one instance")
        if files and rollback:
            raise click.UsageError("--rollback with -f tells the way back of one instance")
        fleets.plan(where, name, rehearse, exit_zero=exit_zero)

    async def work(session: sessions.Session) -> int:
        session.rehearsing(name)
        made = await rehearse(session)
        session.show(made, whole=flags["diff"])
        undone = None if made.blocked else await back(session)
        if undone is not None:
            _show_way_back(session, undone, whole=flags["diff"])
        if where.output == "json":
            way_back = {"rollback": undone.as_dict()} if undone is not None else {}
            sessions.print_json(made.as_dict() | way_back)
        if out is not None:
            _write_private(out, orjson.dumps(made.as_file(), option=orjson.OPT_INDENT_2))
        if made.is_stopped:
            return BLOCKED
        return CHANGED if made.has_changes and not exit_zero else 0

    sessions.run(where, work)


def _show_way_back(session: sessions.Session, undone: plans.Plan, *, whole: bool) -> None:
    """Show the plan of undoing another, except where one document comes at the end."""
    match session.where.output:
        case "text":
            sessions.say("\nAnd back again, once that is delivered:\n")
            session.show(undone, subject=WAY_BACK, whole=whole)
        case "jsonl":
            sessions.print_json({"type": "rollback", **undone.as_dict()})
        case _:
            pass


def _check_what_is_planned(
    files: tuple[str, ...],
    out: Path | None,
    end: str,
    start: str,
    after: tuple[str, ...],
    *,
    rollback: bool,
) -> None:
    """Refuse options of `plan` that do not go together."""
    if [bool(files or rollback), bool(start)].count(True) != 1 or bool(end) < bool(start):
        raise click.UsageError(
            "give either -f PATH [--rollback], or --rollback [--to REVISION], or --from REVISION "
            "--to REVISION"
        )
    if after and not files:
        raise click.UsageError("--after goes with -f")
    if files and end:
        raise click.UsageError("--to goes with --rollback or --from, not with -f")
    if start and out is not None:
        raise click.UsageError("--out saves what can be delivered; a plan between two revisions "
                               "begins where the cluster is not")  # fmt: skip


async def _other(session: sessions.Session, text: str) -> deliveries.Given:
    """Read another application: `NAME=PATH`."""
    name, separator, path = text.partition("=")
    if not separator or not name or not path:
        raise errors.ManifestError([f"--after {text}: write NAME=PATH"])
    owner = session.owner(name)
    return owner, await sessions.Reading((path,))(session, owner)


def _write_private(path: Path, content: bytes) -> None:
    """Write a file that only its owner may read, whole or not at all."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)
    draft.replace(path)


# ---------------------------------------------------------------------- deliver


@click.command()
@click.argument("name")
@sessions.FILES
@sessions.charts
@click.option(
    "--plan",
    "plan_file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Deliver only what this saved plan says; refuse if it is stale.",
)
@click.option(
    "--rollback-on-failure", is_flag=True, help="Go back to the previous revision on failure."
)
@fleets.rolling_out
@sessions.VERIFY
@sessions.going
@sessions.DIFF
@sessions.policies
@sessions.target
def deliver(
    where: sessions.Where,
    /,
    name: str,
    files: tuple[str, ...],
    plan_file: Path | None,
    rollback_on_failure: bool,
    batch_size: int | None,
    stop_on_failure: bool,
    rollback_all: bool,
    verify: str | None,
    yes: bool,
    timeout: float,
    no_activity_timeout: float,
    no_wait: bool,
    force_unlock: bool,
    values: tuple[str, ...],
    settings: tuple[str, ...],
    **flags: bool,
) -> None:
    """Rehearse the delivery of NAME, ask, and deliver it."""
    read = sessions.Reading(files, values, settings)
    chosen = functools.partial(
        sessions.options,
        flags,
        timeout=timeout,
        no_activity_timeout=no_activity_timeout,
        no_wait=no_wait,
        force_unlock=force_unlock,
        rollback_on_failure=rollback_on_failure,
        verify=verify,
    )
    rollout = fleets.rollout(
        where, batch_size, stop_on_failure=stop_on_failure, rollback_all=rollback_all
    )
    if rollout is not None:
        if plan_file is not None:
            raise click.UsageError("--plan is the plan of one instance")
        fleets.deliver(where, fleets.Delivering(
            name=name, read=read, options=chosen(yes=True), rollout=rollout, yes=yes
        ))  # fmt: skip

    async def work(session: sessions.Session) -> int:
        saved = None
        if plan_file is not None:
            saved = plans.from_file(_content(plan_file), str(plan_file))
        options = chosen(yes=yes or saved is not None, session=session)
        session.rehearsing(name)
        owner = session.owner(name)
        given = await read(session, owner)
        done = await session.deliveries.deliver(owner, given, options, saved=saved)
        return _conclude(session, done, f"{owner.application} is delivered")

    sessions.run(where, work)


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise errors.ManifestError([f"{path}: cannot be read: {error.strerror}"]) from error


def _conclude(session: sessions.Session, done: deliveries.Delivery, success: str) -> int:
    """Say how it ended, in the chosen form."""
    session.foot.hide()
    result = "delivered"
    if not done.approved:
        result = "declined"
    elif not done.changed:
        result = "unchanged"
    if session.where.output == "text":
        if result == "declined":
            sessions.say("Nothing was changed.")
        elif result == "unchanged":
            sessions.say(f"Nothing to do: revision {done.plan.revision} is in place and healthy.")
        else:
            named = f"{success}: revision {done.plan.revision}" if done.plan.revision else success
            sessions.say(f"{named} ({render.counts(done.outcomes)})")
        return 0
    body: objects.Object = {
        "type": "result",
        "result": result,
        "objects": [
            {"op": str(o.op), **o.ref.as_dict()} | ({"note": o.note} if o.note else {})
            for o in done.outcomes
        ],
    }
    if session.where.output == "json":
        body["plan"] = done.plan.as_dict()
    sessions.print_json(body)
    return 0


@click.command()
@click.argument("name")
@click.argument("revision", required=False, default="")
@sessions.going
@sessions.DIFF
@sessions.policies
@sessions.target
def rollback(
    where: sessions.Where,
    /,
    name: str,
    revision: str,
    yes: bool,
    timeout: float,
    no_activity_timeout: float,
    no_wait: bool,
    force_unlock: bool,
    **flags: bool,
) -> None:
    """Deliver REVISION of NAME again, by default the last delivered before this one."""

    async def work(session: sessions.Session) -> int:
        options = sessions.options(
            flags,
            yes=yes,
            timeout=timeout,
            no_activity_timeout=no_activity_timeout,
            no_wait=no_wait,
            force_unlock=force_unlock,
            session=session,
        )
        owner = session.owner(name)
        session.rehearsing(name)
        done = await session.deliveries.rollback(owner, revision, options)
        return _conclude(session, done, f"{owner.application} is rolled back")

    sessions.run(where, work)


@click.command()
@click.argument("name")
@sessions.going
@sessions.DIFF
@sessions.policies
@sessions.target
def delete(
    where: sessions.Where,
    /,
    name: str,
    yes: bool,
    timeout: float,
    no_activity_timeout: float,
    no_wait: bool,
    force_unlock: bool,
    **flags: bool,
) -> None:
    """Delete NAME: everything it delivered, in reverse order, and then its records."""

    async def work(session: sessions.Session) -> int:
        options = sessions.options(
            flags,
            yes=yes,
            timeout=timeout,
            no_activity_timeout=no_activity_timeout,
            no_wait=no_wait,
            force_unlock=force_unlock,
            session=session,
        )
        owner = session.owner(name)
        session.rehearsing(name)
        done = await session.deliveries.remove(owner, options)
        return _conclude(session, done, f"{owner.application} is deleted")

    sessions.run(where, work)


# ---------------------------------------------------------------------- looking


@click.command()
@click.argument("name")
@sessions.target
def history(where: sessions.Where, /, name: str) -> None:
    """Show the revisions of NAME, oldest first."""

    async def work(session: sessions.Session) -> int:
        records = await session.deliveries.history(session.owner(name))
        if where.output == "text":
            sessions.print_lines(render.history(records, session.now()))
            return 0
        shown = [_revision(record) for record in records]
        _print_all(shown, where.output)
        return 0

    sessions.run(where, work)


def _revision(record: objects.Object) -> objects.Object:
    spec, status = record["spec"], record.get("status") or {}
    return {
        "revision": objects.name_of(record),
        "number": spec["number"],
        "phase": status.get("phase") or "Delivering",
        "message": status.get("message") or "",
        "digest": spec["digest"],
        "objects": spec.get("objects"),
        "rollbackOf": spec.get("rollbackOf") or "",
        "created": objects.metadata(record).get("creationTimestamp"),
        "finished": status.get("finishedAt"),
    }


def _print_all(items: list[objects.Object], output: str) -> None:
    if output == "json":
        sessions.print_json(items)
        return
    for item in items:
        sessions.print_json(item)


@click.command()
@click.argument("name")
@sessions.target
def status(where: sessions.Where, /, name: str) -> None:
    """Show the objects of NAME, their health, and why something is not healthy."""

    async def work(session: sessions.Session) -> int:
        owner = session.owner(name)
        conditions = await session.deliveries.status(owner)
        if where.output == "text":
            records = await session.deliveries.history(owner)
            sessions.say(render.headline(records, conditions, session.now()))
            sessions.print_lines(render.status(conditions, sessions.paint, session.now()))
            return 0
        _print_all([_condition(condition) for condition in conditions], where.output)
        return 0

    sessions.run(where, work)


def _condition(condition: deliveries.Condition) -> objects.Object:
    return {
        **condition.entry.ref.as_dict(),
        "state": str(condition.entry.state),
        "revision": condition.entry.revision,
        "health": str(condition.health.state),
        "reason": condition.health.reason,
        "message": condition.health.message,
        "reasons": list(condition.reasons),
        "children": [_child(child) for child in condition.children],
    }


def _child(child: reasons.Child) -> objects.Object:
    return {
        "kind": child.kind,
        "name": child.name,
        "health": str(child.health.state),
        "reason": child.health.reason,
        "message": child.health.message,
        "created": child.created,
        "restarts": child.restarts,
        "children": [_child(one) for one in child.children],
    }


@click.command(name="list")
@click.option("-A", "--all-namespaces", is_flag=True, help="In all namespaces.")
@sessions.target
def list_(where: sessions.Where, /, all_namespaces: bool) -> None:
    """Show the applications of a namespace."""

    async def work(session: sessions.Session) -> int:
        space = "" if all_namespaces else session.owner("any").namespace
        records = await session.deliveries.applications(space)
        if where.output == "text":
            sessions.print_lines(render.applications(records, session.now()))
            return 0
        _print_all([_application(record) for record in records], where.output)
        return 0

    sessions.run(where, work)


def _application(record: objects.Object) -> objects.Object:
    names = {"namespace": objects.namespace_of(record), "name": objects.name_of(record)}
    return names | (record.get("status") or {})


@click.command()
@click.argument("name")
@sessions.IGNORED
@sessions.DIFF
@sessions.policies
@sessions.target
def drift(
    where: sessions.Where,
    /,
    name: str,
    ignored: tuple[str, ...],
    **flags: bool,
) -> None:
    """Show what differs in the cluster from the newest revision of NAME."""

    async def rehearse(session: sessions.Session) -> plans.Plan:
        options = sessions.options(flags, ignored=ignored)
        return await session.deliveries.drift(session.owner(name), options)

    if where.cluster.is_fleet:
        fleets.plan(where, name, rehearse, kind="Drift")

    async def work(session: sessions.Session) -> int:
        session.rehearsing(name)
        made = await rehearse(session)
        session.show(made, subject="Drift of", whole=flags["diff"])
        if where.output == "json":
            sessions.print_json(made.as_dict())
        return CHANGED if made.has_changes or made.blocked else 0

    sessions.run(where, work)
