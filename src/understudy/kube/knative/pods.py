"""What Knative's webhook says about the pod part of a template.

The tables name the fields of Kubernetes' PodSpec by how Knative treats them: `allowed` always,
`featured` when a flag of `config-features` is on. Fields in neither table never get into a
Revision: those that the resource definition knows are refused, the others dropped without a word.
"""

from __future__ import annotations

import posixpath
import re

from understudy.kube import names, objects
from understudy.kube.knative import keys, limits, problems

POD_ALLOWED = frozenset(
    {
        "serviceAccountName", "containers", "volumes", "imagePullSecrets", "enableServiceLinks",
        "automountServiceAccountToken",
    }
)  # fmt: skip
POD_FEATURED = {
    "affinity": "kubernetes.podspec-affinity",
    "topologySpreadConstraints": "kubernetes.podspec-topologyspreadconstraints",
    "hostAliases": "kubernetes.podspec-hostaliases",
    "nodeSelector": "kubernetes.podspec-nodeselector",
    "runtimeClassName": "kubernetes.podspec-runtimeclassname",
    "tolerations": "kubernetes.podspec-tolerations",
    "securityContext": "kubernetes.podspec-securitycontext",
    "shareProcessNamespace": "kubernetes.podspec-shareprocessnamespace",
    "priorityClassName": "kubernetes.podspec-priorityclassname",
    "schedulerName": "kubernetes.podspec-schedulername",
    "initContainers": "kubernetes.podspec-init-containers",
    "dnsPolicy": "kubernetes.podspec-dnspolicy",
    "dnsConfig": "kubernetes.podspec-dnsconfig",
    "hostIPC": "kubernetes.podspec-hostipc",
    "hostPID": "kubernetes.podspec-hostpid",
    "hostNetwork": "kubernetes.podspec-hostnetwork",
}
REVISION_FIELDS = frozenset(
    {
        "containerConcurrency", "timeoutSeconds", "responseStartTimeoutSeconds",
        "idleTimeoutSeconds", "loadBalancingPolicy",
    }
)  # fmt: skip
CONTAINER_ALLOWED = frozenset(
    {
        "name", "args", "command", "env", "workingDir", "envFrom", "image", "imagePullPolicy",
        "livenessProbe", "ports", "readinessProbe", "resources", "securityContext", "startupProbe",
        "terminationMessagePath", "terminationMessagePolicy", "volumeMounts",
    }
)  # fmt: skip
VOLUME_FEATURED = {
    "persistentVolumeClaim": "kubernetes.podspec-persistent-volume-claim",
    "image": "kubernetes.podspec-volumes-image",
    "emptyDir": "kubernetes.podspec-volumes-emptydir",
    "hostPath": "kubernetes.podspec-volumes-hostpath",
    "csi": "kubernetes.podspec-volumes-csi",
    "ephemeral": "kubernetes.podspec-volumes-ephemeral",
}
_VOLUME_WORDS = {
    "image": "Image", "emptyDir": "EmptyDir", "hostPath": "HostPath", "csi": "CSI",
    "ephemeral": "Ephemeral",
}  # fmt: skip
_VOLUME_KINDS = (
    "secret", "configMap", "projected", "emptyDir", "persistentVolumeClaim", "hostPath", "csi",
    "ephemeral", "image",
)  # fmt: skip
_SECURITY_ALLOWED = frozenset(
    {
        "capabilities", "readOnlyRootFilesystem", "runAsUser", "runAsGroup", "runAsNonRoot",
        "allowPrivilegeEscalation", "seccompProfile",
    }
)  # fmt: skip
_RESERVED_PORTS = frozenset({8012, 8013, 8022, 8112, 9090, 9091, 8008})
_RESERVED_ENV = frozenset({"PORT", "K_SERVICE", "K_CONFIGURATION", "K_REVISION"})
_RESERVED_PATHS = frozenset({"/", "/dev", "/dev/log"})
_HANDLERS = ("exec", "grpc", "httpGet", "tcpSocket")
_INT32_MAX = 2**31 - 1
_REFERENCE = re.compile(
    r"(?:(?:localhost|[A-Za-z0-9.-]+[.:][A-Za-z0-9.:-]*)/)?[a-z0-9_./-]{1,255}"
    r"(?::[A-Za-z0-9_.-]{1,128})?(?:@[a-z0-9+._-]+:[0-9a-fA-F]{32,})?"
)


