"""Deployments, ReplicaSets, StatefulSets, DaemonSets, ReplicationControllers, ControllerRevisions.

Source: pkg/apis/apps/{v1,validation}, pkg/apis/core, pkg/registry/apps @1.36.
"""

from __future__ import annotations

from typing import ClassVar

from understudy.kapi.resources import strategies
from understudy.kapi.resources.kinds import claims, intstrs, podspecs, podwarnings, rules
from understudy.kube import causes, names, objects, selectors, statuses

Causes = list[statuses.Cause]

_GENERATION = "deprecated.daemonset.template.generation"

_MISMATCH = "`selector` does not match template `labels`"
_STATEFUL_FORBIDDEN = (
    "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template',"
    " 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and"
    " 'minReadySeconds' are forbidden"
)
_STATEFUL_MUTABLE = (
    "replicas", "ordinals", "template", "updateStrategy", "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy", "minReadySeconds",
)  # fmt: skip


class Workload(rules.Kind):
    """What has a pod template in `spec.template` and counts in `status`."""

    status_is_separate: ClassVar[bool] = True
    has_generation: ClassVar[bool] = True
    counts: ClassVar[tuple[str, ...]] = ()
    pods: ClassVar[tuple[str, ...]] = ("spec", "template", "spec")

    def warnings(self, obj: objects.Object, old: objects.Object | None) -> list[str]:
        template = obj["spec"].get("template") or {}
        if old is not None and (old["spec"].get("template") or {}) == template:
            return []
        return podwarnings.of_template(template, "spec.template")

    def validate_counts(self, obj: objects.Object) -> Causes:
        """Check that no number in the status is negative."""
        status = obj.get("status") or {}
        return [
            cause
            for key in self.counts
            for cause in rules.nonnegative(status.get(key), f"status.{key}")
        ]


def _spec(obj: objects.Object) -> objects.Object:
    spec = obj.get("spec")
    if spec is None:
        spec = obj["spec"] = {}
    if spec.get("template") is None:
        spec["template"] = {}
    podspecs.default_template(spec["template"])
    if obj.get("status") is None:
        obj["status"] = {}
    found: objects.Object = spec
    return found


def _absent(spec: objects.Object, key: str, value: objects.Json) -> None:
    if spec.get(key) is None:
        spec[key] = value


def _numbers(spec: objects.Object, *keys: str) -> Causes:
    return [c for key in keys for c in rules.nonnegative(spec.get(key), f"spec.{key}")]


def _selector(spec: objects.Object, what: str) -> Causes:
    """Check spec.selector: there, valid, and not empty."""
    selector = spec.get("selector")
    if selector is None:
        return [causes.required("spec.selector")]
    out = selectors.validate_label_selector(selector, "spec.selector")
    if not selector.get("matchLabels") and not selector.get("matchExpressions"):
        text = f"empty selector is invalid for {what}"
        out.append(causes.invalid("spec.selector", {}, text))
    return out


def _template(spec: objects.Object, *, what: str, pods: bool = True) -> Causes:
    """Check spec.template against the selector, its pods, and that these restart always."""
    template = spec.get("template") or {}
    labels = (template.get("metadata") or {}).get("labels")
    selector = spec.get("selector")
    out: Causes = []
    matcher = selectors.checked_label_selector(selector)
    if matcher is None:
        # Templates are not looked at then; how a StatefulSet's pods restart is.
        if what != "StatefulSet":
            return [
                causes.invalid("spec.selector", selectors.shown(selector), "invalid label selector")
            ]
        out.append(causes.invalid("spec.selector", selectors.shown(selector), ""))
        pods = False
    elif not matcher.empty and not matcher.matches(labels or {}):
        out.append(causes.invalid("spec.template.metadata.labels", labels, _MISMATCH))
    if pods:
        out += podspecs.validate_template(template, "spec.template")
    if what == "StatefulSet" and matcher is not None:
        # These are looked at once more, and also where the pods are not.
        out += podspecs.validate_metadata(template, "spec.template")
    pod = template.get("spec") or {}
    if pod.get("restartPolicy") != "Always":
        at = "spec.template.spec.restartPolicy"
        out.append(causes.unsupported(at, pod.get("restartPolicy") or "", ("Always",)))
    if pod.get("activeDeadlineSeconds") is not None:
        text = f"activeDeadlineSeconds in {what} is not Supported"
        out.append(causes.forbidden("spec.template.spec.activeDeadlineSeconds", text))
    return out


