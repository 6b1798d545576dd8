"""What Knative's validating webhook says about a Service, Configuration, Revision, Route, mapping.

Objects are given as the mutating webhook left them (`defaults`). The answer is empty when they are
accepted; `str()` of it is the text after `validation failed: `.
"""

from __future__ import annotations

from understudy.kube import names, objects
from understudy.kube.knative import differences, keys, limits, pods, problems, scaling

CLUSTER_DOMAIN = "cluster.local"


def validate(
    obj: objects.Object, old: objects.Object | None, allowed: limits.Limits
) -> problems.Problems:
    """Return what is wrong with an object of a Serving kind; `old` is None at creation."""
    found = problems.Problems()
    match obj.get("kind"):
        case "Service":
            _service(obj, old, allowed, found)
        case "Configuration":
            _configuration(obj, old, allowed, found)
        case "Revision":
            _revision(obj, old, allowed, found)
        case "Route":
            _route(obj, old, found)
        case "DomainMapping":
            _domain_mapping(obj, old, found)
    return found


def insecure_defaults(obj: objects.Object) -> str:
    """Return the webhook's warning about settings left at Kubernetes' lax defaults, or nothing."""
    base = ("spec", "template", "spec") if obj.get("kind") != "Revision" else ("spec",)
    path = ".".join(base)
    found = problems.Problems()
    message = (
        "Kubernetes default value is insecure, Knative may default this to secure in a future"
        " release"
    )
    spec = objects.lookup(obj, base) or {}
    pod = spec.get("securityContext") or {}
    for index, container in enumerate(spec.get("containers") or ()):
        context = container.get("securityContext") or {}
        at = f"{path}.containers[{index}].securityContext"
        if pod.get("runAsNonRoot") is None and context.get("runAsNonRoot") is None:
            found.add(message, f"{at}.runAsNonRoot")
        if context.get("allowPrivilegeEscalation") is None:
            found.add(message, f"{at}.allowPrivilegeEscalation")
        profiles = [one["seccompProfile"] for one in (pod, context) if one.get("seccompProfile")]
        if not profiles:
            found.add(message, f"{at}.seccompProfile")
        elif not any(profile.get("type") for profile in profiles):
            found.add(message, f"{at}.seccompProfile.type")
        capabilities = context.get("capabilities")
        if capabilities is None:
            found.add(message, f"{at}.capabilities")
        elif capabilities.get("drop") is None:
            found.add(message, f"{at}.capabilities.drop")
    return str(found)


def _service(
    obj: objects.Object,
    old: objects.Object | None,
    allowed: limits.Limits,
    found: problems.Problems,
) -> None:
    _metadata(obj, found)
    scaling.check_none_for_scaling(objects.annotations_of(obj), "metadata.annotations", found)
    scaling.check_rollout_duration(objects.annotations_of(obj), "metadata.annotations", found)
    _template(obj, allowed, found)
    _traffic(obj, found, of_service=True)
    if old is not None:
        _authors(obj, old, found)
        _name_change(obj, old, found)


def _configuration(
    obj: objects.Object,
    old: objects.Object | None,
    allowed: limits.Limits,
    found: problems.Problems,
) -> None:
    _metadata(obj, found)
    scaling.check_none_for_scaling(objects.annotations_of(obj), "metadata.annotations", found)
    _owner_label(obj, keys.SERVICE, "Service", found)
    _template(obj, allowed, found)
    if old is not None:
        if "ownerReferences" not in objects.metadata(obj):
            _authors(obj, old, found)
        _name_change(obj, old, found)


def _revision(
    obj: objects.Object,
    old: objects.Object | None,
    allowed: limits.Limits,
    found: problems.Problems,
) -> None:
    if old is not None:
        changes = differences.of_specs(old.get("spec"), obj.get("spec"))
        if changes:
            found.add("Immutable fields changed (-old +new)", "spec", details=changes)
            return
    _metadata(obj, found)
    scaling.check_autoscaling(objects.annotations_of(obj), allowed, "metadata.annotations", found)
    _owner_label(obj, keys.CONFIGURATION, "Configuration", found)
    if old is None:
        pods.check_revision_spec(obj.get("spec") or {}, allowed, "spec", found)


def _route(obj: objects.Object, old: objects.Object | None, found: problems.Problems) -> None:
    _metadata(obj, found)
    scaling.check_none_for_scaling(objects.annotations_of(obj), "metadata.annotations", found)
    scaling.check_rollout_duration(objects.annotations_of(obj), "metadata.annotations", found)
    _owner_label(obj, keys.SERVICE, "Service", found)
    _traffic(obj, found, of_service=False)
    if old is not None and "ownerReferences" not in objects.metadata(obj):
        _authors(obj, old, found)


def _domain_mapping(
    obj: objects.Object, old: objects.Object | None, found: problems.Problems
) -> None:
    meta = objects.metadata(obj)
    if meta.get("generateName"):
        found.disallowed("metadata.generateName")
    name = objects.name_of(obj)
    if complaint := _domain_complaint(name):
        found.add(f'invalid name "{name}": name: Invalid value: "{name}": {complaint}',
                  "metadata.name")  # fmt: skip
    if name.endswith("." + CLUSTER_DOMAIN):
        found.add(
            f'invalid name "{name}": must not be a subdomain of cluster local domain'
            f' "{CLUSTER_DOMAIN}"',
            "metadata.name",
        )
    reference = objects.lookup(obj, ("spec", "ref")) or {}
    found_missing = [f"spec.ref.{key}" for key in ("apiVersion", "kind", "name")
                     if not reference.get(key)]  # fmt: skip
    if found_missing:
        found.missing(*found_missing)
    if reference.get("namespace") not in (None, "", objects.namespace_of(obj)):
        found.add(
            "mismatched namespaces",
            "spec.ref.namespace",
            details=f'parent namespace: "{objects.namespace_of(obj)}" does not match ref: '
            f'"{reference["namespace"]}"',
        )
    if old is not None:
        _authors(obj, old, found)


