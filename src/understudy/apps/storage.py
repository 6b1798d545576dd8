"""How a spec is kept in the annotation `flyte.org/spec`, and read back, also Flyte's own form.

We write base64 of canonical JSON, compressed above a size. Flyte writes base64 of a protobuf
message; its first byte can be neither `{` nor gzip's, so the forms cannot be mistaken. A spec in
protobuf is not decoded: such an app is managed all the same, its spec is just not shown.
"""

from __future__ import annotations

import base64
import binascii
import gzip
import io
import json

from understudy.apps import keys, records
from understudy.kube import names, records as codec

COMPRESS_ABOVE_BYTES = 16 * 1024
DECODED_BYTES_MAX = 8 * 1024 * 1024
_GZIP = b"\x1f\x8b"


def encode(spec: records.Spec) -> str:
    """Return a spec as annotation text; equal specs give equal text."""
    body = codec.canonical(codec.to_json(spec))
    if len(body) > COMPRESS_ABOVE_BYTES:
        body = gzip.compress(body, mtime=0)
    return base64.b64encode(body).decode()


def decode(text: str | None) -> records.Spec | None:
    """Return the spec of an annotation, None where there is none that can be read."""
    if not text:
        return None
    try:
        body = base64.b64decode(text, validate=True)
        if body.startswith(_GZIP):
            with gzip.GzipFile(fileobj=io.BytesIO(body)) as packed:
                body = packed.read(DECODED_BYTES_MAX + 1)  # a few bytes may stand for gigabytes
        if len(body) > DECODED_BYTES_MAX or not body.startswith(b"{"):
            return None
        return codec.from_json(records.Spec, json.loads(body))
    except (binascii.Error, OSError, EOFError, ValueError):
        return None


def complaints(annotations: dict[str, str]) -> list[tuple[str, str]]:
    """Return what is wrong with annotations as a whole: Kubernetes bounds their size."""
    total = sum(len(key.encode()) + len(value.encode()) for key, value in annotations.items())
    if total <= names.ANNOTATIONS_BYTES_MAX:
        return []
    return [
        (
            "spec",
            f"takes {len(annotations[keys.SPEC])} bytes even compressed; a cluster keeps at most"
            f" {names.ANNOTATIONS_BYTES_MAX} bytes of annotations, so move data out of the spec",
        )
    ]
