"""The Pod Security Standards: what `baseline` and `restricted` forbid in a pod.

Every check tells what it forbids in two parts, a reason and its detail, in Kubernetes' words.
Checks have versions, so that a namespace pinned to an older one is judged as then.
Source: k8s.io/pod-security-admission 0.36 `policy`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from understudy.kube import causes, objects


class Violation(NamedTuple):
    """Why a pod does not meet a standard."""

    reason: str
    detail: str

    def __str__(self) -> str:
        return f"{self.reason} ({self.detail})"


Check = Callable[[objects.Object], Violation | None]
"""Judges a pod or a template, by its metadata and spec."""

MINOR_MAX = 36
"""The newest version known; newer ones, and `latest`, are judged as this."""

_DEFAULT_CAPABILITIES = frozenset(
    {
        "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD",
        "NET_BIND_SERVICE", "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT",
    }
)  # fmt: skip
_RESTRICTED_VOLUMES = (
    "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image",
    "persistentVolumeClaim", "projected", "secret",
)  # fmt: skip
_SYSCTLS_1_0 = frozenset(
    {
        "kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.tcp_syncookies",
        "net.ipv4.ping_group_range", "net.ipv4.ip_unprivileged_port_start",
    }
)  # fmt: skip
_SYSCTLS_1_27 = _SYSCTLS_1_0 | {"net.ipv4.ip_local_reserved_ports"}
_SYSCTLS_1_29 = _SYSCTLS_1_27 | {
    "net.ipv4.tcp_keepalive_time", "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl", "net.ipv4.tcp_keepalive_probes",
}  # fmt: skip
_SYSCTLS_1_32 = _SYSCTLS_1_29 | {"net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem"}
_SELINUX_1_0 = frozenset({"", "container_t", "container_init_t", "container_kvm_t"})
_SELINUX_1_31 = _SELINUX_1_0 | {"container_engine_t"}
_PROFILES = frozenset({"RuntimeDefault", "Localhost"})
_APPARMOR = "container.apparmor.security.beta.kubernetes.io/"
_SECCOMP = "seccomp.security.alpha.kubernetes.io/pod"
_CONTAINER_SECCOMP = "container.seccomp.security.alpha.kubernetes.io/"


def violations(level: str, minor: int | None, pod: objects.Object) -> list[Violation]:
    """Return what a pod does that a level forbids, in Kubernetes' order.

    Args:
        level: `privileged`, `baseline` or `restricted`.
        minor: The version of the standard, 29 for v1.29; None for `latest`.
        pod: The pod, or a template of pods.
    """
    if level == "privileged":
        return []
    at = MINOR_MAX if minor is None else min(minor, MINOR_MAX)
    found = (check(pod) for check in _checks(level, at))
    return [violation for violation in found if violation is not None]


def _checks(level: str, minor: int) -> Iterator[Check]:
    stricter = _RESTRICTED if level == "restricted" else ()
    overridden = {one.overrides for one in stricter if minor >= one.versions[0][0]}
    for one in (*_BASELINE, *stricter):
        if one.name in overridden:
            continue
        applying = [check for since, check in one.versions if minor >= since]
        if applying:
            yield applying[-1]


# ---------------------------------------------------------------------------- words


def _joined(items: Iterable[str]) -> str:
    return ", ".join(f'"{item}"' for item in items)


def _named(what: str, names: list[str]) -> str:
    """Say `container "a"`, `containers "a", "b"`."""
    return f"{_plural(what, names)} {_joined(names)}"


def _plural(what: str, items: Iterable[str]) -> str:
    return what if len(list(items)) == 1 else f"{what}s"


def _setters(pod: bool, containers: list[str]) -> list[str]:
    return [*(["pod"] if pod else []), *([_named("container", containers)] if containers else [])]


# ---------------------------------------------------------------------------- a pod's parts


def _containers(pod: objects.Object) -> Iterator[tuple[str, objects.Object, objects.Object]]:
    """Yield every container's name, itself and its security context."""
    spec = _spec(pod)
    for key in ("initContainers", "containers", "ephemeralContainers"):
        for one in spec.get(key) or ():
            yield one.get("name") or "", one, one.get("securityContext") or {}


def _spec(pod: objects.Object) -> objects.Object:
    found: objects.Object = pod.get("spec") or {}
    return found


def _security(pod: objects.Object) -> objects.Object:
    found: objects.Object = _spec(pod).get("securityContext") or {}
    return found


def _is_windows(pod: objects.Object) -> bool:
    return (_spec(pod).get("os") or {}).get("name") == "windows"


def _has_own_users(pod: objects.Object) -> bool:
    return _spec(pod).get("hostUsers") is False


