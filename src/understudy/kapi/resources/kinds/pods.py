"""Pods and PodTemplates: their strategies, and the rules of a pod's subresources.

Source: pkg/registry/core/pod/strategy.go, pkg/apis/core/validation @1.36.
"""

from __future__ import annotations

from typing import ClassVar

from understudy.aio import clocks
from understudy.kapi.resources import strategies
from understudy.kapi.resources.kinds import (
    containers,
    gotypes,
    podresources,
    podspecs,
    podstatuses,
    podsystems,
    podwarnings,
    rules,
    scheduling,
)
from understudy.kube import causes, names, objects, series, statuses

Causes = list[statuses.Cause]

MIRROR = "kubernetes.io/config.mirror"
_ARMOR = "container.apparmor.security.beta.kubernetes.io/"
_UPDATABLE = (
    "`spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,"
    "`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)
_RAW_WRITES = frozenset({"binding", "eviction"})
"""Subresources whose writes the server makes itself; the kind's rules do not apply."""


class Pod(rules.Kind):
    """A pod."""

    metadata_checks: ClassVar[names.MetadataChecks] = names.MetadataChecks(1, 1, True)
    status_is_separate: ClassVar[bool] = True
    has_generation: ClassVar[bool] = True
    graceful: ClassVar[bool] = True
    returns_object_on_delete: ClassVar[bool] = True
    pods: ClassVar[tuple[str, ...]] = ("spec",)
    selectable: ClassVar[tuple[str, ...]] = (
        "spec.nodeName", "spec.host", "spec.restartPolicy", "spec.schedulerName",
        "spec.serviceAccountName", "spec.hostNetwork", "status.phase", "status.podIP",
        "status.podIPs", "status.nominatedNodeName",
    )  # fmt: skip

    def __init__(self) -> None:
        self._valid: series.Series[bool] = series.Series()
        self._quiet: series.Series[bool] = series.Series()

    def default(self, obj: objects.Object) -> None:
        spec = obj.get("spec")
        if spec is None:
            spec = obj["spec"] = {}
        for key in ("containers", "initContainers"):
            for one in spec.get(key) or ():
                resources = one.get("resources")
                if resources and (limits := resources.get("limits")):
                    requests = resources.get("requests") or {}
                    resources["requests"] = {**limits, **requests}
        if spec.get("resources"):
            podresources.default(spec)
        if (spec.get("terminationGracePeriodSeconds") or 0) < 0:
            spec["terminationGracePeriodSeconds"] = 1
        if spec.get("enableServiceLinks") is None:
            spec["enableServiceLinks"] = True
        if spec.get("hostNetwork"):
            for key in ("containers", "initContainers"):
                for one in spec.get(key) or ():
                    for port in one.get("ports") or ():
                        if not port.get("hostPort"):
                            port["hostPort"] = port.get("containerPort") or 0
        podspecs.default(spec)
        status = obj.get("status")
        if status is None:
            obj["status"] = {}
        elif status:
            podstatuses.default(status)

    def initial_status(self, obj: objects.Object) -> objects.Object:
        return {
            "phase": "Pending",
            "qosClass": podresources.quality_of_service(obj["spec"]),
        }

    def prepare_create(self, obj: objects.Object, context: strategies.WriteContext) -> None:
        """Set the initial status, and fill in what depends on the pod's own labels."""
        super().prepare_create(obj, context)
        spec = obj["spec"]
        if spec.get("serviceAccountName"):
            spec["serviceAccount"] = spec["serviceAccountName"]
        if spec.get("schedulingGates"):
            obj["status"]["conditions"] = [{
                "type": "PodScheduled",
                "status": "False",
                "lastProbeTime": None,
                "lastTransitionTime": clocks.rfc3339(context.now),
                "reason": "SchedulingGated",
                "message": "Scheduling is blocked due to non-empty scheduling gates",
            }]  # fmt: skip
        _merge_label_keys(spec, objects.labels_of(obj))

    def prepare_update(
        self, obj: objects.Object, old: objects.Object, context: strategies.WriteContext
    ) -> None:
        """Keep apart what belongs to other subresources."""
        match context.subresource:
            case "ephemeralcontainers":
                new = obj["spec"].get("ephemeralContainers")
                _keep_all(obj, old)
                obj["spec"] = dict(old["spec"])
                rules.put(obj["spec"], "ephemeralContainers", new)
            case "resize":
                _keep_but_resources(obj, old)
            case "status":
                super().prepare_update(obj, old, context)
                rules.restore(obj["metadata"], objects.metadata(old), "ownerReferences")
                podstatuses.prepare(obj, old)
            case subresource if subresource in _RAW_WRITES:
                pass
            case _:
                super().prepare_update(obj, old, context)

    def advances_generation(
        self, obj: objects.Object, old: objects.Object, subresource: str
    ) -> bool:
        """Say whether the spec changed; a binding does not count."""
        return subresource not in _RAW_WRITES and obj.get("spec") != old.get("spec")

    def validate_create(
        self, obj: objects.Object, context: strategies.WriteContext
    ) -> list[statuses.Cause]:
        out = _whole(obj, self._valid)
        spec = obj["spec"]
        if spec.get("ephemeralContainers"):
            out.append(causes.forbidden("spec.ephemeralContainers", "cannot be set on create"))
        if spec.get("nodeName") and spec.get("schedulingGates"):
            text = "cannot be set until all schedulingGates have been cleared"
            out.append(causes.forbidden("spec.nodeName", text))
        if annotations := podsystems.meaningful(obj):
            out += podsystems.profiles_match(annotations, spec, "spec")
        return out

    def validate_update(
        self, obj: objects.Object, old: objects.Object, context: strategies.WriteContext
    ) -> list[statuses.Cause]:
        match context.subresource:
            case "status":
                return podstatuses.validate(obj, old)
            case "ephemeralcontainers":
                return _validate_ephemeral(obj, old)
            case "resize":
                return _validate_resize(obj, old)
            case subresource if subresource in _RAW_WRITES:
                return []
        out = _annotation_changes(obj, old)
        if obj.get("spec") == old.get("spec"):
            return out
        return out + _whole(obj) + _validate_spec_change(obj, old)

    def warnings(self, obj: objects.Object, old: objects.Object | None) -> list[str]:
        return podwarnings.of_pod(obj, self._quiet) if old is None else []

    def selectable_fields(self, obj: objects.Object) -> dict[str, str]:
        spec, status = obj.get("spec") or {}, obj.get("status") or {}
        node = spec.get("nodeName") or ""
        addresses = [one.get("ip") or "" for one in status.get("podIPs") or ()]
        return {
            "spec.nodeName": node,
            "spec.host": node,
            "spec.restartPolicy": spec.get("restartPolicy") or "",
            "spec.schedulerName": spec.get("schedulerName") or "",
            "spec.serviceAccountName": spec.get("serviceAccountName") or "",
            "spec.hostNetwork": "true" if spec.get("hostNetwork") else "false",
            "status.phase": status.get("phase") or "",
            "status.podIP": addresses[0] if addresses else status.get("podIP") or "",
            "status.podIPs": ",".join(addresses),
            "status.nominatedNodeName": status.get("nominatedNodeName") or "",
        }


class PodTemplate(rules.Kind):
    """A pod template that stands alone."""

    pods: ClassVar[tuple[str, ...]] = ("template", "spec")
    has_generation: ClassVar[bool] = True
    returns_object_on_delete: ClassVar[bool] = True

    def default(self, obj: objects.Object) -> None:
        if obj.get("template") is None:
            obj["template"] = {}
        podspecs.default_template(obj["template"])

    def validate_create(
        self, obj: objects.Object, context: strategies.WriteContext
    ) -> list[statuses.Cause]:
        return podspecs.validate_template(obj["template"], "template")

    def validate_update(
        self, obj: objects.Object, old: objects.Object, context: strategies.WriteContext
    ) -> list[statuses.Cause]:
        return podspecs.validate_template(obj["template"], "template")

    def warnings(self, obj: objects.Object, old: objects.Object | None) -> list[str]:
        if old is not None and old.get("template") == obj.get("template"):
            return []
        return podwarnings.of_template(obj["template"], "template")


def _whole(pod: objects.Object, valid: series.Series[bool] | None = None) -> Causes:
    """Check everything that is the same at creation and at update; `valid` specs are not again."""
    spec = pod["spec"]
    out: Causes = []
    if annotations := podsystems.meaningful(pod):
        out += podspecs.validate_annotations(annotations, spec, "metadata.annotations")
    if valid is None or _names_claims(spec):
        return out + _of_spec(spec, objects.name_of(pod))
    key = valid.key(spec)
    if valid.get(key) is None:
        found = _of_spec(spec, objects.name_of(pod))
        if found:
            return out + found
        valid.put(key, True)
    return out


def _names_claims(spec: objects.Object) -> bool:
    """Say whether something in a spec is named after the pod: the claim of an ephemeral volume."""
    return any(volume.get("ephemeral") is not None for volume in spec.get("volumes") or ())


def _of_spec(spec: objects.Object, pod_name: str) -> Causes:
    out = podspecs.validate(spec, "spec", pod_name=pod_name, is_pod=True)
    if not spec.get("serviceAccountName"):
        text = "must not be specified when serviceAccountName is not set"
        out += [
            causes.forbidden(
                f"spec.volumes[{index}].projected.sources[{number}].serviceAccountToken", text
            )
            for index, volume in enumerate(spec.get("volumes") or ())
            if volume.get("projected")
            for number, source in enumerate(volume["projected"].get("sources") or ())
            if source.get("serviceAccountToken") is not None
        ]
    for key in ("containers", "initContainers"):
        for index, one in enumerate(spec.get(key) or ()):
            out += containers.untrimmed(one, f"spec.{key}[{index}]")
    return out


def _annotation_changes(pod: objects.Object, old: objects.Object) -> Causes:
    mine, theirs = objects.annotations_of(pod), objects.annotations_of(old)
    if mine == theirs:
        return []
    out: Causes = []
    for key in {**theirs, **mine}:
        if mine.get(key) == theirs.get(key) or not (key == MIRROR or key.startswith(_ARMOR)):
            continue
        what = "mirror pod annotation" if key == MIRROR else "AppArmor annotations"
        verb = "may not remove or update" if key in theirs else "may not add"
        out.append(causes.forbidden(f"metadata.annotations[{key}]", f"{verb} {what}"))
    return out + podspecs.validate_annotations(mine, pod["spec"], "metadata.annotations")


def _validate_spec_change(pod: objects.Object, old_pod: objects.Object) -> Causes:
    spec, old = pod["spec"], old_pod["spec"]
    out: Causes = []
    for key in ("containers", "initContainers"):
        new_list, old_list = spec.get(key) or (), old.get(key) or ()
        if len(new_list) != len(old_list):
            text = "pod updates may not add or remove containers"
            return [*out, causes.forbidden(f"spec.{key}", text)]
        for index, one in enumerate(new_list):
            if not one.get("image"):
                out.append(causes.required(f"spec.{key}[{index}].image"))
            # Kubernetes looks at images twice, and so at tolerations.
            out += containers.untrimmed(one, f"spec.{key}[{index}]")
    deadline, old_deadline = spec.get("activeDeadlineSeconds"), old.get("activeDeadlineSeconds")
    at = "spec.activeDeadlineSeconds"
    if deadline is not None:
        if not 0 <= deadline <= 2147483647:
            return [*out, causes.invalid(at, deadline, names.between(0, 2147483647))]
        if old_deadline is not None and old_deadline < deadline:
            text = "must be less than or equal to previous value"
            return [*out, causes.invalid(at, deadline, text)]
    elif old_deadline is not None:
        text = "must not update from a positive integer to nil value"
        out.append(causes.invalid(at, None, text))
    out += scheduling.only_added_tolerations(
        spec.get("tolerations") or [], old.get("tolerations") or [], "spec.tolerations"
    )
    known = {gate.get("name") for gate in old.get("schedulingGates") or ()}
    for index, gate in enumerate(spec.get("schedulingGates") or ()):
        if gate.get("name") not in known:
            text = f"only deletion is allowed, but found new scheduling gate '{gate.get('name')}'"
            out.append(causes.forbidden(f"spec.schedulingGates[{index}].name", text))
    return out + _validate_rest(spec, old)


def _validate_rest(spec: objects.Object, old: objects.Object) -> Causes:
    """Refuse every other change, showing what it is."""
    out: Causes = []
    rest = dict(spec)
    for key in ("containers", "initContainers"):
        if rest.get(key):
            rest[key] = [
                {**one, "image": before.get("image", "")}
                for one, before in zip(rest[key], old.get(key) or (), strict=True)
            ]
    for key in ("activeDeadlineSeconds", "schedulingGates", "tolerations"):
        rules.restore(rest, old, key)
    old_grace = old.get("terminationGracePeriodSeconds")
    if old_grace is not None and old_grace < 0 and rest.get("terminationGracePeriodSeconds") == 1:
        rest["terminationGracePeriodSeconds"] = old_grace
    if old.get("schedulingGates"):
        out += _gated_changes(rest, old)
    if rules.same(rest, old):
        return out
    shown = gotypes.difference(old, rest, "PodSpec")
    text = f"pod updates may not change fields other than {_UPDATABLE}\n{shown}"
    return [*out, causes.forbidden("spec", text)]


def _gated_changes(rest: objects.Object, old: objects.Object) -> Causes:
    """Check, and take out of `rest`, what may still change while scheduling is gated."""
    out: Causes = []
    selector, old_selector = rest.get("nodeSelector") or {}, old.get("nodeSelector") or {}
    if selector != old_selector:
        if any(selector.get(key) != value for key, value in old_selector.items()):
            text = "only additions to spec.nodeSelector are allowed (no mutations or deletions)"
            out.append(causes.invalid("spec.nodeSelector", selector, text))
        rules.restore(rest, old, "nodeSelector")
    affinity, old_affinity = rest.get("affinity"), old.get("affinity")
    mine = (affinity or {}).get("nodeAffinity")
    theirs = (old_affinity or {}).get("nodeAffinity")
    if mine != theirs:
        out += _node_affinity_change(mine or {}, theirs or {})
        kept = {key: value for key, value in (affinity or {}).items() if key != "nodeAffinity"}
        if theirs is not None:
            kept["nodeAffinity"] = theirs
        if kept or old_affinity is not None:
            rest["affinity"] = kept
        else:
            rest.pop("affinity", None)
    return out


def _node_affinity_change(mine: objects.Object, theirs: objects.Object) -> Causes:
    key = "requiredDuringSchedulingIgnoredDuringExecution"
    at = f"spec.affinity.nodeAffinity.{key}.nodeSelectorTerms"
    old_terms = (theirs.get(key) or {}).get("nodeSelectorTerms") or []
    new_terms = (mine.get(key) or {}).get("nodeSelectorTerms") or []
    if not old_terms:
        return []
    if len(old_terms) != len(new_terms):
        text = "no additions/deletions to non-empty NodeSelectorTerms list are allowed"
        return [causes.invalid(at, [{"MatchExpressions": None} for _ in new_terms] or None, text)]
    out: Causes = []
    for index, (new, old) in enumerate(zip(new_terms, old_terms, strict=True)):
        grew = all(
            (new.get(part) or [])[: len(old.get(part) or [])] == (old.get(part) or [])
            for part in ("matchExpressions", "matchFields")
        )
        empty = not old.get("matchExpressions") and not old.get("matchFields")
        if not grew or (empty and (new.get("matchExpressions") or new.get("matchFields"))):
            text = "only additions are allowed (no mutations or deletions)"
            shown = gotypes.internal(new, "NodeSelectorTerm")
            out.append(causes.invalid(f"{at}[{index}]", shown, text))
    return out


def _keep_all(obj: objects.Object, old: objects.Object) -> None:
    """Restore everything a subresource of the spec may not touch."""
    for key in ("spec", "status"):
        rules.restore(obj, old, key)
    for key in rules.STATUS_META_KEPT:
        rules.restore(obj["metadata"], objects.metadata(old), key)


def _keep_but_resources(obj: objects.Object, old: objects.Object) -> None:
    spec, old_spec = obj["spec"], old["spec"]
    kept: objects.Object = {}
    for key in ("containers", "initContainers"):
        new_list, old_list = spec.get(key) or [], old_spec.get(key) or []
        if len(new_list) != len(old_list):
            return
        if any(n.get("name") != o.get("name") for n, o in zip(new_list, old_list, strict=True)):
            kept[key] = new_list
            continue
        kept[key] = []
        for new, before in zip(new_list, old_list, strict=True):
            one = dict(before)
            for part in ("resources", "resizePolicy"):
                rules.put(one, part, new.get(part))
            kept[key].append(one)
    resources = spec.get("resources")
    _keep_all(obj, old)
    obj["spec"] = dict(old_spec)
    for key, listed in kept.items():
        if listed:
            obj["spec"][key] = listed
    rules.put(obj["spec"], "resources", resources)


def _validate_ephemeral(pod: objects.Object, old: objects.Object) -> Causes:
    if MIRROR in objects.annotations_of(old):
        return [causes.forbidden("", "static pods do not support ephemeral containers")]
    out = _whole(pod)
    field = "spec.ephemeralContainers"
    by_name = {one.get("name"): one for one in pod["spec"].get("ephemeralContainers") or ()}
    for before in old["spec"].get("ephemeralContainers") or ():
        name = before.get("name")
        new = by_name.get(name)
        if new is None:
            text = f"existing ephemeral containers {causes.quoted(name)} may not be removed\n"
            out.append(causes.forbidden(field, text))
        elif not rules.same(new, before):
            shown = gotypes.difference(before, new, "EphemeralContainer")
            text = f"existing ephemeral containers {causes.quoted(name)} may not be changed\n"
            out.append(causes.forbidden(field, text + shown))
    return out


def _validate_resize(pod: objects.Object, old: objects.Object) -> Causes:
    out = _whole(pod)
    spec, old_spec = pod["spec"], old["spec"]
    if MIRROR in objects.annotations_of(old):
        return [causes.forbidden("", "static pods cannot be resized")]
    if (old_spec.get("os") or {}).get("name") == "windows":
        return [causes.forbidden("", "windows pods cannot be resized")]
    if len(spec.get("containers") or ()) != len(old_spec.get("containers") or ()):
        return [*out, causes.forbidden("spec.containers", "containers may not be added or removed")]
    was = (old.get("status") or {}).get("qosClass") or podresources.quality_of_service(old_spec)
    if podresources.quality_of_service(spec) != was:
        text = "Pod QOS Class may not change as a result of resizing"
        out.append(causes.invalid("spec", was, text))
    for key in ("containers", "initContainers"):
        pairs = zip(spec.get(key) or (), old_spec.get(key) or (), strict=True)
        for index, (new, before) in enumerate(pairs):
            if key == "initContainers" and before.get("restartPolicy") != "Always":
                if not rules.same(new, before):
                    text = "resources for non-sidecar init containers are immutable"
                    out.append(causes.forbidden("spec", text))
                continue
            out += _resized(new, before, f"spec.{key}[{index}].resources")
            if not rules.same(_without_compute(new), _without_compute(before)):
                what = "" if key == "containers" else " for sidecar containers"
                text = f"only cpu and memory resources{what} are mutable"
                out.append(causes.forbidden("spec", text))
    return out


def _resized(new: objects.Object, old: objects.Object, field: str) -> Causes:
    mine, theirs = new.get("resources") or {}, old.get("resources") or {}
    return [
        causes.forbidden(f"{field}.{key}", f"resource {key} cannot be removed")
        for key in ("requests", "limits")
        if set(theirs.get(key) or {}) - set(mine.get(key) or {})
    ]


def _without_compute(container: objects.Object) -> objects.Object:
    resources = container.get("resources") or {}
    kept = {
        key: {n: v for n, v in amounts.items() if n not in {"cpu", "memory"}}
        for key in ("limits", "requests")
        if (amounts := resources.get(key))
    }
    return container | {"resources": {key: value for key, value in kept.items() if value}}


def _merge_label_keys(spec: objects.Object, labels: dict[str, str]) -> None:
    """Turn matchLabelKeys into conditions on the pod's own labels, in place."""
    for constraint in spec.get("topologySpreadConstraints") or ():
        selector = constraint.get("labelSelector")
        keys = constraint.get("matchLabelKeys")
        if keys and selector is not None:
            _add_expressions(selector, keys, labels, "In")
    affinity = spec.get("affinity") or {}
    for kind in ("podAffinity", "podAntiAffinity"):
        terms = affinity.get(kind) or {}
        required = terms.get("requiredDuringSchedulingIgnoredDuringExecution") or []
        preferred = terms.get("preferredDuringSchedulingIgnoredDuringExecution") or []
        for term in [*required, *(one.get("podAffinityTerm") or {} for one in preferred)]:
            selector = term.get("labelSelector")
            if selector is not None:
                _add_expressions(selector, term.get("matchLabelKeys") or [], labels, "In")
                _add_expressions(selector, term.get("mismatchLabelKeys") or [], labels, "NotIn")


def _add_expressions(
    selector: objects.Object, keys: list[str], labels: dict[str, str], operator: str
) -> None:
    more = [
        {"key": key, "operator": operator, "values": [labels[key]]} for key in keys if key in labels
    ]
    if more:
        selector["matchExpressions"] = [*(selector.get("matchExpressions") or ()), *more]
