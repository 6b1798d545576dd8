"""The object graph: the only module that may import every room."""

from __future__ import annotations

import logging

from understudy.controllers import running
from understudy.controllers.runtime import settings as runtimes
from understudy.kapi import server as servers, settings

_log = logging.getLogger(__name__)


async def start_controllers(
    server: servers.Server, *, controllers: str, runtime: str
) -> running.Running:
    """Make an embedded server's base view live: its controllers, and how its pods run.

    Sandboxes get none: a following one already sees what the base's controllers do, and two sets
    would create everything twice.

    Raises:
        SettingsError: An unknown controller or runtime.
    """
    if runtime not in {"none", "simulated"}:
        raise settings.SettingsError(f"runtime {runtime}: use none or simulated")
    kind = runtimes.Runtime(kind="simulated" if runtime == "simulated" else "none")
    try:
        return running.start(server.base, controllers, kind, on_failure=_report)
    except ValueError as error:
        raise settings.SettingsError(str(error)) from error


def _report(name: str, error: BaseException) -> None:
    _log.error("%s ended: %s", name, error, exc_info=error)
