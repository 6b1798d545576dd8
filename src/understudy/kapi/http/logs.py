"""Logs of containers as streams: what may be asked for, and the way to a client."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
from collections.abc import AsyncGenerator, Callable
from typing import Final

from understudy.kapi import kubelets
from understudy.kapi.http import exchanges, requests
from understudy.kube import statuses, times

TEXT: Final = "text/plain"
_INTEGERS: Final = ("tailLines", "limitBytes", "sinceSeconds")


def options(query: requests.Query, name: str, now: dt.datetime) -> kubelets.LogOptions:
    """Read the query of a log.

    Raises:
        BadRequestError: A value that cannot be read. InvalidError: One that may not be.
    """
    numbers = {key: _integer(query, key) for key in _INTEGERS}
    since = _time(query, "sinceTime")
    causes: list[statuses.Cause] = []
    if (lines := numbers["tailLines"]) is not None and lines < 0:
        causes.append(_not_allowed("tailLines", lines, "must be greater than or equal to 0"))
    if (size := numbers["limitBytes"]) is not None and size < 1:
        causes.append(_not_allowed("limitBytes", size, "must be greater than 0"))
    seconds = numbers["sinceSeconds"]
    if seconds is not None and since is not None:
        both = "at most one of `sinceTime` or `sinceSeconds` may be specified"
        causes.append(statuses.Cause("", "FieldValueForbidden", f"Forbidden: {both}"))
    elif seconds is not None and seconds < 1:
        causes.append(_not_allowed("sinceSeconds", seconds, "must be greater than 0"))
    if query.get("stream"):
        # Selecting one of stdout and stderr is an alpha feature of Kubernetes 1.36, and off.
        causes.append(
            statuses.Cause("stream", "FieldValueForbidden", "Forbidden: may not be specified")
        )
    if causes:
        raise statuses.invalid("", "PodLogOptions", name, causes)
    if seconds is not None:
        since = _ago(now, seconds)
    return kubelets.LogOptions(
        follow=query.flag("follow"),
        previous=query.flag("previous"),
        timestamps=query.flag("timestamps"),
        since=since,
        tail_lines=lines,
        limit_bytes=size,
    )


def _not_allowed(field: str, value: int, why: str) -> statuses.Cause:
    return statuses.Cause(field, "FieldValueInvalid", f"Invalid value: {value}: {why}")


def _integer(query: requests.Query, name: str) -> int | None:
    text = query.get(name)
    if not text:
        return None
    digits = text.removeprefix("-").removeprefix("+")
    if not (digits.isascii() and digits.isdecimal()):
        raise statuses.BadRequestError(f'strconv.ParseInt: parsing "{text}": invalid syntax')
    value = int(text) if len(digits) < 20 else 2**63
    if not -(2**63) <= value < 2**63:
        raise statuses.BadRequestError(f'strconv.ParseInt: parsing "{text}": value out of range')
    return value


def _time(query: requests.Query, name: str) -> dt.datetime | None:
    text = query.get(name)
    if not text:
        return None
    try:
        return times.moment(text)
    except ValueError as error:
        raise statuses.BadRequestError(str(error)) from error


def _ago(now: dt.datetime, seconds: int) -> dt.datetime:
    try:
        return now - dt.timedelta(seconds=seconds)
    except OverflowError:
        return dt.datetime.min.replace(tzinfo=dt.UTC)


class PieceStream(exchanges.Stream):
    """Pieces on their way to one client, as fast as it reads."""

    __slots__ = ("_on_closed", "_pieces", "_room", "_task", "content_type")
    is_patient = True

    def __init__(
        self,
        pieces: AsyncGenerator[bytes, None],
        on_closed: Callable[[], None],
        content_type: str = TEXT,
    ) -> None:
        self.content_type = content_type
        self._pieces = pieces
        self._on_closed = on_closed
        self._room = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def opened(self, sink: exchanges.Sink) -> None:
        """Begin to copy."""
        self._task = sink.run("pieces", self._copy(sink))

    async def _copy(self, sink: exchanges.Sink) -> None:
        try:
            async with contextlib.aclosing(self._pieces) as pieces:
                async for piece in pieces:
                    sink.send(piece)
                    await self._wait_for_room(sink)
        finally:
            if self._task is not None:
                sink.finish()

    async def _wait_for_room(self, sink: exchanges.Sink) -> None:
        while sink.is_full():
            if sink.is_blocked():
                self._room.clear()
                await self._room.wait()
            else:
                # What was sent goes out at the end of this turn of the loop.
                await asyncio.sleep(0)

    def resumed(self) -> None:
        """Go on: there is room again."""
        self._room.set()

    def closed(self) -> None:
        """Stop copying."""
        task, self._task = self._task, None
        if task is not None and task is not asyncio.current_task():
            task.cancel()
        self._on_closed()
