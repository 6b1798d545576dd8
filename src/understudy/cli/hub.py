"""`understudy hub`: runs a hub, and makes the tokens for it. Exit codes: 0 stopped; 1 error."""

from __future__ import annotations

import contextlib
import ssl
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import click
import orjson
import prometheus_client

from understudy.aio import clocks
from understudy.cli import serve, sessions
from understudy.kube import objects
from understudy.platform import errors, instrument, relaying
from understudy.platform.bus import nats, settings as bus_settings, standalone
from understudy.platform.hub import servers, tokens

TOKENS = click.option(
    "--tokens",
    "tokens_file",
    envvar="UNDERSTUDY_HUB_TOKENS",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File (0600) of who may connect and ask; only hashes of the tokens are in it.",
)


@click.group(invoke_without_command=True)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    default=8090,
    show_default=True,
    type=click.IntRange(0, 65535),
    help="TCP port; 0 lets the system choose.",
)
@TOKENS
@click.option(
    "--tls-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Serve HTTPS with a certificate of the CA in this directory, made if there is none.",
)
@click.option("--tls-name", "names", multiple=True, help="Another name that certificate is for.")
@click.option(
    "--tls-cert",
    type=click.Path(dir_okay=False, exists=True, path_type=Path),
    help="Serve HTTPS with this certificate (PEM, with its chain).",
)
@click.option(
    "--tls-key",
    type=click.Path(dir_okay=False, exists=True, path_type=Path),
    help="The key of --tls-cert.",
)
@click.option("--heartbeat", callback=sessions.duration, default="10s", show_default=True,
              help="How often agent and hub say that they are there.")  # fmt: skip
@click.option(
    "--nats",
    "nats_urls",
    multiple=True,
    envvar="UNDERSTUDY_HUB_NATS",
    help="URL of a NATS server that this hub's replicas share, nats://host:4222; may be repeated.",
)
@click.option(
    "--nats-credentials",
    type=click.Path(dir_okay=False, exists=True),
    help="NATS credentials file.",
)
@click.option("--audit-log", default="-", show_default=True, help="File to append to; - is stderr.")
@click.pass_context
def hub(
    context: click.Context,
    host: str,
    port: int,
    tokens_file: Path | None,
    tls_dir: Path | None,
    names: tuple[str, ...],
    tls_cert: Path | None,
    tls_key: Path | None,
    heartbeat: float,
    nats_urls: tuple[str, ...],
    nats_credentials: str | None,
    audit_log: str,
) -> None:
    """Run a hub: agents connect to it, callers reach their clusters through it.

    When it is ready it prints `listening on URL`. SIGTERM and SIGINT stop it cleanly.
    """
    context.obj = tokens_file
    if context.invoked_subcommand is not None:
        return
    if (tls_cert is None) != (tls_key is None) or (tls_cert is not None and tls_dir is not None):
        raise click.UsageError("for HTTPS give --tls-cert and --tls-key, or --tls-dir")
    try:
        tls = _tls(tls_dir, (host, *names), tls_cert, tls_key)
        settings = servers.Settings(
            host=host, port=port, tokens=tokens_file, heartbeat_s=heartbeat, tls=tls
        )
        shared = None
        if nats_urls:
            shared = bus_settings.NatsSettings(
                servers=nats_urls, credentials=nats_credentials or ""
            )
        with _audit(audit_log) as audit:
            serve.run(_hub(settings, audit, tls_dir, shared))
    except (errors.InvalidRequestError, errors.UnavailableError) as error:
        raise click.ClickException(error.message) from error
    except OSError as error:
        raise click.ClickException(
            f"cannot listen on {host}:{port}: {error.strerror or error}"
        ) from error


def _tls(
    directory: Path | None, hosts: tuple[str, ...], cert: Path | None, key: Path | None
) -> ssl.SSLContext | None:
    if directory is not None:
        from understudy.kapi.http import certificates  # noqa: PLC0415 (loads cryptography)

        directory.mkdir(parents=True, exist_ok=True)
        now = clocks.SystemClock().now()
        names = list(dict.fromkeys([*hosts, "localhost", "127.0.0.1"]))
        return certificates.Authority(directory, now).context(names, now)
    if cert is None:
        return None
    made = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        made.load_cert_chain(cert, key)
    except (OSError, ssl.SSLError) as error:
        raise click.ClickException(
            f"--tls-cert {cert} and --tls-key {key} cannot be used: {error}"
        ) from error
    return made


