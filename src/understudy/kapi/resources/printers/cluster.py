"""Tables of everything that is not a workload (facts: pkg/printers/internalversion @ 1.34-1.36)."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable

from understudy.kapi.resources import strategies
from understudy.kapi.resources.printers import cells, durations
from understudy.kube import objects

_ROLE_PREFIX = "node-role.kubernetes.io/"
_ROLE_LABEL = "kubernetes.io/role"
_MODES = {
    "ReadWriteOnce": "RWO",
    "ReadOnlyMany": "ROX",
    "ReadWriteMany": "RWX",
    "ReadWriteOncePod": "RWOP",
}


def _service(obj: objects.Object, now: dt.datetime) -> list[objects.Json]:
    ports = []
    for port in cells.items(obj, "spec", "ports"):
        node_port = f":{port['nodePort']}" if port.get("nodePort") else ""
        ports.append(f"{port.get('port')}{node_port}/{cells.text(port, 'protocol')}")
    return [
        cells.name(obj),
        cells.text(obj, "spec", "type"),
        cells.text(obj, "spec", "clusterIPs", 0, default="<none>"),
        _external_ip(obj),
        ",".join(ports) or "<none>",
        cells.age(obj, now),
        cells.labels(cells.at(obj, "spec", "selector")),
    ]


def _external_ip(obj: objects.Object) -> str:
    kind = cells.text(obj, "spec", "type")
    own = [str(ip) for ip in cells.items(obj, "spec", "externalIPs")]
    if kind in ("ClusterIP", "NodePort"):
        return ",".join(own) or "<none>"
    if kind == "LoadBalancer":
        return ",".join([*_ingress_points(obj), *own]) or "<pending>"
    if kind == "ExternalName":
        return cells.text(obj, "spec", "externalName")
    return "<unknown>"


def _ingress_points(obj: objects.Object) -> list[str]:
    points = {
        cells.text(point, "ip") or cells.text(point, "hostname")
        for point in cells.items(obj, "status", "loadBalancer", "ingress")
    }
    return sorted(points - {""})


def _ingress(obj: objects.Object, now: dt.datetime) -> list[objects.Json]:
    return [
        cells.name(obj),
        cells.text(obj, "spec", "ingressClassName", default="<none>"),
        _hosts(cells.items(obj, "spec", "rules")),
        ",".join(_ingress_points(obj)),
        "80, 443" if cells.items(obj, "spec", "tls") else "80",
        cells.age(obj, now),
    ]


def _hosts(rules: list[objects.Json]) -> str:
    shown: list[str] = []
    more = False
    for rule in rules:
        if len(shown) == 3:
            more = True
        elif cells.text(rule, "host"):
            shown.append(cells.text(rule, "host"))
    if not shown:
        return "*"
    return ",".join(shown) + (f" + {len(rules) - 3} more..." if more else "")


def _ingress_class(obj: objects.Object) -> str:
    parameters = cells.at(obj, "spec", "parameters")
    if not parameters:
        return "<none>"
    group = cells.text(parameters, "apiGroup")
    kind = cells.text(parameters, "kind") + (f".{group}" if group else "")
    return f"{kind}/{cells.text(parameters, 'name')}"


def _endpoints(obj: objects.Object) -> str:
    subsets = cells.items(obj, "subsets")
    if not subsets:
        return "<none>"
    found: list[str] = []
    for subset in subsets:
        ports = cells.items(subset, "ports")
        ips = [cells.text(one, "ip") for one in cells.items(subset, "addresses")]
        if not ports:
            found.extend(ips)
        for port in ports:
            found.extend(_host_port(ip, cells.number(port, "port")) for ip in ips)
    return cells.shortened(found, empty="")


def _host_port(ip: str, port: int) -> str:
    return f"[{ip}]:{port}" if ":" in ip else f"{ip}:{port}"


def _endpoint_slice(obj: objects.Object, now: dt.datetime) -> list[objects.Json]:
    ports = [
        str(port["port"]) if port.get("port") is not None else cells.text(port, "name", default="*")
        for port in cells.items(obj, "ports")
    ]
    addresses = [
        str(address)
        for endpoint in cells.items(obj, "endpoints")
        for address in cells.items(endpoint, "addresses")
    ]
    return [
        cells.name(obj),
        cells.text(obj, "addressType"),
        cells.shortened(ports),
        cells.shortened(addresses),
        cells.age(obj, now),
    ]


def _node(obj: objects.Object, now: dt.datetime) -> list[objects.Json]:
    info = cells.at(obj, "status", "nodeInfo")
    machine = cells.text(info, "architecture")
    return [
        cells.name(obj),
        _node_status(obj),
        ",".join(_roles(obj)) or "<none>",
        cells.age(obj, now),
        cells.text(info, "kubeletVersion"),
        _node_address(obj, "InternalIP"),
        _node_address(obj, "ExternalIP"),
        cells.text(info, "osImage", default="<unknown>"),
        cells.text(info, "kernelVersion", default="<unknown>")
        + (f" ({machine})" if machine else ""),
        cells.text(info, "containerRuntimeVersion", default="<unknown>"),
    ]


def _node_status(obj: objects.Object) -> str:
    ready = [
        "Ready" if cells.text(one, "status") == "True" else "NotReady"
        for one in cells.items(obj, "status", "conditions")
        if cells.text(one, "type") == "Ready"
    ]
    status = ready[-1:] or ["Unknown"]
    if cells.at(obj, "spec", "unschedulable"):
        status.append("SchedulingDisabled")
    return ",".join(status)


def _roles(obj: objects.Object) -> list[str]:
    roles = set()
    for key, value in objects.labels_of(obj).items():
        if key.startswith(_ROLE_PREFIX):
            roles.add(key.removeprefix(_ROLE_PREFIX))
        elif key == _ROLE_LABEL:
            roles.add(value)
    return sorted(roles - {""})


def _node_address(obj: objects.Object, type: str) -> str:
    for address in cells.items(obj, "status", "addresses"):
        if cells.text(address, "type") == type:
            return cells.text(address, "address")
    return "<none>"


def _event(obj: objects.Object, now: dt.datetime) -> list[objects.Json]:
    """Return an event's cells, of core/v1 or events.k8s.io/v1, which name the fields apart."""
    about = obj.get("involvedObject") or obj.get("regarding") or {}
    source = obj.get("source") or obj.get("deprecatedSource") or {}
    first = obj.get("firstTimestamp") or obj.get("deprecatedFirstTimestamp") or obj.get("eventTime")
    last = obj.get("lastTimestamp") or obj.get("deprecatedLastTimestamp") or first
    count = obj.get("count") or obj.get("deprecatedCount") or 1
    if series := obj.get("series"):
        last, count = series.get("lastObservedTime"), cells.number(series, "count")
    kind, named = cells.text(about, "kind").lower(), cells.text(about, "name")
    component = cells.text(source, "component") or _either(
        obj, "reportingComponent", "reportingController"
    )
    instance = cells.text(source, "host") or cells.text(obj, "reportingInstance")
    return [
        durations.since(last, now),
        cells.text(obj, "type"),
        cells.text(obj, "reason"),
        f"{kind}/{named}" if named else kind,
        cells.text(about, "fieldPath"),
        f"{component}, {instance}" if instance else component,
        _either(obj, "message", "note").strip(),
        durations.since(first, now),
        count,
        cells.name(obj),
    ]


