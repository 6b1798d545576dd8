"""Endpoints and EndpointSlices.

Source: pkg/apis/{core,discovery}, pkg/registry/discovery/endpointslice @1.36.
"""

from __future__ import annotations

from typing import ClassVar

from understudy.kapi.resources import strategies
from understudy.kapi.resources.kinds import containers, rules, services
from understudy.kube import addresses, causes, names, objects, statuses

Causes = list[statuses.Cause]

_ADDRESS_TYPES = ("FQDN", "IPv4", "IPv6")
_ADDRESSES_MAX, _ENDPOINTS_MAX, _PORTS_MAX, _HINTS_MAX = 100, 1000, 20000, 8
_TOPOLOGY_MAX = 16
_HOSTNAME = "kubernetes.io/hostname"
_DEPRECATED = "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"


class Endpoints(rules.Kind):
    """The deprecated Endpoints of a service."""

    metadata_checks: ClassVar[names.MetadataChecks] = names.MetadataChecks(1, 1, True)

    def default(self, obj: objects.Object) -> None:
        for subset in obj.get("subsets") or ():
            for port in subset.get("ports") or ():
                if not port.get("protocol"):
                    port["protocol"] = "TCP"

    def validate_create(
        self, obj: objects.Object, context: strategies.WriteContext
    ) -> list[statuses.Cause]:
        return self._validate(obj)

    def validate_update(
        self, obj: objects.Object, old: objects.Object, context: strategies.WriteContext
    ) -> list[statuses.Cause]:
        if (obj.get("subsets") or []) == (old.get("subsets") or []):
            return []
        return self._validate(obj)

    def _validate(self, obj: objects.Object) -> Causes:
        out: Causes = []
        for index, subset in enumerate(obj.get("subsets") or ()):
            at = f"subsets[{index}]"
            if not subset.get("addresses") and not subset.get("notReadyAddresses"):
                text = "must specify `addresses` or `notReadyAddresses`"
                out.append(causes.required(at, text))
            for key in ("addresses", "notReadyAddresses"):
                for number, one in enumerate(subset.get(key) or ()):
                    out += _address(one, f"{at}.{key}[{number}]")
            ports = subset.get("ports") or []
            for number, port in enumerate(ports):
                out += _port(port, f"{at}.ports[{number}]", named=len(ports) > 1)
        return out

    def warnings(self, obj: objects.Object, old: objects.Object | None) -> list[str]:
        return [
            warning
            for index, subset in enumerate(obj.get("subsets") or ())
            for key in ("addresses", "notReadyAddresses")
            for number, one in enumerate(subset.get(key) or ())
            for warning in addresses.ip_warnings(
                f"subsets[{index}].{key}[{number}].ip", one.get("ip") or ""
            )
        ]


def _address(one: objects.Object, field: str) -> Causes:
    ip, at = one.get("ip") or "", f"{field}.ip"
    out = causes.complaints(at, ip, addresses.legacy_ip(ip))
    if host := one.get("hostname"):
        out += causes.complaints(f"{field}.hostname", host, names.dns_label(host))
    if (node := one.get("nodeName")) is not None:
        out += causes.complaints(f"{field}.nodeName", node, names.dns_subdomain(node))
    return out + services.special_ip(ip, at)


def _port(port: objects.Object, field: str, *, named: bool) -> Causes:
    name, number = port.get("name") or "", port.get("port") or 0
    out: Causes = []
    if not name:
        if named:
            out.append(causes.required(f"{field}.name"))
    else:
        out += causes.complaints(f"{field}.name", name, names.dns_label(name))
    out += causes.complaints(f"{field}.port", number, names.port_number(number))
    out += rules.one_of(port.get("protocol"), f"{field}.protocol", containers.PROTOCOLS)
    if (application := port.get("appProtocol")) is not None:
        at = f"{field}.appProtocol"
        out += causes.complaints(at, application, names.qualified_name(application))
    return out


