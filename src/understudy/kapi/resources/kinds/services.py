"""Services: defaults, the linked address fields, allocation and validity.

Before anything else is checked, addresses and ports are settled and allocated, as the real server
does; what cannot be allocated is refused at once, alone.

Source: pkg/apis/core/{v1,validation}, pkg/registry/core/service @1.36.
"""

from __future__ import annotations

from typing import ClassVar

from understudy.kapi.resources import strategies
from understudy.kapi.resources.kinds import allocations, containers, probes, rules
from understudy.kube import addresses, causes, names, objects, statuses

Causes = list[statuses.Cause]

_TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
_WITH_IP = frozenset({"ClusterIP", "NodePort", "LoadBalancer"})
_FAMILIES = ("IPv4", "IPv6")
_POLICIES = ("PreferDualStack", "RequireDualStack", "SingleStack")
_DISTRIBUTIONS = ("PreferClose", "PreferSameZone", "PreferSameNode")
_KUBELET_PORT = 10250
_AFFINITY_SECONDS_MAX = 86400
_SOURCE_RANGES = "service.beta.kubernetes.io/load-balancer-source-ranges"
_HINTS = "service.kubernetes.io/topology-aware-hints"
_MODE = "service.kubernetes.io/topology-mode"


def _headless(spec: objects.Object) -> bool:
    return bool(spec.get("clusterIPs") == ["None"])


def _external(spec: objects.Object) -> bool:
    """Say whether a service can be reached from outside."""
    kind = spec.get("type")
    return kind in {"LoadBalancer", "NodePort"} or (
        kind == "ClusterIP" and bool(spec.get("externalIPs"))
    )


def _health_checked(spec: objects.Object) -> bool:
    return spec.get("type") == "LoadBalancer" and spec.get("externalTrafficPolicy") == "Local"


def _takes_node_ports(spec: objects.Object) -> bool:
    if spec.get("type") == "NodePort":
        return True
    wanted = spec.get("allocateLoadBalancerNodePorts")
    return spec.get("type") == "LoadBalancer" and wanted is not False


def _may_have_node_ports(spec: objects.Object) -> bool:
    return spec.get("type") in {"NodePort", "LoadBalancer"}


class Service(rules.Kind):
    """A Service."""

    status_is_separate: ClassVar[bool] = True
    returns_object_on_delete: ClassVar[bool] = True
    selectable: ClassVar[tuple[str, ...]] = ("spec.clusterIP", "spec.type")

    def validate_name(self, name: str) -> list[str]:
        return names.dns_label(name)

    def default(self, obj: objects.Object) -> None:
        spec = obj.get("spec")
        if spec is None:
            spec = obj["spec"] = {}
        _default_spec(spec)
        status = obj.get("status")
        if not status:
            status = obj["status"] = {"loadBalancer": {}}
        if spec["type"] == "LoadBalancer":
            for one in (status.get("loadBalancer") or {}).get("ingress") or ():
                if one.get("ip") and one.get("ipMode") is None:
                    one["ipMode"] = "VIP"

    def initial_status(self, obj: objects.Object) -> objects.Object:
        return {"loadBalancer": {}}

    def prepare_create(self, obj: objects.Object, context: strategies.WriteContext) -> None:
        """Settle the address fields and allocate what is missing."""
        super().prepare_create(obj, context)
        spec = obj["spec"]
        if spec.get("clusterIP") and not spec.get("clusterIPs"):
            spec["clusterIPs"] = [spec["clusterIP"]]
        _settle_families(obj, None)
        ledger = allocations.Ledger(context)
        _allocate_ips(obj, ledger)
        _allocate_ports(obj, ledger)

    def prepare_update(
        self, obj: objects.Object, old: objects.Object, context: strategies.WriteContext
    ) -> None:
        """Keep what was allocated, release what the new type does not need, allocate the rest."""
        super().prepare_update(obj, old, context)
        if context.subresource:
            return
        spec, before = obj["spec"], old["spec"]
        _keep_allocated(spec, before)
        _sync_cluster_ips(spec, before)
        if spec.get("type") in _WITH_IP or spec.get("type") not in _TYPES:
            _settle_families(obj, old)
        changes = (
            spec.get("clusterIPs") != before.get("clusterIPs")
            or spec.get("ports") != before.get("ports")
            or spec.get("type") != before.get("type")
            or spec.get("externalTrafficPolicy") != before.get("externalTrafficPolicy")
            or spec.get("healthCheckNodePort") != before.get("healthCheckNodePort")
        )
        if changes:
            ledger = allocations.Ledger(context, old)
            if before.get("type") == "ExternalName" and spec.get("type") in _WITH_IP:
                _allocate_ips(obj, ledger)
            if _may_have_node_ports(spec):
                _allocate_ports(obj, ledger)
        _drop_unneeded(spec, before)

    def validate_create(
        self, obj: objects.Object, context: strategies.WriteContext
    ) -> list[statuses.Cause]:
        return _validate(obj)

    def validate_update(
        self, obj: objects.Object, old: objects.Object, context: strategies.WriteContext
    ) -> list[statuses.Cause]:
        if context.subresource == "status":
            balancer = (obj.get("status") or {}).get("loadBalancer") or {}
            is_balancer = old["spec"].get("type") == "LoadBalancer"
            return load_balancer(balancer, "status.loadBalancer", allowed=is_balancer)
        if obj["spec"] == old["spec"] and objects.annotations_of(obj) == objects.annotations_of(
            old
        ):
            return []
        return _validate_changes(obj["spec"], old["spec"]) + _validate(obj)

    def warnings(self, obj: objects.Object, old: objects.Object | None) -> list[str]:
        return _warnings(obj)

    def selectable_fields(self, obj: objects.Object) -> dict[str, str]:
        spec = obj.get("spec") or {}
        return {
            "spec.clusterIP": spec.get("clusterIP") or "",
            "spec.type": spec.get("type") or "",
            allocations.TAKEN: allocations.held_by(obj),
        }


