"""APIServices. Source: kube-aggregator pkg/apis/apiregistration @1.36."""

from __future__ import annotations

import base64
from typing import ClassVar

from understudy.aio import clocks
from understudy.kapi.resources import strategies
from understudy.kapi.resources.kinds import rules
from understudy.kube import causes, names, objects, statuses

_GROUP_MAX, _VERSION_MAX = 20_000, 1_000
_STATES = ("True", "False", "Unknown")
_LOCAL: objects.Object = {
    "type": "Available",
    "status": "True",
    "reason": "Local",
    "message": "Local APIServices are always available",
}


class ApiService(rules.Kind):
    """An APIService."""

    metadata_checks: ClassVar[names.MetadataChecks] = names.MetadataChecks(1, 1)
    status_is_separate: ClassVar[bool] = True
    resets_metadata: ClassVar[bool] = True
    unconditional_update: ClassVar[bool] = False

    def default(self, obj: objects.Object) -> None:
        service = (obj.get("spec") or {}).get("service")
        if service is not None and service.get("port") is None:
            service["port"] = 443

    def validate_name(self, name: str) -> list[str]:
        return names.path_segment(name)

    def prepare_create(self, obj: objects.Object, context: strategies.WriteContext) -> None:
        """Reset the status; what the server serves itself is available from the start."""
        obj["status"] = {}
        if (obj.get("spec") or {}).get("service") is None:
            now = clocks.rfc3339(context.now)
            obj["status"] = {"conditions": [_LOCAL | {"lastTransitionTime": now}]}

    def validate_create(
        self, obj: objects.Object, context: strategies.WriteContext
    ) -> list[statuses.Cause]:
        spec, name = obj.get("spec") or {}, objects.name_of(obj)
        group, version = spec.get("group") or "", spec.get("version") or ""
        out: list[statuses.Cause] = []
        wanted = f"{version}.{group}"
        if name != wanted and not names.path_segment(name):
            text = f'must be `spec.version+"."+spec.group`: {causes.quoted(wanted)}'
            out.append(causes.invalid("metadata.name", name, text))
        if not group and version != "v1":
            text = "only v1 may have an empty group and it better be legacy kube"
            out.append(causes.required("spec.group", text))
        if group:
            out += rules.checked(group, "spec.group", names.dns_subdomain)
        out += rules.checked(version, "spec.version", names.dns1035_label)
        for field, bound in (
            ("groupPriorityMinimum", _GROUP_MAX),
            ("versionPriority", _VERSION_MAX),
        ):
            value = spec.get(field) or 0
            if value <= 0 or value > bound:
                text = f"must be positive and less than {bound}"
                out.append(causes.invalid(f"spec.{field}", value, text))
        return out + _service(spec)

    def validate_update(
        self, obj: objects.Object, old: objects.Object, context: strategies.WriteContext
    ) -> list[statuses.Cause]:
        if context.subresource != "status":
            return self.validate_create(obj, context)
        return [
            causes.unsupported(f"status.conditions[{index}].status", one.get("status"), _STATES)
            for index, one in enumerate((obj.get("status") or {}).get("conditions") or ())
            if one.get("status") not in _STATES
        ]


def _service(spec: objects.Object) -> list[statuses.Cause]:
    service = spec.get("service")
    out: list[statuses.Cause] = []
    if service is None:
        if bundle := spec.get("caBundle"):
            shown = f"{len(base64.b64decode(bundle))} bytes"
            text = "local APIServices may not have a caBundle"
            out.append(causes.invalid("spec.caBundle", shown, text))
        if spec.get("insecureSkipTLSVerify"):
            text = "local APIServices may not have insecureSkipTLSVerify"
            out.append(causes.invalid("spec.insecureSkipTLSVerify", True, text))
        return out
    out += [
        causes.required(f"spec.service.{field}")
        for field in ("namespace", "name")
        if not service.get(field)
    ]
    port = service.get("port") or 0
    if complaints := names.port_number(port):
        text = "port is not valid: " + ", ".join(complaints)
        out.append(causes.invalid("spec.service.port", port, text))
    if spec.get("insecureSkipTLSVerify") and spec.get("caBundle"):
        text = "may not be true if caBundle is present"
        out.append(causes.invalid("spec.insecureSkipTLSVerify", True, text))
    return out
