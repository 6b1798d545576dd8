"""PodSecurity: holds pods to the standard that their namespace's labels name.

A pod that violates the enforced level is refused; what holds templates only warns. A namespace that
is to enforce more warns of the pods that are already there.
Source: k8s.io/pod-security-admission 0.36 `admission`, `api`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from understudy.kapi.admission import chain, matching, pods, podstandards
from understudy.kube import causes, identities, objects, statuses

PREFIX = "pod-security.kubernetes.io/"
LEVELS = ("privileged", "baseline", "restricted")
PODS_MAX = 3000
"""How many pods of a namespace are judged when it is to enforce another level."""

_VERSION = re.compile(r"v1\.(0|[1-9][0-9]{0,8})")
_TEMPLATES: dict[identities.GroupResource, tuple[str, ...]] = {
    identities.GroupResource("", "replicationcontrollers"): ("spec", "template"),
    identities.GroupResource("", "podtemplates"): ("template",),
    identities.GroupResource("apps", "replicasets"): ("spec", "template"),
    identities.GroupResource("apps", "deployments"): ("spec", "template"),
    identities.GroupResource("apps", "statefulsets"): ("spec", "template"),
    identities.GroupResource("apps", "daemonsets"): ("spec", "template"),
    identities.GroupResource("batch", "jobs"): ("spec", "template"),
    identities.GroupResource("batch", "cronjobs"): ("spec", "jobTemplate", "spec", "template"),
}
_CHANGES_PODS = frozenset({"", "ephemeralcontainers", "resize"})


class Standard(NamedTuple):
    """A level of one version; `minor` is None for `latest`."""

    level: str = "privileged"
    minor: int | None = None

    def __str__(self) -> str:
        version = "latest" if self.minor is None else f"v1.{self.minor}"
        return f"{self.level}:{version}"

    def violations(self, pod: objects.Object) -> list[podstandards.Violation]:
        """Return what a pod does that the standard forbids."""
        return podstandards.violations(self.level, self.minor, pod)


class Policy(NamedTuple):
    """What a namespace enforces and warns of; `complaints` tells which labels mean nothing."""

    enforce: Standard
    warn: Standard
    complaints: list[statuses.Cause]


def policy_of(labels: Mapping[str, str]) -> Policy:
    """Read a namespace's labels; a level that means nothing counts as restricted where enforced."""
    out: list[statuses.Cause] = []
    enforced, minor = "privileged", None
    warned, warned_minor = "privileged", None
    if (text := labels.get(PREFIX + "enforce")) is not None:
        enforced = _level("enforce", text, out) or "restricted"
    is_known = not out and text is not None
    if (text := labels.get(PREFIX + "enforce-version")) is not None:
        minor = _version("enforce-version", text, out)
    # Audits are not kept, but their labels are checked.
    if (text := labels.get(PREFIX + "audit")) is not None:
        _level("audit", text, out)
    if (text := labels.get(PREFIX + "audit-version")) is not None:
        _version("audit-version", text, out)
    if (text := labels.get(PREFIX + "warn")) is not None:
        warned = _level("warn", text, out) or "privileged"
    if (version := labels.get(PREFIX + "warn-version")) is not None:
        warned_minor = _version("warn-version", version, out)
    if text is None and is_known and enforced != "privileged":
        warned = enforced
        warned_minor = minor if version is None else warned_minor
    return Policy(Standard(enforced, minor), Standard(warned, warned_minor), out)


def _level(label: str, value: str, out: list[statuses.Cause]) -> str | None:
    if value in LEVELS:
        return value
    text = f"must be one of {', '.join(LEVELS)}"
    out.append(causes.invalid(f"metadata.labels[{PREFIX}{label}]", value, text))
    return None


def _version(label: str, value: str, out: list[statuses.Cause]) -> int | None:
    if value == "latest":
        return None
    if match := _VERSION.fullmatch(value):
        return int(match[1])
    text = 'must be "latest" or "v1.x"'
    out.append(causes.invalid(f"metadata.labels[{PREFIX}{label}]", value, text))
    return None