def _default_spec(spec: objects.Object) -> None:
    if not spec.get("sessionAffinity"):
        spec["sessionAffinity"] = "None"
    if spec["sessionAffinity"] == "None":
        spec.pop("sessionAffinityConfig", None)
    elif spec["sessionAffinity"] == "ClientIP":
        client = (spec.get("sessionAffinityConfig") or {}).get("clientIP") or {}
        if client.get("timeoutSeconds") is None:
            spec["sessionAffinityConfig"] = {"clientIP": {"timeoutSeconds": 10800}}
    if not spec.get("type"):
        spec["type"] = "ClusterIP"
    for port in spec.get("ports") or ():
        if not port.get("protocol"):
            port["protocol"] = "TCP"
        if not port.get("targetPort"):
            port["targetPort"] = port.get("port") or 0
    if _external(spec) and not spec.get("externalTrafficPolicy"):
        spec["externalTrafficPolicy"] = "Cluster"
    if spec["type"] in _WITH_IP and spec.get("internalTrafficPolicy") is None:
        spec["internalTrafficPolicy"] = "Cluster"
    if spec["type"] == "LoadBalancer" and spec.get("allocateLoadBalancerNodePorts") is None:
        spec["allocateLoadBalancerNodePorts"] = True


def _refuse(obj: objects.Object, found: Causes) -> statuses.InvalidError:
    return statuses.invalid("", "Service", objects.name_of(obj), found)


def _settle_families(obj: objects.Object, old: objects.Object | None) -> None:
    """Fill in ipFamilyPolicy and ipFamilies, or refuse what a single-stack cluster cannot do."""
    spec = obj["spec"]
    if spec.get("type") == "ExternalName":
        return
    before = (old or {}).get("spec") or {}
    headless_free = spec.get("clusterIP") == "None" and not spec.get("selector")
    if spec.get("ipFamilyPolicy") is None:
        inferred = "RequireDualStack" if headless_free else "SingleStack"
        spec["ipFamilyPolicy"] = before.get("ipFamilyPolicy") or inferred
    if found := _address_fields(spec):
        raise _refuse(obj, found)
    policy = spec["ipFamilyPolicy"]
    found = _reductions(spec, before) if old is not None else []
    at = "spec.ipFamilyPolicy"
    if policy == "SingleStack":
        must = "must be 'RequireDualStack' or 'PreferDualStack' when multiple"
        if len(spec.get("clusterIPs") or ()) == 2:
            found.append(causes.invalid(at, policy, f"{must} cluster IPs are specified"))
        if len(spec.get("ipFamilies") or ()) == 2:
            found.append(causes.invalid(at, policy, f"{must} IP families are specified"))
    families = _inferred_families(spec, found)
    if found:
        raise _refuse(obj, found)
    if headless_free:
        families = families or ["IPv4"]
        if len(families) < 2 and policy != "SingleStack":
            families.append("IPv6" if families[0] == "IPv4" else "IPv4")
        spec["ipFamilies"] = families
        return
    if policy == "RequireDualStack":
        text = "this cluster is not configured for dual-stack services"
        found.append(causes.invalid(at, policy, text))
    found += [
        causes.invalid(f"spec.ipFamilies[{index}]", family, "not configured on this cluster")
        for index, family in enumerate(families)
        if family != "IPv4"
    ]
    if found:
        raise _refuse(obj, found)
    spec["ipFamilies"] = families or ["IPv4"]