def _replica_counts(
    status: objects.Object, keys: tuple[str, ...], *, ready_name: str = "readyReplicas"
) -> Causes:
    """Check that no part is greater than the whole."""
    total, ready = status.get("replicas") or 0, status.get("readyReplicas") or 0
    out = [
        causes.invalid(
            f"status.{key}", status.get(key) or 0, "cannot be greater than status.replicas"
        )
        for key in keys
        if (status.get(key) or 0) > total
    ]
    available = status.get("availableReplicas") or 0
    if available > ready:
        text = f"cannot be greater than {ready_name}"
        out.append(causes.invalid("status.availableReplicas", available, text))
    return out


class Deployment(Workload):
    """A Deployment."""

    counts: ClassVar[tuple[str, ...]] = (
        "observedGeneration", "replicas", "updatedReplicas", "readyReplicas", "availableReplicas",
        "unavailableReplicas", "collisionCount", "terminatingReplicas",
    )  # fmt: skip

    def default(self, obj: objects.Object) -> None:
        spec = _spec(obj)
        _absent(spec, "replicas", 1)
        strategy = spec.get("strategy") or {}
        if not strategy.get("type"):
            strategy["type"] = "RollingUpdate"
        if strategy["type"] == "RollingUpdate":
            rolling = strategy.get("rollingUpdate") or {}
            _absent(rolling, "maxUnavailable", "25%")
            _absent(rolling, "maxSurge", "25%")
            strategy["rollingUpdate"] = rolling
        spec["strategy"] = strategy
        _absent(spec, "revisionHistoryLimit", 10)
        _absent(spec, "progressDeadlineSeconds", 600)

    def prepare_update(
        self, obj: objects.Object, old: objects.Object, context: strategies.WriteContext
    ) -> None:
        super().prepare_update(obj, old, context)
        if context.subresource == "status":
            rules.restore(obj["metadata"], objects.metadata(old), "labels")

    def advances_generation(
        self, obj: objects.Object, old: objects.Object, subresource: str
    ) -> bool:
        if subresource == "status":
            return False
        return obj.get("spec") != old.get("spec") or objects.annotations_of(
            obj
        ) != objects.annotations_of(old)

    def validate_create(
        self, obj: objects.Object, context: strategies.WriteContext
    ) -> list[statuses.Cause]:
        return self._validate(obj["spec"])

    def validate_update(
        self, obj: objects.Object, old: objects.Object, context: strategies.WriteContext
    ) -> list[statuses.Cause]:
        if context.subresource == "status":
            return self._validate_status(obj, old)
        if obj["spec"] == old["spec"]:
            return []
        changed = rules.immutable(
            selectors.shown(obj["spec"].get("selector")),
            selectors.shown(old["spec"].get("selector")),
            "spec.selector",
        )
        return self._validate(obj["spec"]) + changed

    def _validate(self, spec: objects.Object) -> Causes:
        out = _numbers(spec, "replicas") + _selector(spec, "deployment")
        out += _template(spec, what="ReplicaSet")
        out += _strategy(spec.get("strategy") or {})
        out += _numbers(spec, "minReadySeconds", "revisionHistoryLimit")
        deadline = spec.get("progressDeadlineSeconds")
        if deadline is not None:
            out += _numbers(spec, "progressDeadlineSeconds")
            if deadline <= (spec.get("minReadySeconds") or 0):
                text = "must be greater than minReadySeconds"
                out.append(causes.invalid("spec.progressDeadlineSeconds", deadline, text))
        return out

    def _validate_status(self, obj: objects.Object, old: objects.Object) -> Causes:
        status = obj.get("status") or {}
        out = self.validate_counts(obj)
        keys = ("updatedReplicas", "readyReplicas", "availableReplicas")
        out += _replica_counts(status, keys)
        return out + rules.decremented(obj, old)