def _either(obj: objects.Object, *keys: str) -> str:
    return next((cells.text(obj, key) for key in keys if cells.text(obj, key)), "")


def _modes(modes: Iterable[str]) -> str:
    present = set(modes)
    return ",".join(short for long, short in _MODES.items() if long in present)


def _persistent_volume(obj: objects.Object, now: dt.datetime) -> list[objects.Json]:
    claim = cells.at(obj, "spec", "claimRef")
    return [
        cells.name(obj),
        cells.text(obj, "spec", "capacity", "storage", default="0"),
        _modes(cells.items(obj, "spec", "accessModes")),
        cells.text(obj, "spec", "persistentVolumeReclaimPolicy"),
        "Terminating" if cells.is_deleted(obj) else cells.text(obj, "status", "phase"),
        f"{cells.text(claim, 'namespace')}/{cells.text(claim, 'name')}" if claim else "",
        _storage_class_of(obj),
        cells.text(obj, "spec", "volumeAttributesClassName", default="<unset>"),
        cells.text(obj, "status", "reason"),
        cells.age(obj, now),
        cells.text(obj, "spec", "volumeMode", default="<unset>"),
    ]


def _persistent_volume_claim(obj: objects.Object, now: dt.datetime) -> list[objects.Json]:
    volume = cells.text(obj, "spec", "volumeName")
    bound = bool(volume)
    return [
        cells.name(obj),
        "Terminating" if cells.is_deleted(obj) else cells.text(obj, "status", "phase"),
        volume,
        cells.text(obj, "status", "capacity", "storage", default="0") if bound else "",
        _modes(cells.items(obj, "status", "accessModes")) if bound else "",
        _storage_class_of(obj),
        cells.text(obj, "spec", "volumeAttributesClassName", default="<unset>"),
        cells.age(obj, now),
        cells.text(obj, "spec", "volumeMode", default="<unset>"),
    ]


