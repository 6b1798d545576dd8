"""Long-lived tasks with names: started together, watched, and stopped in reverse order."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine


class TaskSet:
    """Owns background tasks; `stop()` cancels them newest first and waits for each.

    A task that fails is reported to `on_failure` (name, exception) and forgotten; it never passes
    silently.
    """

    __slots__ = ("_on_failure", "_tasks")

    def __init__(self, on_failure: Callable[[str, BaseException], None]) -> None:
        self._on_failure = on_failure
        self._tasks: dict[asyncio.Task[None], str] = {}

    def start(self, name: str, body: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """Run `body` as a task until it ends or the set is stopped."""
        task = asyncio.create_task(body, name=name)
        self._tasks[task] = name
        task.add_done_callback(self._finished)
        return task

    def _finished(self, task: asyncio.Task[None]) -> None:
        name = self._tasks.pop(task, "")
        if not task.cancelled() and (failure := task.exception()) is not None:
            self._on_failure(name, failure)

    async def stop(self) -> None:
        """Cancel every task, newest first, and wait until it has ended."""
        for task in reversed(list(self._tasks)):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await task
