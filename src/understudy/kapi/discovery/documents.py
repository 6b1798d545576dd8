"""A document about the API as it is sent: encoded once, kept with the catalogue it describes."""

from __future__ import annotations

import functools
import gzip
import hashlib
from collections.abc import Callable

import orjson

from understudy.kapi.resources import catalogue as catalogues
from understudy.kube import objects


class Document:
    """An encoded document, JSON but for one, with what caches need."""

    __slots__ = ("__dict__", "body")

    def __init__(self, body: bytes) -> None:
        self.body = body

    @functools.cached_property
    def etag(self) -> str:
        """Strong validator, in quotes: the SHA-512 of the body in capital hex digits."""
        return f'"{hashlib.sha512(self.body).hexdigest().upper()}"'

    @functools.cached_property
    def gzipped(self) -> bytes:
        """The body compressed, without a time stamp."""
        return gzip.compress(self.body, 6, mtime=0)

    def value(self) -> objects.Json:
        """Return the parsed document, for other formats (YAML, indented JSON)."""
        return orjson.loads(self.body)


def kept(
    catalogue: catalogues.Catalogue,
    key: str,
    make: Callable[[], objects.Json],
    *,
    encode: Callable[[objects.Json], bytes] = orjson.dumps,
) -> Document:
    """Return the catalogue's document of that key, made at the first request."""
    found = catalogue.derived.get(key)
    if isinstance(found, Document):
        return found
    made = catalogue.derived[key] = Document(encode(make()))
    return made
