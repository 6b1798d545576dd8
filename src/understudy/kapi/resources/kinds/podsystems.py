"""What ties a pod to its node's operating system: OS, user namespaces, host processes, profiles.

Source: pkg/apis/core/validation @1.36.
"""

from __future__ import annotations

from collections.abc import Iterator

from understudy.kapi.resources.kinds import paths
from understudy.kube import causes, names, objects, statuses

Causes = list[statuses.Cause]

_SECCOMP_POD = "seccomp.security.alpha.kubernetes.io/pod"
_SECCOMP_CONTAINER = "container.seccomp.security.alpha.kubernetes.io/"
_ARMOR = "container.apparmor.security.beta.kubernetes.io/"
_WINDOWS_POD_CONTEXT = (
    "appArmorProfile", "seLinuxOptions", "seccompProfile", "fsGroup", "fsGroupChangePolicy",
    "sysctls", "runAsUser", "runAsGroup", "supplementalGroups", "supplementalGroupsPolicy",
    "seLinuxChangePolicy",
)  # fmt: skip
_WINDOWS_POD = ("hostUsers", "hostPID", "hostIPC", "shareProcessNamespace")
_WINDOWS_CONTAINER_CONTEXT = (
    "appArmorProfile", "seLinuxOptions", "seccompProfile", "capabilities",
    "readOnlyRootFilesystem", "privileged", "allowPrivilegeEscalation", "procMount", "runAsUser",
    "runAsGroup",
)  # fmt: skip


def _visit(spec: objects.Object, field: str) -> Iterator[tuple[objects.Object, str]]:
    for key in ("initContainers", "containers", "ephemeralContainers"):
        for index, one in enumerate(spec.get(key) or ()):
            yield one, f"{field}.{key}[{index}]"


def validate(spec: objects.Object, field: str) -> Causes:
    """Check OS, user namespace and host processes."""
    out = _host_processes(spec, field)
    if spec.get("hostUsers") is False:
        text = "when `pod.Spec.HostUsers` is false"
        for key, shown in (("hostNetwork", "hostNetwork"), ("hostPID", "HostPID"),
                           ("hostIPC", "HostIPC")):  # fmt: skip
            if spec.get(key):
                out.append(causes.forbidden(f"{field}.{shown}", text))
    context = spec.get("securityContext") or {}
    if spec.get("shareProcessNamespace") and spec.get("hostPID"):
        text = "ShareProcessNamespace and HostPID cannot both be enabled"
        out.append(causes.invalid(f"{field}.securityContext.shareProcessNamespace", True, text))
    out += _hostname_override(spec, field)
    system = spec.get("os")
    if system is None:
        return out
    name = system.get("name") or ""
    if not name:
        out.append(causes.required(f"{field}.os.name", "cannot be empty"))
    elif name == "linux":
        out += _linux(spec, context, field)
    elif name == "windows":
        out += _windows(spec, context, field)
    else:
        out.append(causes.unsupported(f"{field}.os", name, ("linux", "windows")))
    return out


def _hostname_override(spec: objects.Object, field: str) -> Causes:
    name = spec.get("hostnameOverride")
    if name is None:
        return []
    at = f"{field}.hostnameOverride"
    out = causes.complaints(at, name, names.dns_subdomain(name)) if name else []
    if name and len(name) > 64:
        out.append(causes.invalid(at, name, names.too_long(64)))
    if spec.get("setHostnameAsFQDN"):
        text = "may not be specified when setHostnameAsFQDN is true"
        out.append(causes.forbidden(at, text))
    if spec.get("hostNetwork"):
        out.append(causes.forbidden(at, "may not be specified when hostNetwork is true"))
    return out


def _linux(spec: objects.Object, context: objects.Object, field: str) -> Causes:
    text = "windows options cannot be set for a linux pod"
    out: Causes = []
    if context.get("windowsOptions") is not None:
        out.append(causes.forbidden(f"{field}.securityContext.windowsOptions", text))
    return out + [
        causes.forbidden(f"{path}.securityContext.windowsOptions", text)
        for one, path in _visit(spec, field)
        if (one.get("securityContext") or {}).get("windowsOptions") is not None
    ]


def _windows(spec: objects.Object, context: objects.Object, field: str) -> Causes:
    text = "cannot be set for a windows pod"
    out = [
        causes.forbidden(f"{field}.securityContext.{key}", text)
        for key in _WINDOWS_POD_CONTEXT
        if context.get(key) is not None
    ]
    out += [
        causes.forbidden(f"{field}.{key}", text)
        for key in _WINDOWS_POD
        if spec.get(key) or (key in {"hostUsers", "shareProcessNamespace"} and key in spec)
    ]
    return out + [
        causes.forbidden(f"{path}.securityContext.{key}", text)
        for one, path in _visit(spec, field)
        for key in _WINDOWS_CONTAINER_CONTEXT
        if (one.get("securityContext") or {}).get(key) is not None
    ]


