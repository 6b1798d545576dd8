"""How the lines of an app's replicas are shown."""

from __future__ import annotations

import click

from understudy.apps import logs
from understudy.cli import appviews


class Writer:
    """Prints lines: for people with the replica before each once there are several of them."""

    def __init__(self, output: str, *, replicas: int, timestamps: bool) -> None:
        self._output = output
        self._timestamps = timestamps
        self._is_one = replicas <= 1
        self._seen: set[str] = set()
        self._kept: list[dict[str, str]] = []

    def write(self, line: logs.LogLine) -> None:
        """Print one line; as part of a document it is kept for the end."""
        if self._output == "text":
            self._write_text(line)
            return
        kind = "note" if line.is_note else "line"
        shown = {"type": kind, "replica": line.replica, "time": line.time, "text": line.text}
        if self._output == "jsonl":
            click.echo(appviews.line(shown))
        else:
            self._kept.append(shown)

    def close(self) -> None:
        """Print what was kept for the end."""
        if self._output == "json":
            click.echo(appviews.document(self._kept))

    def _write_text(self, line: logs.LogLine) -> None:
        if line.is_note:
            click.echo(f"warning: replica {line.replica}: {line.text}", err=True)
            return
        self._seen.add(line.replica)
        prefix = "" if self._is_one and len(self._seen) == 1 else f"[{line.replica}] "
        time = f"{line.time} " if self._timestamps and line.time else ""
        click.echo(f"{prefix}{time}{line.text}")
