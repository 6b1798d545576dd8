"""A line at the foot of a terminal that says what goes on now, how far it is, and for how long.

What is printed meanwhile goes above it. Where output is no terminal there is none: its lines are
all that is told. Only here is rich imported, and only for a terminal.
"""

from __future__ import annotations

import sys
import typing

import click

if typing.TYPE_CHECKING:
    from rich import progress


class Foot:
    """The line; hidden until something is shown, and again before anybody is asked anything."""

    __slots__ = ("_line", "_seen", "_task")

    def __init__(self, *, seen: bool) -> None:
        self._seen = seen
        self._line: progress.Progress | None = None
        self._task: progress.TaskID | None = None

    def show(self, text: str, done: int = 0, total: int = 0) -> None:
        """Show what goes on; without a total, only that something does."""
        if not self._seen:
            return
        if self._line is None or self._task is None:
            self._line = _line()
            self._task = self._line.add_task(text, total=None)
            self._line.start()
        self._line.update(self._task, description=text, completed=done, total=total or None)

    def say(self, line: str) -> None:
        """Print a line above, for good."""
        if self._line is None:
            click.echo(line)
            sys.stdout.flush()
            return
        from rich import text  # noqa: PLC0415 (see below)

        self._line.console.print(text.Text.from_ansi(line), soft_wrap=True)

    def hide(self) -> None:
        """Leave the terminal as if there had been nothing."""
        line, self._line = self._line, None
        if line is not None:
            line.stop()


def _line() -> progress.Progress:
    from rich import progress  # noqa: PLC0415 (costs time that scripts need not spend)

    return progress.Progress(
        progress.SpinnerColumn(),
        progress.TextColumn("{task.description}", markup=False),
        progress.BarColumn(bar_width=20),
        progress.TaskProgressColumn("{task.completed}/{task.total}", show_speed=False),
        progress.TimeElapsedColumn(),
        transient=True,
    )
