"""`understudy app`: web apps as Knative Services, in the manner of `kn`.

Exit codes: 0; 1 error, nothing or not everything was done; 6 deployed, but it failed to become
ready or did not in time.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import sys
import webbrowser
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, TypeVar

import click
import yaml

from understudy.aio import clocks
from understudy.apps import (
    client as app_clients,
    clusters,
    errors,
    logs as app_logs,
    names,
    records,
    settings,
)
from understudy.cli import applogs, appviews, places, sources
from understudy.client import errors as client_errors, protocol
from understudy.kube import objects, records as codec, yamltext

T = TypeVar("T")
APP_FILE = "app.yaml"
EXIT_NOT_READY = 6
LOOK_S = 0.2
"""Between two looks at an app that is waited for."""
FAILED_WINDOW_S = 2.0
"""How long an app must stay failed: Knative says so for a moment while a route is made."""
_PARTS_MAX = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """Which cluster and namespace, and the project and domain that names are looked up in."""

    cluster: places.Cluster
    namespace: str | None
    project: str
    domain: str
    output: str
    clock: clocks.Clock

    @property
    def is_text(self) -> bool:
        """Whether a person reads along."""
        return self.output == "text"

    def id(self, name: str) -> records.Identifier:
        """Return the identity of an app by its name, or by `project/domain/name`."""
        parts = name.split("/")
        if len(parts) == _PARTS_MAX and all(parts):
            return records.Identifier(project=parts[0], domain=parts[1], name=parts[2])
        if len(parts) != 1 or not name:
            _fail(f"{name!r} is neither an app's name nor project/domain/name")
        return records.Identifier(project=self.project, domain=self.domain, name=name)


class NotReadyError(Exception):
    """Deployed, but it does not serve."""


@click.group()
@places.on_cluster
@click.option("-n", "--namespace", help="Where apps live; by default the context's namespace.")
@click.option("--project", default="default", show_default=True, help="Project of the app.")
@click.option("--domain", default="development", show_default=True, help="Domain of the app.")
@click.option(
    "-o",
    "--output",
    type=click.Choice(appviews.FORMATS),
    default="text",
    show_default=True,
    help="For people, as one JSON document, or as lines of JSON.",
)
@click.pass_context
def app(
    context: click.Context,
    cluster: places.Cluster,
    /,
    namespace: str | None,
    project: str,
    domain: str,
    output: str,
) -> None:
    """Deploy and look after web apps."""
    context.obj = Where(
        cluster=cluster,
        namespace=namespace,
        project=project,
        domain=domain,
        output=output,
        clock=clocks.SystemClock(),
    )


def _run(where: Where, work: Callable[[app_clients.KnativeAppClient], Awaitable[T]]) -> T:
    """Do something with a client; errors become one line and an exit code."""
    return _connected(where, lambda _, client: work(client))


def _connected(
    where: Where,
    work: Callable[[protocol.Client, app_clients.KnativeAppClient], Awaitable[T]],
) -> T:
    """Do something with the cluster and a client of its apps, as `_run` does."""

    async def body() -> T:
        access = where.cluster.connect()
        try:
            config = settings.AppSettings(
                namespace=where.namespace or access.access.namespace,
                limits=await clusters.read_limits(access),
            )
            client = app_clients.KnativeAppClient(access, config)
            try:
                return await work(access, client)
            finally:
                await client.close()
        finally:
            await access.close()

    try:
        return asyncio.run(body())
    except NotReadyError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(EXIT_NOT_READY)
    except (errors.AppError, client_errors.TransportError, client_errors.KubeconfigError) as error:
        _fail(str(error))


def _fail(message: str) -> NoReturn:
    click.echo(f"error: {message}", err=True)
    sys.exit(1)


# ---------------------------------------------------------------------- deploy


def _timeout(_: click.Context, __: click.Parameter, value: str) -> float:
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = codec.parse_duration(value).total_seconds()
        except ValueError:
            raise click.BadParameter(f"{value!r} is neither seconds nor like 90s or 10m") from None
    if seconds < 0:
        raise click.BadParameter(f"{value!r} is negative")
    return seconds


@app.command()
@click.argument("source", type=click.Path(path_type=Path))
@click.option("--no-wait", is_flag=True, help="Do not wait until it serves.")
@click.option(
    "--timeout", default="10m", show_default=True, callback=_timeout, help="How long to wait."
)
@click.option("--dry-run", is_flag=True, help="Let the cluster check it and keep nothing.")
@click.option("--reason", default="", help="Kept with the app.")
@click.pass_obj
def deploy(
    where: Where, source: Path, no_wait: bool, timeout: float, dry_run: bool, reason: str
) -> None:
    """Make the app that SOURCE (a directory with app.yaml, or a file) describes."""
    wanted = _read(where, source)

    directory = (source if source.is_dir() else source.parent).resolve()

    async def work(access: protocol.Client, client: app_clients.KnativeAppClient) -> None:
        found = await sources.at_home(access, wanted, directory)
        await _deploy(where, client, found, timeout_s=timeout, wait=not no_wait, dry_run=dry_run,
                      reason=reason)  # fmt: skip

    _connected(where, work)


async def _deploy(
    where: Where,
    client: app_clients.KnativeAppClient,
    wanted: records.App,
    *,
    timeout_s: float,
    wait: bool,
    dry_run: bool,
    reason: str,
) -> None:
    service = names.kservice_name(wanted.id)
    before = await _existing(client, wanted.id)
    if where.is_text:
        verb = "Creating" if before is None else "Updating"
        click.echo(f"{verb} service '{service}' in namespace '{client.settings.namespace}':\n")
    started_s = where.clock.monotonic()
    made = await client.deploy(wanted, dry_run=dry_run, reason=reason)
    if dry_run:
        if where.is_text:
            click.echo(f"Service '{service}' would be accepted; nothing was kept.")
        else:
            _done(where, "accepted", made)
        return
    unchanged = before is not None and before.metadata.revision == made.metadata.revision
    stopped = wanted.spec is not None and (
        wanted.spec.desired_state is records.DesiredState.STOPPED
    )
    if wait and not stopped:
        made = await _serving(where, client, wanted.id, timeout_s, started_s)
    if not where.is_text:
        _done(where, "deployed", made)
        return
    if made.phase is records.DeploymentStatus.ACTIVE and not unchanged:
        click.echo(f"{where.clock.monotonic() - started_s:7.3f}s Ready to serve.\n")
    click.echo(_closing(service, made, created=before is None, unchanged=unchanged))


def _done(where: Where, what: str, made: records.App) -> None:
    """Print the app: as the document, or as the last of the lines."""
    if where.output == "json":
        click.echo(appviews.document(made))
    else:
        click.echo(appviews.line({"type": what, "app": made}))


def _closing(service: str, made: records.App, *, created: bool, unchanged: bool) -> str:
    status = made.status or records.Status()
    if made.phase is records.DeploymentStatus.STOPPED:
        return f"Service '{service}' is deployed and stopped."
    revision = status.latest_ready_revision or status.latest_created_revision
    if made.phase is not records.DeploymentStatus.ACTIVE:
        return f"Service '{service}' {'created' if created else 'updated'}; not waited for."
    if unchanged:
        how = f"with latest revision '{revision}' (unchanged)"
    else:
        how = f"{'created' if created else 'updated'} to latest revision '{revision}'"
    return f"Service '{service}' {how} is available at URL:\n{appviews.url(made)}"


def _read(where: Where, source: Path) -> records.App:
    """Read an app's file; project and domain may be left to the command line."""
    path = source / APP_FILE if source.is_dir() else source
    try:
        document, repeated = yamltext.load(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        _fail(f"{path}: {(error.strerror or str(error)).lower()}")
    except UnicodeDecodeError as error:
        _fail(f"{path}: is not UTF-8 text (byte {error.start})")
    except (yamltext.YamlError, yaml.YAMLError) as error:
        _fail(f"{path}: is not YAML: " + " ".join(str(error).split()))
    if repeated:
        _fail(f"{path}: " + " ".join(repeated[0].split()))
    if not isinstance(document, dict):
        _fail(f"{path}: must be an object with metadata and spec")
    identity = objects.lookup(document, ("metadata", "id"))
    if isinstance(identity, dict):
        identity.setdefault("project", where.project)
        identity.setdefault("domain", where.domain)
    try:
        return codec.from_json(records.App, document)
    except codec.RecordError as error:
        _fail(f"{path}: {error}")


async def _existing(
    client: app_clients.KnativeAppClient, app_id: records.Identifier
) -> records.App | None:
    try:
        return await client.get(app_id)
    except errors.AppNotFoundError:
        return None


async def _serving(
    where: Where,
    client: app_clients.KnativeAppClient,
    app_id: records.Identifier,
    timeout_s: float,
    started_s: float,
) -> records.App:
    """Wait until an app serves, telling what changes.

    Raises:
        NotReadyError: It failed and stayed so, or time is up.
    """
    last, failed_s = "", None
    state = records.DeploymentStatus
    while True:
        found = await client.get(app_id)
        verdict = (found.status or records.Status()).verdict
        elapsed_s = where.clock.monotonic() - started_s
        if found.phase is state.ACTIVE:
            return found
        message = " ".join(verdict.message.split()) or "waiting for Knative"
        if message != last:
            _tell(where, elapsed_s, verdict, message)
            last = message
        if found.phase is not state.FAILED:
            failed_s = None
        elif failed_s is None:
            failed_s = elapsed_s
        elif elapsed_s - failed_s >= FAILED_WINDOW_S:
            raise NotReadyError(f"app {app_id} failed: {message}")
        if elapsed_s >= timeout_s:
            raise NotReadyError(
                f"app {app_id} does not serve after {timeout_s:g} s: {message}; it is left as it is"
            )
        await where.clock.sleep(min(LOOK_S, max(0.01, timeout_s - elapsed_s)))


def _tell(where: Where, elapsed_s: float, verdict: records.Condition, message: str) -> None:
    if where.is_text:
        click.echo(f"{elapsed_s:7.3f}s {message}")
    elif where.output == "jsonl":
        click.echo(
            appviews.line(
                {
                    "type": "progress",
                    "elapsedS": round(elapsed_s, 3),
                    "phase": verdict.deployment_status.value,
                    "substate": verdict.substate.value,
                    "message": message,
                }
            )
        )


# ---------------------------------------------------------------------- reading


@app.command("list")
@click.option("--all", "everything", is_flag=True, help="Of every project and domain.")
@click.pass_obj
def list_(where: Where, everything: bool) -> None:
    """List apps with their URLs and conditions."""
    project, domain = ("", "") if everything else (where.project, where.domain)
    page = _run(where, lambda client: client.list(project=project, domain=domain))
    if not where.is_text:
        appviews.show(where.output, page.apps)
        return
    for name in page.skipped:
        click.echo(f"warning: service {name} is marked as an app but carries no identity", err=True)
    if not page.apps:
        click.echo("No apps found.")
        return
    click.echo(appviews.listing(page.apps, where.clock, everything=everything))


@app.command()
@click.argument("name")
@click.pass_obj
def get(where: Where, name: str) -> None:
    """Show one app."""
    found = _run(where, lambda client: client.get(where.id(name)))
    if where.is_text:
        click.echo(appviews.described(found, where.clock))
    else:
        appviews.show(where.output, found)


@app.command()
@click.argument("name")
@click.option("--delete", "ended", metavar="REPLICA", help="End this replica; another may start.")
@click.option("--force", is_flag=True, help="With --delete: without grace.")
@click.pass_obj
def replicas(where: Where, name: str, ended: str | None, force: bool) -> None:
    """List an app's replicas of every revision, or end one."""
    app_id = where.id(name)
    if ended:
        replica = records.ReplicaIdentifier(app_id=app_id, name=ended)
        _run(where, lambda client: client.delete_replica(replica, force=force))
        if where.is_text:
            click.echo(f"Replica '{ended}' of app '{app_id.name}' deleted.")
        return
    found = _run(where, lambda client: client.replicas(app_id))
    if not where.is_text:
        appviews.show(where.output, found)
    elif found:
        click.echo(appviews.replicas(found, where.clock))
    else:
        click.echo("No replicas.")


@app.command()
@click.argument("name", required=False)
@click.option("--all", "everything", is_flag=True, help="Of every project and domain.")
@click.option("--until-synced", is_flag=True, help="End once everything present was shown.")
@click.pass_obj
def watch(where: Where, name: str | None, everything: bool, until_synced: bool) -> None:
    """Follow an app, or all: a line for each change, until interrupted."""
    scope: records.Identifier | str = f"{where.project}/{where.domain}"
    if name:
        scope = where.id(name)
    elif everything:
        scope = ""

    async def work(client: app_clients.KnativeAppClient) -> None:
        async with client.subscribe(scope) as subscription:
            async for response in subscription:
                text = (
                    appviews.event(response, where.clock)
                    if where.is_text
                    else appviews.line(response)
                )
                if text:
                    click.echo(text)
                    sys.stdout.flush()
                if until_synced and response.marker is records.Marker.SYNCED:
                    return

    _run(where, work)


def _since(_: click.Context, __: click.Parameter, value: str | None) -> dt.datetime | None:
    if value is None:
        return None
    try:
        return clocks.SystemClock().now() - codec.parse_duration(value)
    except ValueError:
        pass
    try:
        return codec.parse_time(value)
    except ValueError:
        raise click.BadParameter(
            f"{value!r} is neither a duration like 10m nor a time like 2026-01-31T12:00:00Z"
        ) from None


@app.command()
@click.argument("name")
@click.option("-f", "--follow", is_flag=True, help="Go on until interrupted.")
@click.option("--tail", type=click.IntRange(0), help="Of each replica the last so many lines.")
@click.option("--since", callback=_since, help="No older lines: 10m, or a time in RFC 3339.")
@click.option("--replica", default="", help="Of this replica only.")
@click.option("-p", "--previous", is_flag=True, help="Of the run before the present one.")
@click.option("--timestamps", is_flag=True, help="Show when each line was written.")
@click.pass_obj
def logs(
    where: Where,
    name: str,
    follow: bool,
    tail: int | None,
    since: dt.datetime | None,
    replica: str,
    previous: bool,
    timestamps: bool,
) -> None:
    """Show what an app's replicas write; of several, each line says which."""
    if follow and previous:
        raise click.UsageError("--previous: that run has ended; leave --follow out")
    if follow and where.output == "json":
        raise click.UsageError("--follow: a document has an end; use -o jsonl")
    app_id = where.id(name)
    query = app_logs.LogQuery(replica=replica, tail_lines=tail, since=since, previous=previous)

    async def work(client: app_clients.KnativeAppClient) -> None:
        count = 1 if replica else len(await client.replicas(app_id))
        if not count and not follow:
            click.echo(f"app {app_id} has no replica at present, and so no log", err=True)
        writer = applogs.Writer(where.output, replicas=count, timestamps=timestamps)
        async with contextlib.aclosing(client.logs(app_id, query, follow=follow)) as lines:
            async for line in lines:
                writer.write(line)
        writer.close()

    _run(where, work)


@app.command("open")
@click.argument("name")
@click.option("--print", "only_shown", is_flag=True, help="Only print the URL.")
@click.pass_obj
def open_(where: Where, name: str, only_shown: bool) -> None:
    """Print an app's URL and, on a terminal, open it in the browser."""
    found = _run(where, lambda client: client.get(where.id(name)))
    url = appviews.url(found)
    if url == "-":
        _fail(f"app {where.id(name)} has no URL yet; see: understudy app get {name}")
    click.echo(url)
    if not only_shown and sys.stdout.isatty() and not webbrowser.open(url):
        click.echo("no browser could be started", err=True)


# ---------------------------------------------------------------------- changing


@app.command()
@click.argument("name")
@click.option("--reason", default="", help="Kept with the app.")
@click.pass_obj
def stop(where: Where, name: str, reason: str) -> None:
    """Stop an app so that no request wakes it."""
    app_id = where.id(name)

    async def work(client: app_clients.KnativeAppClient) -> records.App | None:
        await client.stop(app_id, reason=reason)
        return await _existing(client, app_id)

    found = _run(where, work)
    if not where.is_text:
        if found is not None:
            appviews.show(where.output, found)
    elif found is None:
        click.echo(f"App '{app_id.name}' does not exist; there is nothing to stop.")
    else:
        click.echo(f"App '{app_id.name}' stopped; start it again: understudy app start {name}")


@app.command()
@click.argument("name")
@click.option("--no-wait", is_flag=True, help="Do not wait until it serves.")
@click.option(
    "--timeout", default="10m", show_default=True, callback=_timeout, help="How long to wait."
)
@click.pass_obj
def start(where: Where, name: str, no_wait: bool, timeout: float) -> None:
    """Start a stopped app as it was."""
    app_id = where.id(name)

    async def work(client: app_clients.KnativeAppClient) -> records.App:
        started_s = where.clock.monotonic()
        found = await client.start(app_id)
        if no_wait:
            return found
        return await _serving(where, client, app_id, timeout, started_s)

    found = _run(where, work)
    if where.is_text:
        click.echo(f"App '{app_id.name}' started; it is available at URL:\n{appviews.url(found)}")
    else:
        appviews.show(where.output, found)


@app.command()
@click.argument("name")
@click.option("-y", "--yes", is_flag=True, help="Do not ask, even on a terminal.")
@click.pass_obj
def delete(where: Where, name: str, yes: bool) -> None:
    """Delete an app; one that does not exist is no error."""
    app_id = where.id(name)
    if not yes and sys.stdin.isatty() and not click.confirm(f"Delete app '{app_id}'?"):
        _fail("nothing was deleted")
    _run(where, lambda client: client.delete(app_id))
    if where.is_text:
        click.echo(f"App '{app_id.name}' deleted.")
