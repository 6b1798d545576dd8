"""Restarting what reads configuration that changes: the pod template carries a digest of it.

Kubernetes restarts pods only when their template changes; a ConfigMap that they read when they
start is no part of it. An object annotated with `RESTART` gets the digest of all ConfigMaps and
Secrets of its application that its pods read, so that it changes when one of them does.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping

import orjson

from understudy.delivery import marks, references, refs
from understudy.kube import objects

RESTART = f"{marks.GROUP}/restart-on-change"
"""Annotation of a workload: `true` restarts its pods when configuration they read changes."""

DIGEST = f"{marks.GROUP}/configuration"
"""Annotation of a pod template, written by a delivery."""

_DIGITS = 10
_TEMPLATES = (("spec", "template"), ("spec", "jobTemplate", "spec", "template"))


def complaints_about(obj: objects.Object) -> list[str]:
    """Say what is wrong with an object's annotation; nothing is best."""
    said = objects.annotations_of(obj).get(RESTART)
    if said in (None, "true", "false"):
        return []
    return [f"metadata.annotations[{RESTART!r}] is {said!r}: use true or false"]


def stamped(items: Mapping[refs.Ref, objects.Object]) -> Iterator[tuple[refs.Ref, objects.Object]]:
    """Yield those objects that change: with the digest of what their pods read of `items`."""
    for ref, obj in items.items():
        if objects.annotations_of(obj).get(RESTART) != "true":
            continue
        spec = references.pod_spec(ref, obj)
        path = next(
            (path for path in _TEMPLATES if isinstance(objects.lookup(obj, path), dict)), ()
        )
        if spec is None or not path:
            continue
        read = {refs.Ref("", kind, ref.namespace, name)
                for kind, name, _ in references.configuration(spec)}  # fmt: skip
        known = [[str(one), _content(items[one])] for one in sorted(read & items.keys())]
        if known:
            yield ref, _annotated(obj, path, _digest(known))


def _content(obj: objects.Object) -> objects.Object:
    return {key: obj.get(key) for key in ("data", "binaryData", "stringData")}


def _digest(value: objects.Json) -> str:
    text = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(text).hexdigest()[:_DIGITS]


def _annotated(obj: objects.Object, path: tuple[str, ...], digest: str) -> objects.Object:
    made: objects.Object = objects.copy(obj)
    template = objects.lookup(made, path)
    meta = template["metadata"] = {**(template.get("metadata") or {})}
    meta["annotations"] = {**(meta.get("annotations") or {}), DIGEST: digest}
    return made
