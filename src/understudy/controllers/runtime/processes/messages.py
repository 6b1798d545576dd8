"""What a container said last: the message of its terminated state."""

from __future__ import annotations

from typing import Final

from understudy.controllers.runtime.processes import containers, folders, logs

BYTES_MAX: Final = 4096
LOG_BYTES_MAX: Final = 2048
LOG_LINES_MAX: Final = 80


def of(kept: folders.Folders, uid: str, one: containers.Container) -> str:
    """Return what a run left in its message file, or the end of its log where it is to be used.

    `ended` of the container is that run's.
    """
    path = kept.message(uid, one.name)
    try:
        with path.open("rb") as file:
            text = file.read(BYTES_MAX).decode(errors="replace")
    except OSError:
        text = ""
    if text or one.has_succeeded:
        return text
    if one.spec.get("terminationMessagePolicy") != "FallbackToLogsOnError":
        return ""
    log = kept.log(uid, one.name, one.run)
    data = b"".join(line.shown for line in logs.tail(log, LOG_LINES_MAX))
    return data[-LOG_BYTES_MAX:].decode(errors="replace")
