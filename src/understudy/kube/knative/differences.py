"""Changes between two templates or specs, told as Knative's webhook tells them.

Each change is a path in Go's names and two values. Differs: a whole structure on one side (not a
probe's) is shown as JSON, where Knative shows Go's own notation.
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

_MAPS = frozenset({"labels", "annotations", "nodeSelector", "limits", "requests"})
_PROBES = frozenset({"livenessProbe", "readinessProbe", "startupProbe"})

_ORDER = {
    key: place
    for place, key in enumerate(
        (
            "name", "image", "command", "args", "workingDir", "ports", "envFrom", "env",
            "resources", "volumeMounts", "volumeDevices", "livenessProbe", "readinessProbe",
            "startupProbe", "lifecycle", "terminationMessagePath", "terminationMessagePolicy",
            "imagePullPolicy", "securityContext",
        )
    )
}  # fmt: skip
"""A container's fields in Go's order, which is the order that changes are told in."""


def of_specs(old: objects.Json, new: objects.Json) -> str:
    """Return the changes between two Revision specs, one block of three lines each."""
    return "".join(_spec_changes(old, new, "*{v1.RevisionSpec}"))


def of_templates(old: objects.Object, new: objects.Object) -> str:
    """Return the changes between two templates."""
    root = "{*v1.RevisionTemplateSpec}"
    out = []
    for key in ("name", "labels", "annotations"):
        before, after = objects.metadata(old).get(key), objects.metadata(new).get(key)
        out.extend(_changes(before, after, f"{root}.ObjectMeta.{_go_name(key)}", key))
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
        out.extend(_changes(old.get(key), new.get(key), path, key))
    for key in own:
        out.extend(_changes(old.get(key), new.get(key), f"{root}.{_go_name(key)}", key))
    return out


def _changes(old: objects.Json, new: objects.Json, path: str, field: str) -> list[str]:
    if old == new or (not old and not new and not isinstance(old, (int, bool))):
        return []
    if field in _MAPS:
        return _map_changes(old, new, path)
    if isinstance(old, list | None) and isinstance(new, list | None):
        return _list_changes(old or [], new or [], path, field)
    if isinstance(old, dict) and isinstance(new, dict):
        out = []
        for key in sorted({**old, **new}, key=_position):
            out.extend(_changes(old.get(key), new.get(key), f"{path}.{_go_name(key)}", key))
        return out
    before, after = _shown(old, new, field), _shown(new, old, field)
    return [f'{path}:\n\t-: "{before}"\n\t+: "{after}"\n']


def _map_changes(old: objects.Json, new: objects.Json, path: str) -> list[str]:
    old = old if isinstance(old, dict) else {}
    new = new if isinstance(new, dict) else {}
    out = []
    for key in sorted({**old, **new}):
        if old.get(key) == new.get(key):
            continue
        out.append(f'{path}["{key}"]:\n')
        out.extend(
            f'\t{sign}: "{side[key]}"\n' for sign, side in (("-", old), ("+", new)) if key in side
        )
    return ["".join(out)] if out else []


def _list_changes(
    old: list[objects.Json], new: list[objects.Json], path: str, field: str
) -> list[str]:
    """Tell elements of the same place apart, then those that one side has no place for."""
    out = []
    both = min(len(old), len(new))
    for index in range(both):
        out.extend(_changes(old[index], new[index], f"{path}[{index}]", f"{field}[]"))
    out.extend(
        f"{path}[{index}->?]:\n\t-: {_element(old[index], field)}\n"
        for index in range(both, len(old))
    )
    out.extend(
        f"{path}[?->{index}]:\n\t+: {_element(new[index], field)}\n"
        for index in range(both, len(new))
    )
    return out


def _element(value: objects.Json, field: str) -> str:
    if field == "env" and isinstance(value, dict):
        source = "nil" if value.get("valueFrom") is None else json.dumps(value["valueFrom"])
        return (
            f'v1.EnvVar: "{{Name:{value.get("name", "")} Value:{value.get("value", "")} '
            f'ValueFrom:{source}}}"'
        )
    return f'"{value if isinstance(value, str) else json.dumps(value)}"'


def _shown(value: objects.Json, other: objects.Json, field: str) -> str:
    if value is None:
        if isinstance(other, bool):
            return "false"
        return "" if isinstance(other, str) else "nil"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (str, int)):
        return str(value)
    if field in _PROBES and isinstance(value, dict):
        return _probe(value)
    return json.dumps(value)


def _probe(value: objects.Object) -> str:
    """Show a probe as Go's generated code does."""
    numbers = "".join(
        f"{_go_name(key)}:{value.get(key) or 0},"
        for key in (
            "initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold",
            "failureThreshold",
        )
    )  # fmt: skip
    grace = value.get("terminationGracePeriodSeconds")
    return (
        f"&Probe{{ProbeHandler:ProbeHandler{{Exec:{_exec(value.get('exec'))},"
        f"HTTPGet:{_http(value.get('httpGet'))},TCPSocket:{_tcp(value.get('tcpSocket'))},"
        f"GRPC:{_grpc(value.get('grpc'))},}},{numbers}"
        f"TerminationGracePeriodSeconds:{'nil' if grace is None else f'*{grace}'},}}"
    )


def _exec(value: objects.Json) -> str:
    if not isinstance(value, dict):
        return "nil"
    return f"&ExecAction{{Command:[{' '.join(value.get('command') or ())}],}}"


def _tcp(value: objects.Json) -> str:
    if not isinstance(value, dict):
        return "nil"
    return f"&TCPSocketAction{{Port:{_port(value.get('port'))},Host:{value.get('host', '')},}}"


def _http(value: objects.Json) -> str:
    if not isinstance(value, dict):
        return "nil"
    headers = "".join(
        f"HTTPHeader{{Name:{one.get('name', '')},Value:{one.get('value', '')},}},"
        for one in value.get("httpHeaders") or ()
    )
    return (
        f"&HTTPGetAction{{Path:{value.get('path', '')},Port:{_port(value.get('port'))},"
        f"Host:{value.get('host', '')},Scheme:{value.get('scheme', '')},"
        f"HTTPHeaders:[]HTTPHeader{{{headers}}},}}"
    )


def _grpc(value: objects.Json) -> str:
    if not isinstance(value, dict):
        return "nil"
    service = value.get("service")
    shown = "nil" if service is None else f"*{service}"
    return f"&GRPCAction{{Port:{value.get('port') or 0},Service:{shown},}}"


def _port(value: objects.Json) -> str:
    """A number or a name, as Go shows the type that holds either."""
    return f"{{1 0 {value}}}" if isinstance(value, str) else f"{{0 {value or 0} }}"


def _position(key: str) -> int:
    return _ORDER.get(key, len(_ORDER))


def _go_name(key: str) -> str:
    return _INITIALISMS.get(key) or key[:1].upper() + key[1:]
