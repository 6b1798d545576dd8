"""Commands beside a container's process, and attachments to it, as `kubelets.Session`s."""

from __future__ import annotations

import asyncio
import contextlib
import os
import termios
from collections.abc import AsyncGenerator, Callable
from typing import Final

from understudy.aio import tasks
from understudy.controllers.runtime.processes import containers, streams, supervisors
from understudy.kapi import kubelets
from understudy.kube import statuses

CHUNKS_MAX: Final = 16
"""Read ahead of a slow client; then the command waits."""


class CommandSession:
    """A command; make it with `start`."""

    def __init__(
        self, *, tty: bool, stdin: bool, on_close: Callable[[CommandSession], None]
    ) -> None:
        self._on_close = on_close
        self._changed = asyncio.Event()
        self._outputs: dict[kubelets.Channel, int] = {}
        self._input = -1
        self._is_terminal = tty
        self._is_closed = False
        self._chunks: asyncio.Queue[tuple[kubelets.Channel, bytes] | None] = asyncio.Queue(
            CHUNKS_MAX
        )
        self._pumps = tasks.TaskSet(_ignore)
        self._process: supervisors.Process | None = None
        self._theirs: list[int] = []
        self._stdio = self._terminal() if tty else self._pipes(stdin=stdin)

    async def start(self, nursery: supervisors.Nursery, launch: supervisors.Launch) -> None:
        """Start the command; `close` the session in any case.

        Raises:
            InternalError: It cannot be executed; the message says why.
        """
        try:
            process = self._process = supervisors.Process(
                nursery, launch, on_change=self._changed.set, stdio=self._stdio
            )
        except OSError as error:
            raise statuses.InternalError(
                f"error executing command in container: {error}"
            ) from error
        finally:
            for descriptor in self._theirs:
                os.close(descriptor)
        while not process.pid and process.ended is None:
            self._changed.clear()
            await self._changed.wait()
        if process.ended is not None and process.ended.failure:
            raise statuses.InternalError(
                f"error executing command in container: {process.ended.failure}"
            )
        for channel, descriptor in self._outputs.items():
            self._pumps.start(f"{channel} of a command", self._pump(channel, descriptor))

    async def output(self) -> AsyncGenerator[tuple[kubelets.Channel, bytes], None]:
        left = len(self._outputs)
        while left:
            chunk = await self._chunks.get()
            if chunk is None:
                left -= 1
            else:
                yield chunk

    async def write(self, data: bytes) -> None:
        if self._input >= 0:
            with contextlib.suppress(OSError):  # it reads no more: nobody misses the rest
                await streams.write(self._input, data)

    async def close_stdin(self) -> None:
        await asyncio.sleep(0)
        if self._input >= 0 and not self._is_terminal:
            os.close(self._input)
            self._input = -1

    async def resize(self, columns: int, rows: int) -> None:
        await asyncio.sleep(0)
        if self._is_terminal and self._input >= 0:
            termios.tcsetwinsize(self._input, (rows, columns))

    async def wait(self) -> int:
        assert self._process is not None, "start() has made it"
        return (await self._process.wait()).exit_code

    async def close(self) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        await self._pumps.stop()
        if self._process is not None:
            self._process.kill()
            await self._process.wait()
        self._let_go()
        self._on_close(self)

    def _let_go(self) -> None:
        for descriptor in {self._input, *self._outputs.values()} - {-1}:
            os.close(descriptor)
        self._input = -1
        self._outputs = {}

    async def _pump(self, channel: kubelets.Channel, descriptor: int) -> None:
        while data := await streams.read(descriptor):
            await self._chunks.put((channel, data))
        await self._chunks.put(None)

    def _terminal(self) -> supervisors.Stdio:
        ours, theirs = os.openpty()
        os.set_blocking(ours, False)
        self._input = self._outputs["stdout"] = ours
        self._theirs = [theirs]
        return supervisors.Stdio(stdin=theirs, stdout=theirs, stderr=theirs, tty=True)

    def _pipes(self, *, stdin: bool) -> supervisors.Stdio:
        given = -1
        if stdin:
            given, self._input = os.pipe()
            os.set_blocking(self._input, False)
            self._theirs.append(given)
        written: dict[kubelets.Channel, int] = {}
        for channel in ("stdout", "stderr"):
            ours, written[channel] = os.pipe()
            os.set_blocking(ours, False)
            self._outputs[channel] = ours
            self._theirs.append(written[channel])
        return supervisors.Stdio(stdin=given, stdout=written["stdout"], stderr=written["stderr"])


class Attachment:
    """A container's own process: its output from now on, its input where it has one."""

    def __init__(
        self,
        one: containers.Container,
        process: supervisors.Process,
        follow: Callable[[], AsyncGenerator[bytes, None]],
        *,
        stdin: bool,
    ) -> None:
        self._one = one
        self._process = process
        self._follow = follow()
        self._stdin = stdin

    async def output(self) -> AsyncGenerator[tuple[kubelets.Channel, bytes], None]:
        async with contextlib.aclosing(self._follow) as pieces:
            async for data in pieces:
                yield "stdout", data

    async def write(self, data: bytes) -> None:
        descriptor = self._descriptor()
        if descriptor >= 0:
            with contextlib.suppress(OSError):
                await streams.write(descriptor, data)

    async def close_stdin(self) -> None:
        await asyncio.sleep(0)
        if self._stdin and self._one.spec.get("stdinOnce"):
            self._one.close_input()

    async def resize(self, columns: int, rows: int) -> None:
        await asyncio.sleep(0)
        if self._one.terminal >= 0 and self._is_present():
            termios.tcsetwinsize(self._one.terminal, (rows, columns))

    async def wait(self) -> int:
        return (await self._process.wait()).exit_code

    async def close(self) -> None:
        await self.close_stdin()

    def _descriptor(self) -> int:
        if not self._stdin or not self._is_present():
            return -1
        return self._one.terminal if self._one.terminal >= 0 else self._one.input

    def _is_present(self) -> bool:
        """Whether the run that was attached to is still the container's."""
        return self._one.process is self._process


def _ignore(name: str, error: BaseException) -> None:
    """Do nothing: a command's reader that fails ends with the session."""