def _inferred_families(spec: objects.Object, found: Causes) -> list[str]:
    """Return ipFamilies with those of the requested addresses; complaints go to `found`."""
    families: list[str] = list(spec.get("ipFamilies") or ())
    for index, ip in enumerate(spec.get("clusterIPs") or ()):
        if ip == "None":
            break
        if index >= len(families):
            if ":" in ip:
                text = "IPv6 is not configured on this cluster"
                at = f"spec.clusterIPs[{index}]"
                found.append(causes.invalid(at, spec["clusterIPs"], text))
            else:
                families.append("IPv4")
    return families


def _reductions(spec: objects.Object, before: objects.Object) -> Causes:
    """Drop the second address of a service that becomes single-stack, or complain."""
    found: Causes = []
    words = {"clusterIPs": "cluster IP", "ipFamilies": "IP family"}
    for key, what in words.items():
        new, old = spec.get(key) or [], before.get(key) or []
        if spec["ipFamilyPolicy"] == "SingleStack":
            if new == old and len(new) > 1:
                spec[key] = new[:1]
        elif 0 < len(new) < len(old):
            text = f"must be 'SingleStack' to release the secondary {what}"
            found.append(causes.invalid("spec.ipFamilyPolicy", spec["ipFamilyPolicy"], text))
    return found


def _allocate_ips(obj: objects.Object, ledger: allocations.Ledger) -> None:
    spec = obj["spec"]
    if spec.get("type") == "ExternalName" or _headless(spec):
        return
    wanted = list(spec.get("clusterIPs") or ())
    count = max(len(spec.get("ipFamilies") or ()), len(wanted))
    wanted += [""] * (count - len(wanted))
    for index, ip in enumerate(wanted):
        if not ip:
            _check_parent(obj, wanted[index:], free := ledger.next_ip())
            wanted[index] = free
            continue
        try:
            ledger.take_ip(ip)
        except allocations.NotFreeError as error:
            text = f"failed to allocate IP {ip}: {error}"
            raise _refuse(
                obj, [causes.invalid("spec.clusterIPs", spec["clusterIPs"], text)]
            ) from error
    if wanted:
        spec["clusterIPs"] = wanted
        spec["clusterIP"] = wanted[0]


def _check_parent(obj: objects.Object, asked: list[str], ip: str) -> None:
    """Refuse a service whose name an IPAddress cannot refer to, as the allocator finds first."""
    name = objects.name_of(obj)
    if complaints := names.path_segment(name):
        cause = causes.invalid("spec.parentRef.name", name, complaints[0])
        text = (
            f'failed to allocate IP: IPAddress.networking.k8s.io "{ip}" is invalid: {cause.field}:'
            f" {cause.message}"
        )
        raise _refuse(obj, [causes.invalid("spec.clusterIPs", asked, text)])


def _allocate_ports(obj: objects.Object, ledger: allocations.Ledger) -> None:
    spec = obj["spec"]
    ports = spec.get("ports") or ()
    settled: dict[int, int] = {}
    if _may_have_node_ports(spec):
        for index, port in enumerate(ports):
            own = port.get("nodePort") or 0
            if not own and not _takes_node_ports(spec):
                continue
            number = port.get("port") or 0
            known = settled.get(number, 0)
            if not known:
                asked = next(
                    (p["nodePort"] for p in ports if p.get("port") == number and p.get("nodePort")),
                    0,
                )
                if asked:
                    _take_port(obj, ledger, index, asked)
                port["nodePort"] = settled[number] = asked or ledger.next_port()
            elif not own:
                port["nodePort"] = known
            elif own != known:
                _take_port(obj, ledger, index, own)
    if _health_checked(spec):
        health = spec.get("healthCheckNodePort")
        if not health:
            spec["healthCheckNodePort"] = ledger.next_port()
            return
        try:
            ledger.take_port(health)
        except allocations.NotFreeError as error:
            raise statuses.InternalError(
                "Internal error occurred: failed to allocate requested HealthCheck NodePort"
                f" {health}: {error}"
            ) from error