def _storage_class_of(obj: objects.Object) -> str:
    old = objects.annotations_of(obj).get("volume.beta.kubernetes.io/storage-class")
    return old if old is not None else cells.text(obj, "spec", "storageClassName")


def _default_marked(obj: objects.Object, *annotations: str) -> str:
    """Return the name, marked `(default)` where an annotation says so."""
    marked = any(objects.annotations_of(obj).get(one) == "true" for one in annotations)
    return cells.name(obj) + (" (default)" if marked else "")


def _storage_class(obj: objects.Object, now: dt.datetime) -> list[objects.Json]:
    return [
        _default_marked(
            obj,
            "storageclass.kubernetes.io/is-default-class",
            "storageclass.beta.kubernetes.io/is-default-class",
        ),
        cells.text(obj, "provisioner"),
        cells.text(obj, "reclaimPolicy", default="Delete"),
        cells.text(obj, "volumeBindingMode", default="Immediate"),
        bool(obj.get("allowVolumeExpansion")),
        cells.age(obj, now),
    ]


def _volume_attributes_class(obj: objects.Object, now: dt.datetime) -> list[objects.Json]:
    return [
        _default_marked(obj, "volumeattributesclass.alpha.kubernetes.io/is-default-class"),
        cells.text(obj, "driverName"),
        cells.age(obj, now),
    ]


def _csi_driver(obj: objects.Object, now: dt.datetime) -> list[objects.Json]:
    attach = cells.at(obj, "spec", "attachRequired")
    requests = cells.at(obj, "spec", "tokenRequests")
    audiences = "<unset>"
    if requests is not None:
        audiences = ",".join(cells.text(one, "audience") for one in requests)
    return [
        cells.name(obj),
        True if attach is None else bool(attach),
        bool(cells.at(obj, "spec", "podInfoOnMount")),
        bool(cells.at(obj, "spec", "storageCapacity")),
        audiences,
        bool(cells.at(obj, "spec", "requiresRepublish")),
        ",".join(cells.items(obj, "spec", "volumeLifecycleModes")) or "<none>",
        cells.age(obj, now),
    ]


def _volume_attachment(obj: objects.Object, now: dt.datetime) -> list[objects.Json]:
    return [
        cells.name(obj),
        cells.text(obj, "spec", "attacher"),
        cells.text(obj, "spec", "source", "persistentVolumeName"),
        cells.text(obj, "spec", "nodeName"),
        bool(cells.at(obj, "status", "attached")),
        cells.age(obj, now),
    ]


