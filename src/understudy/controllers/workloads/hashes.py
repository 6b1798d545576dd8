"""Hashes in names and labels, in the letters Kubernetes uses."""

from __future__ import annotations

import functools

import orjson

from understudy.aio import ids
from understudy.kube import objects

_PRIME = 16777619
_OFFSET = 2166136261
_MASK = 0xFFFFFFFF
_PRIME_128 = 0x13B | 1 << 88
_OFFSET_128 = 0x6C62272E07BB014262B821756295C58D
_MASK_128 = (1 << 128) - 1


def fnv1(data: bytes) -> int:
    """Return the 32-bit FNV-1 hash."""
    value = _OFFSET
    for byte in data:
        value = ((value * _PRIME) & _MASK) ^ byte
    return value


def fnv1a(data: bytes) -> int:
    """Return the 32-bit FNV-1a hash."""
    value = _OFFSET
    for byte in data:
        value = ((value ^ byte) * _PRIME) & _MASK
    return value


@functools.lru_cache(maxsize=1024)
def fnv1a_128(data: bytes) -> int:
    """Return the 128-bit FNV-1a hash."""
    value = _OFFSET_128
    for byte in data:
        value = ((value ^ byte) * _PRIME_128) & _MASK_128
    return value


def safe(number: int) -> str:
    """Write a number in letters that spell no word (apimachinery `rand.SafeEncodeString`)."""
    return "".join(ids.SUFFIX_ALPHABET[ord(digit) % 27] for digit in str(number))


def template_hash(template: objects.Object, collision_count: int | None) -> str:
    """Return the pod-template-hash of a defaulted template.

    Differs: Kubernetes hashes a printed Go struct; ours is as stable, but another one.
    """
    data = canonical(template)
    if collision_count is not None:
        data += str(collision_count).encode()
    return safe(fnv1a(data))


def revision_hash(data: objects.Object, collision_count: int) -> str:
    """Return the hash of a ControllerRevision's data, the same as Kubernetes'.

    Source: HashControllerRevision in pkg/controller/history/controller_history.go.
    """
    return safe(fnv1(canonical(data) + str(collision_count).encode()))


def canonical(value: objects.Json) -> bytes:
    """Encode as Go does: keys in order, and `<`, `>`, `&` escaped."""
    text = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    for plain, escaped in ((b"<", b"\\u003c"), (b">", b"\\u003e"), (b"&", b"\\u0026")):
        text = text.replace(plain, escaped)
    return text