def _shown(strategy: objects.Object) -> objects.Object:
    """Return a strategy as Kubernetes' internal type prints it, whose numbers are always there."""
    rolling = strategy.get("rollingUpdate")
    counts = {
        f"Max{what}": rolling.get(f"max{what}") or 0
        for what in ("Unavailable", "Surge")
        if rolling is not None
    }
    return {"Type": strategy.get("type") or "", "RollingUpdate": counts or None}


def _strategy(strategy: objects.Object) -> Causes:
    kind, rolling = strategy.get("type"), strategy.get("rollingUpdate")
    field = "spec.strategy"
    if kind == "Recreate":
        if rolling is None:
            return []
        text = "may not be specified when strategy `type` is 'Recreate'"
        return [causes.forbidden(f"{field}.rollingUpdate", text)]
    if kind != "RollingUpdate":
        return [causes.unsupported(field, _shown(strategy), ("Recreate", "RollingUpdate"))]
    if rolling is None:
        text = "this should be defaulted and never be nil"
        return [causes.required(f"{field}.rollingUpdate", text)]
    field += ".rollingUpdate"
    unavailable, surge = rolling.get("maxUnavailable", 0), rolling.get("maxSurge", 0)
    out = intstrs.nonnegative(unavailable, f"{field}.maxUnavailable")
    out += intstrs.nonnegative(surge, f"{field}.maxSurge")
    if intstrs.amount(unavailable) == 0 and intstrs.amount(surge) == 0:
        text = "may not be 0 when `maxSurge` is 0"
        out.append(causes.invalid(f"{field}.maxUnavailable", unavailable, text))
    return out + intstrs.at_most_100_percent(unavailable, f"{field}.maxUnavailable")


class ReplicaSet(Workload):
    """A ReplicaSet."""

    counts: ClassVar[tuple[str, ...]] = (
        "replicas", "fullyLabeledReplicas", "readyReplicas", "availableReplicas",
        "observedGeneration", "terminatingReplicas",
    )  # fmt: skip

    def default(self, obj: objects.Object) -> None:
        _absent(_spec(obj), "replicas", 1)

    def initial_status(self, obj: objects.Object) -> objects.Object:
        return {"replicas": 0}

    def validate_create(
        self, obj: objects.Object, context: strategies.WriteContext
    ) -> list[statuses.Cause]:
        return self._validate(obj["spec"])

    def validate_update(
        self, obj: objects.Object, old: objects.Object, context: strategies.WriteContext
    ) -> list[statuses.Cause]:
        if context.subresource == "status":
            keys = ("fullyLabeledReplicas", "readyReplicas", "availableReplicas")
            return self.validate_counts(obj) + _replica_counts(obj.get("status") or {}, keys)
        if obj["spec"] == old["spec"]:
            return []
        changed = rules.immutable(
            selectors.shown(obj["spec"].get("selector")),
            selectors.shown(old["spec"].get("selector")),
            "spec.selector",
        )
        return self._validate(obj["spec"]) + changed

    def _validate(self, spec: objects.Object) -> Causes:
        out = _numbers(spec, "replicas", "minReadySeconds") + _selector(spec, "deployment")
        return out + _template(spec, what="ReplicaSet")


