"""What a server asks of whatever runs its pods: logs, commands in containers, connections to ports.

The names and rules are those of the kubelet behind a real API server: the subresources log, exec,
attach and portforward of pods (https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

from understudy.kube import objects

Channel = Literal["stdout", "stderr"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LogOptions:
    """Which part of a container's log is wanted (`PodLogOptions`)."""

    follow: bool = False
    previous: bool = False
    """The log of the container's last run that ended, not of the present one."""
    timestamps: bool = False
    """Put the time of each line (RFC 3339, nanoseconds) and a space before it."""
    since: datetime | None = None
    tail_lines: int | None = None
    limit_bytes: int | None = None


class Session(Protocol):
    """A command that runs in a container, or the container's own process (attach)."""

    def output(self) -> AsyncGenerator[tuple[Channel, bytes], None]:
        """What it writes, as it comes; ends when the process has ended and all is read.

        Read by one reader; pieces of at most some 64 KB. With a terminal all of it is stdout.
        """
        ...

    async def write(self, data: bytes) -> None:
        """Give it bytes on its standard input; waits while it does not read.

        What comes after its end, or after it has closed its input, is dropped.
        """
        ...

    async def close_stdin(self) -> None:
        """Tell it that no more input comes."""
        ...

    async def resize(self, columns: int, rows: int) -> None:
        """Tell its terminal its size; without a terminal nothing happens."""
        ...

    async def wait(self) -> int:
        """Return its exit code: 128 + n if signal n ended it."""
        ...

    async def close(self) -> None:
        """Let go: a command is ended, an attached process runs on; idempotent."""
        ...


class PodRuntime(Protocol):
    """What runs the pods of the base view."""

    def log(
        self, pod: objects.Object, container: str, options: LogOptions
    ) -> AsyncGenerator[bytes, None]:
        """Return a container's log, in pieces that may cut lines anywhere.

        Whoever asked closes it (`aclose`), at any time, also while it waits for the next line.

        Raises:
            BadRequestError: The container has no (previous) run to show, with the kubelet's words.
                Raised by the call itself, before the first piece is asked for.
        """
        ...

    async def execute(
        self, pod: objects.Object, container: str, command: Sequence[str], *, stdin: bool, tty: bool
    ) -> Session:
        """Start a command beside a container's process.

        Raises:
            BadRequestError: The container does not run.
            InternalError: The command cannot be started; the message says why.
        """
        ...

    async def attach(
        self, pod: objects.Object, container: str, *, stdin: bool, tty: bool
    ) -> Session:
        """Join a running container's output, from now on.

        Raises:
            BadRequestError: The container does not run.
        """
        ...

    async def dial(
        self, pod: objects.Object, port: int
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect to a port of a pod.

        Raises:
            OSError: Nothing listens there.
        """
        ...
