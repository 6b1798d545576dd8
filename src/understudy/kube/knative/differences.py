"""Changes between two templates or specs, told as Knative's webhook tells them.

Each change is a path in Go's names and two values. Differs: a whole structure on one side is shown
as JSON, where Knative shows Go's own notation.
"""

from __future__ import annotations

import json

from understudy.kube import objects
from understudy.kube.knative import pods

_INITIALISMS = {
    "hostIP": "HostIP", "httpGet": "HTTPGet", "tcpSocket": "TCPSocket", "grpc": "GRPC",
    "hostIPC": "HostIPC", "hostPID": "HostPID", "dnsPolicy": "DNSPolicy", "dnsConfig": "DNSConfig",
    "apiVersion": "APIVersion", "csi": "CSI", "uid": "UID",
}  # fmt: skip


def of_specs(old: objects.Json, new: objects.Json) -> str:
    """Return the changes between two Revision specs, one block of three lines each."""
    return "".join(_spec_changes(old, new, "*{v1.RevisionSpec}"))


def of_templates(old: objects.Object, new: objects.Object) -> str:
    """Return the changes between two templates."""
    root = "{*v1.RevisionTemplateSpec}"
    out = []
    for key in ("labels", "annotations", "name"):
        before, after = objects.metadata(old).get(key), objects.metadata(new).get(key)
        out.extend(_changes(before, after, f"{root}.ObjectMeta.{_go_name(key)}"))
    out.extend(_spec_changes(old.get("spec"), new.get("spec"), f"{root}.Spec"))
    return "".join(out)


def _spec_changes(old: objects.Json, new: objects.Json, root: str) -> list[str]:
    old = old if isinstance(old, dict) else {}
    new = new if isinstance(new, dict) else {}
    out = []
    own = [key for key in {**old, **new} if key in pods.REVISION_FIELDS]
    rest = [key for key in {**old, **new} if key not in pods.REVISION_FIELDS]
    for key in rest:
        path = f"{root}.PodSpec.{_go_name(key)}"
        out.extend(_changes(old.get(key), new.get(key), path))
    for key in own:
        out.extend(_changes(old.get(key), new.get(key), f"{root}.{_go_name(key)}"))
    return out


def _changes(old: objects.Json, new: objects.Json, path: str) -> list[str]:
    if old == new or (not old and not new and not isinstance(old, (int, bool))):
        return []
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        out = []
        for index, (before, after) in enumerate(zip(old, new, strict=True)):
            out.extend(_changes(before, after, f"{path}[{index}]"))
        return out
    if isinstance(old, dict) and isinstance(new, dict):
        out = []
        for key in {**old, **new}:
            out.extend(_changes(old.get(key), new.get(key), f"{path}.{_go_name(key)}"))
        return out
    return [f'{path}:\n\t-: "{_shown(old, new)}"\n\t+: "{_shown(new, old)}"\n']


def _shown(value: objects.Json, other: objects.Json) -> str:
    if value is None:
        return "" if isinstance(other, str) else "nil"
    if isinstance(value, (str, int)) and not isinstance(value, bool):
        return str(value)
    return json.dumps(value)


def _go_name(key: str) -> str:
    return _INITIALISMS.get(key) or key[:1].upper() + key[1:]
