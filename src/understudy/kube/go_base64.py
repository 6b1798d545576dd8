"""Base64 as Go reads and writes it, with Go's words for what is wrong.

Source: Go's `encoding/base64`, decoding strictly about letters and padding, not about line breaks
and not about bits beyond the last byte.
"""

from __future__ import annotations

import binascii

_PLAIN = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
STANDARD = frozenset(_PLAIN + "+/")
URL = frozenset(_PLAIN + "-_")
_TO_STANDARD = str.maketrans("-_", "+/")


class CorruptError(ValueError):
    """A text that Go does not decode: `illegal base64 data at input byte N`."""


def decode(text: str, alphabet: frozenset[str] = STANDARD) -> bytes:
    """Return the bytes that a text stands for; the alphabet is `STANDARD` or `URL`.

    Raises:
        CorruptError: at the first byte that Go refuses.
    """
    cleaned = text.replace("\n", "").replace("\r", "") if "\n" in text or "\r" in text else text
    try:
        if alphabet is STANDARD:
            return binascii.a2b_base64(cleaned, strict_mode=True)
    except (binascii.Error, ValueError):
        pass  # Bits beyond the last byte are no error to Go, but they are to a strict Python.
    offset = _corrupt_at(text, alphabet)
    if offset >= 0:
        raise CorruptError(f"illegal base64 data at input byte {offset}")
    return binascii.a2b_base64(cleaned.translate(_TO_STANDARD))


def canonical(text: str) -> str:
    """Return a text as Go writes it back: without line breaks, with canonical padding.

    Raises:
        CorruptError: as of `decode`.
    """
    return binascii.b2a_base64(decode(text), newline=False).decode()


def _corrupt_at(text: str, alphabet: frozenset[str]) -> int:
    """Return where Go's decoder gives up, or -1; line breaks count as bytes but mean nothing."""
    raw = text.encode("utf-8", "surrogatepass").decode("latin-1")
    at = quantum = 0
    while at < len(raw):
        letter = raw[at]
        at += 1
        if letter in "\r\n":
            continue
        if letter in alphabet:
            quantum = (quantum + 1) % 4
            continue
        if letter != "=" or quantum < 2:
            return at - 1
        return _padding_corrupt_at(raw, at, quantum)
    return len(raw) - quantum if quantum else -1


def _padding_corrupt_at(raw: str, at: int, quantum: int) -> int:
    """Check what follows the first `=`; `at` is the position after it."""
    if quantum == 2:
        while at < len(raw) and raw[at] in "\r\n":
            at += 1
        if at == len(raw):
            return len(raw)
        if raw[at] != "=":
            return at - 1
        at += 1
    while at < len(raw) and raw[at] in "\r\n":
        at += 1
    return at if at < len(raw) else -1