def _take_port(obj: objects.Object, ledger: allocations.Ledger, index: int, port: int) -> None:
    try:
        ledger.take_port(port)
    except allocations.NotFreeError as error:
        at = f"spec.ports[{index}].nodePort"
        raise _refuse(obj, [causes.invalid(at, port, str(error))]) from error


def _keep_allocated(spec: objects.Object, before: objects.Object) -> None:
    """Give back what a client need not repeat."""
    if "ExternalName" not in {spec.get("type"), before.get("type")}:
        if not spec.get("clusterIP"):
            rules.restore(spec, before, "clusterIP")
        if not spec.get("clusterIPs") and spec.get("clusterIP") == before.get("clusterIP"):
            rules.restore(spec, before, "clusterIPs")
    if _may_have_node_ports(spec) and _may_have_node_ports(before):
        mine = {port.get("nodePort") for port in spec.get("ports") or ()}
        used = {port["nodePort"] for port in before.get("ports") or () if port.get("nodePort")}
        used &= mine
        by_name = {port.get("name"): port.get("nodePort") for port in before.get("ports") or ()}
        for port in spec.get("ports") or ():
            known = by_name.get(port.get("name"))
            if not port.get("nodePort") and known and known not in used:
                port["nodePort"] = known
                used.add(known)
    if _health_checked(spec) and _health_checked(before) and not spec.get("healthCheckNodePort"):
        rules.restore(spec, before, "healthCheckNodePort")


def _sync_cluster_ips(spec: objects.Object, before: objects.Object) -> None:
    """Let clusterIPs follow clusterIP where only that was changed."""
    new, old = spec.get("clusterIP") or "", before.get("clusterIP") or ""
    if new == old or (spec.get("clusterIPs") or []) != (before.get("clusterIPs") or []):
        return
    if new:
        spec["clusterIPs"] = [new]
    else:
        spec.pop("clusterIPs", None)


def _drop_unneeded(spec: objects.Object, before: objects.Object) -> None:
    """Drop what the new type has no use for, where the client left it as it was."""

    def drop(*keys: str) -> None:
        for key in keys:
            if spec.get(key) == before.get(key):
                spec.pop(key, None)

    if before.get("type") != "ExternalName" and spec.get("type") == "ExternalName":
        if spec.get("clusterIPs") == before.get("clusterIPs"):
            drop("clusterIP", "clusterIPs")
        drop("ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy")
    if _may_have_node_ports(before) and not _may_have_node_ports(spec):
        ports, old_ports = spec.get("ports") or [], before.get("ports") or []
        mine = {port.get("nodePort") for port in ports}
        if mine <= {port.get("nodePort") for port in old_ports} | {None}:
            for port in ports:
                port.pop("nodePort", None)
    if _health_checked(before) and not _health_checked(spec):
        drop("healthCheckNodePort")
    if before.get("type") == "LoadBalancer" and spec.get("type") != "LoadBalancer":
        drop("allocateLoadBalancerNodePorts", "loadBalancerClass")
    if _external(before) and not _external(spec):
        drop("externalTrafficPolicy")


