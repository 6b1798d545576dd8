"""SPDY/3.1 frames, as far as Kubernetes uses them: bytes to events and back, no I/O.

https://www.chromium.org/spdy/spdy-protocol/spdy-protocol-draft3-1/. Old kubectl runs commands and
forwards ports over it; newer ones send the same frames within a WebSocket. Its flow control is
not used: neither does the library on the other end.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

_CONTROL: Final = 0x80
_VERSION: Final = 3
_SYN_STREAM, _SYN_REPLY, _RST_STREAM, _SETTINGS, _PING, _GOAWAY, _HEADERS, _WINDOW = (
    1, 2, 3, 4, 6, 7, 8, 9,
)  # fmt: skip
_FIN: Final = 1
_HEAD: Final = struct.Struct(">II")
_WORD: Final = struct.Struct(">I")
REFUSED_STREAM: Final = 3
CONTROL_BYTES_MAX: Final = 64 * 1024
"""Largest control frame; those of Kubernetes have some hundred bytes."""
HEADER_BYTES_MAX: Final = 64 * 1024
"""Largest header block once unpacked."""

# The words that header blocks are compressed against (draft 3, section 2.6.10.1): each behind its
# length, then a text without.
_WORDS: Final = """
options head post put delete trace accept accept-charset accept-encoding accept-language
accept-ranges age allow authorization cache-control connection content-base content-encoding
content-language content-length content-location content-md5 content-range content-type date etag
expect expires from host if-match if-modified-since if-none-match if-range if-unmodified-since
last-modified location max-forwards pragma proxy-authenticate proxy-authorization range referer
retry-after server te trailer transfer-encoding upgrade user-agent vary via warning
www-authenticate method get status 200_OK version HTTP/1.1 url public set-cookie keep-alive origin
"""
_TEXT: Final = (
    "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505"
    "203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request"
    "401 Unauthorized403 Forbidden404 Not Found500 Internal Server Error501 Not Implemented"
    "503 Service UnavailableJan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 "
    "Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMTchunked,text/html,image/png,image/jpg,image/gif,"
    "application/xml,application/xhtml+xml,text/plain,text/javascript,publicprivatemax-age="
    "gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0."
)
DICTIONARY: Final = (
    b"".join(_WORD.pack(len(word)) + word.replace("_", " ").encode() for word in _WORDS.split())
    + _TEXT.encode()
)


class SpdyError(ValueError):
    """Bytes that are no SPDY of this version, or more than is allowed."""


@dataclass(frozen=True, slots=True)
class Opened:
    """The peer opens a stream; names of headers are in lower case."""

    stream: int
    headers: Mapping[str, str]
    is_last: bool


@dataclass(frozen=True, slots=True)
class Data:
    """A piece of a stream; the last one may be empty."""

    stream: int
    data: bytes
    is_last: bool


@dataclass(frozen=True, slots=True)
class Reset:
    """The peer wants nothing more of a stream."""

    stream: int


@dataclass(frozen=True, slots=True)
class Ping:
    """To be sent back, if it is the peer's (an odd number: clients count so)."""

    number: int


@dataclass(frozen=True, slots=True)
class GoAway:
    """The peer opens no more streams and is about to close."""


Event = Opened | Data | Reset | Ping | GoAway