# ---------------------------------------------------------------------------- baseline


def _apparmor(pod: objects.Object) -> Violation | None:
    def bad(context: objects.Object) -> str | None:
        profile = context.get("appArmorProfile")
        kind = (profile or {}).get("type") or ""
        return kind if profile is not None and kind not in _PROFILES else None

    values = {kind for kind in [bad(_security(pod))] if kind is not None}
    setters = bool(values)
    named = [name for name, _, context in _containers(pod) if bad(context) is not None]
    values |= {kind for _, _, context in _containers(pod) if (kind := bad(context)) is not None}
    shown = sorted(values)
    told = _setters(setters, named)
    annotations = sorted(
        f"{key}={causes.quoted(value)}"
        for key, value in objects.annotations_of(pod).items()
        if key.startswith(_APPARMOR)
        and value not in {"", "runtime/default"}
        and not value.startswith("localhost/")
    )
    if annotations:
        shown += annotations
        told.append(_plural("annotation", annotations))
    if not told:
        return None
    return Violation(
        _plural("forbidden AppArmor profile", shown),
        f"{' and '.join(told)} must not set AppArmor profile type to {_joined(shown)}",
    )


def _added_capabilities(
    pod: objects.Object, allowed: frozenset[str]
) -> tuple[list[str], list[str]]:
    """Return the containers that add capabilities not allowed, and these."""
    named, added = [], set()
    for name, _, context in _containers(pod):
        more = set((context.get("capabilities") or {}).get("add") or ()) - allowed
        if more:
            named.append(name)
            added |= more
    return named, sorted(added)


def _capabilities(pod: objects.Object) -> Violation | None:
    named, added = _added_capabilities(pod, _DEFAULT_CAPABILITIES)
    if not named:
        return None
    where = "securityContext.capabilities.add"
    return Violation(
        "non-default capabilities",
        f"{_named('container', named)} must not include {_joined(added)} in {where}",
    )


def _host_namespaces(pod: objects.Object) -> Violation | None:
    shared = [f"{key}=true" for key in ("hostNetwork", "hostPID", "hostIPC") if _spec(pod).get(key)]
    return Violation("host namespaces", ", ".join(shared)) if shared else None


def _host_paths(pod: objects.Object) -> Violation | None:
    named = [
        one["name"] for one in _spec(pod).get("volumes") or () if one.get("hostPath") is not None
    ]
    return Violation("hostPath volumes", _named("volume", named)) if named else None


def _host_ports(pod: objects.Object) -> Violation | None:
    used = {
        name: [str(port["hostPort"]) for port in one.get("ports") or () if port.get("hostPort")]
        for name, one, _ in _containers(pod)
    }
    named = [name for name, ports in used.items() if ports]
    if not named:
        return None
    ports = sorted({port for listed in used.values() for port in listed})
    verb = "uses" if len(named) == 1 else "use"
    return Violation(
        "hostPort",
        f"{_named('container', named)} {verb} {_plural('hostPort', ports)} {', '.join(ports)}",
    )


def _handlers(container: objects.Object) -> Iterator[objects.Object]:
    for key in ("livenessProbe", "readinessProbe", "startupProbe"):
        yield container.get(key) or {}
    lifecycle = container.get("lifecycle") or {}
    yield lifecycle.get("postStart") or {}
    yield lifecycle.get("preStop") or {}


def _probe_hosts(pod: objects.Object) -> Violation | None:
    named, hosts = set(), set()
    for name, container, _ in _containers(pod):
        for handler in _handlers(container):
            for key in ("httpGet", "tcpSocket"):
                if host := (handler.get(key) or {}).get("host"):
                    named.add(name)
                    hosts.add(host)
    if not named:
        return None
    verb = "uses" if len(named) == 1 else "use"
    what = _named("probe or lifecycle host", sorted(hosts))
    detail = f"{_named('container', sorted(named))} {verb} {what}"
    return Violation("probe or lifecycle host", detail)


def _privileged(pod: objects.Object) -> Violation | None:
    named = [name for name, _, context in _containers(pod) if context.get("privileged")]
    if not named:
        return None
    told = _named("container", named)
    return Violation("privileged", f"{told} must not set securityContext.privileged=true")


def _proc_mount(pod: objects.Object) -> Violation | None:
    mounts = {name: context.get("procMount") for name, _, context in _containers(pod)}
    bad = {name: mount for name, mount in mounts.items() if mount not in {None, "Default"}}
    if not bad:
        return None
    told = _named("container", list(bad))
    values = _joined(sorted(set(bad.values())))
    return Violation("procMount", f"{told} must not set securityContext.procMount to {values}")