@contextlib.contextmanager
def _audit(target: str) -> Iterator[Callable[[objects.Object], None]]:
    """Give what writes one line of JSON for each request."""

    def write_to(file: IO[bytes]) -> Callable[[objects.Object], None]:
        def write(record: objects.Object) -> None:
            file.write(orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE))
            file.flush()

        return write

    if target == "-":
        yield write_to(sys.stderr.buffer)
        return
    path = Path(target)
    try:
        path.touch(mode=0o600)
        file = path.open("ab")
    except OSError as error:
        raise click.ClickException(f"--audit-log {target}: {error.strerror}") from error
    with file:
        yield write_to(file)


async def _hub(
    settings: servers.Settings,
    audit: Callable[[objects.Object], None],
    tls_dir: Path | None,
    shared: bus_settings.NatsSettings | None,
) -> None:
    registry = prometheus_client.CollectorRegistry()
    metrics = instrument.BusMetrics(registry)
    bus: nats.NatsMessageBus | standalone.StandaloneMessageBus
    if shared is not None:
        bus = nats.NatsMessageBus(shared, metrics=metrics)
        await bus.open()
    else:
        bus = standalone.StandaloneMessageBus(metrics=metrics)
    made = servers.Hub(bus, settings, audit=audit, registry=registry)
    try:
        await made.start()
        click.echo(f"listening on {made.url}")
        if tls_dir is not None:
            click.echo(f"CA: {tls_dir / 'ca.crt'}")
        sys.stdout.flush()
        await serve.stop_signal()
    finally:
        await made.stop()
        await bus.close()


# ---------------------------------------------------------------------- tokens


@hub.command()
@click.argument("instance")
@click.option("--replace", is_flag=True, help="Take its older tokens back.")
@TOKENS
@click.pass_context
def token(context: click.Context, instance: str, replace: bool, tokens_file: Path | None) -> None:
    """Make a token for the agent of INSTANCE, and print it; it is not to be had again."""
    file = _file(context, tokens_file)
    with _complaining():
        click.echo(file.add_agent(instance, replacing=replace))


@hub.command()
@click.argument("name")
@click.option(
    "--access",
    type=click.Choice([str(one) for one in relaying.Access]),
    default="read",
    show_default=True,
    help="What they may do; secrets reads Secrets too, write includes it.",
)
@click.option(
    "--instance",
    "instances",
    multiple=True,
    default=("*",),
    show_default=True,
    help="Where: a name, or a pattern such as prod-*; may be repeated.",
)
@TOKENS
@click.pass_context
def caller(
    context: click.Context,
    name: str,
    access: str,
    instances: tuple[str, ...],
    tokens_file: Path | None,
) -> None:
    """Make a token for NAME to call the hub with, and print it; an older one ends."""
    file = _file(context, tokens_file)
    with _complaining():
        click.echo(file.add_caller(name, relaying.Access.parse(access), instances))


@hub.command()
@click.argument("name")
@click.option("--caller", "is_caller", is_flag=True, help="NAME is a caller, not an instance.")
@TOKENS
@click.pass_context
def revoke(context: click.Context, name: str, is_caller: bool, tokens_file: Path | None) -> None:
    """Take the tokens of an instance, or a caller's, back; from now on they are not known."""
    file = _file(context, tokens_file)
    with _complaining():
        if not file.remove(name, caller=is_caller):
            raise errors.InvalidRequestError(f"{name} has no token")


def _file(context: click.Context, given: Path | None) -> tokens.TokenFile:
    path = given or context.obj
    if path is None:
        raise click.UsageError("which file of tokens? give --tokens FILE")
    return tokens.TokenFile(path)


@contextlib.contextmanager
def _complaining() -> Iterator[None]:
    try:
        yield
    except errors.InvalidRequestError as error:
        raise click.ClickException(error.message) from error
    except OSError as error:
        raise click.ClickException(f"{error.filename}: {error.strerror}") from error
