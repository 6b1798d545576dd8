"""Which cluster a command works on: a kubeconfig's, or an instance's through a hub."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec

import click

from understudy.client import connections, http
from understudy.platform import errors
from understudy.platform.hub import clients

P = ParamSpec("P")

HUB = "UNDERSTUDY_HUB"
TOKEN = "UNDERSTUDY_HUB_TOKEN"  # noqa: S105 (the variable's name)


def hub_options(command: Callable[P, None]) -> Callable[P, None]:
    """Add the options that say where the hub is, and as whom it is asked."""
    added = (
        click.option("--hub", envvar=HUB, help=f"URL of the hub; by default {HUB}."),
        click.option(
            "--hub-token-file",
            envvar="UNDERSTUDY_HUB_TOKEN_FILE",
            type=click.Path(dir_okay=False, path_type=Path),
            help=f"File with the caller's token; or the token itself in {TOKEN}.",
        ),
        click.option(
            "--hub-ca",
            envvar="UNDERSTUDY_HUB_CA",
            type=click.Path(dir_okay=False, path_type=Path),
            help="PEM file of the authority that signed the hub's certificate.",
        ),
    )
    for option in reversed(added):
        command = option(command)
    return command


def place(hub: str | None, token_file: Path | None, ca: Path | None) -> clients.Place:
    """Return where the hub is.

    Raises:
        UsageError: It is not said, or what is said cannot be.
    """
    if not hub:
        raise click.UsageError(f"which hub? give --hub URL or set {HUB}")
    token = os.environ.get(TOKEN, "") if token_file is None else read_token(token_file)
    try:
        return clients.Place(url=hub, token=token, ca=ca).checked()
    except errors.InvalidRequestError as error:
        raise click.UsageError(error.message) from error


def read_token(path: Path) -> str:
    """Return the token in a file that only its owner may read.

    Raises:
        UsageError: There is none, or others may read it.
    """
    try:
        mode, token = path.stat().st_mode, path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise click.UsageError(f"token file {path}: {why}") from error
    if mode & 0o077:
        raise click.UsageError(f"token file {path} may be read by others: chmod 600 {path}")
    if not token or not token.isascii() or any(not sign.isprintable() for sign in token):
        raise click.UsageError(f"token file {path}: there is no token in it")
    return token


def connect(
    kubeconfig: str | None, context: str | None, instance: str | None, hub: clients.Place | None
) -> http.HttpClient:
    """Return a client for the cluster that the options name.

    Raises:
        KubeconfigError: There is none. UsageError: No instance can have that name.
    """
    if instance is None or hub is None:
        return connections.connect(kubeconfig=kubeconfig, context=context)
    try:
        return http.HttpClient(hub.access(instance))
    except errors.InvalidRequestError as error:
        raise click.UsageError(f"--instance: {error.message}") from error
