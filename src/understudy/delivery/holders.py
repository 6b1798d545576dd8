"""Who delivers: a name for a lock's holder from which this machine can tell that it has died.

    ann@build-7 pid 4711 (3f2a9c1e/4026531836/812345)

The part in brackets is the start of the machine, the process namespace and the start of the
process. A process on the same machine and in the same namespace can be looked for; of any other
holder nothing is known, and its lock holds until it expires.
"""

from __future__ import annotations

import os
import pwd
import re
import socket
from pathlib import Path

_HOLDER = re.compile(r"pid (\d+) \((\w+)/(\d+)/(\d+)\)$")


def this_process() -> str:
    """Return the name of this process as a holder."""
    try:
        user = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        user = str(os.getuid())
    pid = os.getpid()
    place = _machine()
    name = f"{user}@{socket.gethostname()} pid {pid}"
    started = _started(pid)
    if place is None or started is None:
        return name
    return f"{name} ({place[0]}/{place[1]}/{started})"


def is_gone(holder: str) -> bool:
    """Whether a holder is known to have died; False where that cannot be known."""
    match = _HOLDER.search(holder)
    place = _machine()
    if match is None or place is None or (match[2], match[3]) != place:
        return False
    started = _started(int(match[1]))
    return started is None or started != match[4]


def _machine() -> tuple[str, str] | None:
    """Return the machine's start and the process namespace; None where there is no /proc."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        space = os.stat("/proc/self/ns/pid").st_ino  # noqa: PTH116 (follows the magic link)
    except OSError:
        return None
    return boot.replace("-", "")[:8], str(space)


def _started(pid: int) -> str | None:
    """Return the start time of a process, in ticks since the machine's; None if there is none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # The second field is the command in brackets, which may hold spaces and brackets itself.
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] == "Z" else fields[19]
