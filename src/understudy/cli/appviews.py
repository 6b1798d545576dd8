"""How apps are shown: in `kn`'s words for people, as one document or as lines for programs."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence

import click
import orjson

from understudy.aio import clocks
from understudy.apps import names, records
from understudy.kube import objects, records as codec

FORMATS = ("text", "json", "jsonl")
COLUMNS = ("NAME", "URL", "LATEST", "AGE", "CONDITIONS", "READY", "REASON")
REPLICA_COLUMNS = ("NAME", "REVISION", "TRAFFIC", "STATUS", "RESTARTS", "AGE", "REASON")
_GAP = 3
_MARKS = {"ACTIVE": "++", "FAILED": "!!", "STOPPED": "--"}
_GOOD = (records.DeploymentStatus.ACTIVE, records.DeploymentStatus.STOPPED)


def document(value: object) -> str:
    """Return a record, or several, as one JSON document."""
    return orjson.dumps(_data(value), option=orjson.OPT_INDENT_2).decode()


def line(value: object) -> str:
    """Return a record, or plain data, as one line of JSON."""
    return orjson.dumps(_data(value)).decode()


def _data(value: object) -> objects.Json:
    if isinstance(value, dict):
        return {key: _data(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_data(item) for item in value]
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    return codec.to_json(value)


def show(output: str, value: Sequence[object] | object) -> None:
    """Print records for programs: a document, or a line each."""
    if output == "json":
        click.echo(document(value))
        return
    for one in value if isinstance(value, (list, tuple)) else (value,):
        click.echo(line(one))


def url(app: records.App) -> str:
    """Return where an app is reached, `-` while that is not known."""
    ingress = app.status.ingress if app.status is not None else None
    if ingress is None:
        return "-"
    return ingress.public_url or ingress.cname_url or "-"


def age(since: dt.datetime | None, now: dt.datetime) -> str:
    """Return how long ago something was, as kubectl says it: `45s`, `3m`, `5h`, `2d`."""
    if since is None:
        return "-"
    seconds = max(0, int((now - since).total_seconds()))
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= 2 * size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Lay rows out under their columns."""
    cells = [tuple(columns), *(tuple(row) for row in rows)]
    widths = [max(len(row[at]) for row in cells) + _GAP for at in range(len(columns))]
    return "\n".join(
        "".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    )


def listing(apps: Iterable[records.App], clock: clocks.Clock, *, everything: bool) -> str:
    """Return the table of apps; of every project, names are told in full."""
    now = clock.now()
    return table(COLUMNS, (_row(app, now, in_full=everything) for app in apps))


def _row(app: records.App, now: dt.datetime, *, in_full: bool) -> tuple[str, ...]:
    status = app.status or records.Status()
    conditions = status.conditions
    good = sum(one.deployment_status in _GOOD for one in conditions)
    verdict = status.verdict
    ready = {"ACTIVE": "True", "STOPPED": "Stopped", "FAILED": "False"}.get(
        verdict.deployment_status.value, "Unknown"
    )
    if app.spec is not None and app.spec.desired_state is records.DesiredState.STOPPED:
        ready = "Stopped" if app.phase is records.DeploymentStatus.STOPPED else "Stopping"
    reason = "" if app.phase in _GOOD else verdict.message
    return (
        str(app.id) if in_full else app.id.name,
        url(app),
        status.latest_ready_revision or "-",
        age(status.created_at, now),
        f"{good} OK / {len(conditions)}",
        ready,
        " ".join(reason.split()),
    )


def described(app: records.App, clock: clocks.Clock) -> str:
    """Return all about one app."""
    now = clock.now()
    status = app.status or records.Status()
    place = status.k8s_metadata or records.K8sMetadata()
    facts = [
        ("Name:", app.id.name),
        ("Project:", f"{app.id.project}/{app.id.domain}"),
        ("Namespace:", place.namespace),
        ("Service:", place.service or names.kservice_name(app.id)),
        ("Age:", age(status.created_at, now)),
        ("URL:", url(app)),
        ("Status:", _status(status)),
        ("Replicas:", _replica_count(status)),
    ]
    if status.ingress is not None and status.ingress.cname_url:
        facts.append(("Also at:", status.ingress.cname_url))
    out = [f"{name:<11} {value}" for name, value in facts]
    out += ["", "Revisions:", *_revisions(app, status)]
    out += ["", "Conditions:", "  OK STATUS        AGE MESSAGE"]
    out += [
        f"  {_MARKS.get(one.deployment_status.value, '..')} {one.deployment_status.value:<10}"
        f" {age(one.last_transition_time, now):>6} {' '.join(one.message.split())}"
        for one in status.conditions
    ]
    return "\n".join(out)


def _status(status: records.Status) -> str:
    verdict = status.verdict
    if verdict.substate is records.Substate.UNSPECIFIED:
        return verdict.deployment_status.value
    return f"{verdict.deployment_status.value} ({verdict.substate.value})"


def _replica_count(status: records.Status) -> str:
    if status.desired_replicas and status.desired_replicas != status.current_replicas:
        return f"{status.current_replicas} of {status.desired_replicas}"
    return str(status.current_replicas)


def _revisions(app: records.App, status: records.Status) -> list[str]:
    out = []
    for target in status.traffic:
        latest = "@latest " if target.latest_revision else ""
        tag = f" #{target.tag}" if target.tag else ""
        out.append(f"  {target.percent:>3}%  {latest}({target.revision_name}){tag}")
    created, ready = status.latest_created_revision, status.latest_ready_revision
    if created and created != ready:
        out.append(f"    +   ({created}) is not ready yet")
    image = app.spec.container.image if app.spec and app.spec.container else ""
    if image:
        out.append(f"        Image:  {image}")
    return out or ["  none"]


def replicas(found: Iterable[records.Replica], clock: clocks.Clock) -> str:
    """Return the table of replicas."""
    now = clock.now()
    return table(
        REPLICA_COLUMNS,
        (
            (
                one.metadata.id.name,
                one.knative_revision or "-",
                f"{one.traffic_percent}%",
                one.status.deployment_status,
                str(one.restarts),
                age(one.created_at, now),
                " ".join(f"{one.status.reason} {one.message}".split()),
            )
            for one in found
        ),
    )


def event(response: records.WatchResponse, clock: clocks.Clock) -> str:
    """Return what a watch delivered as a line for people; empty for what only programs need."""
    stamp = clock.now().strftime("%H:%M:%S")
    if response.marker is records.Marker.RESYNC:
        return f"{stamp}  ... some states in between were too quick to show"
    if response.create_event is not None:
        return f"{stamp}  + {_state(response.create_event.app)}"
    if response.update_event is not None:
        return f"{stamp}  ~ {_state(response.update_event.updated_app)}"
    if response.delete_event is not None:
        return f"{stamp}  - {response.delete_event.app.id} is gone"
    return ""


def _state(app: records.App) -> str:
    status = app.status or records.Status()
    message = " ".join(status.verdict.message.split())
    return f"{app.id}  {_status(status)}  {message}".rstrip()
