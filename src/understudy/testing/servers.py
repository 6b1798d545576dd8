"""A server for tests: in a thread of its own, so that any client, sync or async, can use it."""

from __future__ import annotations

import asyncio
import dataclasses
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import ParamSpec, Self, TypeVar, cast

from understudy.aio import clocks, ids as idents
from understudy.client import protocol as clients, views as view_clients
from understudy.kapi import server as servers, settings, views
from understudy.kapi.http import protocol
from understudy.kapi.views import view as view_room
from understudy.kube import objects
from understudy.testing import faults, recording

P = ParamSpec("P")
T = TypeVar("T")
START_S_MAX = 30.0


class TestServer:
    """An embedded API server on a free loopback port.

        with TestServer() as server:
            trial = server.sandbox()
            subprocess.run(["kubectl", "--kubeconfig", trial.kubeconfig, "get", "pods"])

    With a `ManualClock`, `SeededIds` and a `first_revision` two runs give the same transcript.
    With few `events_max` per resource, clients meet 410 Expired soon.

    Attributes:
        faults: What goes wrong, on request.
        requests: What was asked, in order.
    """

    __test__ = False

    def __init__(
        self,
        *,
        clock: clocks.Clock | None = None,
        ids: idents.IdSource | None = None,
        first_revision: int = 1,
        events_max: int = 10_000,
        controllers: str = "none",
        runtime: str = "none",
    ) -> None:
        self.faults = faults.Faults()
        self.requests = recording.Requests()
        self._controllers, self._runtime = controllers, runtime
        base = views.new_view(
            clock=clock, ids=ids, first_revision=first_revision, events_max=events_max
        )
        self._server = servers.Server(settings.ServerSettings(port=0), clock=clock, base=base)
        self._server.handler = self._handle
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="understudy-test-server")
        self._ready = threading.Event()
        self._stopped: asyncio.Event | None = None
        self._failure: BaseException | None = None
        self._serial = 0

    # ------------------------------------------------------------------ life

    def start(self) -> Self:
        """Start to serve; returns once requests are answered."""
        self._thread.start()
        if not self._ready.wait(START_S_MAX):
            raise RuntimeError("the test server did not start")
        if self._failure is not None:
            raise self._failure
        return self

    def stop(self) -> None:
        """Stop, and wait until the thread has ended; harmless when repeated."""
        if self._thread.is_alive() and self._stopped is not None:
            self._loop.call_soon_threadsafe(self._stopped.set)
            self._thread.join()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._serve())
        except BaseException as error:  # noqa: BLE001 (the top of the thread: handed to start())
            self._failure = error
            self._ready.set()
        finally:
            self._loop.close()

    async def _serve(self) -> None:
        self._stopped = asyncio.Event()
        await self._server.start()
        running = None
        if self._controllers != "none" or self._runtime != "none":
            from understudy import assembly  # noqa: PLC0415 (imports every room)

            running = await assembly.start_controllers(
                self._server, controllers=self._controllers, runtime=self._runtime
            )
        self._ready.set()
        await self._stopped.wait()
        if running is not None:
            await running.stop()
        await self._server.stop()

    def _handle(self, request: protocol.Request) -> protocol.Answer | Awaitable[protocol.Answer]:
        asked = recording.described(request, self._server.base.name, 0)
        action = self.faults.action_for(asked)
        api = self._server.api
        answer = api(request) if action is None else action(request, api)
        status = 0 if isinstance(answer, protocol.HangUp) else getattr(answer, "status", 0)
        self.requests.append(dataclasses.replace(asked, status=status))
        return answer

    # ------------------------------------------------------------------ use

    def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a function on the server's thread, between its requests; return what it returns."""

        async def body() -> T:
            return function(*args, **kwargs)

        return asyncio.run_coroutine_threadsafe(body(), self._loop).result()

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop of the server's thread."""
        return self._loop

    @property
    def url(self) -> str:
        """Where the base view is served."""
        return self._server.url

    @property
    def base(self) -> TestView:
        """The base view: what every later sandbox begins with."""
        return TestView(self, self._server.base)

    def sandbox(self, name: str = "", *, of: str = "", follow: bool = False) -> TestView:
        """Fork a view (the base unless said) under a name of its own: its own URL, kubeconfig."""
        if not name:
            self._serial += 1
            name = f"test-{self._serial}"
        view = self.call(self._server.views.create, name, of=of, follow=follow)
        return TestView(self, view)

    def forget(self, name: str) -> None:
        """Delete a sandbox."""
        self.call(self._server.views.delete, name)

    def url_of(self, name: str) -> str:
        """Return a view's URL."""
        return self._server.url_of(name)

    def kubeconfig_of(self, name: str) -> Path:
        """Return a view's kubeconfig."""
        return self._server.kubeconfig_of(name)


class TestView:
    """A view of a test's server, usable from the test's own thread.

    Every verb of `kapi.views.View` is a method here: `view.create("configmaps", {...}, "default")`.
    """

    __test__ = False

    def __init__(self, server: TestServer, view: view_room.View) -> None:
        self._server = server
        self._view = view

    def __getattr__(self, name: str) -> objects.Json:
        verb = getattr(self._view, name)
        if not callable(verb):
            return verb
        return lambda *args, **kwargs: self._server.call(verb, *args, **kwargs)

    @property
    def name(self) -> str:
        """The view's name."""
        return self._view.name

    @property
    def url(self) -> str:
        """The view's URL: any client's server."""
        return self._server.url_of(self.name)

    @property
    def kubeconfig(self) -> str:
        """Path of the view's kubeconfig."""
        return str(self._server.kubeconfig_of(self.name))

    @property
    def client(self) -> clients.Client:
        """An async client in process, usable from any loop; it needs no closing."""
        return cast("clients.Client", _Bridge(self._server, view_clients.ViewClient(self._view)))

    def delete_sandbox(self) -> None:
        """Forget this sandbox."""
        self._server.forget(self.name)


class _Bridge:
    """Carries a client's calls over to the server's loop."""

    def __init__(self, server: TestServer, client: clients.Client) -> None:
        self._server = server
        self._client = client

    def __getattr__(self, name: str) -> objects.Json:
        verb = getattr(self._client, name)
        if name == "watch":
            return lambda *args, **kwargs: self._watch(verb(*args, **kwargs))

        async def carried(*args: objects.Json, **kwargs: objects.Json) -> objects.Json:
            coroutine = verb(*args, **kwargs)
            future = asyncio.run_coroutine_threadsafe(coroutine, self._server.loop)
            return await asyncio.wrap_future(future)

        return carried

    async def _watch(
        self, events: AsyncIterator[clients.WatchEvent]
    ) -> AsyncIterator[clients.WatchEvent]:
        async def following() -> clients.WatchEvent | None:
            return await anext(events, None)

        async def end() -> None:
            close = getattr(events, "aclose", None)
            if close is not None:
                await close()

        try:
            while True:
                future = asyncio.run_coroutine_threadsafe(following(), self._server.loop)
                event = await asyncio.wrap_future(future)
                if event is None:
                    return
                yield event
        finally:
            asyncio.run_coroutine_threadsafe(end(), self._server.loop)
