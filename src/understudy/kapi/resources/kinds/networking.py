"""Ingresses and their classes, NetworkPolicies, IPAddresses and ServiceCIDRs.

Source: pkg/apis/networking/{v1,validation}, pkg/registry/networking @1.36.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from understudy.kapi.resources import strategies
from understudy.kapi.resources.kinds import jobpolicies, rules
from understudy.kube import addresses, causes, names, objects, selectors, statuses

Causes = list[statuses.Cause]

_CLASS = "kubernetes.io/ingress.class"
_PATH_TYPES = ("Exact", "ImplementationSpecific", "Prefix")
_BAD_PARTS = ("//", "/./", "/../", "%2f", "%2F")
_BAD_ENDS = ("/..", "/.")
_CONTROLLER_BYTES_MAX = 250
_SCOPES = ("Cluster", "Namespace")
_NOT_AN_IP = "must be a DNS name, not an IP address"
_PROTOCOLS = ("TCP", "UDP", "SCTP")
_POLICY_TYPES = ("Ingress", "Egress")


class Ingress(rules.Kind):
    """An Ingress."""

    metadata_checks: ClassVar[names.MetadataChecks] = names.MetadataChecks(1, 1, True)
    status_is_separate: ClassVar[bool] = True
    has_generation: ClassVar[bool] = True

    def default(self, obj: objects.Object) -> None:
        if obj.get("spec") is None:
            obj["spec"] = {}
        status = obj.get("status")
        if status is None:
            status = obj["status"] = {}
        if status.get("loadBalancer") is None:
            status["loadBalancer"] = {}

    def initial_status(self, obj: objects.Object) -> objects.Object:
        return {"loadBalancer": {}}

    def validate_create(
        self, obj: objects.Object, context: strategies.WriteContext
    ) -> list[statuses.Cause]:
        spec = obj["spec"]
        out = _ingress_spec(spec, None)
        annotation, name = objects.annotations_of(obj).get(_CLASS), spec.get("ingressClassName")
        if annotation is not None and name is not None and annotation != name:
            text = "must match `ingressClassName` when both are specified"
            out.append(causes.invalid(f"annotations.{_CLASS}", annotation, text))
        return out

    def validate_update(
        self, obj: objects.Object, old: objects.Object, context: strategies.WriteContext
    ) -> list[statuses.Cause]:
        if context.subresource == "status":
            return _ingress_status(obj.get("status") or {}, old.get("status") or {})
        return _ingress_spec(obj["spec"], old["spec"])

    def warnings(self, obj: objects.Object, old: objects.Object | None) -> list[str]:
        if old is None and _CLASS in objects.annotations_of(obj):
            text = "is deprecated, please use 'spec.ingressClassName' instead"
            return [f'annotation "{_CLASS}" {text}']
        balancer = (obj.get("status") or {}).get("loadBalancer") or {}
        if old is None or balancer == ((old.get("status") or {}).get("loadBalancer") or {}):
            return []
        return [
            text
            for index, one in enumerate(balancer.get("ingress") or ())
            if one.get("ip")
            for text in addresses.ip_warnings(f"status.loadBalancer.ingress[{index}].ip", one["ip"])
        ]


def _ingress_spec(spec: objects.Object, old: objects.Object | None) -> Causes:
    rules_, backend = spec.get("rules") or [], spec.get("defaultBackend")
    out: Causes = []
    if not rules_ and backend is None:
        text = "either `defaultBackend` or `rules` must be specified"
        out.append(causes.invalid("spec", None, text))
    if backend is not None:
        out += _backend(backend, "spec.defaultBackend")
    lenient = old is not None and any(
        "*" in (rule.get("host") or "") and _http(rule, "") for rule in old.get("rules") or ()
    )
    for index, rule in enumerate(rules_):
        at, host = f"spec.rules[{index}]", rule.get("host") or ""
        if host:
            out += _host(host, f"{at}.host")
        if "*" not in host or not lenient:
            out += _http(rule, at)
    any_name = old is not None and any(map(_bad_secret, old.get("tls") or ()))
    for index, tls in enumerate(spec.get("tls") or ()):
        at, name = f"spec.tls[{index}]", tls.get("secretName") or ""
        for number, host in enumerate(tls.get("hosts") or ()):
            check = names.wildcard_subdomain if "*" in host else names.dns_subdomain
            out += causes.complaints(f"{at}.hosts[{number}]", host, check(host))
        if name and not any_name:
            out += causes.complaints(f"{at}.secretName", name, names.dns_subdomain(name))
    name = spec.get("ingressClassName")
    if name is not None:
        out += causes.complaints("spec.ingressClassName", name, names.dns_subdomain(name))
    return out


def _bad_secret(tls: objects.Object) -> bool:
    name = tls.get("secretName") or ""
    return bool(name and names.dns_subdomain(name))


def _host(host: str, field: str) -> Causes:
    out: Causes = []
    if addresses.parse_ip(host) is not None:
        out.append(causes.invalid(field, host, _NOT_AN_IP))
    check = names.wildcard_subdomain if "*" in host else names.dns_subdomain
    return out + causes.complaints(field, host, check(host))


def _http(rule: objects.Object, field: str) -> Causes:
    http = rule.get("http")
    if http is None:
        return []
    listed = http.get("paths") or []
    if not listed:
        return [causes.required(f"{field}.http.paths")]
    out: Causes = []
    for index, one in enumerate(listed):
        at = f"{field}.http.paths[{index}]"
        kind, path = one.get("pathType"), one.get("path") or ""
        if kind is None:
            out.append(causes.required(f"{at}.pathType", "pathType must be specified"))
            continue
        if kind not in _PATH_TYPES:
            out.append(causes.unsupported(f"{at}.pathType", kind, _PATH_TYPES))
        else:
            out += _path(path, kind, f"{at}.path")
        out += _backend(one.get("backend") or {}, f"{at}.backend")
    return out


def _path(path: str, kind: str, field: str) -> Causes:
    out: Causes = []
    free = kind == "ImplementationSpecific"
    if not path.startswith("/") and (path or not free):
        out.append(causes.invalid(field, path, "must be an absolute path"))
    if free:
        return out
    out += [
        causes.invalid(field, path, f"must not contain '{part}'")
        for part in _BAD_PARTS
        if part in path
    ]
    return out + [
        causes.invalid(field, path, f"cannot end with '{end}'")
        for end in _BAD_ENDS
        if path.endswith(end)
    ]


def _backend(backend: objects.Object, field: str) -> Causes:
    service, resource = backend.get("service"), backend.get("resource")
    if service is not None and resource is not None:
        return [causes.invalid(field, "", "cannot set both resource and service backends")]
    if resource is not None:
        return _typed_reference(resource, f"{field}.resource")
    if service is None:
        return [causes.invalid(field, "", "resource or service backend is required")]
    out: Causes = []
    name = service.get("name") or ""
    if not name:
        out.append(causes.required(f"{field}.service.name"))
    else:
        out += causes.complaints(f"{field}.service.name", name, names.dns_label(name))
    port = service.get("port") or {}
    called, number = port.get("name") or "", port.get("number") or 0
    if called and number:
        out.append(causes.invalid(field, "", "cannot set both port name & port number"))
    elif called:
        out += causes.complaints(f"{field}.service.port.name", called, names.port_name(called))
    elif number:
        at = f"{field}.service.port.number"
        out += causes.complaints(at, number, names.port_number(number))
    else:
        out.append(causes.required(field, "port name or number is required"))
    return out


def _typed_reference(reference: objects.Object, field: str) -> Causes:
    out: Causes = []
    group = reference.get("apiGroup")
    if group is not None:
        out += causes.complaints(f"{field}.apiGroup", group, names.dns_subdomain(group))
    for key in ("kind", "name"):
        value = reference.get(key) or ""
        if not value:
            out.append(causes.required(f"{field}.{key}"))
        else:
            out += causes.complaints(f"{field}.{key}", value, names.path_segment(value))
    return out


def _ingress_status(status: objects.Object, old: objects.Object) -> Causes:
    known = {
        one.get("ip") for one in (old.get("loadBalancer") or {}).get("ingress") or ()
    }  # fmt: skip
    out: Causes = []
    for index, one in enumerate((status.get("loadBalancer") or {}).get("ingress") or ()):
        at, ip, host = (
            f"status.loadBalancer.ingress[{index}]", one.get("ip"), one.get("hostname"),
        )  # fmt: skip
        if ip and ip not in known:
            out += causes.complaints(f"{at}.ip", ip, addresses.legacy_ip(ip))
        if host:
            out += causes.complaints(f"{at}.hostname", host, names.dns_subdomain(host))
            if addresses.parse_ip(host) is not None:
                out.append(causes.invalid(f"{at}.hostname", host, _NOT_AN_IP))
    return out


class IngressClass(rules.Kind):
    """An IngressClass."""

    metadata_checks: ClassVar[names.MetadataChecks] = names.MetadataChecks(1, 1, True)
    has_generation: ClassVar[bool] = True

    def default(self, obj: objects.Object) -> None:
        spec = obj.get("spec")
        if spec is None:
            spec = obj["spec"] = {}
        parameters = spec.get("parameters")
        if parameters is not None and parameters.get("scope") is None:
            parameters["scope"] = "Cluster"

    def validate_create(
        self, obj: objects.Object, context: strategies.WriteContext
    ) -> list[statuses.Cause]:
        spec = obj["spec"]
        controller, at = spec.get("controller") or "", "spec.controller"
        out: Causes = []
        if names.size(controller) > _CONTROLLER_BYTES_MAX:
            out.append(causes.too_long(at, _CONTROLLER_BYTES_MAX))
        out += jobpolicies.domain_prefixed_path(controller, at)
        if (parameters := spec.get("parameters")) is not None:
            out += _parameters(parameters, "spec.parameters")
        return out

    def validate_update(
        self, obj: objects.Object, old: objects.Object, context: strategies.WriteContext
    ) -> list[statuses.Cause]:
        new, before = obj["spec"].get("controller"), old["spec"].get("controller")
        out = rules.immutable(new or "", before or "", "spec.controller")
        return out + self.validate_create(obj, context)


def _parameters(parameters: objects.Object, field: str) -> Causes:
    out = _typed_reference(parameters, field)
    scope, namespace = parameters.get("scope"), parameters.get("namespace")
    at = f"{field}.namespace"
    if scope not in _SCOPES:
        out.append(causes.unsupported(f"{field}.scope", scope, _SCOPES))
    elif scope == "Namespace" and namespace is None:
        out.append(causes.required(at, "`parameters.scope` is set to 'Namespace'"))
    elif scope == "Namespace":
        out += causes.complaints(at, namespace, names.dns_label(namespace or ""))
    elif namespace is not None:
        out.append(causes.forbidden(at, "`parameters.scope` is set to 'Cluster'"))
    return out


class NetworkPolicy(rules.Kind):
    """A NetworkPolicy."""

    has_generation: ClassVar[bool] = True

    def default(self, obj: objects.Object) -> None:
        spec = obj.get("spec")
        if spec is None:
            spec = obj["spec"] = {}
        if spec.get("podSelector") is None:
            spec["podSelector"] = {}
        for way in ("ingress", "egress"):
            for rule in spec.get(way) or ():
                for port in rule.get("ports") or ():
                    if port.get("protocol") is None:
                        port["protocol"] = "TCP"
        if not spec.get("policyTypes"):
            spec["policyTypes"] = ["Ingress", "Egress"] if spec.get("egress") else ["Ingress"]

    def validate_create(
        self, obj: objects.Object, context: strategies.WriteContext
    ) -> list[statuses.Cause]:
        return _policy_spec(obj["spec"], frozenset())

    def validate_update(
        self, obj: objects.Object, old: objects.Object, context: strategies.WriteContext
    ) -> list[statuses.Cause]:
        known = frozenset(cidr for _, cidr in _cidrs(old["spec"]))
        return _policy_spec(obj["spec"], known)

    def warnings(self, obj: objects.Object, old: objects.Object | None) -> list[str]:
        return [
            text for at, cidr in _cidrs(obj["spec"]) for text in addresses.cidr_warnings(at, cidr)
        ]


def _cidrs(spec: objects.Object) -> Iterator[tuple[str, str]]:
    """Yield every CIDR of a policy with its path."""
    for way, side in (("ingress", "from"), ("egress", "to")):
        for index, rule in enumerate(spec.get(way) or ()):
            for number, peer in enumerate(rule.get(side) or ()):
                block, at = peer.get("ipBlock"), f"spec.{way}[{index}].{side}[{number}].ipBlock"
                if block is None:
                    continue
                yield f"{at}.cidr", block.get("cidr") or ""
                for position, cidr in enumerate(block.get("except") or ()):
                    yield f"{at}.except[{position}]", cidr


def _policy_spec(spec: objects.Object, known: frozenset[str]) -> Causes:
    out = selectors.validate_label_selector(spec.get("podSelector"), "spec.podSelector")
    for way, side in (("ingress", "from"), ("egress", "to")):
        for index, rule in enumerate(spec.get(way) or ()):
            at = f"spec.{way}[{index}]"
            for number, port in enumerate(rule.get("ports") or ()):
                out += _policy_port(port, f"{at}.ports[{number}]")
            for number, peer in enumerate(rule.get(side) or ()):
                out += _peer(peer, f"{at}.{side}[{number}]", known)
    kinds = spec.get("policyTypes") or []
    if len(kinds) > len(_POLICY_TYPES):
        text = "may not specify more than two policyTypes"
        out.append(causes.invalid("spec.policyTypes", kinds, text))
        return out
    return out + [
        causes.unsupported(f"spec.policyTypes[{index}]", kind, _POLICY_TYPES)
        for index, kind in enumerate(kinds)
        if kind not in _POLICY_TYPES
    ]


def _policy_port(one: objects.Object, field: str) -> Causes:
    protocol, port, end = one.get("protocol"), one.get("port"), one.get("endPort")
    at = f"{field}.endPort"
    out: Causes = []
    if protocol is not None and protocol not in _PROTOCOLS:
        out.append(causes.unsupported(f"{field}.protocol", protocol, _PROTOCOLS))
    if port is None:
        if end is not None:
            text = "may not be specified when `port` is not specified"
            out.append(causes.invalid(at, end, text))
        return out
    if isinstance(port, str):
        if end is not None:
            text = "may not be specified when `port` is non-numeric"
            out.append(causes.invalid(at, end, text))
        return out + causes.complaints(f"{field}.port", port, names.port_name(port))
    out += causes.complaints(f"{field}.port", port, names.port_number(port))
    if end is not None:
        if end < port:
            # As in Kubernetes, the port is shown.
            out.append(causes.invalid(at, port, "must be greater than or equal to `port`"))
        out += causes.complaints(at, end, names.port_number(end))
    return out


def _peer(peer: objects.Object, field: str, known: frozenset[str]) -> Causes:
    out: Causes = []
    count = 0
    for key in ("podSelector", "namespaceSelector"):
        if (selector := peer.get(key)) is not None:
            count += 1
            out += selectors.validate_label_selector(selector, f"{field}.{key}")
    block = peer.get("ipBlock")
    if block is not None:
        count += 1
        out += _ip_block(block, f"{field}.ipBlock", known)
    if count == 0:
        out.append(causes.required(field, "must specify a peer"))
    elif count > 1 and block is not None:
        text = "may not specify both ipBlock and another peer"
        out.append(causes.forbidden(field, text))
    return out


def _ip_block(block: objects.Object, field: str, known: frozenset[str]) -> Causes:
    cidr = block.get("cidr") or ""
    if not cidr:
        return [causes.required(f"{field}.cidr")]
    out: Causes = []
    if cidr not in known:
        out += causes.complaints(f"{field}.cidr", cidr, addresses.legacy_cidr(cidr))
    whole = addresses.parse_cidr(cidr)
    if whole is None:
        return out
    for index, text in enumerate(block.get("except") or ()):
        at = f"{field}.except[{index}]"
        if text not in known:
            out += causes.complaints(at, text, addresses.legacy_cidr(text))
        part = addresses.parse_cidr(text)
        if part is None:
            continue
        inside = part.version == whole.version and part.network_address in whole
        if not inside or whole.prefixlen >= part.prefixlen:
            out.append(causes.invalid(at, text, "must be a strict subset of `cidr`"))
    return out


class IPAddress(rules.Kind):
    """An IPAddress, whose name is the address."""

    metadata_checks: ClassVar[names.MetadataChecks] = names.MetadataChecks(1, 1, True)

    def validate_name(self, name: str) -> list[str]:
        return addresses.canonical_ip(name)

    def validate_create(
        self, obj: objects.Object, context: strategies.WriteContext
    ) -> list[statuses.Cause]:
        parent, at = (obj.get("spec") or {}).get("parentRef"), "spec.parentRef"
        if parent is None:
            return [causes.required(at)]
        out: Causes = []
        if group := parent.get("group"):
            out += causes.complaints(f"{at}.group", group, names.dns_subdomain(group))
        for key in ("resource", "name", "namespace"):
            value = parent.get(key) or ""
            if value:
                out += causes.complaints(f"{at}.{key}", value, names.path_segment(value))
            elif key != "namespace":
                out.append(causes.required(f"{at}.{key}"))
        return out

    def validate_update(
        self, obj: objects.Object, old: objects.Object, context: strategies.WriteContext
    ) -> list[statuses.Cause]:
        new, before = ((one.get("spec") or {}).get("parentRef") for one in (obj, old))
        if rules.same(new, before):
            return []
        shown = new and {
            key.capitalize(): new.get(key) or ""
            for key in ("group", "resource", "namespace", "name")
        }
        out = [causes.invalid("spec.parentRef", shown, causes.IMMUTABLE)]
        return out + self.validate_create(obj, context)


class ServiceCIDR(rules.Kind):
    """A ServiceCIDR."""

    status_is_separate: ClassVar[bool] = True
    resets_metadata: ClassVar[bool] = True

    def validate_create(
        self, obj: objects.Object, context: strategies.WriteContext
    ) -> list[statuses.Cause]:
        return _service_networks((obj.get("spec") or {}).get("cidrs") or [])

    def validate_update(
        self, obj: objects.Object, old: objects.Object, context: strategies.WriteContext
    ) -> list[statuses.Cause]:
        if context.subresource == "status":
            return []
        at = "spec.cidrs"
        new, before = ((one.get("spec") or {}).get("cidrs") or [] for one in (obj, old))
        if len(new) == len(before):
            return [
                causes.invalid(f"{at}[{index}]", new[index], causes.IMMUTABLE)
                for index, cidr in enumerate(before)
                if new[index] != cidr
            ]
        if (len(before), len(new)) != (1, 2):
            return [causes.invalid(at, new or None, causes.IMMUTABLE)]
        out: Causes = []
        if new[0] != before[0]:
            out.append(causes.invalid(f"{at}[0]", new[0], causes.IMMUTABLE))
        return out + _service_networks(new)


def _service_networks(cidrs: list[str]) -> Causes:
    at = "spec.cidrs"
    if not cidrs:
        return [causes.required(at, "at least one CIDR required")]
    if len(cidrs) > 2:
        return [causes.invalid(at, {"CIDRs": cidrs}, "may only hold up to 2 values")]
    out: Causes = []
    for index, cidr in enumerate(cidrs):
        out += causes.complaints(f"{at}[{index}]", cidr, addresses.canonical_cidr(cidr))
    families = [network.version for one in cidrs if (network := addresses.parse_cidr(one))]
    if len(families) == 2 and len(set(families)) == 1:
        text = (
            "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and"
            " 2001:db8::/64"
        )
        out.append(causes.invalid(at, cidrs, text))
    return out
