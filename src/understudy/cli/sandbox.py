"""`understudy sandbox`: forks of the embedded server's state, each an API of its own.

Exit codes: 0; 1 error; `diff` 2 on difference; `promote` 3 on conflict.
"""

from __future__ import annotations

import asyncio
import dataclasses
import difflib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import click
import orjson
import yaml

from understudy.client import errors, http, kubeconfig as kubeconfigs
from understudy.kube import objects, statuses

CONFLICT, DIFFERENT = 3, 2
_SCHEDULER = """\
apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
clientConnection:
  kubeconfig: {kubeconfig}
leaderElection:
  leaderElect: false
"""

output = click.option(
    "-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True
)


@click.group()
@click.option("--kubeconfig", type=click.Path(path_type=Path), help="As kubectl's.")
@click.option("--context", "context_name", help="As kubectl's.")
@click.pass_context
def sandbox(context: click.Context, /, kubeconfig: Path | None, context_name: str | None) -> None:
    """Make, compare, promote and delete sandboxes of an embedded server."""
    context.obj = (kubeconfig, context_name)


@sandbox.command()
@click.argument("name")
@click.option("--of", "parent", default="", help="The view to fork; the base unless given.")
@click.option("--pinned", is_flag=True, help="Do not show the parent's later changes.")
@click.option(
    "--kubeconfig",
    "target",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Also write the sandbox's kubeconfig here (0600).",
)
@click.option(
    "--scheduler-config",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Also write a configuration file for a kube-scheduler that works on the sandbox.",
)
@output
@click.pass_obj
def create(
    access: tuple[Path | None, str | None],
    name: str,
    parent: str,
    pinned: bool,
    target: Path | None,
    scheduler_config: Path | None,
    output: str,
) -> None:
    """Fork a view as NAME; prints its URL and its kubeconfig."""
    asked = {"name": name, "of": parent, "follow": not pinned}
    made = _call(access, "POST", "/views", asked)
    if target is not None:
        _write(target, Path(made["kubeconfig"]).read_text(encoding="utf-8"))
        made["kubeconfig"] = str(target)
    if scheduler_config is not None:
        path = Path(made["kubeconfig"]).resolve()
        _write(scheduler_config, _SCHEDULER.format(kubeconfig=path))
        made["schedulerConfig"] = str(scheduler_config)
    _show(made, output, lambda: f"{made['url']}\n{made['kubeconfig']}")


@sandbox.command("list")
@output
@click.pass_obj
def list_(access: tuple[Path | None, str | None], output: str) -> None:
    """List the views: the base, and every sandbox with what it was forked from."""
    found = _call(access, "GET", "/views")

    def text() -> str:
        rows = [("NAME", "OF", "KIND", "CHANGES", "URL")]
        rows += [
            (v["name"], v["of"] or "-", v["kind"], str(v["changes"]), v["url"])
            for v in found["views"]
        ]
        widths = [max(len(row[at]) for row in rows) + 3 for at in range(5)]
        return "\n".join(
            "".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in rows
        )

    _show(found, output, text)


@sandbox.command()
@click.argument("name")
@output
@click.pass_obj
def diff(access: tuple[Path | None, str | None], name: str, output: str) -> None:
    """Show what NAME changed over its parent; exit code 2 where there is something."""
    found = _call(access, "GET", f"/views/{name}/diff")
    _show(found, output, lambda: "\n".join(_change_text(change) for change in found["changes"]))
    if found["changes"]:
        sys.exit(DIFFERENT)


@click.command("diff")
@click.argument("view", default="base")
@click.option("--from", "start", required=True, type=click.IntRange(1), help="resourceVersion.")
@click.option("--to", "end", type=click.IntRange(1), help="resourceVersion; now unless given.")
@click.option("--kubeconfig", type=click.Path(path_type=Path), help="As kubectl's.")
@click.option("--context", "context_name", help="As kubectl's.")
@output
def diff_between(
    view: str,
    start: int,
    end: int | None,
    kubeconfig: Path | None,
    context_name: str | None,
    output: str,
) -> None:
    """Show what changed in VIEW between two revisions; exit code 2 where something did."""
    asked = f"/views/{view}/diff?from={start}" + (f"&to={end}" if end is not None else "")
    found = _call((kubeconfig, context_name), "GET", asked)
    _show(found, output, lambda: "\n".join(_change_text(change) for change in found["changes"]))
    if found["changes"]:
        sys.exit(DIFFERENT)


