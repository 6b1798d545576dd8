"""`understudy app`: web apps as Knative Services, in the manner of `kn`.

Exit codes: 0; 1 error.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import click
import orjson
import yaml

from understudy.aio import clocks
from understudy.apps import client as app_clients, errors, names, records, settings
from understudy.client import connections, errors as client_errors
from understudy.kube import objects, records as json_records

T = TypeVar("T")
APP_FILE = "app.yaml"
_LOOK_S = 0.2
_CLOCK = clocks.SystemClock()


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """Which cluster and namespace, and the project and domain that names are looked up in."""

    kubeconfig: str | None
    context: str | None
    namespace: str | None
    project: str
    domain: str
    output: str

    def id(self, name: str) -> records.Identifier:
        """Return the identity of an app by its name."""
        return records.Identifier(project=self.project, domain=self.domain, name=name)


@click.group()
@click.option("--kubeconfig", help="Path of the kubeconfig file.")
@click.option("--context", "context_name", help="Context of the kubeconfig.")
@click.option("-n", "--namespace", help="Where apps live; by default the context's namespace.")
@click.option("--project", default="default", show_default=True, help="Project of the app.")
@click.option("--domain", default="development", show_default=True, help="Domain of the app.")
@click.option(
    "-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True
)
@click.pass_context
def app(
    context: click.Context,
    /,
    kubeconfig: str | None,
    context_name: str | None,
    namespace: str | None,
    project: str,
    domain: str,
    output: str,
) -> None:
    """Deploy and look after web apps."""
    context.obj = Where(
        kubeconfig=kubeconfig,
        context=context_name,
        namespace=namespace,
        project=project,
        domain=domain,
        output=output,
    )


def _run(where: Where, work: Callable[[app_clients.KnativeAppClient], Awaitable[T]]) -> T:
    """Do something with a client; errors become one line and exit code 1."""

    async def body() -> T:
        access = connections.connect(kubeconfig=where.kubeconfig, context=where.context)
        namespace = where.namespace or access.access.namespace
        client = app_clients.KnativeAppClient(access, settings.AppSettings(namespace=namespace))
        try:
            return await work(client)
        finally:
            await client.close()
            await access.close()

    try:
        return asyncio.run(body())
    except (errors.AppError, client_errors.TransportError, client_errors.KubeconfigError) as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(1)


def _json(record: object) -> str:
    return orjson.dumps(json_records.to_json(record), option=orjson.OPT_INDENT_2).decode()


# ---------------------------------------------------------------------- deploy


@app.command()
@click.argument("source", type=click.Path(path_type=Path))
@click.option("--no-wait", is_flag=True, help="Do not wait until it serves.")
@click.option("--timeout", default=600.0, show_default=True, help="Seconds to wait.")
@click.option("--dry-run", is_flag=True, help="Let the cluster check it and keep nothing.")
@click.pass_obj
def deploy(where: Where, source: Path, no_wait: bool, timeout: float, dry_run: bool) -> None:
    """Make the app that SOURCE (a directory with app.yaml, or a file) describes."""
    wanted = _read(source)

    async def work(client: app_clients.KnativeAppClient) -> records.App:
        service = names.kservice_name(wanted.id)
        before = await _existing(client, wanted.id)
        text = where.output == "text"
        if text:
            verb = "Creating" if before is None else "Updating"
            click.echo(f"{verb} app '{wanted.id.name}' (service '{service}'):\n")
        started_s = _CLOCK.monotonic()
        made = await client.deploy(wanted, dry_run=dry_run)
        if not no_wait and not dry_run:
            made = await _serving(client, wanted.id, timeout, started_s, shown=text)
        if text:
            _tell_deployed(wanted.id, before, made, started_s)
        return made

    made = _run(where, work)
    if where.output == "json":
        click.echo(_json(made))


def _read(source: Path) -> records.App:
    path = source / APP_FILE if source.is_dir() else source
    try:
        document: objects.Json = yaml.safe_load(path.read_text(encoding="utf-8"))
        return json_records.from_json(records.App, document)
    except OSError as error:
        _fail(f"{path}: {(error.strerror or str(error)).lower()}")
    except yaml.YAMLError as error:
        _fail(f"{path}: is not YAML: " + " ".join(str(error).split()))
    except json_records.RecordError as error:
        _fail(f"{path}: {error}")
    raise AssertionError("_fail does not return")


def _fail(message: str) -> None:
    click.echo(f"error: {message}", err=True)
    sys.exit(1)


async def _existing(
    client: app_clients.KnativeAppClient, app_id: records.Identifier
) -> records.App | None:
    try:
        return await client.get(app_id)
    except errors.AppNotFoundError:
        return None


async def _serving(
    client: app_clients.KnativeAppClient,
    app_id: records.Identifier,
    timeout_s: float,
    started_s: float,
    *,
    shown: bool,
) -> records.App:
    """Wait until an app serves, printing what changes; fails with its reason.

    Raises:
        AppTimeoutError: It does not in time. AppPreconditionError: it failed.
    """
    last = ""
    while True:
        found = await client.get(app_id)
        verdict = found.status.verdict if found.status is not None else None
        message = verdict.message if verdict is not None else "The cluster has not looked at it yet"
        elapsed_s = _CLOCK.monotonic() - started_s
        if found.phase is records.DeploymentStatus.ACTIVE:
            return found
        if found.phase is records.DeploymentStatus.FAILED:
            raise errors.AppPreconditionError(f"app {app_id.name} failed: {message}")
        if shown and message and message != last:
            click.echo(f"{elapsed_s:7.3f}s {message}")
            last = message
        if elapsed_s > timeout_s:
            raise errors.AppTimeoutError(
                f"app {app_id.name} does not serve after {timeout_s:g} s: {message}"
            )
        await _CLOCK.sleep(_LOOK_S)


def _tell_deployed(
    app_id: records.Identifier, before: records.App | None, made: records.App, started_s: float
) -> None:
    status = made.status
    revision = (status.latest_ready_revision if status else "") or "-"
    was = before.status.latest_ready_revision if before and before.status else ""
    if made.phase is records.DeploymentStatus.ACTIVE:
        click.echo(f"{_CLOCK.monotonic() - started_s:7.3f}s Ready to serve.\n")
    how = "created to latest revision"
    if before is not None:
        how = "updated to latest revision" if revision != was else "with latest revision"
    unchanged = " (unchanged)" if before is not None and revision == was else ""
    click.echo(f"App '{app_id.name}' {how} '{revision}'{unchanged} is available at URL:")
    click.echo(_url(made))


def _url(found: records.App) -> str:
    ingress = found.status.ingress if found.status is not None else None
    return ingress.public_url if ingress is not None and ingress.public_url else "-"


# ---------------------------------------------------------------------- reading


@app.command("list")
@click.option("--all", "everything", is_flag=True, help="Of every project and domain.")
@click.pass_obj
def list_(where: Where, everything: bool) -> None:
    """List apps with their URLs and conditions."""
    project, domain = ("", "") if everything else (where.project, where.domain)
    page = _run(where, lambda client: client.list(project=project, domain=domain))
    if where.output == "json":
        click.echo(
            orjson.dumps(
                [json_records.to_json(one) for one in page.apps], option=orjson.OPT_INDENT_2
            ).decode()
        )
        return
    if not page.apps:
        click.echo("No apps found.")
        return
    rows: list[tuple[str, ...]] = [("NAME", "URL", "LATEST", "AGE", "STATUS", "REASON")]
    rows += [_row(one) for one in page.apps]
    _table(rows)


def _row(one: records.App) -> tuple[str, ...]:
    status = one.status
    verdict = status.verdict if status is not None else None
    created = status.created_at if status is not None else None
    reason = verdict.message if verdict is not None and verdict.message else ""
    return (
        one.id.name,
        _url(one),
        (status.latest_ready_revision if status else "") or "-",
        _age(created),
        str(one.phase),
        "" if one.phase is records.DeploymentStatus.ACTIVE else reason,
    )


def _age(created: dt.datetime | None) -> str:
    if created is None:
        return "-"
    seconds = int((_CLOCK.now() - created).total_seconds())
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= 2 * size:
            return f"{seconds // size}{unit}"
    return f"{max(0, seconds)}s"


def _table(rows: list[tuple[str, ...]]) -> None:
    widths = [max(len(row[at]) for row in rows) + 3 for at in range(len(rows[0]))]
    for row in rows:
        line = "".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        click.echo(line.rstrip())


@app.command()
@click.argument("name")
@click.pass_obj
def get(where: Where, name: str) -> None:
    """Show one app."""
    found = _run(where, lambda client: client.get(where.id(name)))
    if where.output == "json":
        click.echo(_json(found))
        return
    status = found.status or records.Status()
    click.echo(f"Name:      {found.id.name}")
    click.echo(f"Project:   {found.id.project}")
    click.echo(f"Domain:    {found.id.domain}")
    click.echo(f"URL:       {_url(found)}")
    click.echo(f"Status:    {found.phase}")
    click.echo(f"Replicas:  {status.current_replicas}")
    click.echo("Revisions:")
    for target in status.traffic:
        latest = "@latest " if target.latest_revision else ""
        click.echo(f"  {target.percent:>3}%  {latest}({target.revision_name})")
    click.echo("Conditions:")
    for condition in status.conditions:
        since = _age(condition.last_transition_time)
        click.echo(f"  {condition.deployment_status:<10} {since:>5}  {condition.message}")


@app.command()
@click.argument("name")
@click.pass_obj
def replicas(where: Where, name: str) -> None:
    """List an app's replicas."""
    found = _run(where, lambda client: client.replicas(where.id(name)))
    if where.output == "json":
        shown = [json_records.to_json(one) for one in found]
        click.echo(orjson.dumps(shown, option=orjson.OPT_INDENT_2).decode())
        return
    if not found:
        click.echo("No replicas.")
        return
    rows: list[tuple[str, ...]] = [("NAME", "STATUS", "REASON")]
    rows += [
        (one.metadata.id.name, str(one.status.deployment_status), one.status.reason or "")
        for one in found
    ]
    _table(rows)