class Reader:
    """Takes frames apart, whatever pieces they come in. Data is passed on as it comes."""

    __slots__ = ("_buffer", "_data_left", "_inflate", "_is_last", "_stream")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._inflate = zlib.decompressobj(zdict=DICTIONARY)
        self._stream = 0
        self._data_left = 0
        self._is_last = False

    def feed(self, data: bytes) -> Iterator[Event]:
        """Yield what the bytes complete.

        Raises:
            SpdyError: They make no sense; nothing more can be read.
        """
        buffer = self._buffer
        buffer += data
        while True:
            if self._data_left:
                if not buffer:
                    return
                yield self._piece()
            elif len(buffer) < _HEAD.size:
                return
            elif buffer[0] & _CONTROL:
                size = _HEAD.unpack_from(buffer)[1] & 0xFFFFFF
                if size > CONTROL_BYTES_MAX:
                    raise SpdyError(f"control frame of {size} bytes")
                if len(buffer) < _HEAD.size + size:
                    return
                frame = bytes(buffer[: _HEAD.size + size])
                del buffer[: _HEAD.size + size]
                event = self._control(frame)
                if event is not None:
                    yield event
            else:
                self._stream, word = _HEAD.unpack_from(buffer)
                self._data_left, self._is_last = word & 0xFFFFFF, bool(word >> 24 & _FIN)
                del buffer[: _HEAD.size]
                if not self._data_left:
                    yield Data(self._stream, b"", self._is_last)

    def _piece(self) -> Data:
        piece = bytes(self._buffer[: self._data_left])
        del self._buffer[: len(piece)]
        self._data_left -= len(piece)
        return Data(self._stream, piece, self._is_last and not self._data_left)

    def _control(self, frame: bytes) -> Event | None:
        kind, word = _HEAD.unpack_from(frame)
        if kind >> 16 & 0x7FFF != _VERSION:
            raise SpdyError(f"version {kind >> 16 & 0x7FFF}, this is version 3")
        body, last = frame[_HEAD.size :], bool(word >> 24 & _FIN)
        match kind & 0xFFFF:
            case 1:
                return Opened(_number(body), self._headers(body[10:]), last)
            case 2 | 8:
                # Nothing is done with them, but their headers share one compression.
                headers = self._headers(body[4:])
                del headers
                return Data(_number(body), b"", is_last=True) if last else None
            case 3:
                return Reset(_number(body))
            case 6:
                return Ping(_number(body))
            case 7:
                return GoAway()
        return None

    def _headers(self, block: bytes) -> dict[str, str]:
        try:
            text = self._inflate.decompress(block, HEADER_BYTES_MAX)
        except zlib.error as error:
            raise SpdyError(f"headers: {error}") from error
        if self._inflate.unconsumed_tail:
            raise SpdyError(f"headers of more than {HEADER_BYTES_MAX} bytes")
        words = list(_words(text))
        # Values of one name are separated by zeros.
        return {
            name.decode("latin-1").lower(): value.decode("latin-1").partition("\0")[0]
            for name, value in zip(words[::2], words[1::2], strict=True)
        }


def _words(text: bytes) -> Iterator[bytes]:
    """Yield names and values in turn of an unpacked header block."""
    left, at = 2 * _number(text), 4
    while left:
        size = _number(text[at:])
        at += 4
        if len(text) < at + size:
            raise SpdyError("headers are cut off")
        yield text[at : at + size]
        at += size
        left -= 1


def _number(data: bytes) -> int:
    if len(data) < _WORD.size:
        raise SpdyError("a frame is too short for what it is")
    return int(_WORD.unpack_from(data)[0]) & 0x7FFFFFFF


class Writer:
    """Makes frames."""

    __slots__ = ("_deflate",)

    def __init__(self) -> None:
        self._deflate = zlib.compressobj(zdict=DICTIONARY)

    def open(self, stream: int, headers: Mapping[str, str], *, is_last: bool = False) -> bytes:
        """Open a stream (clients, and what tests them)."""
        body = struct.pack(">IIH", stream, 0, 0) + self._block(headers)
        return _control(_SYN_STREAM, body, _FIN if is_last else 0)

    def reply(self, stream: int) -> bytes:
        """Accept a stream."""
        return _control(_SYN_REPLY, _WORD.pack(stream) + self._block({}))

    @staticmethod
    def data(stream: int, data: bytes, *, is_last: bool = False) -> bytes:
        """Send a piece of a stream."""
        return _HEAD.pack(stream, (_FIN if is_last else 0) << 24 | len(data)) + data

    @staticmethod
    def refuse(stream: int) -> bytes:
        """Refuse a stream."""
        return _control(_RST_STREAM, struct.pack(">II", stream, REFUSED_STREAM))

    @staticmethod
    def ping(number: int) -> bytes:
        """Ask whether the peer is there, or answer that."""
        return _control(_PING, _WORD.pack(number))

    @staticmethod
    def go_away(last_stream: int) -> bytes:
        """Say that the connection is about to close."""
        return _control(_GOAWAY, struct.pack(">II", last_stream, 0))

    def _block(self, headers: Mapping[str, str]) -> bytes:
        words = [word for pair in headers.items() for word in pair]
        text = _WORD.pack(len(headers)) + b"".join(
            _WORD.pack(len(word)) + word.encode("latin-1") for word in words
        )
        return self._deflate.compress(text) + self._deflate.flush(zlib.Z_SYNC_FLUSH)


def _control(kind: int, body: bytes, flags: int = 0) -> bytes:
    return _HEAD.pack((_CONTROL << 8 | _VERSION) << 16 | kind, flags << 24 | len(body)) + body