@sandbox.command()
@click.argument("name")
@output
@click.pass_obj
def promote(access: tuple[Path | None, str | None], name: str, output: str) -> None:
    """Carry NAME's changes over to its parent, all or none; exit code 3 on conflict."""
    found = _call(access, "POST", f"/views/{name}/promote")
    _show(
        found,
        output,
        lambda: (
            "\n".join(_title(change) for change in found["changes"])
            + f"\n{len(found['changes'])} changes promoted to {found['of']}"
        ),
    )


@sandbox.command()
@click.argument("name")
@click.pass_obj
def reset(access: tuple[Path | None, str | None], name: str) -> None:
    """Bring NAME back to its parent's present."""
    _call(access, "POST", f"/views/{name}/reset")
    click.echo(f"view {name} reset")


@sandbox.command()
@click.argument("name")
@click.pass_obj
def delete(access: tuple[Path | None, str | None], name: str) -> None:
    """Forget NAME and everything in it."""
    _call(access, "DELETE", f"/views/{name}")
    click.echo(f"view {name} deleted")


def _call(
    access: tuple[Path | None, str | None],
    method: str,
    path: str,
    body: objects.Object | None = None,
) -> objects.Object:
    try:
        found = kubeconfigs.load(kubeconfig=access[0], context=access[1], environ=os.environ)
        # Views are the server's, not one view's: the kubeconfig's own prefix does not count.
        parts = urlsplit(found.server)
        root = dataclasses.replace(found, server=f"{parts.scheme}://{parts.netloc}")
        return asyncio.run(_ask(http.HttpClient(root), method, path, body))
    except statuses.ConflictError as error:
        _fail(str(error), CONFLICT if path.endswith("/promote") else 1)
    except (statuses.ApiError, errors.TransportError, errors.KubeconfigError) as error:
        _fail(str(error), 1)
    raise AssertionError("_fail does not return")


async def _ask(
    client: http.HttpClient, method: str, path: str, body: objects.Object | None
) -> objects.Object:
    async with client:
        return await client.call(method, path, body)


def _fail(message: str, code: int) -> None:
    click.echo(f"error: {message}", err=True)
    sys.exit(code)


def _show(found: objects.Object, output: str, text: Callable[[], str]) -> None:
    if output == "json":
        click.echo(orjson.dumps(found, option=orjson.OPT_INDENT_2).decode())
    elif shown := text():
        click.echo(shown)


def _write(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.chmod(0o600)
    path.write_text(text, encoding="utf-8")


_SIGNS = {"created": "+ create", "changed": "~ change", "deleted": "- delete"}


def _title(change: objects.Object) -> str:
    place = f" namespace: {change['namespace']}" if change["namespace"] else ""
    kind = f"{str(change['kind']).lower()}/{change['name']} ({change['apiVersion']})"
    return f"{_SIGNS[change['operation']]} {kind}{place}"


def _change_text(change: objects.Object) -> str:
    before, after = (_lines(change[side]) for side in ("before", "after"))
    body = list(difflib.unified_diff(before, after, n=2, lineterm=""))[2:]
    return "\n".join([_title(change), *(f"  {line}" for line in body)])


def _lines(obj: objects.Object | None) -> list[str]:
    if obj is None:
        return []
    meta = {k: v for k, v in obj["metadata"].items() if k not in _NOISE}
    return str(yaml.safe_dump(obj | {"metadata": meta}, sort_keys=True)).splitlines()


_NOISE = {"managedFields", "resourceVersion", "uid", "creationTimestamp", "generation"}
