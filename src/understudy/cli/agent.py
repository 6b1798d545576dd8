"""`understudy agent`: answers for one cluster at a hub. Exit codes: 0 stopped; 1 error."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from pathlib import Path

import click

from understudy.aio import clocks
from understudy.cli import places, serve
from understudy.client import connections, errors as client_errors, http
from understudy.kube import objects, statuses
from understudy.platform import agent as agents, errors, kubernetes, records
from understudy.platform.hub import clients


@click.command()
@click.option("--hub", envvar=places.HUB, required=True, help="URL of the hub.")
@click.option("--instance", required=True, help="The cluster's name there, a DNS label.")
@click.option(
    "--token-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File (0600) with the agent's token; read again for every connection.",
)
@click.option(
    "--hub-ca",
    envvar="UNDERSTUDY_HUB_CA",
    type=click.Path(dir_okay=False, path_type=Path),
    help="PEM file of the authority that signed the hub's certificate.",
)
@click.option("--kubeconfig", help="Of the cluster; in a pod its own account is found.")
@click.option("--context", help="Context of the kubeconfig.")
@click.option("--read-only", is_flag=True, help="Change nothing, whoever asks.")
def agent(
    hub: str,
    instance: str,
    token_file: Path | None,
    hub_ca: Path | None,
    kubeconfig: str | None,
    context: str | None,
    read_only: bool,
) -> None:
    """Connect a cluster to a hub, from inside; SIGTERM and SIGINT stop it cleanly.

    It holds the cluster's credentials, and nobody else needs any. What goes on is said on stderr.
    """
    place = clients.Place(url=hub, ca=hub_ca)
    try:
        place.checked()
        records.check_instance(instance)
        client = connections.connect(kubeconfig=kubeconfig, context=context)
    except (errors.InvalidRequestError, client_errors.KubeconfigError) as error:
        raise click.ClickException(str(error)) from error
    if token_file is not None:
        places.read_token(token_file)
    settings = agents.Settings(
        hub=hub,
        instance=instance,
        token=lambda: _token(token_file),
    )
    serve.run(_agent(client, settings, place, read_only=read_only))


def _token(path: Path | None) -> str:
    """Return the agent's token; empty where the hub needs none."""
    if path is None:
        return ""
    try:
        return places.read_token(path)
    except click.UsageError as error:
        # It was there at the start: it is being replaced, or will be.
        raise errors.UnavailableError(error.message) from error


async def _agent(
    client: http.HttpClient, settings: agents.Settings, place: clients.Place, *, read_only: bool
) -> None:
    async def describe() -> dict[str, str]:
        return await about(client)

    platform = kubernetes.KubernetesPlatform(
        client, kubernetes.Settings(read_only=read_only), relay=client.relay
    )
    made = agents.Agent(platform, settings, describe=describe, tls=place.tls(), tell=_tell)
    try:
        async with asyncio.TaskGroup() as group:
            running = group.create_task(made.run())
            await serve.stop_signal()
            made.stop()
            await running
    finally:
        await client.close()


async def about(client: http.HttpClient) -> dict[str, str]:
    """Return what tells a cluster from another: its version, and the uid of its oldest namespace.

    What cannot be read now is left out: the agent connects all the same, and says so when asked.
    """
    found: dict[str, str] = {}
    with contextlib.suppress(statuses.ApiError, client_errors.TransportError):
        found["version"] = str((await client.version()).get("gitVersion") or "")
        found["uid"] = objects.uid_of(await client.get("namespaces", "kube-system"))
    return found


def _tell(state: str) -> None:
    click.echo(f"{clocks.rfc3339(clocks.SystemClock().now())} {state}", err=True)
    sys.stderr.flush()