class ReplicationController(Workload):
    """A ReplicationController, whose selector is a plain map."""

    returns_object_on_delete: ClassVar[bool] = False
    orphans_by_default: ClassVar[bool] = True
    selectable: ClassVar[tuple[str, ...]] = ("status.replicas",)
    counts: ClassVar[tuple[str, ...]] = ReplicaSet.counts

    def default(self, obj: objects.Object) -> None:
        spec = obj.get("spec")
        if spec is None:
            spec = obj["spec"] = {}
        template = spec.get("template")
        if template is not None:
            podspecs.default_template(template)
            labels = (template.get("metadata") or {}).get("labels")
            if labels:
                if not spec.get("selector"):
                    spec["selector"] = dict(labels)
                meta = obj["metadata"]
                if not meta.get("labels"):
                    meta["labels"] = dict(labels)
        _absent(spec, "replicas", 1)
        if obj.get("status") is None:
            obj["status"] = {}

    def initial_status(self, obj: objects.Object) -> objects.Object:
        return {"replicas": 0}

    def validate_create(
        self, obj: objects.Object, context: strategies.WriteContext
    ) -> list[statuses.Cause]:
        return self._validate(obj["spec"])

    def validate_update(
        self, obj: objects.Object, old: objects.Object, context: strategies.WriteContext
    ) -> list[statuses.Cause]:
        if context.subresource == "status":
            keys = ("fullyLabeledReplicas", "readyReplicas", "availableReplicas")
            return self.validate_counts(obj) + _replica_counts(obj.get("status") or {}, keys)
        return [] if obj["spec"] == old["spec"] else self._validate(obj["spec"])

    def _validate(self, spec: objects.Object) -> Causes:
        out = _numbers(spec, "minReadySeconds", "replicas")
        selector, template = spec.get("selector") or {}, spec.get("template")
        if not selector:
            out.append(causes.required("spec.selector"))
        if template is None:
            return [*out, causes.required("spec.template")]
        labels = (template.get("metadata") or {}).get("labels")
        if selector and not selectors.from_labels(selector).matches(labels or {}):
            out.append(causes.invalid("spec.template.metadata.labels", labels, _MISMATCH))
        out += podspecs.validate_template(template, "spec.template")
        pod = template.get("spec") or {}
        if pod.get("restartPolicy") != "Always":
            at = "spec.template.spec.restartPolicy"
            out.append(causes.unsupported(at, pod.get("restartPolicy") or "", ("Always",)))
        if pod.get("activeDeadlineSeconds") is not None:
            text = "activeDeadlineSeconds in ReplicationController is not Supported"
            out.append(causes.forbidden("spec.template.spec.activeDeadlineSeconds", text))
        return out

    def selectable_fields(self, obj: objects.Object) -> dict[str, str]:
        return {"status.replicas": str((obj.get("status") or {}).get("replicas") or 0)}

    def warnings(self, obj: objects.Object, old: objects.Object | None) -> list[str]:
        name = objects.name_of(obj)
        out: list[str] = []
        if old is None and (complaints := names.dns_label(name)):
            shown = "[" + " ".join(complaints) + "]"
            out.append(
                "metadata.name: this is used in Pod names and hostnames, which can result in"
                f" surprising behavior; a DNS label is recommended: {shown}"
            )
        return out + super().warnings(obj, old)