def _domain_complaint(name: str) -> str:
    complaints = names.dns_subdomain(name)
    if complaints:
        return complaints[0]
    if name.count(".") < 1:
        return "should be a domain with at least two segments separated by dots"
    return ""


def _metadata(obj: objects.Object, found: problems.Problems) -> None:
    name = objects.name_of(obj)
    generate = str(objects.metadata(obj).get("generateName") or "")
    if name and (complaints := names.dns1035_label(name)):
        found.add(f"not a DNS 1035 label: [{' '.join(complaints)}]", "metadata.name")
    elif generate and (complaints := names.dns1035_label(names.masked_prefix(generate))):
        found.add(f"not a DNS 1035 label prefix: [{' '.join(complaints)}]", "metadata.generateName")
    if not name and not generate:
        found.missing("metadata.name")


def _template(obj: objects.Object, allowed: limits.Limits, found: problems.Problems) -> None:
    template = objects.lookup(obj, ("spec", "template")) or {}
    path = "spec.template"
    pods.check_revision_spec(template.get("spec") or {}, allowed, f"{path}.spec", found)
    notes = objects.annotations_of(template)
    scaling.check_template(notes, allowed, f"{path}.metadata.annotations", found)
    meta = objects.metadata(template)
    generate, name = str(meta.get("generateName") or ""), str(meta.get("name") or "")
    if generate and (complaints := names.dns1035_label(names.masked_prefix(generate))):
        found.invalid(
            f"not a DNS 1035 label prefix: [{' '.join(complaints)}]",
            f"{path}.metadata.generateName",
        )
        return
    if not name:
        return
    parent = objects.name_of(obj)
    if complaints := names.dns1035_label(name):
        found.invalid(f"not a DNS 1035 label: [{' '.join(complaints)}]", f"{path}.metadata.name")
    elif not parent and objects.metadata(obj).get("generateName"):
        found.disallowed(f"{path}.metadata.name")
    elif not name.startswith(f"{parent}-"):
        found.invalid(f'"{name}" must have prefix "{parent}-"', f"{path}.metadata.name")


def _traffic(obj: objects.Object, found: problems.Problems, *, of_service: bool) -> None:
    total = 0
    tags: dict[str, int] = {}
    targets = objects.lookup(obj, ("spec", "traffic")) or []
    for index, target in enumerate(targets):
        at = f"spec.traffic[{index}]"
        _target(target, at, found, of_service=of_service)
        total += int(target.get("percent") or 0)
        tag = str(target.get("tag") or "")
        if not tag:
            continue
        if complaints := names.dns1035_label(tag):
            found.invalid(
                f"not a DNS 1035 label: [{' '.join(complaints)}]", f"spec.traffic.tag[{index}]"
            )
        if tag in tags:
            found.add(
                f'Multiple definitions for "{tag}"', f"{at}.tag", f"spec.traffic[{tags[tag]}].tag"
            )
        else:
            tags[tag] = index
    if total != 100:
        found.add(f"Traffic targets sum to {total}, want 100", "spec.traffic")


def _target(
    target: objects.Object, path: str, found: problems.Problems, *, of_service: bool
) -> None:
    revision = str(target.get("revisionName") or "")
    configuration = str(target.get("configurationName") or "")
    latest = target.get("latestRevision")
    if latest is not None and bool(revision) == bool(latest):
        found.add(
            f'may not set revisionName "{revision}" when latestRevision is {str(latest).lower()}',
            f"{path}.latestRevision",
        )
    if of_service and configuration:
        found.disallowed(f"{path}.configurationName")
    elif revision and configuration:
        found.several_of(f"{path}.revisionName", f"{path}.configurationName")
    elif not revision and not configuration and not of_service:
        found.none_of(f"{path}.revisionName", f"{path}.configurationName")
    percent = target.get("percent")
    if isinstance(percent, int) and not 0 <= percent <= 100:
        found.out_of_bounds(percent, 0, 100, f"{path}.percent")
    if target.get("url"):
        found.disallowed(f"{path}.url")


def _authors(obj: objects.Object, old: objects.Object, found: problems.Problems) -> None:
    """The creator never changes, the last modifier only together with the spec."""
    before, after = objects.annotations_of(old), objects.annotations_of(obj)
    immutable = [keys.CREATOR]
    if obj.get("spec") == old.get("spec"):
        immutable.append(keys.LAST_MODIFIER)
    for key in immutable:
        if before.get(key, "") != after.get(key, ""):
            found.add("annotation value is immutable", f"metadata.annotations.{key}")


def _owner_label(obj: objects.Object, label: str, kind: str, found: problems.Problems) -> None:
    value = objects.labels_of(obj).get(label)
    if value is None:
        return
    owners = objects.metadata(obj).get("ownerReferences") or []
    if not any(owner.get("kind") == kind and owner.get("name") == value for owner in owners):
        found.missing(f"metadata.labels.{label}")


def _name_change(obj: objects.Object, old: objects.Object, found: problems.Problems) -> None:
    """A Revision name given by the author must change whenever the template does."""
    new_template = objects.lookup(obj, ("spec", "template")) or {}
    old_template = objects.lookup(old, ("spec", "template")) or {}
    name = objects.name_of(new_template)
    if not name or name != objects.name_of(old_template):
        return
    if changes := differences.of_templates(old_template, new_template):
        found.add(
            "Saw the following changes without a name change (-old +new)",
            "spec.template.metadata.name",
            details=changes,
        )
