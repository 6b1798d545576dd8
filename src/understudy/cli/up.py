"""`understudy up`: a cluster on this machine whose pods are processes and whose apps have URLs."""

from __future__ import annotations

from pathlib import Path

import click

from understudy.cli import serve
from understudy.kapi import settings


@click.command()
@serve.listening
@click.option(
    "--gateway-port",
    default=8080,
    show_default=True,
    type=click.IntRange(0, 65535),
    help="TCP port of the apps; 0 lets the system choose.",
)
@click.option(
    "--auth",
    type=click.Choice(["token", "rbac"]),
    default="token",
    show_default=True,
    help="Who may do what; a token is needed in any case, as pods run commands.",
)
@click.option(
    "--tls/--no-tls",
    default=True,
    show_default=True,
    help="Serve HTTPS with a generated certificate; kubectl sends its token over HTTPS only.",
)
def up(
    host: str,
    port: int,
    gateway_port: int,
    kubeconfig: Path | None,
    auth: settings.AuthMode,
    token: str,
    tls: bool,
    data_dir: Path | None,
    audit_log: Path | None,
    verbose: bool,
) -> None:
    """Run a whole cluster here: controllers, pods as local processes, apps with URLs.

    When it is ready it prints `listening on URL`, the path of the kubeconfig, and `apps at` with
    the form of their URLs. SIGTERM and SIGINT stop it cleanly, and every process with it.
    """
    serve.set_up_logging(verbose=verbose)
    chosen = settings.ServerSettings(
        host=host,
        port=port,
        kubeconfig=kubeconfig,
        auth=auth,
        token=token,
        tls=tls,
        data_dir=data_dir,
        audit_log=audit_log,
    )
    serve.run_server(chosen, "all", "process", gateway_port)
