"""Reading the logs that supervisors write: from the end, since a time, following what comes.

A log is a file and its older parts (`0.log.2`, `0.log.1`, `0.log`), each line as
`2026-01-01T00:00:00.000000000Z F text`; F is a whole line, P one that goes on in the next.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import io
import os
from collections.abc import AsyncGenerator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from understudy.aio import clocks
from understudy.kapi import kubelets

CHUNK_BYTES: Final = 64 * 1024
OPEN_TRIES: Final = 100
"""Far more often than a log can be rotated while it is opened."""
_STAMP_BYTES: Final = len("2026-01-01T00:00:00.000000000Z")
_TEXT_AT: Final = _STAMP_BYTES + len(" F ")


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a log as it is kept.

    Attributes:
        stamp: Its time, RFC 3339 with nanoseconds.
        is_begun: It goes on where the line before it stopped.
        shown: What the process wrote, with the line's end if it had one.
    """

    stamp: bytes
    shown: bytes
    is_begun: bool


def tail(path: Path, lines_max: int) -> list[Line]:
    """Return the last lines of a log that is no longer written."""
    with contextlib.ExitStack() as stack:
        files = [stack.enter_context(file) for file in _open(path)]
        first = _seek_tail(files, lines_max)
        return [line for file in files[first:] for line in _lines(file.read())]


async def read(
    path: Path,
    options: kubelets.LogOptions,
    *,
    is_alive: Callable[[], bool],
    clock: clocks.Clock,
    follow_s: float,
) -> AsyncGenerator[bytes, None]:
    """Yield the wanted part of a log, in pieces; with `follow` until nobody writes it any more."""
    left = options.limit_bytes
    since = stamp_of(options.since) if options.since is not None else b""
    reader = _Reader(path, options.tail_lines)
    try:
        while True:
            alive = is_alive()  # before reading: what was written until then is read
            for lines in reader.present():
                data = _shown(lines, since, timestamps=options.timestamps)
                if left is not None:
                    data = data[:left]
                    left -= len(data)
                if data:
                    yield data
                if left == 0:
                    return
                await clock.sleep(0)
            if not options.follow or not alive:
                return
            await clock.sleep(follow_s)
    finally:
        reader.close()


def stamp_of(moment: dt.datetime) -> bytes:
    """Return a time as lines carry it, so that they compare as texts."""
    text = moment.astimezone(dt.UTC).isoformat(timespec="microseconds")[:26]
    return f"{text}000Z".encode()


class _Reader:
    """A place in a log that moves on from file to file."""

    def __init__(self, path: Path, tail_lines: int | None) -> None:
        self._path = path
        self._files = _open(path)
        self._rest = b""
        self._is_begun = False
        if tail_lines is not None:
            first = _seek_tail(self._files, tail_lines)
            for file in self._files[:first]:
                file.close()
            del self._files[:first]

    def present(self) -> Iterator[list[Line]]:
        """Yield what is there now, in pieces."""
        self._follow_rotation()
        while self._files:
            while data := self._files[0].read(CHUNK_BYTES):
                whole, newline, self._rest = (self._rest + data).rpartition(b"\n")
                lines = _lines(whole + newline, is_begun=self._is_begun)
                if lines:
                    self._is_begun = not lines[-1].shown.endswith(b"\n")
                yield lines
            if len(self._files) == 1:
                self._follow_rotation()
                if len(self._files) == 1:
                    return
            self._files.pop(0).close()

    def close(self) -> None:
        """Close the files."""
        for file in self._files:
            file.close()

    def _follow_rotation(self) -> None:
        """Open the files that are newer than the newest open one."""
        newest = os.fstat(self._files[-1].fileno()).st_ino if self._files else None
        found = _open(self._path)
        inodes = [os.fstat(file.fileno()).st_ino for file in found]
        known = inodes.index(newest) + 1 if newest in inodes else 0
        for file in found[:known]:
            file.close()
        self._files += found[known:]


def _open(path: Path) -> list[io.BufferedReader]:
    """Open the files of a log, the oldest first; none where it was never written.

    Files may get new numbers meanwhile: then it is done again, so that none is missed.
    """
    found: list[io.BufferedReader] = []
    for _ in range(OPEN_TRIES):
        names = _names(path)
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                found.append(name.open("rb"))
        if [os.fstat(file.fileno()).st_ino for file in found] == _inodes(_names(path)):
            break
        for file in found:
            file.close()
        found = []
    return found


def _names(path: Path) -> list[Path]:
    """Return the paths of a log's files, the oldest first."""
    numbers = sorted(
        (int(old.suffix[1:]) for old in path.parent.glob(f"{path.name}.*")
         if old.suffix[1:].isdigit()),
        reverse=True,
    )  # fmt: skip
    return [
        path.with_name(name) for name in (*(f"{path.name}.{one}" for one in numbers), path.name)
    ]


def _inodes(paths: list[Path]) -> list[int]:
    found: list[int] = []
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            found.append(path.stat().st_ino)
    return found


def _seek_tail(files: list[io.BufferedReader], lines_max: int) -> int:
    """Place the files before the last lines; return the number of the first file to read."""
    left = lines_max
    for index in reversed(range(len(files))):
        data = files[index].read()
        count = data.count(b"\n")
        if count >= left:
            place = len(data)
            for _ in range(left + 1):
                place = data.rfind(b"\n", 0, place)
            files[index].seek(place + 1 if left else data.rfind(b"\n") + 1)
            return index
        left -= count
        files[index].seek(0)
    return 0


def _lines(data: bytes, *, is_begun: bool = False) -> list[Line]:
    found = []
    for line in data.split(b"\n"):
        if len(line) >= _TEXT_AT:
            text = line[_TEXT_AT:]
            is_whole = line[_STAMP_BYTES + 1 : _STAMP_BYTES + 2] == b"F"
            shown = text + b"\n" if is_whole else text
            found.append(Line(line[:_STAMP_BYTES], shown, is_begun))
            is_begun = not is_whole
    return found


def _shown(lines: list[Line], since: bytes, *, timestamps: bool) -> bytes:
    kept = [line for line in lines if line.stamp >= since]
    if timestamps:
        return b"".join(
            line.shown if line.is_begun else line.stamp + b" " + line.shown for line in kept
        )
    return b"".join(line.shown for line in kept)