def check_revision_spec(
    spec: objects.Object, allowed: limits.Limits, path: str, found: problems.Problems
) -> None:
    """Note what is wrong with a Revision's spec (a PodSpec and what Knative adds to it)."""
    _check_pod(spec, allowed, path, found)
    longest = allowed.max_revision_timeout_s
    timeout = spec.get("timeoutSeconds")
    if isinstance(timeout, int) and timeout != 0 and not 0 <= timeout <= longest:
        found.out_of_bounds(timeout, 0, longest, f"{path}.timeoutSeconds")
    concurrency = spec.get("containerConcurrency")
    most = allowed.container_concurrency_max
    if isinstance(concurrency, int) and not 0 <= concurrency <= most:
        found.out_of_bounds(concurrency, 0, most, f"{path}.containerConcurrency")


def _check_pod(
    spec: objects.Object, allowed: limits.Limits, path: str, found: problems.Problems
) -> None:
    for field, feature in POD_FEATURED.items():
        if _is_set(spec.get(field)) and not allowed.allows(feature):
            found.disallowed(f"{path}.{field}")
    if spec.get("automountServiceAccountToken") is True:
        found.disallowed(f"{path}.automountServiceAccountToken")
    containers = _mappings(spec.get("containers"))
    volumes = _check_volumes(spec, containers, allowed, path, found)
    init = _mappings(spec.get("initContainers"))
    if init and not allowed.allows("kubernetes.podspec-init-containers"):
        found.add(f"pod spec support for init-containers is off, but found {len(init)} init"
                  " containers")  # fmt: skip
    ports = sum(len(_mappings(container.get("ports"))) for container in containers)
    if ports == 0 and len(containers) > 1:
        found.missing(f"{path}.containers[*].ports")
    elif ports > 1:
        found.add(
            "more than one container port is set",
            f"{path}.containers[*].ports",
            details="Only a single port is allowed across all containers",
        )
    if not containers:
        found.missing(f"{path}.containers")
    if len(containers) > 1 and not allowed.allows("multi-container"):
        found.add(f"multi-container is off, but found {len(containers)} containers")
        return
    seen: set[str] = set()
    for index, container in enumerate(containers):
        at = f"{path}.containers[{index}]"
        name = str(container.get("name") or "")
        if name in seen:
            found.add(f'duplicate container name "{name}"', f"{at}.name")
        seen.add(name)
        serves = len(containers) == 1 or bool(container.get("ports"))
        _check_container(container, allowed, volumes, at, found, serves=serves)
    account = spec.get("serviceAccountName")
    for problem in names.dns_subdomain(account) if account else ():
        found.invalid(account, f"{path}.serviceAccountName", details=problem)


def _check_container(
    container: objects.Object,
    allowed: limits.Limits,
    volumes: dict[str, objects.Object],
    path: str,
    found: problems.Problems,
    *,
    serves: bool,
) -> None:
    _check_probes(container, allowed, path, found, serves=serves)
    if container.get("name") == keys.QUEUE_CONTAINER:
        found.add(f'"{keys.QUEUE_CONTAINER}" is a reserved container name', f"{path}.name")
    reserved = _RESERVED_ENV if serves else _RESERVED_ENV - {"PORT"}
    for index, variable in enumerate(_mappings(container.get("env"))):
        at = f"{path}.env[{index}]"
        if not variable.get("name"):
            found.missing(f"{at}.name")
        elif variable["name"] in reserved:
            found.add(f'"{variable["name"]}" is a reserved environment variable', f"{at}.name")
        source = variable.get("valueFrom")
        if isinstance(source, dict) and not allowed.allows("kubernetes.podspec-fieldref"):
            for field in ("fieldRef", "resourceFieldRef"):
                if field in source:
                    found.disallowed(f"{at}.valueFrom.{field}")
    for source in _mappings(container.get("envFrom")):
        given = [key for key in ("configMapRef", "secretRef") if source.get(key) is not None]
        paths = (f"{path}.envFrom.configMapRef", f"{path}.envFrom.secretRef")
        if len(given) != 1:
            (found.several_of if given else found.none_of)(*paths)
    _check_image(container.get("image"), path, found)
    _check_port(_mappings(container.get("ports")), f"{path}.ports", found)
    if isinstance(context := container.get("securityContext"), dict):
        _check_security(context, allowed, f"{path}.securityContext", found)
    policy = container.get("terminationMessagePolicy")
    if policy not in (None, "", "File", "FallbackToLogsOnError"):
        found.invalid(policy, f"{path}.terminationMessagePolicy")
    _check_mounts(_mappings(container.get("volumeMounts")), volumes, f"{path}.volumeMounts", found)


