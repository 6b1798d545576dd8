"""Probes and lifecycle hooks of a container.

Source: pkg/apis/core/{v1,validation} @1.36.
"""

from __future__ import annotations

from understudy.kube import causes, names, objects, statuses

Causes = list[statuses.Cause]

_SCHEMES = ("HTTP", "HTTPS")
_PROBE_HANDLERS = ("exec", "httpGet", "tcpSocket", "grpc")
_HOOK_HANDLERS = ("exec", "httpGet", "tcpSocket", "sleep")
_NUMBERS = (
    "initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold",
    "failureThreshold",
)  # fmt: skip


def default(probe: objects.Object) -> None:
    """Fill in, in place, what SetDefaults fills in for a probe."""
    if not probe.get("timeoutSeconds"):
        probe["timeoutSeconds"] = 1
    if not probe.get("periodSeconds"):
        probe["periodSeconds"] = 10
    if not probe.get("successThreshold"):
        probe["successThreshold"] = 1
    if not probe.get("failureThreshold"):
        probe["failureThreshold"] = 3
    default_http(probe)
    if (grpc := probe.get("grpc")) is not None and grpc.get("service") is None:
        grpc["service"] = ""


def default_http(handler: objects.Object) -> None:
    """Fill in path and scheme of an httpGet, in place."""
    http = handler.get("httpGet")
    if http is not None:
        if not http.get("path"):
            http["path"] = "/"
        if not http.get("scheme"):
            http["scheme"] = "HTTP"


def validate(probe: objects.Object, field: str, *, kind: str) -> Causes:
    """Check a probe; `kind` is its field's name, e.g. `readinessProbe`."""
    if _is_plain(probe):
        return []
    out = _handler(probe, field, _PROBE_HANDLERS, None)
    for key in _NUMBERS:
        number = probe.get(key)
        if number is not None and number < 0:
            out.append(causes.invalid(f"{field}.{key}", number, causes.NEGATIVE))
    grace = probe.get("terminationGracePeriodSeconds")
    if grace is not None:
        at = f"{field}.terminationGracePeriodSeconds"
        if grace <= 0:
            out.append(causes.invalid(at, grace, "must be greater than 0"))
        if kind == "readinessProbe":
            out.append(causes.invalid(at, grace, "must not be set for readinessProbes"))
    if kind != "readinessProbe" and probe.get("successThreshold") != 1:
        threshold = probe.get("successThreshold") or 0
        out.append(causes.invalid(f"{field}.successThreshold", threshold, "must be 1"))
    return out


_PLAIN = frozenset({"httpGet", *_NUMBERS})


def _is_plain(probe: objects.Object) -> bool:
    """Say whether nothing can be wrong with a probe; false if it takes a closer look."""
    action = probe.get("httpGet")
    if not action or "httpHeaders" in action or not _PLAIN.issuperset(probe):
        return False
    number = action.get("port")
    return (
        isinstance(number, int)
        and 1 <= number <= 65535
        and action.get("scheme") in _SCHEMES
        and bool(action.get("path"))
        and probe.get("successThreshold") == 1
        and probe.get("timeoutSeconds", 0) >= 0
        and probe.get("periodSeconds", 0) >= 0
        and probe.get("failureThreshold", 0) >= 0
        and probe.get("initialDelaySeconds", 0) >= 0
    )


def validate_lifecycle(lifecycle: objects.Object, field: str, grace_s: int | None) -> Causes:
    """Check postStart and preStop."""
    out: Causes = []
    for key in ("postStart", "preStop"):
        if (handler := lifecycle.get(key)) is not None:
            out += _handler(handler, f"{field}.{key}", _HOOK_HANDLERS, grace_s)
    if (signal := lifecycle.get("stopSignal")) is not None and not signal.startswith("SIG"):
        out.append(causes.unsupported(f"{field}.stopSignal", signal, ()))
    return out


def _handler(
    handler: objects.Object, field: str, kinds: tuple[str, ...], grace_s: int | None
) -> Causes:
    present = [key for key in kinds if handler.get(key) is not None]
    if not present:
        return [causes.required(field, "must specify a handler type")]
    out = [
        causes.forbidden(f"{field}.{key}", "may not specify more than 1 handler type")
        for key in present[1:]
    ]
    key = present[0]
    action = handler[key]
    match key:
        case "exec":
            if not action.get("command"):
                out.append(causes.required(f"{field}.exec.command"))
        case "httpGet":
            out += _http(action, f"{field}.httpGet")
        case "tcpSocket":
            out += port(action.get("port", 0), f"{field}.tcpSocket.port")
        case "grpc":
            out += port(action.get("port") or 0, f"{field}.grpc.port")
        case _:
            seconds = action.get("seconds") or 0
            if grace_s is not None and not 0 <= seconds <= grace_s:
                text = (
                    f"must be non-negative and less than terminationGracePeriodSeconds ({grace_s})"
                )
                out.append(causes.invalid(f"{field}.sleep", seconds, text))
    return out


def _http(action: objects.Object, field: str) -> Causes:
    out: Causes = []
    if not action.get("path"):
        out.append(causes.required(f"{field}.path"))
    out += port(action.get("port", 0), f"{field}.port")
    scheme = action.get("scheme") or ""
    if scheme not in _SCHEMES:
        out.append(causes.unsupported(f"{field}.scheme", scheme, _SCHEMES))
    for header in action.get("httpHeaders") or ():
        name = header.get("name") or ""
        out += causes.complaints(f"{field}.httpHeaders", name, names.http_header(name))
    return out


def port(value: objects.Json, field: str) -> Causes:
    """Check a port given by number or by name."""
    if isinstance(value, str):
        return causes.complaints(field, value, names.port_name(value))
    number = value or 0
    return [] if 1 <= number <= 65535 else [causes.invalid(field, number, names.between(1, 65535))]
