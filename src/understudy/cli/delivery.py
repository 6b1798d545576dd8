"""The commands that rehearse, deliver and look at applications.

Exit codes: `plan` 0 no change, 1 error, 2 changes, 3 blocked; `deliver`, `rollback` and `delete`
0 healthy, 1 error, 3 blocked, 4 stale plan, 5 lock held, 6 unhealthy or timed out, 7 the same and
rolled back; `drift` 2 on drift.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import os
import re
import sys
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import ParamSpec

import click
import orjson

from understudy.aio import clocks
from understudy.client import connections, errors as client_errors
from understudy.delivery import (
    deliveries,
    dispatch,
    errors,
    guards,
    holders,
    manifests,
    outcomes,
    plans,
    render,
    stage as stages,
    targets,
    waiting,
)
from understudy.kube import objects, statuses

CHANGED, BLOCKED, ERROR = 2, 3, 1
_DURATION = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """Which cluster, which namespace, which form of output."""

    kubeconfig: str | None
    context: str | None
    namespace: str | None
    output: str


def _duration(_context: click.Context, _parameter: click.Parameter, value: str) -> float:
    """Read a time as Kubernetes writes it: `90s`, `15m`, `1h30m`; as seconds."""
    match = _DURATION.match(value)
    if not value or match is None or not any(match.groups()):
        raise click.BadParameter(f"{value!r} is no duration: write 90s, 15m or 1h30m")
    hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return float(hours * 3600 + minutes * 60 + seconds)


P = ParamSpec("P")


def _target(command: Callable[P, None]) -> Callable[P, None]:
    """Add kubectl's options for the target, and the form of output."""
    options = (
        click.option("--kubeconfig", help="Path of the kubeconfig file."),
        click.option("--context", help="Context of the kubeconfig; by default its current one."),
        click.option("-n", "--namespace", help="Of the application; by default the context's."),
        click.option(
            "-o",
            "--output",
            type=click.Choice(["text", "json", "jsonl"]),
            default="text",
            show_default=True,
            help="Form of output; json is one document, jsonl one event on each line.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


_FILES = click.option(
    "-f",
    "--filename",
    "files",
    multiple=True,
    required=True,
    help="File, directory or - for standard input; may be repeated.",
)


def _policies(command: Callable[P, None]) -> Callable[P, None]:
    """Add the options that decide what a delivery may do."""
    flags = (
        ("--adopt", "Take over existing objects that belong to nobody."),
        ("--take-over", "Take over existing objects, whoever they belong to."),
        ("--force-conflicts", "Take over fields that other managers own."),
        ("--recreate", "Delete and create objects where a field cannot be changed."),
        ("--allow-empty", "Deliver nothing, and so delete everything."),
        ("--allow-many-deletions", "Delete more than 10 objects and 30 % of the application."),
        ("--allow-crd-prune", "Delete definitions although other objects of their kind exist."),
        ("--delete-data", "Delete persistent volumes and claims too."),
    )
    for name, text in reversed(flags):
        command = click.option(name, is_flag=True, help=text)(command)
    return command


def _going(command: Callable[P, None]) -> Callable[P, None]:
    """Add the options of commands that change a cluster."""
    options = (
        click.option("-y", "--yes", is_flag=True, help="Do not ask."),
        click.option(
            "--timeout",
            callback=_duration,
            default="15m",
            show_default=True,
            help="How long to wait for health, altogether.",
        ),
        click.option("--no-wait", is_flag=True, help="Do not wait for health."),
        click.option("--force-unlock", is_flag=True, help="Take the lock from its holder."),
    )
    for option in reversed(options):
        command = option(command)
    return command


# ---------------------------------------------------------------------- running


async def _loaded_stage(read: stages.ReadLive) -> stages.Stage:
    """Make a stage; whoever only looks at applications does not load the embedded API for it."""
    from understudy import assembly  # noqa: PLC0415 (imports every room)

    return await assembly.LoadingStages()(read)


class Session:
    """One command's work on one cluster."""

    def __init__(self, where: Where) -> None:
        self.where = where
        self.clock = clocks.SystemClock()
        self.client = connections.connect(kubeconfig=where.kubeconfig, context=where.context)
        self.deliveries = deliveries.Deliveries(
            self.client,
            _loaded_stage,
            clock=self.clock,
            holder=holders.this_process(),
            is_gone=holders.is_gone,
            tell=self.tell,
        )

    def owner(self, name: str) -> targets.Owner:
        """Return the application meant by a name."""
        return targets.Owner(name, self.where.namespace or self.client.access.namespace)

    def now(self) -> dt.datetime:
        """Return the present time."""
        return self.clock.now()

    def tell(self, news: outcomes.News) -> None:
        """Show one step of a delivery."""
        if self.where.output == "jsonl":
            _print_json(render.news_as_dict(news))
        elif self.where.output == "text":
            line = render.news(news)
            if line:
                _say(f"{self.now().astimezone():%H:%M:%S}: {line}")

    def show(self, plan: plans.Plan) -> None:
        """Show a plan in the chosen form, except where one document comes at the end."""
        if self.where.output == "text":
            _print_lines(render.plan(plan, self.now(), _paint))
        elif self.where.output == "jsonl":
            _print_json({"type": "plan", **plan.as_dict()})


def _run(where: Where, work: Callable[[Session], Awaitable[int]]) -> None:
    """Run a command's work and exit with its code; every expected failure is one message."""

    async def go() -> int:
        session = Session(where)
        try:
            return await work(session)
        finally:
            await session.client.close()

    try:
        code = asyncio.run(go())
    except errors.DeliveryError as error:
        code = _fail(where, error, error.exit_code)
    except (
        client_errors.KubeconfigError,
        client_errors.TransportError,
        statuses.ApiError,
    ) as error:
        code = _fail(where, error, ERROR)
    except KeyboardInterrupt:
        click.echo("interrupted; what was done is recorded, run it again to go on", err=True)
        code = 130
    sys.exit(code)


def _fail(where: Where, error: Exception, code: int) -> int:
    lines = str(error).splitlines() or [type(error).__name__]
    if where.output == "text":
        for line in lines:
            click.echo(click.style("error: ", fg="red") + line if _coloured() else f"error: {line}",
                       err=True)  # fmt: skip
    else:
        _print_json({"type": "error", "exitCode": code, "messages": lines})
    return code


def _say(line: str) -> None:
    click.echo(line)
    sys.stdout.flush()


def _print_lines(lines: Iterable[str]) -> None:
    for line in lines:
        click.echo(line)
    sys.stdout.flush()


def _print_json(value: objects.Json) -> None:
    click.echo(orjson.dumps(value).decode())
    sys.stdout.flush()


def _coloured() -> bool:
    return sys.stdout.isatty() and "NO_COLOR" not in os.environ


def _paint(text: str, colour: str) -> str:
    if not _coloured():
        return text
    if colour == "dim":
        return click.style(text, dim=True)
    return click.style(text, fg=colour)


def _read(files: Iterable[str]) -> list[manifests.Manifest]:
    return manifests.load(list(files), read_stdin=sys.stdin.buffer.read)


def _options(
    flags: dict[str, bool],
    *,
    yes: bool = False,
    timeout: float = 900.0,
    no_wait: bool = False,
    force_unlock: bool = False,
    rollback_on_failure: bool = False,
    session: Session | None = None,
    asked: str = "Continue?",
) -> deliveries.Options:
    adoption = dispatch.Adoption.MUST_MATCH
    if flags.get("adopt"):
        adoption = dispatch.Adoption.IF_NO_INVENTORY
    if flags.get("take_over"):
        adoption = dispatch.Adoption.ALL

    async def approve(plan: plans.Plan) -> bool:
        if session is not None:
            session.show(plan)
        if yes:
            return True
        if not sys.stdin.isatty():
            raise errors.DeliveryError(
                "nothing was changed: standard input is no terminal to ask on; give --yes"
            )
        return await asyncio.to_thread(click.confirm, asked, default=False)

    return deliveries.Options(
        dispatch=dispatch.DispatchSettings(
            adoption=adoption,
            force_conflicts=flags.get("force_conflicts", False),
            recreate=flags.get("recreate", False),
            wait=not no_wait,
            guards=guards.GuardSettings(
                allow_empty=flags.get("allow_empty", False),
                allow_many=flags.get("allow_many_deletions", False),
                allow_crd_prune=flags.get("allow_crd_prune", False),
                allow_data=flags.get("delete_data", False),
            ),
        ),
        wait=waiting.WaitSettings(timeout_s=timeout),
        force_unlock=force_unlock,
        rollback_on_failure=rollback_on_failure,
        approve=approve,
    )


# ---------------------------------------------------------------------- plan


@click.command()
@click.argument("name")
@click.option(
    "-f",
    "--filename",
    "files",
    multiple=True,
    help="File, directory or - for standard input; may be repeated.",
)
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Save the plan.")
@click.option("--rollback", is_flag=True, help="Rehearse going back to the previous revision.")
@click.option("--exit-zero", is_flag=True, help="Exit with 0 where there are changes.")
@_policies
@_target
def plan(
    name: str,
    files: tuple[str, ...],
    out: Path | None,
    rollback: bool,
    exit_zero: bool,
    kubeconfig: str | None,
    context: str | None,
    namespace: str | None,
    output: str,
    **flags: bool,
) -> None:
    """Rehearse the delivery of NAME, and say what would happen. Nothing is changed."""
    if bool(files) == rollback:
        raise click.UsageError("give either -f PATH or --rollback")
    where = Where(kubeconfig=kubeconfig, context=context, namespace=namespace, output=output)

    async def work(session: Session) -> int:
        owner, options = session.owner(name), _options(flags)
        if rollback:
            made = await session.deliveries.plan_rollback(owner, options=options)
        else:
            made = await session.deliveries.plan(owner, _read(files), options)
        session.show(made)
        if output == "json":
            _print_json(made.as_dict())
        if out is not None:
            _write_private(out, orjson.dumps(made.as_file(), option=orjson.OPT_INDENT_2))
        if made.blocked:
            return BLOCKED
        return CHANGED if made.has_changes and not exit_zero else 0

    _run(where, work)


def _write_private(path: Path, content: bytes) -> None:
    """Write a file that only its owner may read, whole or not at all."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)
    draft.replace(path)


# ---------------------------------------------------------------------- deliver


@click.command()
@click.argument("name")
@_FILES
@click.option(
    "--plan",
    "plan_file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Deliver only what this saved plan says; refuse if it is stale.",
)
@click.option(
    "--rollback-on-failure", is_flag=True, help="Go back to the previous revision on failure."
)
@_going
@_policies
@_target
def deliver(
    name: str,
    files: tuple[str, ...],
    plan_file: Path | None,
    rollback_on_failure: bool,
    yes: bool,
    timeout: float,
    no_wait: bool,
    force_unlock: bool,
    kubeconfig: str | None,
    context: str | None,
    namespace: str | None,
    output: str,
    **flags: bool,
) -> None:
    """Rehearse the delivery of NAME, ask, and deliver it."""
    where = Where(kubeconfig=kubeconfig, context=context, namespace=namespace, output=output)

    async def work(session: Session) -> int:
        saved = None
        if plan_file is not None:
            saved = plans.from_file(_content(plan_file), str(plan_file))
        options = _options(
            flags,
            yes=yes or saved is not None,
            timeout=timeout,
            no_wait=no_wait,
            force_unlock=force_unlock,
            rollback_on_failure=rollback_on_failure,
            session=session,
        )
        owner, given = session.owner(name), _read(files)
        done = await session.deliveries.deliver(owner, given, options, saved=saved)
        return _conclude(session, done, f"{owner.application} is delivered")

    _run(where, work)


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise errors.ManifestError([f"{path}: cannot be read: {error.strerror}"]) from error


def _conclude(session: Session, done: deliveries.Delivery, success: str) -> int:
    """Say how it ended, in the chosen form."""
    result = "delivered"
    if not done.approved:
        result = "declined"
    elif not done.changed:
        result = "unchanged"
    if session.where.output == "text":
        if result == "declined":
            _say("Nothing was changed.")
        elif result == "unchanged":
            _say(f"Nothing to do: revision {done.plan.revision} is in place and healthy.")
        else:
            _say(f"{success}: revision {done.plan.revision}" if done.plan.revision else success)
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
    _print_json(body)
    return 0


@click.command()
@click.argument("name")
@click.argument("revision", required=False, default="")
@_going
@_policies
@_target
def rollback(
    name: str,
    revision: str,
    yes: bool,
    timeout: float,
    no_wait: bool,
    force_unlock: bool,
    kubeconfig: str | None,
    context: str | None,
    namespace: str | None,
    output: str,
    **flags: bool,
) -> None:
    """Deliver REVISION of NAME again, by default the last delivered before this one."""
    where = Where(kubeconfig=kubeconfig, context=context, namespace=namespace, output=output)

    async def work(session: Session) -> int:
        options = _options(
            flags,
            yes=yes,
            timeout=timeout,
            no_wait=no_wait,
            force_unlock=force_unlock,
            session=session,
        )
        owner = session.owner(name)
        done = await session.deliveries.rollback(owner, revision, options)
        return _conclude(session, done, f"{owner.application} is rolled back")

    _run(where, work)


@click.command()
@click.argument("name")
@_going
@_policies
@_target
def delete(
    name: str,
    yes: bool,
    timeout: float,
    no_wait: bool,
    force_unlock: bool,
    kubeconfig: str | None,
    context: str | None,
    namespace: str | None,
    output: str,
    **flags: bool,
) -> None:
    """Delete NAME: everything it delivered, in reverse order, and then its records."""
    where = Where(kubeconfig=kubeconfig, context=context, namespace=namespace, output=output)

    async def work(session: Session) -> int:
        options = _options(
            flags,
            yes=yes,
            timeout=timeout,
            no_wait=no_wait,
            force_unlock=force_unlock,
            session=session,
        )
        owner = session.owner(name)
        done = await session.deliveries.remove(owner, options)
        return _conclude(session, done, f"{owner.application} is deleted")

    _run(where, work)


# ---------------------------------------------------------------------- looking


@click.command()
@click.argument("name")
@_target
def history(
    name: str,
    kubeconfig: str | None,
    context: str | None,
    namespace: str | None,
    output: str,
) -> None:
    """Show the revisions of NAME, oldest first."""
    where = Where(kubeconfig=kubeconfig, context=context, namespace=namespace, output=output)

    async def work(session: Session) -> int:
        records = await session.deliveries.history(session.owner(name))
        if output == "text":
            _print_lines(render.history(records, session.now()))
            return 0
        shown = [_revision(record) for record in records]
        _print_all(shown, output)
        return 0

    _run(where, work)


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
        _print_json(items)
        return
    for item in items:
        _print_json(item)


@click.command()
@click.argument("name")
@_target
def status(
    name: str,
    kubeconfig: str | None,
    context: str | None,
    namespace: str | None,
    output: str,
) -> None:
    """Show the objects of NAME, their health, and why something is not healthy."""
    where = Where(kubeconfig=kubeconfig, context=context, namespace=namespace, output=output)

    async def work(session: Session) -> int:
        conditions = await session.deliveries.status(session.owner(name))
        if output == "text":
            _print_lines(render.status(conditions, _paint))
            return 0
        _print_all([_condition(condition) for condition in conditions], output)
        return 0

    _run(where, work)


def _condition(condition: deliveries.Condition) -> objects.Object:
    return {
        **condition.entry.ref.as_dict(),
        "state": str(condition.entry.state),
        "revision": condition.entry.revision,
        "health": str(condition.health.state),
        "reason": condition.health.reason,
        "message": condition.health.message,
        "reasons": list(condition.reasons),
    }


@click.command(name="list")
@click.option("-A", "--all-namespaces", is_flag=True, help="In all namespaces.")
@_target
def list_(
    all_namespaces: bool,
    kubeconfig: str | None,
    context: str | None,
    namespace: str | None,
    output: str,
) -> None:
    """Show the applications of a namespace."""
    where = Where(kubeconfig=kubeconfig, context=context, namespace=namespace, output=output)

    async def work(session: Session) -> int:
        space = "" if all_namespaces else session.owner("any").namespace
        records = await session.deliveries.applications(space)
        if output == "text":
            _print_lines(render.applications(records, session.now()))
            return 0
        _print_all([_application(record) for record in records], output)
        return 0

    _run(where, work)


def _application(record: objects.Object) -> objects.Object:
    names = {"namespace": objects.namespace_of(record), "name": objects.name_of(record)}
    return names | (record.get("status") or {})


@click.command()
@click.argument("name")
@_policies
@_target
def drift(
    name: str,
    kubeconfig: str | None,
    context: str | None,
    namespace: str | None,
    output: str,
    **flags: bool,
) -> None:
    """Show what differs in the cluster from the newest revision of NAME."""
    where = Where(kubeconfig=kubeconfig, context=context, namespace=namespace, output=output)

    async def work(session: Session) -> int:
        made = await session.deliveries.drift(session.owner(name), _options(flags))
        session.show(made)
        if output == "json":
            _print_json(made.as_dict())
        return CHANGED if made.has_changes or made.blocked else 0

    _run(where, work)