def _check_image(image: objects.Json, path: str, found: problems.Problems) -> None:
    if not image:
        found.missing(f"{path}.image")
    elif not _REFERENCE.fullmatch(str(image)):
        found.add(
            "Failed to parse image reference",
            f"{path}.image",
            details=f'image: "{image}", error: could not parse reference: {image}',
        )


def _check_port(ports: list[objects.Object], path: str, found: problems.Problems) -> None:
    if not ports:
        return
    port = ports[0]
    number = port.get("containerPort")
    if number in _RESERVED_PORTS:
        found.invalid(
            f"{number} is a reserved port",
            f"{path}.containerPort",
            details=f"{number} is a reserved port, please use a different value",
        )
    if isinstance(number, int) and not 0 <= number <= 65535:
        found.out_of_bounds(number, 0, 65535, f"{path}.containerPort")
    for field in ("hostIP", "hostPort"):
        if port.get(field):
            found.disallowed(f"{path}.{field}")
    if port.get("protocol") not in (None, "", "TCP"):
        found.invalid(port["protocol"], f"{path}.protocol")
    if port.get("name") not in (None, "", "h2c", "http1"):
        found.add(
            f"Port name {port['name']} is not allowed",
            path,
            details="Name must be empty, or one of: 'h2c', 'http1'",
        )


def _check_security(
    context: objects.Object, allowed: limits.Limits, path: str, found: problems.Problems
) -> None:
    for field, value in context.items():
        if field in _SECURITY_ALLOWED or (field == "privileged" and value is False):
            continue
        if value is not None:
            found.disallowed(f"{path}.{field}")
    capabilities = context.get("capabilities")
    if (
        isinstance(capabilities, dict)
        and capabilities.get("add")
        and not allowed.allows("kubernetes.containerspec-addcapabilities")
    ):
        found.disallowed(f"{path}.capabilities.add")
    for field in ("runAsUser", "runAsGroup"):
        number = context.get(field)
        if isinstance(number, int) and not 0 <= number <= _INT32_MAX:
            found.out_of_bounds(number, 0, _INT32_MAX, f"{path}.{field}")


def _check_probes(
    container: objects.Object,
    allowed: limits.Limits,
    path: str,
    found: problems.Problems,
    *,
    serves: bool,
) -> None:
    for kind in ("livenessProbe", "readinessProbe", "startupProbe"):
        probe = container.get(kind)
        if not isinstance(probe, dict):
            continue
        at = f"{path}.{kind}"
        if not serves and not allowed.allows("multi-container-probing"):
            found.disallowed(*(f"{at}.{field}" for field in probe if _is_set(probe[field])))
            continue
        handlers = [handler for handler in _HANDLERS if probe.get(handler) is not None]
        if not handlers:
            found.none_of(*(f"{at}.{handler}" for handler in _HANDLERS))
        elif len(handlers) > 1:
            found.several_of(*(f"{at}.{handler}" for handler in handlers))
        if kind == "readinessProbe":
            _check_readiness(probe, at, found)


def _check_readiness(probe: objects.Object, path: str, found: problems.Problems) -> None:
    """`periodSeconds: 0` means Knative's own, eager probing, which has no thresholds."""

    def number(field: str) -> int:
        return int(probe.get(field) or 0)

    for field, least in (("periodSeconds", 0), ("initialDelaySeconds", 0), ("successThreshold", 1)):
        if number(field) < least:
            found.out_of_bounds(number(field), least, _INT32_MAX, f"{path}.{field}")
    for field in ("failureThreshold", "timeoutSeconds"):
        if number("periodSeconds") == 0:
            if number(field) != 0:
                found.add(f"{field} is disallowed when periodSeconds is zero", f"{path}.{field}")
        elif number(field) < 1:
            found.out_of_bounds(number(field), 1, _INT32_MAX, f"{path}.{field}")


