"""Framed records in a file: length and checksum before each payload, so a torn tail shows.

+----------------+----------------+-----------------+
| length, u32 LE | crc32, u32 LE  | payload         |
+----------------+----------------+-----------------+
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

HEADER = struct.Struct("<II")
PAYLOAD_BYTES_MAX = 1 << 30
"""A length beyond this is damage, not a record: no commit comes near a gigabyte."""


class DamagedError(Exception):
    """A file holds a record that is wrong although others follow it."""


def frame(payload: bytes) -> bytes:
    """Return a payload with its header."""
    return HEADER.pack(len(payload), zlib.crc32(payload)) + payload


def read(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield (offset after the record, payload) for each whole record of a file.

    Stops before a torn last record: what is left beyond the last offset is the torn part.

    Raises:
        DamagedError: A record is wrong and is not the last one.
    """
    data = path.read_bytes()
    offset = 0
    while offset + HEADER.size <= len(data):
        length, checksum = HEADER.unpack_from(data, offset)
        end = offset + HEADER.size + length
        if length > PAYLOAD_BYTES_MAX or end > len(data):
            return
        payload = data[offset + HEADER.size : end]
        if zlib.crc32(payload) != checksum:
            if end < len(data):
                raise DamagedError(f"{path} is damaged at byte {offset}, before its end")
            return
        offset = end
        yield offset, payload