def _address_fields(spec: objects.Object) -> Causes:
    """Check clusterIP, clusterIPs, ipFamilies and ipFamilyPolicy together."""
    if spec.get("type") == "ExternalName":
        return []
    single, ips = spec.get("clusterIP") or "", spec.get("clusterIPs") or []
    families, policy = spec.get("ipFamilies") or [], spec.get("ipFamilyPolicy")
    out: Causes = []
    at = "spec.clusterIPs"
    if single:
        if not ips:
            out.append(causes.required(at))
        elif ips[0] != single:
            out.append(causes.invalid(at, ips, "first value must match `clusterIP`"))
    elif ips:
        text = "must be empty when `clusterIP` is not specified"
        out.append(causes.invalid(at, ips, text))
    out += _families(families, policy)
    bad = False
    for index, ip in enumerate(ips):
        if index == 0 and ip == "None":
            if len(ips) > 1:
                bad = True
                text = "'None' must be the first and only value"
                out.append(causes.invalid(at, ips, text))
            continue
        complaints = addresses.legacy_ip(ip)
        bad = bad or bool(complaints)
        out += causes.complaints(f"{at}[{index}]", ip, complaints)
    if len(ips) > 2:
        out.append(causes.invalid(at, ips, "may only hold up to 2 values"))
    if bad:
        return out
    if len(ips) > 1 and len({":" in ip for ip in ips}) < 2:
        text = "may specify no more than one IP for each IP family"
        out.append(causes.invalid(at, ips, text))
    if ips != ["None"]:
        for index, (ip, family) in enumerate(zip(ips, families, strict=False)):
            if (family == "IPv6") != (":" in ip) and family in _FAMILIES:
                text = f"expected an {family} value as indicated by `ipFamilies[{index}]`"
                out.append(causes.invalid(f"{at}[{index}]", ip, text))
    return out


def _families(families: list[str], policy: str | None) -> Causes:
    out: Causes = []
    for index, family in enumerate(families):
        at = f"spec.ipFamilies[{index}]"
        if family not in _FAMILIES:
            out.append(causes.unsupported(at, family, _FAMILIES))
        if family in families[:index]:
            out.append(causes.duplicate(at, family))
    if policy is not None and policy not in _POLICIES:
        out.append(causes.unsupported("spec.ipFamilyPolicy", policy, _POLICIES))
    return out


def _validate(obj: objects.Object) -> Causes:
    spec = obj["spec"]
    annotations = objects.annotations_of(obj)
    kind, ports = spec.get("type") or "", spec.get("ports") or []
    out: Causes = []
    if _MODE in annotations and annotations.get(_HINTS, annotations[_MODE]) != annotations[_MODE]:
        text = f"must match annotations[{_HINTS}] when both are specified"
        out.append(causes.invalid(f"metadata.annotations[{_MODE}]", annotations[_MODE], text))
    if not ports and not _headless(spec) and kind != "ExternalName":
        out.append(causes.required("spec.ports"))
    if kind == "LoadBalancer":
        out += [
            causes.invalid(
                f"spec.ports[{index}]",
                _KUBELET_PORT,
                f"may not expose port {_KUBELET_PORT} externally since it is used by kubelet",
            )
            for index, port in enumerate(ports)
            if port.get("port") == _KUBELET_PORT
        ]
    if kind in {"LoadBalancer", "NodePort"} and _headless(spec):
        text = f"may not be set to 'None' for {kind} services"
        out.append(causes.invalid("spec.clusterIPs[0]", "None", text))
    if kind == "ExternalName":
        out += _external_name(spec)
    if selector := spec.get("selector"):
        out += names.validate_labels(selector, "spec.selector")
    out += _session_affinity(spec)
    out += _address_fields(spec)
    for index, ip in enumerate(spec.get("externalIPs") or ()):
        at = f"spec.externalIPs[{index}]"
        complaints = addresses.legacy_ip(ip)
        out += causes.complaints(at, ip, complaints) if complaints else special_ip(ip, at)
    if kind not in _TYPES:
        out.append(causes.unsupported("spec.type", kind, _TYPES) if kind else
                   causes.required("spec.type"))  # fmt: skip
    out += _ports(ports, kind)
    out += _source_ranges(spec, annotations)
    return out + _balancer_fields(spec) + _traffic(spec)


def _external_name(spec: objects.Object) -> Causes:
    text = "may not be set for ExternalName services"
    out: Causes = []
    for key in ("clusterIPs", "ipFamilies"):
        if spec.get(key):
            out.append(causes.forbidden(f"spec.{key}", text))
    if spec.get("ipFamilyPolicy") is not None:
        out.append(causes.forbidden("spec.ipFamilyPolicy", text))
    name = (spec.get("externalName") or "").removesuffix(".")
    if not name:
        out.append(causes.required("spec.externalName"))
    else:
        out += causes.complaints("spec.externalName", name, names.dns_subdomain(name))
    return out