def _binding(obj: objects.Object, now: dt.datetime) -> list[objects.Json]:
    users, groups, accounts = [], [], []
    for subject in cells.items(obj, "subjects"):
        kind, named = cells.text(subject, "kind"), cells.text(subject, "name")
        if kind == "ServiceAccount":
            accounts.append(f"{cells.text(subject, 'namespace')}/{named}")
        elif kind == "Group":
            groups.append(named)
        elif kind == "User":
            users.append(named)
    return [
        cells.name(obj),
        f"{cells.text(obj, 'roleRef', 'kind')}/{cells.text(obj, 'roleRef', 'name')}",
        cells.age(obj, now),
        ", ".join(users),
        ", ".join(groups),
        ", ".join(accounts),
    ]


def _csr(obj: objects.Object, now: dt.datetime) -> list[objects.Json]:
    types = {cells.text(one, "type") for one in cells.items(obj, "status", "conditions")}
    status = next((one for one in ("Denied", "Approved") if one in types), "Pending")
    status += ",Failed" if "Failed" in types else ""
    status += ",Issued" if cells.text(obj, "status", "certificate") else ""
    asked_s = cells.at(obj, "spec", "expirationSeconds")
    return [
        cells.name(obj),
        cells.age(obj, now),
        cells.text(obj, "spec", "signerName", default="<none>"),
        cells.text(obj, "spec", "username"),
        "<none>" if asked_s is None else durations.human(float(asked_s)),
        status,
    ]


def _quota(obj: objects.Object, now: dt.datetime) -> list[objects.Json]:
    hard = cells.at(obj, "status", "hard") or {}
    used = cells.at(obj, "status", "used") or {}
    requests: list[str] = []
    limits: list[str] = []
    for resource in sorted(hard):
        shown = f"{resource}: {used.get(resource, '0')}/{hard[resource]}"
        (limits if resource.startswith("limits.") else requests).append(shown)
    return [cells.name(obj), ", ".join(requests), ", ".join(limits), cells.age(obj, now)]


def _priority_class(obj: objects.Object, now: dt.datetime) -> list[objects.Json]:
    return [
        cells.name(obj),
        cells.number(obj, "value"),
        bool(obj.get("globalDefault")),
        cells.age(obj, now),
        cells.text(obj, "preemptionPolicy"),
    ]


def _parameter_kind(obj: objects.Object) -> str:
    kind = cells.at(obj, "spec", "paramKind")
    return f"{cells.text(kind, 'apiVersion')}/{cells.text(kind, 'kind')}" if kind else "<unset>"


def _parameter_reference(obj: objects.Object) -> str:
    reference = cells.at(obj, "spec", "paramRef")
    if not reference:
        return "<unset>"
    if named := cells.text(reference, "name"):
        return f"{cells.text(reference, 'namespace', default='*')}/{named}"
    chosen = reference.get("selector")
    return "<unset>" if chosen is None else cells.selector_struct(chosen)


def _api_service(obj: objects.Object) -> str:
    service = cells.at(obj, "spec", "service")
    return (
        f"{cells.text(service, 'namespace')}/{cells.text(service, 'name')}" if service else "Local"
    )


def _availability(obj: objects.Object) -> str:
    for one in cells.items(obj, "status", "conditions"):
        if cells.text(one, "type") == "Available":
            status, reason = cells.text(one, "status"), cells.text(one, "reason")
            return f"{status} ({reason})" if reason and status != "True" else status
    return "Unknown"


def _flow_schema(obj: objects.Object, now: dt.datetime) -> list[objects.Json]:
    dangling = [
        cells.text(one, "status")
        for one in cells.items(obj, "status", "conditions")
        if cells.text(one, "type") == "Dangling"
    ]
    return [
        cells.name(obj),
        cells.text(obj, "spec", "priorityLevelConfiguration", "name"),
        cells.number(obj, "spec", "matchingPrecedence"),
        cells.text(obj, "spec", "distinguisherMethod", "type", default="<none>"),
        cells.age(obj, now),
        dangling[0] if dangling else "?",
    ]


