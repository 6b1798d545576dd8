"""Real servers for real clients: each on a thread with a loop of its own."""

import asyncio
import threading
from contextlib import contextmanager

import pytest

from understudy import assembly
from understudy.kapi import server, settings


class Cluster:
    """A server on a thread of its own, for clients that block."""

    def __init__(self, chosen: settings.ServerSettings, controllers: str, runtime: str) -> None:
        self.server = server.Server(chosen)
        self._controllers, self._runtime = controllers, runtime
        self._ready = threading.Event()
        self._failure: BaseException | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="cluster")

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._serve())
        except BaseException as error:  # noqa: BLE001 (told to the test's thread)
            self._failure = error
        finally:
            self._loop.close()
            self._ready.set()

    async def _serve(self) -> None:
        self._stop = asyncio.Event()
        await self.server.start()
        running = None
        if self._controllers != "none":
            running = await assembly.start_controllers(
                self.server, controllers=self._controllers, runtime=self._runtime
            )
        self._ready.set()
        await self._stop.wait()
        if running is not None:
            await running.stop()
        await self.server.stop()

    def start(self) -> None:
        self._thread.start()
        assert self._ready.wait(30)
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(30)
        assert not self._thread.is_alive()

    def on_loop(self, function, *arguments):
        """Run a function where the server runs: views are not for other threads."""

        async def call():
            return function(*arguments)

        return asyncio.run_coroutine_threadsafe(call(), self._loop).result(10)

    @property
    def url(self) -> str:
        return self.server.url

    @property
    def kubeconfig(self) -> str:
        return str(self.server.kubeconfig)


@contextmanager
def running(controllers: str = "none", runtime: str = "none", **chosen):
    cluster = Cluster(settings.ServerSettings(port=0, **chosen), controllers, runtime)
    cluster.start()
    try:
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture(scope="session")
def serving():
    """Run a server within a block, for fixtures of a module's own: with serving(...) as found."""
    return running


@pytest.fixture
def make_cluster():
    """Start servers with settings of the test's choice; all stop with the test."""
    from contextlib import ExitStack

    with ExitStack() as stack:
        yield lambda **chosen: stack.enter_context(running(**chosen))


@pytest.fixture(scope="module")
def cluster():
    """A bare server, shared by the tests of one module."""
    with running() as found:
        yield found


@pytest.fixture(scope="module")
def live_cluster():
    """A server with controllers and simulated pods, shared by the tests of one module."""
    with running(controllers="all", runtime="simulated") as found:
        yield found