def _check_volumes(
    spec: objects.Object,
    containers: list[objects.Object],
    allowed: limits.Limits,
    path: str,
    found: problems.Problems,
) -> dict[str, objects.Object]:
    everyone = [*containers, *_mappings(spec.get("initContainers"))]
    mounted = {
        mount.get("name")
        for container in everyone
        for mount in _mappings(container.get("volumeMounts"))
    }
    volumes: dict[str, objects.Object] = {}
    for index, volume in enumerate(_mappings(spec.get("volumes"))):
        at = f"{path}.volumes[{index}]"
        name = str(volume.get("name") or "")
        if name in volumes:
            found.add(f'duplicate volume name "{name}"', f"{at}.name")
        if name not in mounted:
            found.add(f'volume with name "{name}" not mounted', f"{at}.name")
        if not name:
            found.missing(f"{at}.name")
        elif names.dns_label(name):
            found.invalid(name, f"{at}.name")
        _check_volume_source(volume, allowed, at, found)
        volumes[name] = volume
    return volumes


def _check_volume_source(
    volume: objects.Object, allowed: limits.Limits, path: str, found: problems.Problems
) -> None:
    given = [kind for kind in _VOLUME_KINDS if volume.get(kind) is not None]
    name = str(volume.get("name") or "")
    for kind, feature in VOLUME_FEATURED.items():
        if kind not in given or allowed.allows(feature):
            continue
        if kind == "persistentVolumeClaim":
            claim = volume[kind].get("claimName", "")
            found.add(
                "Persistent volume claim support is disabled, but found persistent volume claim"
                f" {claim}"
            )
        else:
            word = _VOLUME_WORDS[kind]
            found.add(f"{word} volume support is disabled, but found {word} volume {name}")
        found.disallowed(f"{path}.{kind}")
    claim_source = volume.get("persistentVolumeClaim")
    if (
        isinstance(claim_source, dict)
        and not claim_source.get("readOnly")
        and not allowed.allows("kubernetes.podspec-persistent-volume-write")
    ):
        found.add(
            "Persistent volume write support is disabled, but found persistent volume claim"
            f" {claim_source.get('claimName', '')} that is not read-only"
        )
    if not given:
        optional = [
            kind
            for kind in ("emptyDir", "persistentVolumeClaim", "hostPath", "csi", "ephemeral")
            if allowed.allows(VOLUME_FEATURED[kind])
        ]
        options = ("secret", "configMap", "projected", *optional)
        found.none_of(*(f"{path}.{kind}" for kind in options))
    elif len(given) > 1:
        found.several_of(*(f"{path}.{kind}" for kind in given))


def _check_mounts(
    mounts: list[objects.Object],
    volumes: dict[str, objects.Object],
    path: str,
    found: problems.Problems,
) -> None:
    seen: set[str] = set()
    for index, mount in enumerate(mounts):
        at = f"{path}[{index}]"
        volume = volumes.get(str(mount.get("name") or ""))
        if volume is None:
            found.add("volumeMount has no matching volume", f"{at}.name")
        where = str(mount.get("mountPath") or "")
        clean = posixpath.normpath(where) if where else ""
        if not where:
            found.missing(f"{at}.mountPath")
        elif clean in _RESERVED_PATHS:
            found.add(f'mountPath "{clean}" is a reserved path', f"{at}.mountPath")
        elif not where.startswith("/"):
            found.invalid(where, f"{at}.mountPath")
        elif clean in seen:
            found.invalid(f'"{where}" must be unique', f"{at}.mountPath")
        seen.add(clean)
        claim = (volume or {}).get("persistentVolumeClaim")
        if isinstance(claim, dict) and claim.get("readOnly") and not mount.get("readOnly"):
            found.add("volume is readOnly but volume mount is not", f"{at}.readOnly")


def _mappings(value: objects.Json) -> list[objects.Object]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _is_set(value: objects.Json) -> bool:
    """Say whether Go would see more than the zero value; an empty mapping is a set pointer."""
    return value is not None and value is not False and value not in ("", 0, [])