class PodSecurity:
    """Refuses pods, and warns of templates, that violate their namespace's standard."""

    name = "PodSecurity"

    def handles(self, attributes: chain.Attributes) -> bool:
        storage = attributes.resource.storage
        if attributes.operation not in {"CREATE", "UPDATE"}:
            return False
        if storage == pods.PODS:
            if attributes.subresource not in _CHANGES_PODS:
                return False
        elif attributes.subresource:
            return False
        elif storage == matching.NAMESPACES:
            return True
        elif storage not in _TEMPLATES:
            return False
        labels = attributes.reader.labels("namespaces", "", attributes.namespace)
        return any(key.startswith(PREFIX) for key in labels)

    def mutate(self, attributes: chain.Attributes) -> None:
        """Nothing to change."""

    def validate(self, attributes: chain.Attributes) -> None:
        storage, obj = attributes.resource.storage, attributes.obj or {}
        if storage == matching.NAMESPACES:
            _judge_namespace(attributes, obj)
            return
        policy = policy_of(attributes.reader.labels("namespaces", "", attributes.namespace))
        if storage == pods.PODS:
            if attributes.old is None or _is_significant(obj, attributes.old):
                _judge(attributes, policy, obj, enforce=True)
        elif template := objects.lookup(obj, _TEMPLATES[storage]):
            _judge(attributes, policy, template, enforce=False)


def _judge(
    attributes: chain.Attributes, policy: Policy, pod: objects.Object, *, enforce: bool
) -> None:
    if enforce and (found := policy.enforce.violations(pod)):
        told = ", ".join(map(str, found))
        raise pods.refuse(attributes, f'violates PodSecurity "{policy.enforce}": {told}')
    if found := policy.warn.violations(pod):
        told = ", ".join(map(str, found))
        attributes.warnings.append(f'would violate PodSecurity "{policy.warn}": {told}')


def _is_significant(pod: objects.Object, old: objects.Object) -> bool:
    """Say whether containers were added or removed, or got another image."""
    new, before = pod.get("spec") or {}, old.get("spec") or {}
    for key in ("containers", "initContainers"):
        one, other = new.get(key) or (), before.get(key) or ()
        if [_image(c) for c in one] != [_image(c) for c in other]:
            return True
    known = {c.get("name"): _image(c) for c in before.get("ephemeralContainers") or ()}
    return any(known.get(c.get("name")) != _image(c) for c in new.get("ephemeralContainers") or ())


def _image(container: objects.Object) -> str:
    return str(container.get("image") or "")


def _judge_namespace(attributes: chain.Attributes, namespace: objects.Object) -> None:
    policy = policy_of(objects.labels_of(namespace))
    old = attributes.old
    before = policy_of(objects.labels_of(old)) if old is not None else None
    if policy.complaints and (before is None or before.complaints != policy.complaints):
        raise statuses.invalid("", "Namespace", attributes.name, policy.complaints)
    if before is not None and _is_stricter(policy.enforce, before.enforce):
        attributes.warnings += _violators(attributes, policy.enforce)


def _is_stricter(standard: Standard, before: Standard) -> bool:
    if standard == before or standard.level == "privileged":
        return False
    if standard.minor != before.minor:
        return True
    return LEVELS.index(standard.level) > LEVELS.index(before.level)


def _violators(attributes: chain.Attributes, standard: Standard) -> list[str]:
    """Tell which pods of a namespace are not up to its new standard."""
    found: dict[str, list[str]] = {}
    listed = list(attributes.reader.each("pods", attributes.name))
    for pod in listed[:PODS_MAX]:
        reasons = standard.violations(pod)
        if reasons:
            text = ", ".join(one.reason for one in reasons)
            found.setdefault(text, []).append(objects.name_of(pod))
    out = []
    if len(listed) > PODS_MAX:
        out.append(
            "new PodSecurity enforce level only checked against the first"
            f" {PODS_MAX} of {len(listed)} existing pods"
        )
    if found:
        out.append(
            f'existing pods in namespace "{attributes.name}" violate the new PodSecurity enforce'
            f' level "{standard}"'
        )
    return out + sorted(f"{_told(names)}: {text}" for text, names in found.items())


def _told(names: list[str]) -> str:
    others = len(names) - 1
    if not others:
        return names[0]
    return f"{min(names)} (and {others} other pod{'s' if others > 1 else ''})"