def _selinux(allowed: frozenset[str]) -> Check:
    def check(pod: objects.Object) -> Violation | None:
        def is_bad(context: objects.Object) -> bool:
            options = context.get("seLinuxOptions")
            if options is None:
                return False
            kind = options.get("type") or ""
            types.update({kind} - allowed)
            given = {key for key in ("user", "role") if options.get(key)}
            kept.update(given)
            return kind not in allowed or bool(given)

        types: set[str] = set()
        kept: set[str] = set()
        by_pod = is_bad(_security(pod))
        told = _setters(by_pod, [name for name, _, own in _containers(pod) if is_bad(own)])
        if not told:
            return None
        data = [_named("type", sorted(types))] if types else []
        data += [f"{key} may not be set" for key in ("user", "role") if key in kept]
        return Violation(
            "seLinuxOptions",
            f"{' and '.join(told)} set forbidden securityContext.seLinuxOptions: {'; '.join(data)}",
        )

    return check


def _seccomp_annotations(pod: objects.Object) -> Violation | None:
    annotations = objects.annotations_of(pod)
    keys = [_SECCOMP, *(_CONTAINER_SECCOMP + name for name, _, _ in _containers(pod))]
    bad = sorted(
        {
            f"{key}={causes.quoted(annotations[key])}"
            for key in keys
            if key in annotations
            and annotations[key] not in {"runtime/default", "docker/default"}
            and not annotations[key].startswith("localhost/")
        }
    )
    if not bad:
        return None
    return Violation("seccompProfile", f"forbidden {_plural('annotation', bad)} {', '.join(bad)}")


def _seccomp_type(context: objects.Object) -> str | None:
    profile = context.get("seccompProfile")
    return None if profile is None else profile.get("type") or ""


def _seccomp(pod: objects.Object) -> Violation | None:
    own = _seccomp_type(_security(pod))
    by_pod = own is not None and own not in _PROFILES
    types = {name: _seccomp_type(context) for name, _, context in _containers(pod)}
    bad = {name: kind for name, kind in types.items() if kind is not None and kind not in _PROFILES}
    told = _setters(by_pod, list(bad))
    if not told:
        return None
    values = sorted({*bad.values(), *([own] if by_pod and own is not None else [])})
    return Violation(
        "seccompProfile",
        f"{' and '.join(told)} must not set securityContext.seccompProfile.type to"
        f" {_joined(values)}",
    )


def _sysctls(allowed: frozenset[str]) -> Check:
    def check(pod: objects.Object) -> Violation | None:
        listed = [one.get("name") or "" for one in _security(pod).get("sysctls") or ()]
        bad = [name for name in listed if name not in allowed]
        return Violation("forbidden sysctls", ", ".join(bad)) if bad else None

    return check


def _host_process(pod: objects.Object) -> Violation | None:
    def is_host(context: objects.Object) -> bool:
        return bool((context.get("windowsOptions") or {}).get("hostProcess"))

    told = _setters(
        is_host(_security(pod)), [name for name, _, own in _containers(pod) if is_host(own)]
    )
    if not told:
        return None
    rule = "must not set securityContext.windowsOptions.hostProcess=true"
    return Violation("hostProcess", f"{' and '.join(told)} {rule}")


# ---------------------------------------------------------------------------- restricted


def _privilege_escalation(pod: objects.Object) -> Violation | None:
    named = [
        name
        for name, _, context in _containers(pod)
        if context.get("allowPrivilegeEscalation") is not False
    ]
    if not named:
        return None
    rule = "must set securityContext.allowPrivilegeEscalation=false"
    return Violation("allowPrivilegeEscalation != false", f"{_named('container', named)} {rule}")


def _dropped_capabilities(pod: objects.Object) -> Violation | None:
    keeping = [
        name
        for name, _, context in _containers(pod)
        if "ALL" not in ((context.get("capabilities") or {}).get("drop") or ())
    ]
    told = []
    if keeping:
        rule = 'must set securityContext.capabilities.drop=["ALL"]'
        told.append(f"{_named('container', keeping)} {rule}")
    named, added = _added_capabilities(pod, frozenset({"NET_BIND_SERVICE"}))
    if named:
        where = "securityContext.capabilities.add"
        told.append(f"{_named('container', named)} must not include {_joined(added)} in {where}")
    return Violation("unrestricted capabilities", "; ".join(told)) if told else None


