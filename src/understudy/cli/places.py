"""Which cluster a command works on: a kubeconfig's, or an instance's through a hub."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Concatenate, ParamSpec

import click

from understudy.client import connections, http
from understudy.kube import objects
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
    """Return the token in a file that only its owner, or its group, may read.

    A pod that does not run as root reads its Secrets as their group.

    Raises:
        UsageError: There is none, or others may read it.
    """
    try:
        mode, token = path.stat().st_mode, path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise click.UsageError(f"token file {path}: {why}") from error
    if mode & 0o037:
        raise click.UsageError(f"token file {path} may be read by others: chmod 600 {path}")
    if not token or not token.isascii() or any(not sign.isprintable() for sign in token):
        raise click.UsageError(f"token file {path}: there is no token in it")
    return token


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """A cluster, or a fleet of them, as the command line names it.

    Attributes:
        instance: Name of a cluster that is reached through the hub, or a pattern; None for the
            kubeconfig's.
    """

    kubeconfig: str | None = None
    context: str | None = None
    instance: str | None = None
    hub: clients.Place | None = None

    @property
    def is_fleet(self) -> bool:
        """Whether `instance` is a pattern."""
        return self.instance is not None and any(sign in self.instance for sign in "*?[,")

    def connect(self) -> http.HttpClient:
        """Return a client for the cluster.

        Raises:
            KubeconfigError: There is none. UsageError: It is a fleet, or no instance can have that
            name.
        """
        if self.instance is None or self.hub is None:
            return connections.connect(kubeconfig=self.kubeconfig, context=self.context)
        if self.is_fleet:
            raise click.UsageError(
                f"--instance {self.instance!r}: this command works on one instance; plan, deliver "
                "and drift take several"
            )
        try:
            return http.HttpClient(self.hub.access(self.instance))
        except errors.InvalidRequestError as error:
            raise click.UsageError(f"--instance: {error.message}") from error


def on_cluster(command: Callable[Concatenate[Cluster, P], None]) -> Callable[P, None]:
    """Add the options that say which cluster, and give what they say as the first argument."""
    added = (
        click.option("--kubeconfig", help="Path of the kubeconfig file."),
        click.option("--context", "context_name", help="Its context; by default the current one."),
        click.option("--instance", help="A cluster that is reached through the hub, by its name."),
        hub_options,
    )

    @functools.wraps(command)
    def run_there(*arguments: P.args, **given: P.kwargs) -> None:
        command(_taken(given), *arguments, **given)

    wrapped: Callable[P, None] = run_there
    for option in reversed(added):
        wrapped = option(wrapped)
    return wrapped


def _taken(given: dict[str, objects.Json]) -> Cluster:
    """Take the cluster out of what was given on the command line."""
    hub = [given.pop(name) for name in ("hub", "hub_token_file", "hub_ca")]
    named = Cluster(
        kubeconfig=given.pop("kubeconfig"),
        context=given.pop("context_name"),
        instance=given.pop("instance"),
    )
    if named.instance is None:
        return named
    if named.kubeconfig or named.context:
        raise click.UsageError("give either --instance or --kubeconfig and --context")
    return dataclasses.replace(named, hub=place(*hub))