class StatefulSet(Workload):
    """A StatefulSet, whose name becomes part of its pods' host names."""

    counts: ClassVar[tuple[str, ...]] = (
        "replicas", "readyReplicas", "currentReplicas", "updatedReplicas", "observedGeneration",
        "collisionCount", "availableReplicas",
    )  # fmt: skip

    def validate_name(self, name: str) -> list[str]:
        return names.dns_label(name)

    def default(self, obj: objects.Object) -> None:
        spec = _spec(obj)
        if not spec.get("podManagementPolicy"):
            spec["podManagementPolicy"] = "OrderedReady"
        strategy = spec.get("updateStrategy") or {}
        if not strategy.get("type"):
            strategy["type"] = "RollingUpdate"
            if strategy.get("rollingUpdate") is None:
                strategy["rollingUpdate"] = {}
        rolling = strategy.get("rollingUpdate")
        if strategy["type"] == "RollingUpdate" and rolling is not None:
            _absent(rolling, "partition", 0)
        spec["updateStrategy"] = strategy
        retention = spec.get("persistentVolumeClaimRetentionPolicy") or {}
        for key in ("whenDeleted", "whenScaled"):
            if not retention.get(key):
                retention[key] = "Retain"
        spec["persistentVolumeClaimRetentionPolicy"] = retention
        _absent(spec, "replicas", 1)
        _absent(spec, "revisionHistoryLimit", 10)
        for template in spec.get("volumeClaimTemplates") or ():
            template.setdefault("kind", "PersistentVolumeClaim")
            template.setdefault("apiVersion", "v1")
            claims.default_spec(template.setdefault("spec", {}))
            status = template.get("status") or {}
            if not status.get("phase"):
                status["phase"] = "Pending"
            template["status"] = status

    def prepare_create(self, obj: objects.Object, context: strategies.WriteContext) -> None:
        super().prepare_create(obj, context)
        _drop_unavailable(obj, {})

    def prepare_update(
        self, obj: objects.Object, old: objects.Object, context: strategies.WriteContext
    ) -> None:
        super().prepare_update(obj, old, context)
        _drop_unavailable(obj, old)

    def initial_status(self, obj: objects.Object) -> objects.Object:
        return {"replicas": 0, "availableReplicas": 0}

    def validate_create(
        self, obj: objects.Object, context: strategies.WriteContext
    ) -> list[statuses.Cause]:
        return self._validate(obj["spec"], None)

    def validate_update(
        self, obj: objects.Object, old: objects.Object, context: strategies.WriteContext
    ) -> list[statuses.Cause]:
        if context.subresource == "status":
            return self._validate_status(obj, old)
        spec, before = obj["spec"], old["spec"]
        if spec == before:
            return []
        out = self._validate(spec, before)
        rest = {key: value for key, value in spec.items() if key not in _STATEFUL_MUTABLE}
        kept = {key: value for key, value in before.items() if key not in _STATEFUL_MUTABLE}
        if not rules.same(rest, kept):
            out.append(causes.forbidden("spec", _STATEFUL_FORBIDDEN))
        return out

    def _validate(self, spec: objects.Object, old: objects.Object | None) -> Causes:
        """Check a spec; what cannot change, or was wrong before, is not looked at again."""
        out: Causes = []
        policy = spec.get("podManagementPolicy") or ""
        if policy not in {"OrderedReady", "Parallel"}:
            text = "must be 'OrderedReady' or 'Parallel'"
            out.append(causes.invalid("spec.podManagementPolicy", policy, text))
        out += _update_strategy(spec.get("updateStrategy") or {})
        retention = spec.get("persistentVolumeClaimRetentionPolicy") or {}
        for key in ("whenDeleted", "whenScaled"):
            value = retention.get(key) or ""
            if value not in {"Retain", "Delete"}:
                at = f"spec.persistentVolumeClaimRetentionPolicy.{key}"
                out.append(causes.unsupported(at, value, ("Retain", "Delete")))
        if old is None:
            for number, template in enumerate(spec.get("volumeClaimTemplates") or ()):
                path = f"spec.volumeClaimTemplates[{number}].spec"
                out += claims.validate_spec(template.get("spec") or {}, path)
        out += _numbers(spec, "replicas", "minReadySeconds")
        start = (spec.get("ordinals") or {}).get("start")
        out += rules.nonnegative(start, "spec.ordinals.start")
        if old is None and (name := spec.get("serviceName")):
            out += causes.complaints("spec.serviceName", name, names.dns_label(name))
        selector = spec.get("selector")
        if selector is None:
            out.append(causes.required("spec.selector"))
        else:
            out += selectors.validate_label_selector(selector, "spec.selector")
            if not selector.get("matchLabels") and not selector.get("matchExpressions"):
                text = "empty selector is invalid for statefulset"
                out.append(causes.invalid("spec.selector", {}, text))
        pods = old is None or _template_is_news(spec, old)
        out += _template(_with_claims(spec), what="StatefulSet", pods=pods)
        return out + _numbers(spec, "revisionHistoryLimit")

    def _validate_status(self, obj: objects.Object, old: objects.Object) -> Causes:
        status = obj.get("status") or {}
        out = self.validate_counts(obj)
        keys = ("readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas")
        out += _replica_counts(status, keys, ready_name="status.readyReplicas")
        return out + rules.decremented(obj, old)


def _drop_unavailable(obj: objects.Object, old: objects.Object) -> None:
    """MaxUnavailableStatefulSet is off by default: its field is not taken."""
    field = "maxUnavailable"
    before = ((old.get("spec") or {}).get("updateStrategy") or {}).get("rollingUpdate") or {}
    rolling = (_spec(obj).get("updateStrategy") or {}).get("rollingUpdate")
    if rolling and field not in before:
        rolling.pop(field, None)