@app.command()
@click.argument("name", required=False)
@click.option("--until-synced", is_flag=True, help="End once everything present was shown.")
@click.pass_obj
def watch(where: Where, name: str | None, until_synced: bool) -> None:
    """Follow an app, or all: a line for each change."""

    async def work(client: app_clients.KnativeAppClient) -> None:
        scope = where.id(name) if name else f"{where.project}/{where.domain}"
        async with client.subscribe(scope) as subscription:
            async for response in subscription:
                click.echo(orjson.dumps(json_records.to_json(response)).decode())
                if until_synced and "SYNCED" in str(response):
                    return

    _run(where, work)


# ---------------------------------------------------------------------- changing


@app.command()
@click.argument("name")
@click.pass_obj
def stop(where: Where, name: str) -> None:
    """Stop an app so that no request wakes it."""
    _run(where, lambda client: client.stop(where.id(name)))
    click.echo(f"App '{name}' stopped.")


@app.command()
@click.argument("name")
@click.pass_obj
def start(where: Where, name: str) -> None:
    """Start a stopped app as it was."""
    found = _run(where, lambda client: client.start(where.id(name)))
    click.echo(f"App '{name}' started; it is available at URL:\n{_url(found)}")


@app.command()
@click.argument("name")
@click.pass_obj
def delete(where: Where, name: str) -> None:
    """Delete an app; one that does not exist is no error."""
    _run(where, lambda client: client.delete(where.id(name)))
    click.echo(f"App '{name}' deleted.")
