"""The log of an app: what its replicas write, put together line by line.

Each replica is read on its own, so that one that cannot be read does not silence the others; what
cannot be read is said in a line of its own. Read once, lines come in the order of their times.
Followed, they come as they are written: replicas that appear are joined, a container that starts
again is read on from where it was, and a connection that breaks is made again without repeating or
leaving out a line.
"""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import AsyncGenerator
from dataclasses import dataclass, replace

from understudy.aio import clocks, tasks
from understudy.client import errors as transport, protocol
from understudy.kube import objects, records as codec, statuses as api
from understudy.kube.knative import keys as knative

LINES_MAX = 1_000
"""Lines of a followed log that may wait for the reader; then the replicas' streams wait too."""
LOOK_S = 0.5
"""Between two looks for new replicas, and before a stream that ended is opened again."""
_FRACTION_DIGITS = 9

Failures = (api.ApiError, transport.TransportError)


@dataclass(frozen=True, slots=True, kw_only=True)
class LogQuery:
    """Which lines are wanted.

    Attributes:
        replica: Of this pod only; empty for all.
        tail_lines: No more than so many last lines of each replica; None for all.
        since: No older lines, to the second.
        previous: Of the run before the present one.
    """

    replica: str = ""
    tail_lines: int | None = None
    since: dt.datetime | None = None
    previous: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLine:
    """One line.

    Attributes:
        time: When it was written (RFC 3339, nanoseconds); empty where that is not known.
        is_note: It is ours: why a replica's log cannot be read.
    """

    replica: str
    time: str
    text: str
    is_note: bool = False


class Reader:
    """Reads the logs of the pods of one Knative Service."""

    def __init__(
        self, client: protocol.Client, namespace: str, service: str, clock: clocks.Clock
    ) -> None:
        self._client = client
        self._namespace = namespace
        self._selector = f"{knative.SERVICE}={service}"
        self._clock = clock

    async def pods(self, query: LogQuery) -> list[objects.Object]:
        """Return the pods that are wanted and exist, in order of their names."""
        listing = await self._client.list(
            "pods", namespace=self._namespace, label_selector=self._selector
        )
        wanted = [pod for pod in listing.items if query.replica in ("", objects.name_of(pod))]
        return sorted(wanted, key=objects.name_of)

    async def read(
        self, pods: list[objects.Object], query: LogQuery
    ) -> AsyncGenerator[LogLine, None]:
        """Yield what some pods have written so far, in the order of time."""
        streams = [self._read_pod(pod, query) for pod in pods]
        heads: list[tuple[str, int, LogLine]] = []
        try:
            for number, stream in enumerate(streams):
                await _refill(heads, number, stream)
            while heads:
                first = min(heads)
                heads.remove(first)
                yield first[2]
                await _refill(heads, first[1], streams[first[1]])
        finally:
            for stream in streams:
                await stream.aclose()

    async def follow(
        self, pods: list[objects.Object], query: LogQuery
    ) -> AsyncGenerator[LogLine, None]:
        """Yield what some pods and those that appear have written and write, without an end."""
        found: asyncio.Queue[LogLine | BaseException] = asyncio.Queue(LINES_MAX)
        following = _Following(self, query, found)
        following.begin(pods)
        try:
            while True:
                line = await found.get()
                if isinstance(line, BaseException):
                    raise line
                yield line
        finally:
            await following.stop()

    async def _read_pod(
        self, pod: objects.Object, query: LogQuery
    ) -> AsyncGenerator[LogLine, None]:
        try:
            async for line in self.lines(pod, query, follow=False):
                yield line
        except Failures as error:
            yield note(pod, error)

    async def lines(
        self, pod: objects.Object, query: LogQuery, *, follow: bool
    ) -> AsyncGenerator[LogLine, None]:
        """Yield the lines of a pod's own container (not of the proxy beside it).

        Raises:
            ApiError, TransportError: They cannot be read (any further).
        """
        name = objects.name_of(pod)
        stream = self._client.logs(
            name,
            namespace=self._namespace,
            container=_container(pod),
            follow=follow,
            previous=query.previous,
            timestamps=True,
            since=query.since,
            tail_lines=query.tail_lines,
        )
        try:
            async for raw in stream:
                yield _parsed(name, raw.decode(errors="replace"))
        finally:
            await stream.aclose()

    async def find(self, name: str) -> objects.Object | None:
        """Return a pod as it is now, None if it is gone."""
        try:
            return await self._client.get("pods", name, namespace=self._namespace)
        except api.NotFoundError:
            return None

    async def rest(self) -> None:
        """Wait a little before looking again."""
        await self._clock.sleep(LOOK_S)