class EndpointSlice(rules.Listing):
    """A slice of the endpoints of a service."""

    metadata_checks: ClassVar[names.MetadataChecks] = names.MetadataChecks(1, 0, True)
    lists: ClassVar[tuple[tuple[str, ...], ...]] = (("endpoints",), ("ports",))
    has_generation: ClassVar[bool] = True

    def default(self, obj: objects.Object) -> None:
        for port in obj.get("ports") or ():
            if port.get("name") is None:
                port["name"] = ""
            if not port.get("protocol"):
                port["protocol"] = "TCP"

    def advances_generation(
        self, obj: objects.Object, old: objects.Object, subresource: str
    ) -> bool:
        return False

    def prepare_create(self, obj: objects.Object, context: strategies.WriteContext) -> None:
        """Drop what only older versions of the API set."""
        super().prepare_create(obj, context)
        _drop_topology(obj, [])

    def prepare_update(
        self, obj: objects.Object, old: objects.Object, context: strategies.WriteContext
    ) -> None:
        super().prepare_update(obj, old, context)
        if _content(obj) != _content(old):
            # What is dropped counts as a change, too.
            meta = obj["metadata"]
            meta["generation"] = int(objects.metadata(old).get("generation") or 0) + 1
        before = old.get("endpoints") or []
        if not rules.same(obj.get("endpoints") or [], before):
            _drop_topology(obj, before)

    def validate_create(
        self, obj: objects.Object, context: strategies.WriteContext
    ) -> list[statuses.Cause]:
        return self._validate(obj)

    def validate_update(
        self, obj: objects.Object, old: objects.Object, context: strategies.WriteContext
    ) -> list[statuses.Cause]:
        out = self._validate(obj)
        return out + rules.immutable(obj.get("addressType"), old.get("addressType"), "addressType")

    def _validate(self, obj: objects.Object) -> Causes:
        kind = obj.get("addressType") or ""
        out = rules.one_of(kind, "addressType", _ADDRESS_TYPES)
        listed = obj.get("endpoints") or []
        if len(listed) > _ENDPOINTS_MAX:
            return [*out, causes.too_many("endpoints", len(listed), _ENDPOINTS_MAX)]
        for index, one in enumerate(listed):
            out += _endpoint(one, kind, f"endpoints[{index}]")
        ports = obj.get("ports") or []
        if len(ports) > _PORTS_MAX:
            return [*out, causes.too_many("ports", len(ports), _PORTS_MAX)]
        seen: set[str] = set()
        for index, port in enumerate(ports):
            at, name = f"ports[{index}]", port.get("name") or ""
            if name:
                out += causes.complaints(f"{at}.name", name, names.dns_label(name))
            if name in seen:
                out.append(causes.duplicate(f"{at}.name", name))
            seen.add(name)
            out += rules.one_of(port.get("protocol"), f"{at}.protocol", containers.PROTOCOLS)
            if (application := port.get("appProtocol")) is not None:
                complaints = names.qualified_name(application)
                out += causes.complaints(f"{at}.appProtocol", application, complaints)
        return out

    def warnings(self, obj: objects.Object, old: objects.Object | None) -> list[str]:
        out: list[str] = []
        if obj.get("addressType") == "FQDN":
            if old is None:
                out.append("spec.addressType: FQDN endpoints are deprecated")
            return out
        for index, one in enumerate(obj.get("endpoints") or ()):
            for number, address in enumerate(one.get("addresses") or ()):
                at = f"endpoints[{index}].addresses[{number}]"
                out += addresses.ip_warnings(at, address)
        return out


def _content(one: objects.Object) -> list[objects.Json]:
    """Return what counts for the generation: everything, but of the metadata only the labels."""
    kept = {k: v for k, v in one.items() if k not in {"metadata", "apiVersion", "kind"}}
    return [kept, objects.labels_of(one)]


def _drop_topology(obj: objects.Object, old: list[objects.Object]) -> None:
    """Drop deprecatedTopology, in place; the node that the old object has there keeps its name."""
    nodes = {(one.get("deprecatedTopology") or {}).get(_HOSTNAME) for one in old} - {None, ""}
    for one in obj.get("endpoints") or ():
        node = str((one.pop("deprecatedTopology", None) or {}).get(_HOSTNAME) or "")
        if one.get("nodeName") is None and node in nodes and not names.dns_subdomain(node):
            one["nodeName"] = node


def _endpoint(one: objects.Object, kind: str, field: str) -> Causes:
    listed = one.get("addresses") or []
    at = f"{field}.addresses"
    out: Causes = []
    if not listed:
        out.append(causes.required(at, "must contain at least 1 address"))
    elif len(listed) > _ADDRESSES_MAX:
        out.append(causes.too_many(at, len(listed), _ADDRESSES_MAX))
    for index, address in enumerate(listed):
        out += _slice_address(address, kind, f"{at}[{index}]")
    if (node := one.get("nodeName")) is not None:
        out += causes.complaints(f"{field}.nodeName", node, names.dns_subdomain(node))
    topology = one.get("deprecatedTopology") or {}
    if len(topology) > _TOPOLOGY_MAX:
        where = f"{field}.deprecatedTopology"
        out.append(causes.too_many(where, len(topology), _TOPOLOGY_MAX))
    out += names.validate_labels(topology, f"{field}.deprecatedTopology")
    if _HOSTNAME in topology:
        where = f"{field}.deprecatedTopology[{_HOSTNAME}]"
        text = "may not be set in favor of nodeName"
        out.append(causes.invalid(where, topology[_HOSTNAME], text))
    if (host := one.get("hostname")) is not None:
        out += causes.complaints(f"{field}.hostname", host, names.dns_label(host))
    if (hints := one.get("hints")) is not None:
        for key in ("forZones", "forNodes"):
            out += _hints(hints.get(key) or [], f"{field}.hints.{key}", key)
    return out


def _slice_address(address: str, kind: str, field: str) -> Causes:
    if kind == "FQDN":
        if not address:
            return [causes.required(field)]
        name = address.removesuffix(".")
        complaints = names.dns_subdomain(name)
        if complaints:
            return [causes.invalid(field, name, ",".join(complaints))]
        if "." not in name:
            text = "should be a domain with at least two segments separated by dots"
            return [causes.invalid(field, name, text)]
        return []
    if kind not in {"IPv4", "IPv6"}:
        return []
    complaints = addresses.legacy_ip(address)
    if complaints:
        return causes.complaints(field, address, complaints)
    parsed = addresses.parse_ip(address)
    if parsed is not None and f"IPv{parsed.version}" != kind:
        return [causes.invalid(field, address, f"must be an {kind} address")]
    return services.special_ip(address, field)


def _hints(listed: list[objects.Object], field: str, key: str) -> Causes:
    out: Causes = []
    if len(listed) > _HINTS_MAX:
        return [causes.too_many(field, len(listed), _HINTS_MAX)]
    seen: set[str] = set()
    for index, one in enumerate(listed):
        at, name = f"{field}[{index}].name", one.get("name") or ""
        if name in seen:
            out.append(causes.duplicate(at, name))
        seen.add(name)
        check = names.label_value if key == "forZones" else names.dns_subdomain
        out += causes.complaints(at, name, check(name))
    return out
