"""`understudy serve`: the embedded API server in the foreground."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import importlib.util
import logging
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import ParamSpec, Protocol

import click

from understudy.kapi import server as servers, settings
from understudy.kapi.persistence import folders

log = logging.getLogger(__name__)
GC_THRESHOLDS = (50_000, 20, 100)
"""Stored objects are bytes in no cycles: looking for garbage among them every 700 allocations, as
Python does by default, costs a quarter of the time of a write and finds nothing."""
RUNTIMES = ("none", "simulated", "process")


P = ParamSpec("P")


class Running(Protocol):
    """Controllers and runtime at work on a server."""

    async def stop(self) -> None:
        """Stop them, in reverse order of their start."""
        ...


def listening(command: Callable[P, None]) -> Callable[P, None]:
    """Add the options of a server: where it listens, for whom, and where it keeps its state."""
    for option in reversed(_LISTENING):
        command = option(command)
    return command


_LISTENING = (
    click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on."),
    click.option(
        "--port",
        default=8001,
        show_default=True,
        type=click.IntRange(0, 65535),
        help="TCP port of the API; 0 lets the system choose.",
    ),
    click.option(
        "--kubeconfig",
        type=click.Path(dir_okay=False, path_type=Path),
        help="Where to write the kubeconfig (0600); by default in a temporary directory.",
    ),
    click.option(
        "--token",
        default="",
        envvar="UNDERSTUDY_TOKEN",
        help="The administrator's bearer token; generated where needed and not given.",
    ),
    click.option(
        "--data-dir",
        type=click.Path(file_okay=False, path_type=Path),
        help="Keep the state here; without it, it is lost at the end.",
    ),
    click.option(
        "--audit-log",
        type=click.Path(dir_okay=False, path_type=Path),
        help="Add a line for every write to this file, as a cluster's audit log has it.",
    ),
    click.option("-v", "--verbose", is_flag=True, help="Log more, to stderr."),
)


@click.command()
@listening
@click.option(
    "--auth",
    type=click.Choice(["none", "token", "rbac"]),
    default=None,
    help="Who may do what; by default none, or token where --token is given.",
)
@click.option("--tls", is_flag=True, help="Serve HTTPS with a generated certificate.")
@click.option(
    "--controllers",
    default="all",
    show_default=True,
    help="`all`, `none`, or a list: names to run, -names to leave out.",
)
@click.option(
    "--runtime",
    type=click.Choice(RUNTIMES),
    default="simulated",
    show_default=True,
    help="How pods come to run.",
)
@click.option(
    "--gateway-port",
    type=click.IntRange(0, 65535),
    help="Lead requests to apps from this port (0: any); without it there is no gateway.",
)
@click.option(
    "--service-address",
    "service_addresses",
    multiple=True,
    metavar="NAMESPACE/NAME=HOST:PORT",
    help="Where the service of a webhook is, if not at its endpoints; may be repeated.",
)
def serve(
    host: str,
    port: int,
    kubeconfig: Path | None,
    auth: settings.AuthMode | None,
    token: str,
    tls: bool,
    data_dir: Path | None,
    audit_log: Path | None,
    controllers: str,
    runtime: str,
    gateway_port: int | None,
    service_addresses: tuple[str, ...],
    verbose: bool,
) -> None:
    """Run the embedded Kubernetes API server.

    When it is ready it prints `listening on URL` and the path of the kubeconfig. SIGTERM and
    SIGINT stop it cleanly.
    """
    set_up_logging(verbose=verbose)
    mode = auth or ("token" if token or runtime == "process" else "none")
    chosen = settings.ServerSettings(
        host=host,
        port=port,
        kubeconfig=kubeconfig,
        auth=mode,
        token=token,
        tls=tls,
        data_dir=data_dir,
        audit_log=audit_log,
        service_addresses=dict(map(_halves, service_addresses)),
    )
    run_server(chosen, controllers, runtime, gateway_port)


def _halves(service_address: str) -> tuple[str, str]:
    service, _, address = service_address.partition("=")
    return service, address


def set_up_logging(*, verbose: bool) -> None:
    """Log to stderr."""
    logging.basicConfig(
        level=logging.DEBUG if verbose else logging.WARNING,
        stream=sys.stderr,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )


def run_server(
    chosen: settings.ServerSettings, controllers: str, runtime: str, gateway_port: int | None
) -> None:
    """Serve until a signal comes; what cannot be done is said in one sentence.

    Raises:
        ClickException: A setting is wrong or an address or directory cannot be had.
    """
    try:
        run(_serve(chosen, controllers, runtime, gateway_port))
    except settings.SettingsError as error:
        raise click.ClickException(f"--{error}") from error
    except folders.FolderError as error:
        raise click.ClickException(str(error)) from error
    except OSError as error:
        raise click.ClickException(
            f"cannot listen on {chosen.host}:{chosen.port}: {error.strerror or error}"
        ) from error


def run(main: Awaitable[None]) -> None:
    """Run a coroutine on uvloop where there is one, else on asyncio's own loop."""

    async def body() -> None:
        await main

    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(body())


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    """Return what makes the fastest event loop available."""
    if importlib.util.find_spec("uvloop") is None:
        return asyncio.new_event_loop
    import uvloop  # noqa: PLC0415 (optional)

    return uvloop.new_event_loop


async def _serve(
    chosen: settings.ServerSettings, controllers: str, runtime: str, gateway_port: int | None
) -> None:
    server = servers.Server(chosen)
    for message in server.messages:
        click.echo(message, err=True)
    if chosen.auth != "none" and not chosen.tls:
        click.echo("kubectl sends credentials over HTTPS only: add --tls to use it here", err=True)
    await server.start()
    running: Running | None = None
    try:
        apps = ""
        if gateway_port is not None:
            from understudy import assembly  # noqa: PLC0415 (imports every room)
            from understudy.controllers.runtime.gateway import (  # noqa: PLC0415 (brings aiohttp)
                settings as gateways,
            )

            front = gateways.GatewaySettings(host=chosen.host, port=gateway_port)
            running = live = await assembly.start_apps(
                server, controllers=controllers, runtime=runtime, gateway=front
            )
            apps = f"apps at {live.url}"
        elif controllers != "none" or runtime != "none":
            from understudy import assembly  # noqa: PLC0415 (imports every room)

            running = await assembly.start_controllers(
                server, controllers=controllers, runtime=runtime
            )
        # What was made at the start lives as long as the server: do not look at it again and again.
        gc.collect()
        gc.freeze()
        gc.set_threshold(*GC_THRESHOLDS)
        click.echo(f"listening on {server.url}")
        click.echo(str(server.kubeconfig))
        if apps:
            click.echo(apps)
        sys.stdout.flush()
        await stop_signal()
    finally:
        if running is not None:
            await running.stop()
        await server.stop()


async def stop_signal() -> None:
    """Wait for SIGTERM or SIGINT."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        with contextlib.suppress(NotImplementedError):
            loop.add_signal_handler(number, stopped.set)
    await stopped.wait()