def _session_affinity(spec: objects.Object) -> Causes:
    affinity, config = spec.get("sessionAffinity") or "", spec.get("sessionAffinityConfig")
    out = rules.one_of(affinity, "spec.sessionAffinity", ("ClientIP", "None"))
    at = "spec.sessionAffinityConfig"
    if affinity == "ClientIP":
        seconds = ((config or {}).get("clientIP") or {}).get("timeoutSeconds")
        if seconds is None:
            out.append(causes.required(at, "when session affinity type is ClientIP"))
        elif not 0 < seconds <= _AFFINITY_SECONDS_MAX:
            text = f"must be greater than 0 and less than {_AFFINITY_SECONDS_MAX}"
            out.append(causes.invalid(f"{at}.clientIP.timeoutSeconds", seconds, text))
    elif affinity == "None" and config is not None:
        out.append(causes.forbidden(at, "must not be set when session affinity is None"))
    return out


def _ports(ports: list[objects.Object], kind: str) -> Causes:
    out: Causes = []
    seen_names: set[str] = set()
    seen_ports: set[tuple[str, int]] = set()
    seen_node_ports: set[tuple[str, int]] = set()
    for index, port in enumerate(ports):
        at = f"spec.ports[{index}]"
        name, protocol = port.get("name") or "", port.get("protocol") or ""
        number, node = port.get("port") or 0, port.get("nodePort") or 0
        if not name and len(ports) > 1:
            out.append(causes.required(f"{at}.name"))
        elif name:
            out += causes.complaints(f"{at}.name", name, names.dns_label(name))
            if name in seen_names:
                out.append(causes.duplicate(f"{at}.name", name))
            seen_names.add(name)
        out += causes.complaints(f"{at}.port", number, names.port_number(number))
        out += rules.one_of(protocol, f"{at}.protocol", containers.PROTOCOLS)
        out += probes.port(port.get("targetPort", 0), f"{at}.targetPort")
        if (application := port.get("appProtocol")) is not None:
            at_application = f"{at}.appProtocol"
            complaints = names.qualified_name(application)
            out += causes.complaints(at_application, application, complaints)
        if node and kind == "ClusterIP":
            text = "may not be used when `type` is 'ClusterIP'"
            out.append(causes.forbidden(f"{at}.nodePort", text))
        if node:
            if (protocol, node) in seen_node_ports:
                out.append(causes.duplicate(f"{at}.nodePort", node))
            seen_node_ports.add((protocol, node))
        if (protocol, number) in seen_ports:
            shown = {
                "Name": "", "Protocol": protocol, "AppProtocol": None, "Port": number,
                "TargetPort": 0, "NodePort": 0,
            }  # fmt: skip
            out.append(causes.duplicate(at, shown))
        seen_ports.add((protocol, number))
    return out


def _source_ranges(spec: objects.Object, annotations: dict[str, str]) -> Causes:
    ranges, annotated = spec.get("loadBalancerSourceRanges"), annotations.get(_SOURCE_RANGES)
    text = "may only be used when `type` is 'LoadBalancer'"
    is_balancer = spec.get("type") == "LoadBalancer"
    out: Causes = []
    if ranges:
        at = "spec.LoadBalancerSourceRanges"
        if not is_balancer:
            out.append(causes.forbidden(at, text))
        for index, one in enumerate(ranges):
            value = one.strip()
            out += causes.complaints(f"{at}[{index}]", value, addresses.legacy_cidr(value))
    elif annotated is not None:
        at = f"metadata.annotations[{_SOURCE_RANGES}]"
        if not is_balancer:
            out.append(causes.forbidden(at, text))
        for one in annotated.split(",") if annotated.strip() else ():
            value = one.strip()
            out += causes.complaints(at, value, addresses.legacy_cidr(value))
    return out


def _balancer_fields(spec: objects.Object) -> Causes:
    is_balancer = spec.get("type") == "LoadBalancer"
    text = "may only be used when `type` is 'LoadBalancer'"
    out: Causes = []
    if spec.get("allocateLoadBalancerNodePorts") is not None and not is_balancer:
        out.append(causes.forbidden("spec.allocateLoadBalancerNodePorts", text))
    kind = spec.get("loadBalancerClass")
    if kind is not None and not is_balancer:
        out.append(causes.forbidden("spec.loadBalancerClass", text))
    elif kind is not None:
        out += causes.complaints("spec.loadBalancerClass", kind, names.qualified_name(kind))
    return out