def _host_processes(spec: objects.Object, field: str) -> Causes:
    def wish(holder: objects.Object) -> bool | None:
        options = (holder.get("securityContext") or {}).get("windowsOptions") or {}
        found = options.get("hostProcess")
        return None if found is None else bool(found)

    whole = wish(spec)
    out: Causes = []
    total = count = 0
    for one, path in _visit(spec, field):
        total += 1
        own = wish(one)
        if whole is not None and own is not None and whole != own:
            shown = str(whole).lower()
            text = f"pod hostProcess value must be identical if both are specified, was {shown}"
            at = f"{path}.securityContext.windowsOptions.hostProcess"
            out.append(causes.invalid(at, own, text))
        if own or (own is None and whole):
            count += 1
    if count:
        if count != total:
            text = (
                "If pod contains any hostProcess containers then all containers must be"
                " HostProcess containers"
            )
            out.append(causes.invalid(field, "", text))
        if not spec.get("hostNetwork"):
            text = "hostNetwork must be true if pod contains any hostProcess containers"
            out.append(causes.invalid(f"{field}.hostNetwork", False, text))
    return out


def annotated_profiles(annotations: dict[str, str], spec: objects.Object, field: str) -> Causes:
    """Check the seccomp and AppArmor profiles that annotations name."""
    out: Causes = []
    for key, value in annotations.items():
        if key == _SECCOMP_POD or key.startswith(_SECCOMP_CONTAINER):
            out += _seccomp_profile(value, f"{field}.{key}")
        elif key.startswith(_ARMOR):
            name = key.removeprefix(_ARMOR)
            if all(one.get("name") != name for one, _ in _visit(spec, "")):
                out.append(causes.invalid(f"{field}[{key}]", name, "container not found"))
            if value not in {"", "runtime/default", "unconfined"} and not value.startswith(
                "localhost/"
            ):
                text = f"invalid AppArmor profile name: {causes.quoted(value)}"
                out.append(causes.invalid(f"{field}[{key}]", value, text))
    return out


def _seccomp_profile(value: str, field: str) -> Causes:
    if value in {"runtime/default", "docker/default", "unconfined"}:
        return []
    if value.startswith("localhost/"):
        return paths.descending(value.removeprefix("localhost/"), field)
    return [causes.invalid(field, value, "must be a valid seccomp profile")]


def meaningful(pod: objects.Object) -> dict[str, str]:
    """Return the annotations of a pod that may mean something to Kubernetes: nearly always none."""
    found = objects.annotations_of(pod)
    return {key: found[key] for key in found if "kubernetes.io/" in key}


def profiles_match(annotations: dict[str, str], spec: objects.Object, field: str) -> Causes:
    """Complain where an annotation and the field that replaced it disagree."""
    out: Causes = []
    context = spec.get("securityContext") or {}
    if context.get("seccompProfile") is not None and _SECCOMP_POD in annotations:
        at = f"{field}.securityContext.seccompProfile"
        said = annotations[_SECCOMP_POD]
        out += _profile_match("seccomp", said, context["seccompProfile"], at)
    for one, path in _visit(spec, field):
        own = one.get("securityContext") or {}
        name = one.get("name") or ""
        seccomp, key = own.get("seccompProfile"), _SECCOMP_CONTAINER + name
        if seccomp is not None and key in annotations:
            at = f"{path}.securityContext.seccompProfile"
            out += _profile_match("seccomp", annotations[key], seccomp, at)
        armor = own.get("appArmorProfile") or context.get("appArmorProfile")
        windows = (spec.get("os") or {}).get("name") == "windows"
        if armor is not None and _ARMOR + name in annotations and not windows:
            at = f"{path}.securityContext.appArmorProfile"
            out += _profile_match("apparmor", annotations[_ARMOR + name], armor, at)
    return out


def _profile_match(what: str, said: str, profile: objects.Object, field: str) -> Causes:
    kind, local = profile.get("type") or "", profile.get("localhostProfile")
    mismatch = [
        causes.forbidden(f"{field}.type", f"{what} type in annotation and field must match")
    ]
    match kind:
        case "Unconfined":
            return [] if said == "unconfined" else mismatch
        case "RuntimeDefault":
            known = {"runtime/default", "docker/default"} if what == "seccomp" else {
                "runtime/default"
            }  # fmt: skip
            return [] if said in known else mismatch
        case "Localhost":
            if not said.startswith("localhost/"):
                return mismatch
            if said.removeprefix("localhost/") != local:
                text = f"{what} profile in annotation and field must match"
                return [causes.forbidden(f"{field}.localhostProfile", text)]
    return []