def _with_claims(spec: objects.Object) -> objects.Object:
    """Return the spec with its claims as volumes of the pods, before those of the same names."""
    claimed = [
        (template.get("metadata") or {}).get("name") or ""
        for template in spec.get("volumeClaimTemplates") or ()
    ]
    if not claimed:
        return spec
    template = spec.get("template") or {}
    pod = template.get("spec") or {}
    volumes: list[objects.Json] = [
        {"name": name, "persistentVolumeClaim": {"claimName": name}}
        for name in dict.fromkeys(claimed)
    ]
    volumes += [one for one in pod.get("volumes") or () if one.get("name") not in claimed]
    return {**spec, "template": {**template, "spec": {**pod, "volumes": volumes}}}


def _template_is_news(spec: objects.Object, old: objects.Object) -> bool:
    """Tell whether the template changed, and was valid before."""
    if spec.get("template") == old.get("template"):
        return False
    return not podspecs.validate_template(_with_claims(old).get("template") or {}, "spec.template")


def _update_strategy(strategy: objects.Object) -> Causes:
    """Check a StatefulSet's update strategy."""
    kind, rolling = strategy.get("type") or "", strategy.get("rollingUpdate")
    field = "spec.updateStrategy"
    if not kind:
        return [causes.required(field)]
    if kind == "OnDelete":
        if rolling is None:
            return []
        text = "only allowed for updateStrategy 'RollingUpdate'"
        return [causes.invalid(f"{field}.rollingUpdate", {"Partition": None}, text)]
    if kind != "RollingUpdate":
        shown = {"Type": kind, "RollingUpdate": rolling}
        text = "must be 'RollingUpdate' or 'OnDelete'"
        return [causes.invalid(field, shown, text)]
    field += ".rollingUpdate"
    out = rules.nonnegative((rolling or {}).get("partition"), f"{field}.partition")
    unavailable = (rolling or {}).get("maxUnavailable")
    if unavailable is not None:
        at = f"{field}.maxUnavailable"
        out += intstrs.nonnegative(unavailable, at)
        if intstrs.amount(unavailable) == 0:
            out.append(causes.invalid(at, unavailable, "cannot be 0"))
        out += intstrs.at_most_100_percent(unavailable, at)
    return out


class DaemonSet(Workload):
    """A DaemonSet."""

    counts: ClassVar[tuple[str, ...]] = (
        "currentNumberScheduled", "numberMisscheduled", "desiredNumberScheduled", "numberReady",
        "observedGeneration", "updatedNumberScheduled", "numberAvailable", "numberUnavailable",
        "collisionCount",
    )  # fmt: skip

    def default(self, obj: objects.Object) -> None:
        spec = _spec(obj)
        strategy = spec.get("updateStrategy") or {}
        if not strategy.get("type"):
            strategy["type"] = "RollingUpdate"
        if strategy["type"] == "RollingUpdate":
            rolling = strategy.get("rollingUpdate") or {}
            _absent(rolling, "maxUnavailable", 1)
            _absent(rolling, "maxSurge", 0)
            strategy["rollingUpdate"] = rolling
        spec["updateStrategy"] = strategy
        _absent(spec, "revisionHistoryLimit", 10)
        # What was a field once is written as an annotation, in every object.
        obj["metadata"].setdefault("annotations", {}).setdefault(_GENERATION, str(0))

    def initial_status(self, obj: objects.Object) -> objects.Object:
        return {
            "currentNumberScheduled": 0,
            "numberMisscheduled": 0,
            "desiredNumberScheduled": 0,
            "numberReady": 0,
        }

    def prepare_create(self, obj: objects.Object, context: strategies.WriteContext) -> None:
        super().prepare_create(obj, context)
        obj["metadata"]["annotations"][_GENERATION] = str(1)

    def prepare_update(
        self, obj: objects.Object, old: objects.Object, context: strategies.WriteContext
    ) -> None:
        super().prepare_update(obj, old, context)
        before = objects.annotations_of(old).get(_GENERATION, "0")
        number = int(before) if before.isdigit() else 0
        if obj["spec"].get("template") != old["spec"].get("template"):
            number += 1
        obj["metadata"]["annotations"][_GENERATION] = str(number)

    def validate_create(
        self, obj: objects.Object, context: strategies.WriteContext
    ) -> list[statuses.Cause]:
        return self._validate(obj["spec"])

    def validate_update(
        self, obj: objects.Object, old: objects.Object, context: strategies.WriteContext
    ) -> list[statuses.Cause]:
        if context.subresource == "status":
            return self.validate_counts(obj) + rules.decremented(obj, old)
        if obj["spec"] == old["spec"]:
            return []
        changed = rules.immutable(
            selectors.shown(obj["spec"].get("selector")),
            selectors.shown(old["spec"].get("selector")),
            "spec.selector",
        )
        return changed + self._validate(obj["spec"])

    def _validate(self, spec: objects.Object) -> Causes:
        selector = spec.get("selector")
        out = selectors.validate_label_selector(selector, "spec.selector")
        template = spec.get("template") or {}
        labels = (template.get("metadata") or {}).get("labels")
        matcher = selectors.checked_label_selector(selector)
        if matcher is not None and not matcher.matches(labels or {}):
            out.append(causes.invalid("spec.template.metadata.labels", labels, _MISMATCH))
        if selector is not None and not (
            selector.get("matchLabels") or selector.get("matchExpressions")
        ):
            text = "empty selector is invalid for daemonset"
            out.append(causes.invalid("spec.selector", {}, text))
        out += podspecs.validate_template(template, "spec.template")
        pod = template.get("spec") or {}
        if pod.get("restartPolicy") != "Always":
            at = "spec.template.spec.restartPolicy"
            out.append(causes.unsupported(at, pod.get("restartPolicy") or "", ("Always",)))
        if pod.get("activeDeadlineSeconds") is not None:
            text = "activeDeadlineSeconds in DaemonSet is not Supported"
            out.append(causes.forbidden("spec.template.spec.activeDeadlineSeconds", text))
        out += _numbers(spec, "minReadySeconds")
        out += _daemon_strategy(spec.get("updateStrategy") or {})
        return out + _numbers(spec, "revisionHistoryLimit")