def _traffic(spec: objects.Object) -> Causes:
    policy, health = spec.get("externalTrafficPolicy") or "", spec.get("healthCheckNodePort") or 0
    at = "spec.externalTrafficPolicy"
    out: Causes = []
    if not _external(spec):
        if policy:
            text = "may only be set for externally-accessible services"
            out.append(causes.invalid(at, policy, text))
    else:
        out += rules.one_of(policy, at, ("Cluster", "Local"))
    at = "spec.healthCheckNodePort"
    if _health_checked(spec):
        out += (
            causes.complaints(at, health, names.port_number(health))
            if health
            else [causes.required(at)]
        )
    elif health:
        text = (
            "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'"
        )
        out.append(causes.invalid(at, health, text))
    internal = spec.get("internalTrafficPolicy")
    if internal is None:
        if spec.get("type") in _WITH_IP:
            out.append(causes.required("spec.internalTrafficPolicy"))
    elif internal not in {"Cluster", "Local"}:
        out.append(causes.unsupported("spec.internalTrafficPolicy", internal, ("Cluster", "Local")))
    distribution = spec.get("trafficDistribution")
    if distribution is not None and distribution not in _DISTRIBUTIONS:
        at = "spec.trafficDistribution"
        out.append(causes.unsupported(at, distribution, _DISTRIBUTIONS))
    return out


def _validate_changes(spec: objects.Object, before: objects.Object) -> Causes:
    out: Causes = []
    kinds = {spec.get("type"), before.get("type")}
    if "ExternalName" not in kinds and not (_headless(spec) and _headless(before)):
        out += _ip_changes(spec, before)
        if _headless(spec) == _headless(before):
            out += _family_changes(spec, before)
    if kinds == {"LoadBalancer"} and spec.get("loadBalancerClass") != before.get(
        "loadBalancerClass"
    ):
        text = "may not change once set"
        out.append(causes.invalid("spec.loadBalancerClass", spec.get("loadBalancerClass"), text))
    moved = spec.get("healthCheckNodePort") != before.get("healthCheckNodePort")
    if moved and _health_checked(spec) and _health_checked(before):
        out.append(causes.forbidden("spec.healthCheckNodePort", causes.IMMUTABLE))
    return out


def _ip_changes(spec: objects.Object, before: objects.Object) -> Causes:
    new, old = spec.get("clusterIPs") or [], before.get("clusterIPs") or []
    once = "may not change once set"
    if len(new) == len(old):
        return [
            causes.invalid(f"spec.clusterIPs[{index}]", new, once)
            for index, ip in enumerate(old)
            if new[index] != ip
        ]
    if len(new) < len(old):
        out: Causes = []
        if not new:
            text = "primary clusterIP can not be unset"
            out.append(causes.invalid("spec.clusterIPs[0]", new or None, text))
        elif new[0] != old[0]:
            out.append(causes.invalid("spec.clusterIPs[0]", new, once))
        if len(new) == 1 and spec.get("ipFamilyPolicy") != "SingleStack":
            text = "must be set to 'SingleStack' when releasing the secondary clusterIP"
            out.append(causes.invalid("spec.ipFamilyPolicy", spec.get("ipFamilyPolicy"), text))
        return out
    if old and new[0] != old[0]:
        return [causes.invalid("spec.clusterIPs[0]", new, once)]
    return []


def _family_changes(spec: objects.Object, before: objects.Object) -> Causes:
    new, old = spec.get("ipFamilies") or [], before.get("ipFamilies") or []
    at, once = "spec.ipFamilies[0]", "may not change once set"
    if len(new) == len(old):
        return [causes.invalid(at, new, once) for a, b in zip(new, old, strict=True) if a != b]
    out: Causes = []
    if new and old and new[0] != old[0]:
        out.append(causes.invalid(at, spec.get("clusterIPs"), once))
    if len(new) < len(old) and len(new) == 1 and spec.get("ipFamilyPolicy") != "SingleStack":
        text = "must be set to 'SingleStack' when releasing the secondary ipFamily"
        out.append(causes.invalid("spec.ipFamilyPolicy", spec.get("ipFamilyPolicy"), text))
    return out


