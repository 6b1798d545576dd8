"""The pods of one Revision: who takes the next request, and who waits for a pod.

A request is counted from its arrival to its end. It takes a place at a pod, the one with the
fewest; where every pod has as many requests as `containerConcurrency` allows, or there is no pod,
it waits in line. A pod that is told to stop gets no new request; `drained` waits for its last one.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from understudy.controllers.runtime.gateway import meters


class LineFullError(Exception):
    """As many requests wait as may."""


class GoneError(Exception):
    """The Revision was deleted while the request waited."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a Revision says of its requests.

    Attributes:
        concurrency_max: Requests at a time per pod; 0 is without bound.
        timeout_s: How long a request may take, waiting included.
        start_timeout_s: How long until the answer begins; 0 is as long as the request may take.
        idle_timeout_s: How long an answer may pause; 0 is as long as the request may take.
        is_http2: The app speaks HTTP/2 only.
        trouble: Why it cannot run, as its conditions say; empty if nothing is known.
    """

    uid: str
    service: str
    concurrency_max: int
    timeout_s: float
    start_timeout_s: float
    idle_timeout_s: float
    is_http2: bool
    trouble: str = ""


class Endpoint:
    """One pod.

    Attributes:
        taken: Requests it has at present.
        closed: It gets no further request.
        ejected: It gets none for a while.
    """

    __slots__ = ("_emptied", "_sockets", "address", "closed", "ejected", "pod", "taken")

    def __init__(self, pod: str, address: tuple[str, int]) -> None:
        self.pod = pod
        self.address = address
        self.taken = 0
        self.closed = False
        self.ejected = False
        self._sockets = 0
        self._emptied = asyncio.Event()

    @property
    def is_empty(self) -> bool:
        """Whether it has no request but WebSockets, which the app itself closes when it stops."""
        return self.taken == self._sockets

    @contextlib.contextmanager
    def holding_socket(self) -> Iterator[None]:
        """Count a request as a WebSocket meanwhile."""
        self._sockets += 1
        self._look()
        try:
            yield
        finally:
            self._sockets -= 1

    def left(self) -> None:
        """Note that a request is over."""
        self.taken -= 1
        self._look()

    async def wait_empty(self) -> None:
        """Wait, once it is closed, until it is empty."""
        if not self.is_empty:
            await self._emptied.wait()

    def _look(self) -> None:
        if self.closed and self.is_empty:
            self._emptied.set()


class Backend:
    """The pods of a Revision, and the requests in line for them."""

    __slots__ = (
        "_endpoints", "_leaving", "_line", "_line_max", "_tell", "_troubles", "facts", "is_gone",
        "meter", "name", "namespace",
    )  # fmt: skip

    def __init__(
        self,
        namespace: str,
        name: str,
        facts: Facts,
        *,
        line_max: int,
        tell: Callable[[str, str], None],
    ) -> None:
        """Begin without pods; `tell` hears of every request that finds none."""
        self.namespace = namespace
        self.name = name
        self.facts = facts
        self.meter = meters.Meter()
        self.is_gone = False
        self._endpoints: dict[str, Endpoint] = {}
        self._leaving: dict[Endpoint, None] = {}
        self._troubles: dict[str, str] = {}
        self._line: deque[asyncio.Future[Endpoint]] = deque()
        self._line_max = line_max
        self._tell = tell

    # ------------------------------------------------------------------ pods

    def learn(self, facts: Facts) -> None:
        """Take what the Revision says now."""
        self.facts = facts
        self._serve_line()

    def put(self, pod: str, address: tuple[str, int]) -> None:
        """Let a pod that is ready take requests."""
        known = self._endpoints.get(pod)
        if known is not None and known.address == address:
            return
        self.drop(pod)
        self._endpoints[pod] = Endpoint(pod, address)
        self._serve_line()

    def drop(self, pod: str, trouble: str = "") -> None:
        """Give a pod no further request; `trouble` is why it cannot run, if that is known."""
        self._troubles.pop(pod, None)
        if trouble:
            self._troubles[pod] = trouble
        endpoint = self._endpoints.pop(pod, None)
        if endpoint is not None:
            endpoint.closed = True
            if endpoint.taken:
                self._leaving[endpoint] = None

    async def drained(self, pod: str) -> None:
        """Give a pod no further request, and wait until it has answered those it has."""
        self.drop(pod)
        for endpoint in [one for one in self._leaving if one.pod == pod]:
            await endpoint.wait_empty()

    def eject(self, endpoint: Endpoint, seconds: float) -> None:
        """Leave a pod out for a while: it refused a connection."""
        if endpoint.ejected:
            return
        endpoint.ejected = True
        asyncio.get_running_loop().call_later(seconds, self._readmit, endpoint)

    def _readmit(self, endpoint: Endpoint) -> None:
        endpoint.ejected = False
        self._serve_line()

    def retire(self) -> None:
        """End it: the Revision was deleted."""
        self.is_gone = True
        for pod in list(self._endpoints):
            self.drop(pod)
        for waiting in self._line:
            if not waiting.done():
                waiting.set_exception(GoneError())
        self._line.clear()

    # ------------------------------------------------------------------ requests

    def take_nowait(self) -> Endpoint | None:
        """Take a place at a pod, None if there is none free; give it back with `leave`."""
        endpoint = None if self._line else self._free()
        if endpoint is not None:
            endpoint.taken += 1
        return endpoint

    async def take(self) -> Endpoint:
        """Wait in line for a place at a pod; give it back with `leave`.

        Raises:
            LineFullError: Too many wait already.
            GoneError: The Revision is deleted.
        """
        if self.is_gone:
            raise GoneError
        if len(self._line) >= self._line_max:
            raise LineFullError
        if not self._endpoints:
            self._tell(self.namespace, self.name)
        return await self._wait()

    async def _wait(self) -> Endpoint:
        place: asyncio.Future[Endpoint] = asyncio.get_running_loop().create_future()
        self._line.append(place)
        try:
            return await place
        except BaseException:
            if place.done() and not place.cancelled() and place.exception() is None:
                self.leave(place.result())  # it came in the moment in which the waiting ended
            elif place in self._line:
                self._line.remove(place)
            raise

    def leave(self, endpoint: Endpoint) -> None:
        """Give a place back."""
        endpoint.left()
        if endpoint.closed and not endpoint.taken:
            self._leaving.pop(endpoint, None)
        if self._line:
            self._serve_line()

    @property
    def trouble(self) -> str:
        """Why there is no pod, as the Revision or a pod says; empty if nothing is known."""
        return self.facts.trouble or next(iter(self._troubles.values()), "")

    @property
    def is_leaving(self) -> bool:
        """Whether a pod that gets nothing new still has requests."""
        return bool(self._leaving)

    @property
    def waiting(self) -> int:
        """How many requests wait for a place."""
        return len(self._line)

    def _free(self) -> Endpoint | None:
        """Return the pod with the fewest requests, of equals the one longest unused."""
        limit = self.facts.concurrency_max
        best: Endpoint | None = None
        for endpoint in self._endpoints.values():
            if endpoint.ejected or (limit and endpoint.taken >= limit):
                continue
            if best is None or endpoint.taken < best.taken:
                best = endpoint
        if best is not None and len(self._endpoints) > 1:
            self._endpoints[best.pod] = self._endpoints.pop(best.pod)
        return best

    def _serve_line(self) -> None:
        while self._line:
            if self._line[0].done():
                self._line.popleft()
                continue
            endpoint = self._free()
            if endpoint is None:
                return
            endpoint.taken += 1
            self._line.popleft().set_result(endpoint)
