"""Security contexts of pods and containers.

Source: pkg/apis/core/validation @1.36; the server runs with `--allow-privileged`.
"""

from __future__ import annotations

import re

from understudy.kapi.resources.kinds import paths
from understudy.kube import causes, names, objects, statuses

Causes = list[statuses.Cause]

_PROFILES = ("Localhost", "RuntimeDefault", "Unconfined")
_SYSCTL_FMT = "([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?"
_SYSCTL = re.compile(_SYSCTL_FMT)
_IPC_SYSCTL_NAMES = frozenset(
    {"kernel.sem", "kernel.shm_rmid_forced", "kernel.shmall", "kernel.shmmax", "kernel.shmmni"}
)


def _ids(context: objects.Object, field: str, keys: tuple[str, ...]) -> Causes:
    out: Causes = []
    for key in keys:
        value = context.get(key)
        if value is not None:
            out += causes.complaints(f"{field}.{key}", value, names.user_id(value))
    return out


def container(context: objects.Object, field: str, *, host_users: bool) -> Causes:
    """Check a container's SecurityContext."""
    out = _ids(context, field, ("runAsUser", "runAsGroup"))
    mount = context.get("procMount")
    if mount is not None:
        if mount not in {"Default", "Unmasked"}:
            out.append(causes.unsupported(f"{field}.procMount", mount, ("Default", "Unmasked")))
        if host_users and mount == "Unmasked":
            text = "`hostUsers` must be false to use `Unmasked`"
            out.append(causes.invalid(f"{field}.procMount", mount, text))
    if (seccomp := context.get("seccompProfile")) is not None:
        out += _seccomp(seccomp, f"{field}.seccompProfile")
    if context.get("allowPrivilegeEscalation") is False:
        shown = {"Capabilities": context.get("capabilities")}
        if context.get("privileged"):
            text = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true"
            out.append(causes.invalid(field, shown, text))
        if "CAP_SYS_ADMIN" in ((context.get("capabilities") or {}).get("add") or ()):
            text = (
                "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add`"
                " CAP_SYS_ADMIN"
            )
            out.append(causes.invalid(field, shown, text))
    if (windows := context.get("windowsOptions")) is not None:
        out += _windows(windows, f"{field}.windowsOptions")
    if (armor := context.get("appArmorProfile")) is not None:
        out += _app_armor(armor, f"{field}.appArmorProfile")
    return out


def pod(context: objects.Object, spec: objects.Object, field: str) -> Causes:
    """Check a PodSecurityContext."""
    if not context:
        return []
    out = _ids(context, field, ("fsGroup", "runAsUser", "runAsGroup"))
    for index, group in enumerate(context.get("supplementalGroups") or ()):
        at = f"{field}.supplementalGroups[{index}]"
        out += causes.complaints(at, group, names.user_id(group))
    if sysctls := context.get("sysctls"):
        out += _sysctls(sysctls, spec, f"{field}.sysctls")
    for key, known in (
        ("fsGroupChangePolicy", ("Always", "OnRootMismatch")),
        ("supplementalGroupsPolicy", ("Merge", "Strict")),
        ("seLinuxChangePolicy", ("Recursive",)),
    ):
        value = context.get(key)
        if value is not None and value not in known:
            out.append(causes.unsupported(f"{field}.{key}", value, known))
    if (seccomp := context.get("seccompProfile")) is not None:
        out += _seccomp(seccomp, f"{field}.seccompProfile")
    if (windows := context.get("windowsOptions")) is not None:
        out += _windows(windows, f"{field}.windowsOptions")
    if (armor := context.get("appArmorProfile")) is not None:
        out += _app_armor(armor, f"{field}.appArmorProfile")
    return out


def _sysctls(values: list[objects.Object], spec: objects.Object, field: str) -> Causes:
    out: Causes = []
    seen: set[str] = set()
    for index, one in enumerate(values):
        path, name = f"{field}[{index}].name", one.get("name") or ""
        if not name:
            out.append(causes.required(path))
        elif len(name) > 253 or not _SYSCTL.fullmatch(name):
            text = f"must have at most 253 characters and match regex ^{_SYSCTL_FMT}$"
            out.append(causes.invalid(path, name, text))
        elif name in seen:
            out.append(causes.duplicate(path, name))
        dotted = name.replace("/", ".")
        if spec.get("hostNetwork") and dotted.startswith("net."):
            text = "may not be specified when 'hostNetwork' is true"
            out.append(causes.invalid(path, name, text))
        is_ipc = dotted in _IPC_SYSCTL_NAMES or dotted.startswith(("fs.mqueue.", "kernel.msg"))
        if spec.get("hostIPC") and is_ipc:
            text = "may not be specified when 'hostIPC' is true"
            out.append(causes.invalid(path, name, text))
        seen.add(name)
    return out