def special_ip(text: str, field: str) -> Causes:
    """Complain about an address that no endpoint can have."""
    address = addresses.parse_ip(text)
    if address is None:
        return [causes.invalid(field, text, "must be a valid IP address")]
    out: Causes = []
    if address.is_unspecified:
        out.append(causes.invalid(field, text, f"may not be unspecified ({text})"))
    if address.is_loopback:
        why = "may not be in the loopback range (127.0.0.0/8, ::1/128)"
        out.append(causes.invalid(field, text, why))
    if address.is_link_local:
        why = "may not be in the link-local range (169.254.0.0/16, fe80::/10)"
        out.append(causes.invalid(field, text, why))
    if address.is_multicast and str(address).startswith(("224.0.0.", "ff02:")):
        why = "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)"
        out.append(causes.invalid(field, text, why))
    return out


def load_balancer(balancer: objects.Object, field: str, *, allowed: bool) -> Causes:
    """Check a load balancer's status."""
    ingress = balancer.get("ingress") or []
    at = f"{field}.ingress"
    if not allowed and ingress:
        return [causes.forbidden(at, "may only be used when `spec.type` is 'LoadBalancer'")]
    out: Causes = []
    for index, one in enumerate(ingress):
        path = f"{at}[{index}]"
        ip, mode, host = one.get("ip") or "", one.get("ipMode"), one.get("hostname") or ""
        if ip:
            out += causes.complaints(f"{path}.ip", ip, addresses.legacy_ip(ip))
        if mode is None:
            if ip:
                text = "must be specified when `ip` is set"
                out.append(causes.required(f"{path}.ipMode", text))
        elif not ip:
            text = "may not be specified when `ip` is not set"
            out.append(causes.forbidden(f"{path}.ipMode", text))
        elif mode not in {"Proxy", "VIP"}:
            out.append(causes.unsupported(f"{path}.ipMode", mode, ("Proxy", "VIP")))
        if host:
            out += causes.complaints(f"{path}.hostname", host, names.dns_subdomain(host))
            if addresses.parse_ip(host) is not None:
                text = "must be a DNS name, not an IP address"
                out.append(causes.invalid(f"{path}.hostname", host, text))
    return out


def _warnings(obj: objects.Object) -> list[str]:
    spec, annotations = obj["spec"], objects.annotations_of(obj)
    out: list[str] = []
    if _HINTS in annotations:
        out.append(
            f"annotations.{_HINTS}: annotation {_HINTS} is deprecated, please use {_MODE} instead"
        )
    if spec.get("type") != "ExternalName" and not _headless(spec):
        for index, ip in enumerate(spec.get("clusterIPs") or ()):
            out += addresses.ip_warnings(f"spec.clusterIPs[{index}]", ip)
    for index, ip in enumerate(spec.get("externalIPs") or ()):
        out += addresses.ip_warnings(f"spec.externalIPs[{index}]", ip)
    if ip := spec.get("loadBalancerIP"):
        out += addresses.ip_warnings("spec.loadBalancerIP", ip)
    for index, one in enumerate(spec.get("loadBalancerSourceRanges") or ()):
        out += addresses.cidr_warnings(f"spec.loadBalancerSourceRanges[{index}]", one.strip())
    if spec.get("externalIPs"):
        out.append(
            "spec.externalIPs is deprecated and may no longer be implemented in some clusters"
        )
    if spec.get("type") == "ExternalName" and spec.get("externalIPs"):
        out.append('spec.externalIPs is ignored when spec.type is "ExternalName"')
    if spec.get("type") != "ExternalName" and spec.get("externalName"):
        out.append('spec.externalName is ignored when spec.type is not "ExternalName"')
    if spec.get("trafficDistribution") == "PreferClose":
        out.append('spec.trafficDistribution: "PreferClose" is deprecated; use "PreferSameZone"')
    if _headless(spec):
        if spec.get("loadBalancerIP"):
            out.append("spec.loadBalancerIP is ignored for headless services")
        if spec.get("externalIPs"):
            out.append("spec.externalIPs is ignored for headless services")
        if spec.get("sessionAffinity") not in {None, "None"}:
            out.append("spec.SessionAffinity is ignored for headless services")
    return out
