"""How pods run as local processes: the choices, each with its unit and why it is what it is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Processes:
    """What a process runtime may use and how long it waits."""

    directory: Path | None = None
    """Where volumes and logs are kept, so that they outlive the server; None: a private temporary
    directory, removed at the end."""

    node: str = "local"
    """Name of the node; not the machine's, which changes with the network on many machines."""

    backoff_base_s: float = 10.0
    """First delay of a container that ended twice in a row; doubled each time, as in kubelets."""

    backoff_max_s: float = 300.0
    """Longest delay. A container that ran for twice as long begins anew."""

    mount_retry_s: float = 2.0
    """Between two attempts to mount what is missing; kubelets begin with half a second."""

    eager_probe_s: float = 0.02
    """Between two looks at a container that has never been ready, beside its probe's own periods:
    otherwise a server that listens after 0.1 s would be found ready after 10 s."""

    log_bytes_max: int = 10 * 1024 * 1024
    """Size at which a log file is closed and another begun; kubelet's containerLogMaxSize."""

    log_files_max: int = 5
    """Log files kept of one run, the present one included; kubelet's containerLogMaxFiles."""

    follow_s: float = 0.05
    """Between two looks at a log that is followed."""

    stop_grace_s: float = 5.0
    """What processes get to end by themselves when the server is stopped, at most."""

    vanished_grace_s: float = 2.0
    """What the processes of a pod get that was deleted without grace."""

    sessions_max: int = 256
    """Commands (exec) and attachments at a time; a further one is refused."""