def _seccomp(profile: objects.Object, field: str) -> Causes:
    kind, local = profile.get("type") or "", profile.get("localhostProfile")
    out: Causes = []
    if not kind:
        text = "type is required when seccompProfile is set"
        out.append(causes.required(f"{field}.type", text))
    elif kind not in _PROFILES:
        out.append(causes.unsupported(f"{field}.type", kind, _PROFILES))
    at = f"{field}.localhostProfile"
    if kind == "Localhost":
        if local is None:
            text = "must be set when seccomp type is Localhost"
            out.append(causes.required(at, text))
        else:
            out += paths.descending(local, at)
    elif local is not None:
        shown = {"Type": kind, "LocalhostProfile": local}
        text = "can only be set when seccomp type is Localhost"
        out.append(causes.invalid(at, shown, text))
    return out


def _app_armor(profile: objects.Object, field: str) -> Causes:
    kind, local = profile.get("type") or "", profile.get("localhostProfile")
    at = f"{field}.localhostProfile"
    must = "must be set when AppArmor type is Localhost"
    out: Causes = []
    match kind:
        case "Localhost":
            if local is None:
                out.append(causes.required(at, must))
            else:
                if local.strip() != local:
                    text = "must not be padded with whitespace"
                    out.append(causes.invalid(at, local, text))
                elif not local:
                    out.append(causes.required(at, must))
                if names.size(local) > 4095:
                    out.append(causes.too_long(at, 4095))
        case "RuntimeDefault" | "Unconfined":
            if local is not None:
                text = "can only be set when AppArmor type is Localhost"
                out.append(causes.invalid(at, local, text))
        case "":
            text = "type is required when appArmorProfile is set"
            out.append(causes.required(f"{field}.type", text))
        case _:
            out.append(causes.unsupported(f"{field}.type", kind, _PROFILES))
    return out


_CONTROL = re.compile("[\x00-\x1f\x7f]+")
_NETBIOS = re.compile(r'[^\\/:*?"<>|.][^\\/:*?"<>|]{0,14}')
_LABEL = "[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
_DOMAIN = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_BAD_USER = re.compile(r'["/\\:;|=,+*?<>@\[\]]')


def _windows(options: objects.Object, field: str) -> Causes:
    out: Causes = []
    if (name := options.get("gmsaCredentialSpecName")) is not None:
        at = f"{field}.gmsaCredentialSpecName"
        out += causes.complaints(at, name, names.dns_subdomain(name))
    if (spec := options.get("gmsaCredentialSpec")) is not None:
        at = f"{field}.gmsaCredentialSpec"
        if not spec:
            text = "gmsaCredentialSpec cannot be an empty string"
            out.append(causes.invalid(at, spec, text))
        elif names.size(spec) > 64 * 1024:
            text = "gmsaCredentialSpec size must be under 64 KiB"
            out.append(causes.invalid(at, spec, text))
    if (user := options.get("runAsUserName")) is not None:
        at = f"{field}.runAsUserName"
        out += [causes.invalid(at, user, f"runAsUserName{text}") for text in _user_name(user)]
    return out


def _user_name(value: str) -> list[str]:
    if not value:
        return [" cannot be an empty string"]
    if _CONTROL.search(value):
        return [" cannot contain control characters"]
    parts = value.split("\\")
    if len(parts) > 2:
        return [" cannot contain more than one backslash"]
    domain, user = parts if len(parts) == 2 else ("", parts[0])
    out: list[str] = []
    if len(domain) >= 256:
        out.append("'s Domain length must be under 256 characters")
    if len(parts) == 2 and not (_NETBIOS.fullmatch(domain) or _DOMAIN.fullmatch(domain)):
        out.append("'s Domain doesn't match the NetBios nor the DNS format")
    if not user:
        out.append("'s User cannot be empty")
    elif len(user) > 104:
        out.append("'s User length must not be longer than 104 characters")
    if user and not user.strip(". "):
        out.append("'s User cannot contain only periods or spaces")
    if _BAD_USER.search(user):
        text = "'s User cannot contain the following characters: \"/\\:;|=,+*?<>@[]"
        out.append(text)
    return out
