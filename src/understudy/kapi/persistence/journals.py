"""The write-ahead journal: one file that grows by one frame a commit."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from understudy.kapi.persistence import frames
from understudy.kube import statuses


class Journal:
    """An open journal file.

    A frame that cannot be written whole is taken back, the file is as before, and the write that
    asked for it fails with an error its client can act on.

    Attributes:
        size: Bytes written so far.
        sync_each: Wait for the disk on every frame: survives loss of power, costs about 0.3 ms.
            Without it a frame survives the process (kill -9), not the machine.
    """

    __slots__ = ("_file", "path", "size", "sync_each")

    def __init__(self, path: Path, *, sync_each: bool = False) -> None:
        self.path = path
        self.sync_each = sync_each
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self.size = os.fstat(self._file).st_size

    def append(self, payload: bytes) -> None:
        """Write one frame, or nothing.

        Raises:
            InternalError: The disk refused; nothing was kept.
        """
        data = frames.frame(payload)
        try:
            self._write(data)
        except OSError as error:
            os.ftruncate(self._file, self.size)
            raise statuses.InternalError(
                f"the write was not kept: {self.path}: {error.strerror}; free space there and "
                "try again"
            ) from error
        self.size += len(data)

    def _write(self, data: bytes) -> None:
        written = 0
        while written < len(data):
            # After a short write the next one tells why.
            more = os.write(self._file, data[written:])
            if not more:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            written += more
        if self.sync_each:
            os.fdatasync(self._file)

    def close(self) -> None:
        """Close the file after waiting for the disk."""
        os.fsync(self._file)
        os.close(self._file)
