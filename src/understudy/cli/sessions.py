"""What the delivery commands share: options, the cluster they work on, output, exit codes."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import datetime as dt
import functools
import gc
import os
import re
import shutil
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Concatenate, NoReturn, ParamSpec

import click
import orjson

from understudy.aio import clocks
from understudy.cli import places, progress
from understudy.client import errors as client_errors
from understudy.delivery import (
    adoption,
    deliveries,
    dispatch,
    errors,
    generating,
    guards,
    holders,
    ignoring,
    manifests,
    outcomes,
    plans,
    render,
    stage as stages,
    targets,
    waiting,
)
from understudy.kube import objects, statuses, times
from understudy.platform import errors as platform_errors

ERROR = 1
GC_THRESHOLDS = (50_000, 20, 100)
"""Objects are trees: looking for circles among them every 700 allocations, as Python does by
default, costs a quarter of the time of a rehearsal and finds nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """Which cluster, which namespace, which form of output."""

    cluster: places.Cluster
    namespace: str | None = None
    output: str = "text"


def duration(_context: click.Context, _parameter: click.Parameter, value: str) -> float:
    """Read a time as Kubernetes writes it: `90s`, `15m`, `1h30m`; as seconds."""
    seconds = times.seconds_of(value)
    if seconds is None:
        raise click.BadParameter(f"{value!r} is no duration: write 90s, 15m or 1h30m")
    return seconds


P = ParamSpec("P")