def _volumes(pod: objects.Object) -> Violation | None:
    bad: dict[str, str] = {}
    for one in _spec(pod).get("volumes") or ():
        sources = [key for key, value in one.items() if key != "name" and value is not None]
        if not any(key in _RESTRICTED_VOLUMES for key in sources):
            bad[one["name"]] = sources[0] if sources else "unknown"
    if not bad:
        return None
    verb = "uses" if len(bad) == 1 else "use"
    kinds = _named("restricted volume type", sorted(set(bad.values())))
    return Violation("restricted volume types", f"{_named('volume', list(bad))} {verb} {kinds}")


def _non_root(pod: objects.Object) -> Violation | None:
    reason = "runAsNonRoot != true"
    own = _security(pod).get("runAsNonRoot")
    set_by = {name: context.get("runAsNonRoot") for name, _, context in _containers(pod)}
    told = _setters(own is False, [name for name, value in set_by.items() if value is False])
    if told:
        rule = "must not set securityContext.runAsNonRoot=false"
        return Violation(reason, f"{' and '.join(told)} {rule}")
    missing = [name for name, value in set_by.items() if value is None and not own]
    if not missing:
        return None
    rule = "must set securityContext.runAsNonRoot=true"
    return Violation(reason, f"pod or {_named('container', missing)} {rule}")


def _root_user(pod: objects.Object) -> Violation | None:
    def is_root(context: objects.Object) -> bool:
        return context.get("runAsUser") == 0

    told = _setters(
        is_root(_security(pod)), [name for name, _, own in _containers(pod) if is_root(own)]
    )
    return (
        Violation("runAsUser=0", f"{' and '.join(told)} must not set runAsUser=0") if told else None
    )


def _chosen_seccomp(pod: objects.Object) -> Violation | None:
    if (bad := _seccomp(pod)) is not None:
        return bad
    if _seccomp_type(_security(pod)) is not None:
        return None
    missing = [name for name, _, own in _containers(pod) if _seccomp_type(own) is None]
    if not missing:
        return None
    rule = 'must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"'
    return Violation("seccompProfile", f"pod or {_named('container', missing)} {rule}")


def _unless(exempt: Callable[[objects.Object], bool], check: Check) -> Check:
    def judge(pod: objects.Object) -> Violation | None:
        return None if exempt(pod) else check(pod)

    return judge


class _Versioned(NamedTuple):
    """A check with the minor versions since which each form of it applies."""

    name: str
    versions: tuple[tuple[int, Check], ...]
    overrides: str = ""


# Both in the order of Kubernetes' names for the checks, which is that of the messages.
_BASELINE = (
    _Versioned("appArmorProfile", ((0, _apparmor),)),
    _Versioned("capabilities_baseline", ((0, _capabilities),)),
    _Versioned("hostNamespaces", ((0, _host_namespaces),)),
    _Versioned("hostPathVolumes", ((0, _host_paths),)),
    _Versioned("hostPorts", ((0, _host_ports),)),
    _Versioned("hostProbesAndHostLifecycle", ((34, _probe_hosts),)),
    _Versioned("privileged", ((0, _privileged),)),
    _Versioned("procMount", ((0, _proc_mount), (35, _unless(_has_own_users, _proc_mount)))),
    _Versioned("seLinuxOptions", ((0, _selinux(_SELINUX_1_0)), (31, _selinux(_SELINUX_1_31)))),
    _Versioned("seccompProfile_baseline", ((0, _seccomp_annotations), (19, _seccomp))),
    _Versioned(
        "sysctls",
        (
            (0, _sysctls(_SYSCTLS_1_0)),
            (27, _sysctls(_SYSCTLS_1_27)),
            (29, _sysctls(_SYSCTLS_1_29)),
            (32, _sysctls(_SYSCTLS_1_32)),
        ),
    ),
    _Versioned("windowsHostProcess", ((0, _host_process),)),
)
_RESTRICTED = (
    _Versioned(
        "allowPrivilegeEscalation",
        ((8, _privilege_escalation), (25, _unless(_is_windows, _privilege_escalation))),
    ),
    _Versioned(
        "capabilities_restricted",
        ((22, _dropped_capabilities), (25, _unless(_is_windows, _dropped_capabilities))),
        "capabilities_baseline",
    ),
    _Versioned("procMount_restricted", ((35, _proc_mount),), "procMount"),
    _Versioned("restrictedVolumes", ((0, _volumes),), "hostPathVolumes"),
    _Versioned("runAsNonRoot", ((0, _non_root), (35, _unless(_has_own_users, _non_root)))),
    _Versioned("runAsUser", ((23, _root_user), (35, _unless(_has_own_users, _root_user)))),
    _Versioned(
        "seccompProfile_restricted",
        ((19, _chosen_seccomp), (25, _unless(_is_windows, _chosen_seccomp))),
        "seccompProfile_baseline",
    ),
)