class _Following:
    """One task per replica, and one that looks for new ones."""

    def __init__(
        self, reader: Reader, query: LogQuery, found: asyncio.Queue[LogLine | BaseException]
    ) -> None:
        self._reader = reader
        self._query = query
        self._found = found
        self._joined: set[str] = set()
        self._tasks = tasks.TaskSet(self._failed)

    def begin(self, pods: list[objects.Object]) -> None:
        for pod in pods:
            self._join(pod, self._query)
        self._tasks.start("look for replicas", self._look())

    async def stop(self) -> None:
        await self._tasks.stop()

    def _failed(self, name: str, error: BaseException) -> None:
        if self._found.full():
            self._found.get_nowait()
        self._found.put_nowait(error)

    async def _look(self) -> None:
        newcomers = replace(self._query, tail_lines=None)
        while True:
            await self._reader.rest()
            try:
                pods = await self._reader.pods(self._query)
            except Failures:
                continue  # the streams tell of what is wrong
            self._joined &= {objects.uid_of(pod) for pod in pods}
            for pod in pods:
                self._join(pod, newcomers)

    def _join(self, pod: objects.Object, query: LogQuery) -> None:
        if objects.uid_of(pod) not in self._joined:
            self._joined.add(objects.uid_of(pod))
            self._tasks.start(f"log of {objects.name_of(pod)}", self._follow(pod, query))

    async def _follow(self, pod: objects.Object, query: LogQuery) -> None:
        """Read a pod's log until the pod has ended or is gone."""
        last, told = _Last(), ""
        found: objects.Object | None = pod
        while found is not None and objects.uid_of(found) == objects.uid_of(pod):
            try:
                async for line in self._reader.lines(found, query, follow=True):
                    if last.is_new(line):
                        await self._found.put(line)
                told = ""
                if (found.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
                    return
            except api.BadRequestError:
                pass  # it has not started yet
            except Failures as error:
                line = note(pod, error)
                if line.text != told:
                    told = line.text
                    await self._found.put(line)
            query = last.rest_of(query)
            await self._reader.rest()
            try:
                found = await self._reader.find(objects.name_of(pod))
            except Failures:
                continue


class _Last:
    """How far a log was read: the time of the last line, and how many lines have that time."""

    def __init__(self) -> None:
        self._time = ""
        self._count = 0
        self._skipping = 0

    def is_new(self, line: LogLine) -> bool:
        """Say whether a line was not read before."""
        moment = _sortable(line.time)
        if moment < self._time:
            return False
        if moment == self._time:
            if self._skipping:
                self._skipping -= 1
                return False
            self._count += 1
        else:
            self._time, self._count, self._skipping = moment, 1, 0
        return True

    def rest_of(self, query: LogQuery) -> LogQuery:
        """Return what is to be asked for next."""
        self._skipping = self._count
        if not self._time:
            return query
        since = codec.parse_time(self._time[:19] + "Z")
        return replace(query, since=since, tail_lines=None)


async def _refill(
    heads: list[tuple[str, int, LogLine]], number: int, stream: AsyncGenerator[LogLine, None]
) -> None:
    """Add the next line of a stream to the lines that may be next of all."""
    async for line in stream:
        heads.append((_sortable(line.time), number, line))
        return


def note(pod: objects.Object, error: Exception) -> LogLine:
    """Return a line that says why a log cannot be read."""
    text = " ".join(str(error).split())
    return LogLine(replica=objects.name_of(pod), time="", text=text, is_note=True)


def _container(pod: objects.Object) -> str:
    """Return the name of the app's own container."""
    for container in (pod.get("spec") or {}).get("containers") or ():
        if container.get("name") != knative.QUEUE_CONTAINER:
            return str(container["name"])
    return ""


def _parsed(replica: str, line: str) -> LogLine:
    time, blank, text = line.partition(" ")
    if blank and time[4:5] == "-" and "T" in time:
        return LogLine(replica=replica, time=time, text=text)
    return LogLine(replica=replica, time="", text=line)


def _sortable(time: str) -> str:
    """Return a time that compares as text: Go leaves out zeros at the end of fractions.

    Example: `2026-01-01T00:00:00.5Z` becomes `2026-01-01T00:00:00.500000000`.
    """
    whole, _, fraction = time.rstrip("Z").partition(".")
    return f"{whole}.{fraction:0<{_FRACTION_DIGITS}}" if whole else ""