def _priority_level(obj: objects.Object, now: dt.datetime) -> list[objects.Json]:
    limited = cells.at(obj, "spec", "limited")
    queuing = cells.at(limited, "limitResponse", "queuing")
    shares = "<none>" if limited is None else cells.number(limited, "nominalConcurrencyShares")
    queues = [
        "<none>" if queuing is None else cells.number(queuing, field)
        for field in ("queues", "handSize", "queueLengthLimit")
    ]
    return [cells.name(obj), cells.text(obj, "spec", "type"), shares, *queues, cells.age(obj, now)]


def _claim_state(obj: objects.Object) -> str:
    states = ["deleted"] if cells.is_deleted(obj) else []
    if cells.at(obj, "status", "allocation") is None:
        states += [] if states else ["pending"]
    else:
        states.append("allocated")
        states += ["reserved"] if cells.items(obj, "status", "reservedFor") else []
    return ",".join(states)


def _ip_parent(obj: objects.Object) -> str:
    parent = cells.at(obj, "spec", "parentRef")
    if not parent:
        return "<none>"
    group = cells.text(parent, "group")
    parts = [cells.text(parent, "resource") + (f".{group}" if group else "")]
    if namespace := cells.text(parent, "namespace"):
        parts.append(namespace)
    return "/".join([parts[0].lower(), *parts[1:], cells.text(parent, "name")])


def _component_status(obj: objects.Object, _now: dt.datetime) -> list[objects.Json]:
    for condition in cells.items(obj, "conditions"):
        if cells.text(condition, "type") == "Healthy":
            healthy = cells.text(condition, "status") == "True"
            return [
                cells.name(obj),
                "Healthy" if healthy else "Unhealthy",
                cells.text(condition, "message"),
                cells.text(condition, "error"),
            ]
    return [cells.name(obj), "Unknown", "", ""]


def _migrated(obj: objects.Object) -> str:
    resource = cells.at(obj, "spec", "resource")
    return ".".join(cells.text(resource, part) for part in ("resource", "version", "group"))


def _without_age(row: cells.Row) -> cells.Row:
    return lambda obj, now: row(obj, now)[:-1]