def _daemon_strategy(strategy: objects.Object) -> Causes:
    kind, rolling = strategy.get("type") or "", strategy.get("rollingUpdate")
    field = "spec.updateStrategy"
    if kind == "OnDelete":
        return []
    if kind != "RollingUpdate":
        return [causes.unsupported(field, _shown(strategy), ("RollingUpdate", "OnDelete"))]
    field += ".rollingUpdate"
    if rolling is None:
        return [causes.required(field)]
    unavailable, surge = rolling.get("maxUnavailable", 0), rolling.get("maxSurge", 0)
    out = intstrs.nonnegative(unavailable, f"{field}.maxUnavailable")
    out += intstrs.at_most_100_percent(unavailable, f"{field}.maxUnavailable")
    out += intstrs.nonnegative(surge, f"{field}.maxSurge")
    out += intstrs.at_most_100_percent(surge, f"{field}.maxSurge")
    has_unavailable, has_surge = intstrs.amount(unavailable) != 0, intstrs.amount(surge) != 0
    if has_unavailable and has_surge:
        text = "may not be set when maxUnavailable is non-zero"
        out.append(causes.invalid(f"{field}.maxSurge", surge, text))
    elif not has_unavailable and not has_surge:
        text = "cannot be 0 when maxSurge is 0"
        out.append(causes.required(f"{field}.maxUnavailable", text))
    return out


class ControllerRevision(rules.Kind):
    """A ControllerRevision: data that never changes."""

    metadata_checks: ClassVar[names.MetadataChecks] = names.MetadataChecks(1, 1, True)
    raw_fields: ClassVar[tuple[tuple[str, ...], ...]] = (("data",),)

    def validate_create(
        self, obj: objects.Object, context: strategies.WriteContext
    ) -> list[statuses.Cause]:
        return self._validate(obj)

    def validate_update(
        self, obj: objects.Object, old: objects.Object, context: strategies.WriteContext
    ) -> list[statuses.Cause]:
        out = rules.nonnegative(obj.get("revision"), "revision")
        if obj.get("data") != old.get("data"):
            out.append(causes.invalid("data", obj.get("data"), causes.IMMUTABLE))
        return out

    def _validate(self, obj: objects.Object) -> Causes:
        out = rules.nonnegative(obj.get("revision"), "revision")
        data = obj.get("data")
        if data is None:
            out.append(causes.required("data", "data is mandatory"))
        elif not isinstance(data, dict):
            out.append(causes.required("data", "data must be a valid JSON object"))
        return out
