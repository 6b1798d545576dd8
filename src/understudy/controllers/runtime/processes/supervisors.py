"""The server's side of `supervise`: start a process under a supervisor, signal it, see it end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from understudy.controllers.runtime.processes import supervise

REAP_S: Final = 0.005
"""Between two looks at whether the nursery has ended."""
READ_BYTES: Final = 64 * 1024
TRY_S: Final = 10.0
_DIRECTORY: Final = str(Path(supervise.__file__).parent)
_PROGRAM: Final = f"import sys; sys.path.append({_DIRECTORY!r}); import supervise; supervise.main()"
"""Imported, not run as a script: so it is compiled once for all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogFile:
    """Where the output goes: the path of the newest file, and when to begin another."""

    path: Path
    bytes_max: int
    files_max: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """What to run, and as what.

    Attributes:
        mounts: What to show at which path, and whether read-only (Linux, where it is possible).
        empty: A directory that may be hidden from it.
        uid: Whom to become; None: the server's own user.
        memory_bytes: What it may use with all its children; 0 without bound.
    """

    argv: Sequence[str]
    env: dict[str, str]
    cwd: str
    mounts: Sequence[tuple[str, str, bool]] = ()
    empty: str = "/"
    uid: int | None = None
    gid: int | None = None
    nice: int = 0
    memory_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Stdio:
    """The file descriptors a process is given; they stay the caller's to close.

    Attributes:
        output: A terminal's other end, whose output goes to the log; -1 for none.
    """

    stdin: int = -1
    stdout: int = -1
    stderr: int = -1
    tty: bool = False
    output: int = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a process ended.

    Attributes:
        code: Its exit code; below 0 the signal that ended it.
        oom: It used more memory than it may.
        failure: Why it never ran; empty if it did.
    """

    code: int
    oom: bool = False
    failure: str = ""

    @property
    def exit_code(self) -> int:
        """The code as shells and kubelets tell it: 128 + n after signal n."""
        return self.code if self.code >= 0 else 128 - self.code


def can_mount(empty: Path) -> bool:
    """Say whether processes may have mounts of their own; asks by trying, in a process."""
    program = (
        f"import sys; sys.path.append({_DIRECTORY!r}); import mounting; "
        f"sys.exit(not mounting.is_possible({str(empty)!r}))"
    )
    tried = subprocess.run(  # noqa: S603 (our own program)
        [sys.executable, "-I", "-S", "-c", program],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env={}, check=False, timeout=TRY_S,
    )  # fmt: skip
    return tried.returncode == 0


class Nursery:
    """Makes supervisors: a process that forks one for each socket it is given. `close` it.

    Attributes:
        process: The present one; another takes its place should somebody end it.
    """

    def __init__(self) -> None:
        """Start it, so that it is warm when it is needed."""
        self.process, self._socket = _start_nursery()
        self._gone: list[subprocess.Popen[bytes]] = []

    def hand_over(self, descriptors: Sequence[int]) -> None:
        """Let a supervisor be made that gets these descriptors; they stay the caller's to close.

        Raises:
            OSError: There is no room for another process.
        """
        try:
            socket.send_fds(self._socket, [b"x"], descriptors)
        except OSError:  # somebody ended it: the supervisors it made go on
            self._socket.close()
            self._gone.append(self.process)
            self.process, self._socket = _start_nursery()
            socket.send_fds(self._socket, [b"x"], descriptors)

    async def close(self) -> None:
        """End it; the supervisors it made are not its concern."""
        self._socket.close()
        for popen in (*self._gone, self.process):
            while popen.poll() is None:  # noqa: ASYNC110 (it has no event of its own)
                await asyncio.sleep(REAP_S)


def _start_nursery() -> tuple[subprocess.Popen[bytes], socket.socket]:
    ours, theirs = socket.socketpair()
    with theirs:
        try:
            popen = subprocess.Popen(  # noqa: S603 (our own program)
                [sys.executable, "-I", "-S", "-c", _PROGRAM],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                env={},
                cwd="/",
                start_new_session=True,
            )
        except OSError:
            ours.close()
            raise
    return popen, ours


class Process:
    """A process under its supervisor; needs a running event loop. Starts at once.

    Attributes:
        pid: Its process id, 0 until it runs.
        ended: How it ended, None until then; then nothing of it is left.
    """

    __slots__ = (
        "_closed", "_loop", "_on_change", "_received", "_socket", "_told", "ended", "pid",
    )  # fmt: skip

    def __init__(
        self,
        nursery: Nursery,
        launch: Launch,
        *,
        on_change: Callable[[], None],
        stdio: Stdio | None = None,
        log: LogFile | None = None,
    ) -> None:
        """Start it; `on_change` is called when it runs and when it has ended.

        Raises:
            OSError: There is no room for another process.
        """
        self.pid = 0
        self.ended: Ended | None = None
        self._told: Ended | None = None
        self._on_change = on_change
        self._received = b""
        self._loop = asyncio.get_running_loop()
        self._closed: asyncio.Future[None] = self._loop.create_future()
        given = stdio or Stdio()
        numbers = sorted({given.stdin, given.stdout, given.stderr, given.output} - {-1})
        self._socket, theirs = socket.socketpair()
        try:
            with theirs:
                nursery.hand_over([theirs.fileno(), *numbers])
        except OSError:
            self._socket.close()
            raise
        with contextlib.suppress(OSError):  # the end of the socket tells
            self._socket.sendall(_encoded(launch, given, numbers, log))
        self._socket.setblocking(False)
        self._loop.add_reader(self._socket, self._read)

    def signal(self, number: int) -> None:
        """Send a signal to the process, not to its children."""
        self._order({"signal": int(number)})

    def kill(self) -> None:
        """End the process and everything it started."""
        self._order({"kill": True})

    async def wait(self) -> Ended:
        """Wait until it has ended and nothing is left of it."""
        await asyncio.shield(self._closed)
        assert self.ended is not None, "what is closed has ended"
        return self.ended

    def _order(self, order: dict[str, object]) -> None:
        if self.ended is None:
            with contextlib.suppress(OSError):  # the end of the socket tells
                self._socket.send(supervise.packed(order))

    def _read(self) -> None:
        try:
            data = self._socket.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._loop.remove_reader(self._socket)
            self._socket.close()
            self._end()
            return
        reports, self._received = supervise.unpacked(self._received + data)
        for report in reports:
            self._report(report)

    def _report(self, report: dict[str, object]) -> None:
        if "started" in report:
            self.pid = int(str(report["started"]))
            self._on_change()
        elif "failed" in report:
            self._told = Ended(code=128, failure=str(report["failed"]))
        else:
            self._told = Ended(code=int(str(report["ended"])), oom=bool(report["oom"]))

    def _end(self) -> None:
        """The supervisor is gone; whatever it could not say counts as killed."""
        if self._told is None and self.pid:
            with contextlib.suppress(OSError):
                os.killpg(self.pid, signal.SIGKILL)
        self.ended = self._told or Ended(code=-signal.SIGKILL)
        if not self._closed.done():
            self._closed.set_result(None)
        self._on_change()


def _encoded(launch: Launch, given: Stdio, numbers: Sequence[int], log: LogFile | None) -> bytes:
    def place(number: int) -> int:
        return numbers.index(number) if number >= 0 else -1

    fields: dict[str, object] = {
        "argv": list(launch.argv),
        "env": dict(launch.env),
        "cwd": launch.cwd,
        "stdio": [place(given.stdin), place(given.stdout), place(given.stderr)],
        "output": place(given.output),
        "tty": given.tty,
        "mounts": list(launch.mounts),
        "empty": launch.empty,
        "uid": launch.uid,
        "gid": launch.gid,
        "nice": launch.nice,
        "memory_bytes": launch.memory_bytes,
        "log": None,
    }
    if log is not None:
        fields["log"] = {
            "path": str(log.path), "bytes_max": log.bytes_max, "files_max": log.files_max,
        }  # fmt: skip
    return supervise.packed(fields)