_simple, _columns, _Printer = cells.simple, cells.columns, cells.Printer
_EVENT = _Printer(
    (
        *_columns(
            "Last Seen", "Type", "Reason", "Object", "Subobject*", "Source*", "Message",
            "First Seen*", "Count*",
        ),
        strategies.Column("Name", "string", "name", cells.NAME_DESCRIPTION, 1),
    ),
    _event,
)  # fmt: skip
_BINDING = _Printer(
    _columns("Name", "Role", "Age", "Users*", "Groups*", "ServiceAccounts*"), _binding
)
_WEBHOOKS = _Printer(
    _columns("Name", "Webhooks:integer", "Age"), _simple(lambda o: len(cells.items(o, "webhooks")))
)
_POLICY_BINDING = _Printer(
    _columns("Name", "PolicyName", "ParamRef", "Age"),
    _simple(lambda o: cells.text(o, "spec", "policyName"), _parameter_reference),
)
_NAME_AGE = _Printer(_columns("Name", "Age"), _simple())
PRINTERS = {
    ("", "Service"): _Printer(
        _columns("Name", "Type", "Cluster-IP", "External-IP", "Port(s)", "Age", "Selector*"),
        _service,
    ),
    ("", "Endpoints"): _Printer(_columns("Name", "Endpoints", "Age"), _simple(_endpoints)),
    ("", "Node"): _Printer(
        _columns(
            "Name", "Status", "Roles", "Age", "Version", "Internal-IP*", "External-IP*",
            "OS-Image*", "Kernel-Version*", "Container-Runtime*",
        ),
        _node,
    ),
    ("", "Event"): _EVENT,
    ("events.k8s.io", "Event"): _EVENT,
    ("", "Namespace"): _Printer(
        _columns("Name", "Status", "Age"), _simple(lambda o: cells.text(o, "status", "phase"))
    ),
    ("", "Secret"): _Printer(
        _columns("Name", "Type", "Data", "Age"),
        _simple(lambda o: cells.text(o, "type"), lambda o: len(o.get("data") or ())),
    ),
    ("", "ConfigMap"): _Printer(
        _columns("Name", "Data", "Age"),
        _simple(lambda o: len(o.get("data") or ()) + len(o.get("binaryData") or ())),
    ),
    ("", "ServiceAccount"): _NAME_AGE,
    ("", "PersistentVolume"): _Printer(
        _columns(
            "Name", "Capacity", "Access Modes", "Reclaim Policy", "Status", "Claim",
            "StorageClass", "VolumeAttributesClass", "Reason", "Age", "VolumeMode*",
        ),
        _persistent_volume,
    ),
    ("", "PersistentVolumeClaim"): _Printer(
        _columns(
            "Name", "Status", "Volume", "Capacity", "Access Modes", "StorageClass",
            "VolumeAttributesClass", "Age", "VolumeMode*",
        ),
        _persistent_volume_claim,
    ),
    ("", "ResourceQuota"): _Printer(_columns("Name", "Request", "Limit", "Age"), _quota),
    ("", "ComponentStatus"): _Printer(
        _columns("Name", "Status", "Message", "Error"), _component_status
    ),
    ("discovery.k8s.io", "EndpointSlice"): _Printer(
        _columns("Name", "AddressType", "Ports", "Endpoints", "Age"), _endpoint_slice
    ),
    ("networking.k8s.io", "Ingress"): _Printer(
        _columns("Name", "Class", "Hosts", "Address", "Ports", "Age"), _ingress
    ),
    ("networking.k8s.io", "IngressClass"): _Printer(
        _columns("Name", "Controller", "Parameters", "Age"),
        _simple(lambda o: cells.text(o, "spec", "controller"), _ingress_class),
    ),
    ("networking.k8s.io", "NetworkPolicy"): _Printer(
        _columns("Name", "Pod-Selector", "Age"),
        _simple(lambda o: cells.selector(cells.at(o, "spec", "podSelector"))),
    ),
    ("networking.k8s.io", "ServiceCIDR"): _Printer(
        _columns("Name", "CIDRs", "Age"),
        _simple(lambda o: ",".join(cells.items(o, "spec", "cidrs"))),
    ),
    ("networking.k8s.io", "IPAddress"): _Printer(
        # As in Kubernetes, rows have one cell more than there are columns.
        _columns("Name", "ParentRef"), _simple(_ip_parent)
    ),
    ("rbac.authorization.k8s.io", "RoleBinding"): _BINDING,
    ("rbac.authorization.k8s.io", "ClusterRoleBinding"): _BINDING,
    ("certificates.k8s.io", "CertificateSigningRequest"): _Printer(
        _columns("Name", "Age", "SignerName", "Requestor", "RequestedDuration", "Condition"), _csr
    ),
    ("certificates.k8s.io", "ClusterTrustBundle"): _Printer(
        _columns("Name", "SignerName"),
        _without_age(_simple(lambda o: cells.text(o, "spec", "signerName", default="<none>"))),
    ),
    ("coordination.k8s.io", "Lease"): _Printer(
        _columns("Name", "Holder", "Age"),
        _simple(lambda o: cells.text(o, "spec", "holderIdentity")),
    ),
    ("coordination.k8s.io", "LeaseCandidate"): _Printer(
        _columns("Name", "LeaseName", "BinaryVersion", "EmulationVersion", "Age"),
        _simple(
            lambda o: cells.text(o, "spec", "leaseName"),
            lambda o: cells.text(o, "spec", "binaryVersion"),
            lambda o: cells.text(o, "spec", "emulationVersion"),
        ),
    ),
    ("storage.k8s.io", "StorageClass"): _Printer(
        _columns(
            "Name", "Provisioner", "ReclaimPolicy", "VolumeBindingMode", "AllowVolumeExpansion",
            "Age",
        ),
        _storage_class,
    ),
    ("storage.k8s.io", "VolumeAttributesClass"): _Printer(
        _columns("Name", "DriverName", "Age"), _volume_attributes_class
    ),
    ("storage.k8s.io", "VolumeAttachment"): _Printer(
        _columns("Name", "Attacher/name", "PV", "Node", "Attached:boolean", "Age"),
        _volume_attachment,
    ),
    ("storage.k8s.io", "CSINode"): _Printer(
        _columns("Name", "Drivers:integer", "Age"),
        _simple(lambda o: len(cells.items(o, "spec", "drivers"))),
    ),
    ("storage.k8s.io", "CSIDriver"): _Printer(
        _columns(
            "Name", "AttachRequired:boolean", "PodInfoOnMount:boolean", "StorageCapacity:boolean",
            "TokenRequests", "RequiresRepublish:boolean", "Modes", "Age",
        ),
        _csi_driver,
    ),
    ("scheduling.k8s.io", "PriorityClass"): _Printer(
        _columns("Name", "Value:integer", "Global-Default:boolean", "Age", "PreemptionPolicy"),
        _priority_class,
    ),
    ("node.k8s.io", "RuntimeClass"): _Printer(
        _columns("Name", "Handler", "Age"), _simple(lambda o: cells.text(o, "handler"))
    ),
    ("admissionregistration.k8s.io", "MutatingWebhookConfiguration"): _WEBHOOKS,
    ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"): _WEBHOOKS,
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy"): _Printer(
        _columns("Name", "Validations:integer", "ParamKind", "Age"),
        _simple(lambda o: len(cells.items(o, "spec", "validations")), _parameter_kind),
    ),
    ("admissionregistration.k8s.io", "MutatingAdmissionPolicy"): _Printer(
        _columns("Name", "Mutations:integer", "ParamKind", "Age"),
        _simple(lambda o: len(cells.items(o, "spec", "mutations")), _parameter_kind),
    ),
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicyBinding"): _POLICY_BINDING,
    ("admissionregistration.k8s.io", "MutatingAdmissionPolicyBinding"): _POLICY_BINDING,
    ("apiregistration.k8s.io", "APIService"): _Printer(
        _columns("Name", "Service", "Available", "Age"), _simple(_api_service, _availability)
    ),
    ("flowcontrol.apiserver.k8s.io", "FlowSchema"): _Printer(
        _columns(
            "Name", "PriorityLevel", "MatchingPrecedence", "DistinguisherMethod", "Age",
            "MissingPL",
        ),
        _flow_schema,
        order=lambda o: (cells.number(o, "spec", "matchingPrecedence"), cells.name(o)),
    ),
    ("flowcontrol.apiserver.k8s.io", "PriorityLevelConfiguration"): _Printer(
        _columns(
            "Name", "Type", "NominalConcurrencyShares", "Queues", "HandSize", "QueueLengthLimit",
            "Age",
        ),
        _priority_level,
    ),
    ("resource.k8s.io", "DeviceClass"): _NAME_AGE,
    ("resource.k8s.io", "ResourceClaim"): _Printer(
        _columns("Name", "State", "Age"), _simple(_claim_state)
    ),
    ("resource.k8s.io", "ResourceClaimTemplate"): _NAME_AGE,
    ("resource.k8s.io", "ResourceSlice"): _Printer(
        _columns("Name", "Node", "Driver", "Pool", "Age"),
        _simple(
            lambda o: cells.text(o, "spec", "nodeName"),
            lambda o: cells.text(o, "spec", "driver"),
            lambda o: cells.text(o, "spec", "pool", "name"),
        ),
    ),
    ("storagemigration.k8s.io", "StorageVersionMigration"): _Printer(
        _columns("Name", "Resource"), _without_age(_simple(_migrated))
    ),
}  # fmt: skip
