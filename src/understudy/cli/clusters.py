"""`understudy clusters`: the instances of a hub. Exit codes: 0; 1 error."""

from __future__ import annotations

import asyncio
import datetime as dt
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from understudy.aio import clocks
from understudy.cli import places, sessions
from understudy.delivery import render
from understudy.kube import objects
from understudy.platform import errors
from understudy.platform.hub import clients

_STATES = {"connected": "green", "lost": "red", "never_seen": "yellow"}


@click.command()
@places.hub_options
@click.option(
    "-o",
    "--output",
    type=click.Choice(["text", "json", "jsonl"]),
    default="text",
    show_default=True,
    help="Form of output; jsonl is one instance on each line.",
)
def clusters(
    hub: str | None, hub_token_file: Path | None, hub_ca: Path | None, output: str
) -> None:
    """Show the instances of a hub: whether their agents are connected, and since when not."""
    place = places.place(hub, hub_token_file, hub_ca)
    try:
        found = asyncio.run(_instances(place))
    except errors.PlatformError as error:
        click.echo(f"error: {error.message}", err=True)
        sys.exit(1)
    if output == "json":
        sessions.print_json(found)
    elif output == "jsonl":
        for one in found:
            sessions.print_json(one)
    else:
        sessions.print_lines(table(found, clocks.SystemClock().now()))


async def _instances(place: clients.Place) -> list[objects.Object]:
    async with clients.HubClient(place) as client:
        return await client.instances()


def table(found: list[objects.Object], now: dt.datetime) -> Iterator[str]:
    """Yield instances as a table."""
    rows = [("Instance", "State", "Agent", "Cluster", "Last seen", "Note")]
    rows += [
        (
            one["instance"],
            sessions.paint(one["state"].replace("_", " "), _STATES.get(one["state"], "yellow")),
            one.get("version") or "-",
            (one.get("cluster") or {}).get("version") or "-",
            _seen(one, now),
            one.get("note") or one.get("reason") or "",
        )
        for one in found
    ]
    return render.columns(rows)


def _seen(one: objects.Object, now: dt.datetime) -> str:
    if one["state"] == "connected":
        return "now"
    return f"{render.age(one['lastSeen'], now)} ago" if one.get("lastSeen") else "never"
