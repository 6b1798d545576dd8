"""`understudy export` and `import`: a view, or a cluster, to and from one file of manifests.

An export is what somebody would have written: no status, no uids, nothing the server adds, in a
fixed order, so that two exports can be compared. It needs only the right to list. Exit codes: 0; 1
error.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import click

from understudy.cli import places
from understudy.client import errors as client_errors
from understudy.platform import errors, kubernetes, records

T = TypeVar("T")


@click.command("export")
@click.option(
    "-f",
    "--filename",
    "target",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write here (0600) instead of to standard output.",
)
@click.option("--secrets", is_flag=True, help="Secrets too, in clear.")
@places.on_cluster
def export(cluster: places.Cluster, /, target: Path | None, secrets: bool) -> None:
    """Write a cluster's objects as manifests."""
    settings = kubernetes.Settings(export_secrets=secrets)
    text = _run(cluster, settings, lambda platform: platform.export())
    if target is None:
        click.echo(text, nl=False)
        return
    try:
        target.touch(mode=0o600)
        target.chmod(0o600)
        target.write_text(text, encoding="utf-8")
    except OSError as error:
        _fail(f"{target}: {(error.strerror or str(error)).lower()}")
    count = text.splitlines().count("---")
    click.echo(f"{count} objects written to {target}")


@click.command("import")
@click.option("-f", "--filename", "source", required=True, help="A file, or - for standard input.")
@places.on_cluster
def import_(cluster: places.Cluster, /, source: str) -> None:
    """Apply the manifests of a file; every object that is refused is named, the rest is there."""
    try:
        text = sys.stdin.read() if source == "-" else Path(source).read_text(encoding="utf-8")
    except OSError as error:
        _fail(f"{source}: {(error.strerror or str(error)).lower()}")
        return
    documents = [part for part in text.split("\n---") if part.strip("- \n")]
    actions = tuple(
        records.SyncAction(resource_id=f"document {number}", apply=part)
        for number, part in enumerate(documents, 1)
    )
    definition = records.SyncDef(actions=actions)
    result = _run(cluster, kubernetes.Settings(), lambda platform: platform.sync(definition))
    counts: dict[str, int] = {}
    for one in result.results:
        counts[one.operation] = counts.get(one.operation, 0) + 1
    shown = ", ".join(f"{count} {operation}" for operation, count in sorted(counts.items()))
    click.echo(shown or "nothing to import")


def _run(
    cluster: places.Cluster,
    settings: kubernetes.Settings,
    work: Callable[[kubernetes.KubernetesPlatform], Awaitable[T]],
) -> T:
    async def body() -> T:
        client = cluster.connect()
        try:
            return await work(kubernetes.KubernetesPlatform(client, settings))
        finally:
            await client.close()

    try:
        return asyncio.run(body())
    except errors.SyncError as error:
        _fail("; ".join(f"{name}: {one.message}" for name, one in sorted(error.errors.items())))
    except (
        errors.PlatformError,
        client_errors.TransportError,
        client_errors.KubeconfigError,
    ) as error:
        _fail(str(error))
    raise AssertionError("_fail does not return")


def _fail(message: str) -> None:
    click.echo(f"error: {message}", err=True)
    sys.exit(1)