def target(command: Callable[Concatenate[Where, P], None]) -> Callable[P, None]:
    """Add kubectl's options for the target, the hub's, and the form of output."""
    added = (
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

    @functools.wraps(command)
    def run_there(cluster: places.Cluster, /, *arguments: P.args, **given: P.kwargs) -> None:
        options: dict[str, objects.Json] = given
        namespace, output = options.pop("namespace"), options.pop("output")
        where = Where(cluster=cluster, namespace=namespace, output=output)
        command(where, *arguments, **given)

    wrapped: Callable[Concatenate[places.Cluster, P], None] = run_there
    for option in reversed(added):
        wrapped = option(wrapped)
    return places.on_cluster(wrapped)


FILES = click.option(
    "-f",
    "--filename",
    "files",
    multiple=True,
    required=True,
    help="File, directory, kustomization, chart, URL, or - for standard input; may be repeated.",
)


def charts(command: Callable[P, None]) -> Callable[P, None]:
    """Add the options that give values to charts."""
    added = (
        click.option("--values", multiple=True, metavar="FILE", help="Values for charts."),
        click.option("--set", "settings", multiple=True, metavar="KEY=VALUE",
                     help="A value for charts; wins over files."),
    )  # fmt: skip
    for option in reversed(added):
        command = option(command)
    return command


def policies(command: Callable[P, None]) -> Callable[P, None]:
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


DIFF = click.option(
    "--diff", is_flag=True, help="Show whole objects, and the lines around what changes."
)
VERIFY = click.option(
    "--verify",
    type=click.Choice(["server"]),
    help="Ask the server too: a dry run of every object that it can judge alone.",
)
IGNORED = click.option(
    "--ignore",
    "ignored",
    multiple=True,
    metavar="[KIND[/NAME]:]POINTER",
    help="A field that others may change, e.g. Deployment:/spec/replicas; may be repeated.",
)


def going(command: Callable[P, None]) -> Callable[P, None]:
    """Add the options of commands that change a cluster."""
    added = (
        click.option("-y", "--yes", is_flag=True, help="Do not ask."),
        click.option(
            "--timeout",
            callback=duration,
            default="15m",
            show_default=True,
            help="How long to wait for health, altogether.",
        ),
        click.option(
            "--no-activity-timeout",
            callback=duration,
            default="4m",
            show_default=True,
            help="How long to wait while nothing moves.",
        ),
        click.option("--no-wait", is_flag=True, help="Do not wait for health."),
        click.option("--force-unlock", is_flag=True, help="Take the lock from its holder."),
    )
    for option in reversed(added):
        command = option(command)
    return command


# ---------------------------------------------------------------------- running


async def _loaded_stage(read: stages.ReadLive) -> stages.Stage:
    """Make a stage; whoever only looks at applications does not load the embedded API for it."""
    from understudy import assembly  # noqa: PLC0415 (imports every room)

    return await assembly.LoadingStages()(read)


class Session:
    """One command's work on one cluster.

    Attributes:
        label: Put before what is told; of work on many clusters the instance's name.
    """

    label = ""

    def __init__(self, where: Where) -> None:
        self.where = where
        self.clock = clocks.SystemClock()
        self._phase = ""
        self.foot = progress.Foot(seen=False)
        self.client = where.cluster.connect()
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

    def rehearsing(self, name: str) -> None:
        """Show that an application is rehearsed, until a plan is shown."""
        self.foot.show(f"rehearsing {name}")

    def tell(self, news: outcomes.News) -> None:
        """Show one step of a delivery."""
        if news.type == "phase":
            self.foot.show(news.message, news.done, news.total)
        if self.where.output == "jsonl":
            labelled = {"instance": self.label} if self.label else {}
            print_json(labelled | render.news_as_dict(news))
        elif self.where.output == "text":
            text = render.news(news)
            if news.type == "phase" and news.total:
                self._phase = text
                return
            # A phase in which nothing happens is not told.
            head, *details = text.splitlines() or [""]
            lines = [(self._phase, "cyan"), (head, _COLOURS.get(news.type, ""))] if text else []
            self._phase = "" if text else self._phase
            label = f"{self.label}: " if self.label else ""
            for line, colour in (*lines, *((detail, "dim") for detail in details)):
                if line:
                    painted = paint(line, colour) if colour else line
                    self.foot.say(f"{self.now().astimezone():%H:%M:%S}: {label}{painted}")

    def _place(self) -> str:
        """Return which cluster this is about: whoever says yes should know."""
        named = self.where.cluster.instance or self.client.access.server
        context = self.client.access.context
        return f"Cluster {named}" + (f" (context {context})" if context else "")

    def show(self, plan: plans.Plan, subject: str = "Plan for", *, whole: bool = False) -> None:
        """Show a plan in the chosen form, except where one document comes at the end.

        With `whole`, text shows whole objects.
        """
        self.foot.hide()
        if self.where.output == "text":
            say(f"{self._place()}\n")
            print_lines(render.plan(plan, self.now(), paint, subject, width=width(), whole=whole))
        elif self.where.output == "jsonl":
            print_json({"type": "plan", **plan.as_dict()})


_COLOURS = {"phase": "cyan", "waiting": "yellow", "healthy": "green", "failed": "red"}
EXPECTED = (
    errors.DeliveryError,
    client_errors.KubeconfigError,
    client_errors.TransportError,
    statuses.ApiError,
    platform_errors.PlatformError,
)
"""What may go wrong without anything being wrong here; its message is for people."""


def code_of(error: Exception) -> int:
    """Return the exit code of something that was expected to go wrong at times."""
    return error.exit_code if isinstance(error, errors.DeliveryError) else ERROR


@contextlib.asynccontextmanager
async def opened(where: Where) -> AsyncIterator[Session]:
    """Give a session, and close its connections at the end."""
    session = Session(where)
    try:
        yield session
    finally:
        session.foot.hide()
        await session.client.close()


def run(where: Where, work: Callable[[Session], Awaitable[int]]) -> NoReturn:
    """Run a command's work on its cluster and exit with its code."""

    async def go() -> int:
        async with opened(where) as session:
            session.foot = progress.Foot(seen=where.output == "text" and sys.stdout.isatty())
            return await work(session)

    execute(where, go)


def execute(where: Where, work: Callable[[], Awaitable[int]]) -> NoReturn:
    """Run a command's work and exit with its code; every expected failure is one message."""

    async def go() -> int:
        return await work()

    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    try:
        code = asyncio.run(go())
    except EXPECTED as error:
        code = _fail(where, error, code_of(error))
    except KeyboardInterrupt:
        click.echo("interrupted; what was done is recorded, run it again to go on", err=True)
        code = 130
    sys.exit(code)


def _fail(where: Where, error: Exception, code: int) -> int:
    lines = str(error).splitlines() or [type(error).__name__]
    notes: list[str] = getattr(error, "__notes__", [])
    if where.output == "text":
        for line in lines:
            prefix = "" if line.startswith(" ") else paint("error: ", "red")
            click.echo(prefix + line, err=True)
        for note in notes:
            click.echo(note, err=True)
    else:
        told: objects.Object = {"type": "error", "exitCode": code, "messages": messages(error)}
        print_json(told | ({"notes": notes} if notes else {}))
    return code


def messages(error: Exception) -> list[str]:
    """Return what an error says, one sentence each; an indented line belongs to the one before."""
    return re.sub(r"\n +\^ ", "; ", str(error)).splitlines() or [type(error).__name__]


def say(line: str) -> None:
    """Show one line at once."""
    click.echo(line)
    sys.stdout.flush()


def print_lines(lines: Iterable[str]) -> None:
    """Show lines."""
    for line in lines:
        click.echo(line)
    sys.stdout.flush()


def print_json(value: objects.Json) -> None:
    """Show a value as one line of JSON."""
    click.echo(orjson.dumps(value).decode())
    sys.stdout.flush()


def _coloured() -> bool:
    return sys.stdout.isatty() and "NO_COLOR" not in os.environ


def width() -> int:
    """Return the terminal's width in characters; 0 where nobody looks."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else 0


def paint(text: str, colour: str) -> str:
    """Colour a text, where somebody sees colours."""
    if not _coloured():
        return text
    if colour == "dim":
        return click.style(text, dim=True)
    return click.style(text, fg=colour)


class Reading:
    """The manifests given with -f, read once; charts once for each kind of cluster.

    `values` are files of values for charts, `settings` single ones (`image.tag=1.2`).

    Raises:
        UsageError: There are values, and no chart.
    """

    def __init__(
        self, files: Iterable[str], values: Iterable[str] = (), settings: Iterable[str] = ()
    ) -> None:
        self._files = tuple(files)
        self._values, self._settings = tuple(values), tuple(settings)
        self._charts = any(generating.is_chart(Path(file)) for file in self._files)
        self._read: dict[generating.Release, list[manifests.Manifest]] = {}
        self._read_stdin = functools.cache(sys.stdin.buffer.read)
        if (self._values or self._settings) and not self._charts:
            raise click.UsageError("--values and --set are for charts, and no -f is one")

    async def __call__(self, session: Session, owner: targets.Owner) -> list[manifests.Manifest]:
        """Return the manifests for an application on a session's cluster."""
        release = generating.Release(name=owner.application, namespace=owner.namespace)
        if self._charts:
            release = await generating.release_on(session.client, release.name, release.namespace)
        release = dataclasses.replace(release, files=self._values, settings=self._settings)
        if release not in self._read:
            self._read[release] = manifests.load(
                self._files, read_stdin=self._read_stdin, release=release
            )
        return self._read[release]


def options(
    flags: dict[str, bool],
    *,
    yes: bool = False,
    timeout: float = 900.0,
    no_activity_timeout: float = 240.0,
    no_wait: bool = False,
    force_unlock: bool = False,
    rollback_on_failure: bool = False,
    verify: str | None = None,
    ignored: Iterable[str] = (),
    session: Session | None = None,
    asked: str = "Continue?",
) -> deliveries.Options:
    """Make the options of a delivery; with `session`, its plan is shown before it is asked for."""
    claim = adoption.Adoption.MUST_MATCH
    if flags.get("adopt"):
        claim = adoption.Adoption.IF_NO_INVENTORY
    if flags.get("take_over"):
        claim = adoption.Adoption.ALL

    async def approve(plan: plans.Plan) -> bool:
        if session is not None:
            session.show(plan, whole=flags.get("diff", False))
        if yes:
            return True
        if not sys.stdin.isatty():
            raise errors.DeliveryError(
                "nothing was changed: standard input is no terminal to ask on; give --yes"
            )
        return await asyncio.to_thread(click.confirm, asked, default=False)

    return deliveries.Options(
        dispatch=dispatch.DispatchSettings(
            adoption=claim,
            force_conflicts=flags.get("force_conflicts", False),
            recreate=flags.get("recreate", False),
            wait=not no_wait,
            ignored=ignoring.parse(ignored),
            guards=guards.GuardSettings(
                allow_empty=flags.get("allow_empty", False),
                allow_many=flags.get("allow_many_deletions", False),
                allow_crd_prune=flags.get("allow_crd_prune", False),
                allow_data=flags.get("delete_data", False),
            ),
        ),
        wait=waiting.WaitSettings(timeout_s=timeout, no_activity_s=no_activity_timeout),
        force_unlock=force_unlock,
        rollback_on_failure=rollback_on_failure,
        verify=verify is not None,
        approve=approve,
    )
