"""Jobs and CronJobs.

Source: pkg/apis/batch/{v1,validation}, pkg/registry/batch @1.36.
"""

from __future__ import annotations

import re
from typing import ClassVar

from understudy.kapi.resources import strategies
from understudy.kapi.resources.kinds import (
    gotypes,
    jobpolicies,
    jobstatuses,
    podspecs,
    podwarnings,
    rules,
    schedules,
)
from understudy.kube import causes, names, objects, selectors, statuses

Causes = list[statuses.Cause]

_PREFIX = "batch.kubernetes.io/"
_CRONJOB_NAME_MAX = 52
_PARALLELISM_MAX = 100_000
_FAILED_INDEXES_MAX = 100_000
_COMPLETIONS_SOFT_MAX = 100_000
_MANY_COMPLETIONS_MAX = 10_000
"""Bound of parallelism and failed indexes above the soft bound of completions."""
_ZONE_PART = re.compile(r"[A-Za-z._0-9+-]{1,14}")
_MESSAGE = "`selector` does not match template `labels`"


class Job(rules.Kind):
    """A Job."""

    metadata_checks: ClassVar[names.MetadataChecks] = names.MetadataChecks(1, 1, True)
    status_is_separate: ClassVar[bool] = True
    pods: ClassVar[tuple[str, ...]] = ("spec", "template", "spec")
    has_generation: ClassVar[bool] = True
    orphans_by_default: ClassVar[bool] = True
    orphan_warning: ClassVar[str] = (
        "child pods are preserved by default when jobs are deleted; set "
        "propagationPolicy=Background to remove them or set propagationPolicy=Orphan to suppress "
        "this warning"
    )
    selectable: ClassVar[tuple[str, ...]] = ("status.successful",)
    selectable_refusal: ClassVar[str] = 'field label "{}" not supported for Job'

    def default(self, obj: objects.Object) -> None:
        spec = obj.get("spec")
        if spec is None:
            spec = obj["spec"] = {}
        default_spec(spec)
        _default_labels(obj)
        if obj.get("status") is None:
            obj["status"] = {}

    def prepare_create(self, obj: objects.Object, context: strategies.WriteContext) -> None:
        """Give the job a selector of its own, unless it brings one."""
        super().prepare_create(obj, context)
        meta, spec = obj["metadata"], obj["spec"]
        uid = meta.get("uid")
        if not uid:
            uid = meta["uid"] = context.ids.uid()
        if spec.get("manualSelector"):
            return
        template = spec["template"].setdefault("metadata", {})
        labels = template.get("labels") or {}
        name = meta.get("name") or ""
        for prefix in ("", _PREFIX):
            labels.setdefault(f"{prefix}job-name", name)
            labels.setdefault(f"{prefix}controller-uid", uid)
        template["labels"] = labels
        selector = spec.get("selector") or {}
        matched = selector.get("matchLabels") or {}
        matched.setdefault(f"{_PREFIX}controller-uid", uid)
        selector["matchLabels"] = matched
        spec["selector"] = selector

    def settle(self, obj: objects.Object) -> bool:
        return not _default_labels(obj)

    def advances_generation(
        self, obj: objects.Object, old: objects.Object, subresource: str
    ) -> bool:
        return obj.get("spec") != old.get("spec")

    def validate_create(
        self, obj: objects.Object, context: strategies.WriteContext
    ) -> list[statuses.Cause]:
        return _validate(obj)

    def validate_update(
        self, obj: objects.Object, old: objects.Object, context: strategies.WriteContext
    ) -> list[statuses.Cause]:
        if context.subresource == "status":
            return jobstatuses.validate(obj, old)
        if obj["spec"] == old["spec"]:
            return []
        # Kubernetes checks the spec as that of a job, and once more as a change.
        again = _selected_spec(obj["spec"])
        return _validate(obj) + again + _validate_changes(obj["spec"], old)

    def warnings(self, obj: objects.Object, old: objects.Object | None) -> list[str]:
        if old is not None and old["spec"] == obj["spec"]:
            return []
        out: list[str] = []
        name = objects.name_of(obj)
        if old is None and (complaints := names.dns_label(name)):
            shown = "[" + " ".join(complaints) + "]"
            out.append(
                "metadata.name: this is used in Pod names and hostnames, which can result in"
                f" surprising behavior; a DNS label is recommended: {shown}"
            )
        return out + _warnings(obj["spec"], "spec.")

    def selectable_fields(self, obj: objects.Object) -> dict[str, str]:
        return {"status.successful": str((obj.get("status") or {}).get("succeeded") or 0)}


def _default_labels(job: objects.Object) -> bool:
    """Give a job without labels those of its pods, in place; say whether it got any.

    As in Kubernetes these are the same map: labels that the pods get later the job gets, too.
    """
    labels = (job["spec"]["template"].get("metadata") or {}).get("labels")
    if not labels or job["metadata"].get("labels"):
        return False
    job["metadata"]["labels"] = labels
    return True


class CronJob(rules.Kind):
    """A CronJob."""

    status_is_separate: ClassVar[bool] = True
    pods: ClassVar[tuple[str, ...]] = ("spec", "jobTemplate", "spec", "template", "spec")
    has_generation: ClassVar[bool] = True

    def default(self, obj: objects.Object) -> None:
        spec = obj.get("spec")
        if spec is None:
            spec = obj["spec"] = {}
        if not spec.get("concurrencyPolicy"):
            spec["concurrencyPolicy"] = "Allow"
        for key, value in (
            ("suspend", False), ("successfulJobsHistoryLimit", 3), ("failedJobsHistoryLimit", 1),
        ):  # fmt: skip
            if spec.get(key) is None:
                spec[key] = value
        template: objects.Object = spec.setdefault("jobTemplate", {})
        for key in ("metadata", "spec"):
            if template.get(key) is None:
                template[key] = {}
        job = template["spec"]
        if job.get("template") is None:
            job["template"] = {}
        podspecs.default_template(job["template"])
        if obj.get("status") is None:
            obj["status"] = {}

    def validate_create(
        self, obj: objects.Object, context: strategies.WriteContext
    ) -> list[statuses.Cause]:
        out = self._validate(obj["spec"], None)
        name = objects.name_of(obj)
        if names.size(name) > _CRONJOB_NAME_MAX:
            text = f"must be no more than {_CRONJOB_NAME_MAX} characters"
            out.append(causes.invalid("metadata.name", name, text))
        return out

    def validate_update(
        self, obj: objects.Object, old: objects.Object, context: strategies.WriteContext
    ) -> list[statuses.Cause]:
        if context.subresource == "status" or obj["spec"] == old["spec"]:
            return []
        return self._validate(obj["spec"], old["spec"])

    def _validate(self, spec: objects.Object, old: objects.Object | None) -> Causes:
        schedule, zone = spec.get("schedule") or "", spec.get("timeZone")
        out: Causes = []
        if not schedule:
            out.append(causes.required("spec.schedule"))
        else:
            with_zone = old is not None and "TZ" in (old.get("schedule") or "")
            out += _schedule(schedule, zone, with_zone=with_zone)
        out += rules.nonnegative(
            spec.get("startingDeadlineSeconds"), "spec.startingDeadlineSeconds"
        )
        if zone is not None and (old is None or zone != old.get("timeZone")):
            out += _time_zone(zone)
        out += rules.one_of(
            spec.get("concurrencyPolicy"), "spec.concurrencyPolicy", ("Allow", "Forbid", "Replace")
        )
        for key in ("successfulJobsHistoryLimit", "failedJobsHistoryLimit"):
            out += rules.nonnegative(spec.get(key), f"spec.{key}")
        template = spec.get("jobTemplate") or {}
        job, at = template.get("spec") or {}, "spec.jobTemplate.spec"
        out += validate_spec(job, at)
        if job.get("selector") is not None:
            text = "`selector` will be auto-generated"
            out.append(causes.invalid(f"{at}.selector", job["selector"], text))
        if job.get("manualSelector"):
            out.append(causes.unsupported(f"{at}.manualSelector", True, ("nil", "false")))
        return out

    def warnings(self, obj: objects.Object, old: objects.Object | None) -> list[str]:
        spec = obj["spec"]
        out: list[str] = []
        name = objects.name_of(obj)
        if old is None and (complaints := names.dns_label(name)):
            shown = "[" + " ".join(complaints) + "]"
            out.append(
                "metadata.name: this is used in Pod names and hostnames, which can result in"
                f" surprising behavior; a DNS label is recommended: {shown}"
            )
        if old is None or old["spec"] != spec:
            out += _warnings(spec["jobTemplate"]["spec"], "spec.jobTemplate.spec.")
        if old is not None and "TZ" in (spec.get("schedule") or ""):
            out.append(
                "cannot use TZ or CRON_TZ in spec.spec.schedule, use timeZone instead, see"
                " https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more"
                " details"
            )
        return out


def default_spec(spec: objects.Object) -> None:
    """Fill in a JobSpec, in place."""
    if spec.get("completions") is None and spec.get("parallelism") is None:
        spec["completions"] = 1
    for key, value in (
        ("parallelism", 1), ("completionMode", "NonIndexed"), ("suspend", False),
        ("manualSelector", False),
    ):  # fmt: skip
        if spec.get(key) is None:
            spec[key] = value
    if spec.get("backoffLimit") is None:
        per_index = spec.get("backoffLimitPerIndex") is not None
        spec["backoffLimit"] = 2147483647 if per_index else 6
    if spec.get("podReplacementPolicy") is None:
        has_policy = spec.get("podFailurePolicy") is not None
        spec["podReplacementPolicy"] = "Failed" if has_policy else "TerminatingOrFailed"
    for rule in (spec.get("podFailurePolicy") or {}).get("rules") or ():
        for pattern in rule.get("onPodConditions") or ():
            if not pattern.get("status"):
                pattern["status"] = "True"
    if spec.get("template") is None:
        spec["template"] = {}
    podspecs.default_template(spec["template"])


def validate_spec(spec: objects.Object, field: str) -> Causes:
    """Return every reason why a JobSpec is not valid, its selector aside."""
    out: Causes = []
    for key in (
        "parallelism", "completions", "activeDeadlineSeconds", "backoffLimit",
        "ttlSecondsAfterFinished", "backoffLimitPerIndex", "maxFailedIndexes",
    ):  # fmt: skip
        out += rules.nonnegative(spec.get(key), f"{field}.{key}")
    out += jobpolicies.managed_by(spec.get("managedBy"), f"{field}.managedBy")
    out += _completion(spec, field)
    if (policy := spec.get("podFailurePolicy")) is not None:
        out += jobpolicies.failure(policy, spec, f"{field}.podFailurePolicy")
    if (policy := spec.get("successPolicy")) is not None:
        if spec.get("completionMode") != "Indexed":
            text = "requires indexed completion mode"
            shown = gotypes.internal(policy, _INTERNAL["successPolicy"])
            out.append(causes.invalid(f"{field}.successPolicy", shown, text))
        else:
            out += jobpolicies.success(policy, spec, f"{field}.successPolicy")
    replacement = spec.get("podReplacementPolicy")
    known = ("Failed",) if spec.get("podFailurePolicy") is not None else (
        "Failed", "TerminatingOrFailed",
    )  # fmt: skip
    if replacement is not None and replacement not in known:
        out.append(causes.unsupported(f"{field}.podReplacementPolicy", replacement, known))
    template = spec.get("template") or {}
    out += podspecs.validate_template(template, f"{field}.template")
    policy = (template.get("spec") or {}).get("restartPolicy") or ""
    at = f"{field}.template.spec.restartPolicy"
    if policy in {"", "Always"}:
        out.append(causes.required(at, 'valid values: "OnFailure", "Never"'))
    elif policy not in {"OnFailure", "Never"}:
        out.append(causes.unsupported(at, policy, ("OnFailure", "Never")))
    elif policy != "Never" and spec.get("podFailurePolicy") is not None:
        text = 'only "Never" is supported when podFailurePolicy is specified'
        out.append(causes.invalid(at, policy, text))
    return out


def _completion(spec: objects.Object, field: str) -> Causes:
    mode, completions = spec.get("completionMode"), spec.get("completions")
    parallelism = spec.get("parallelism") or 0
    out: Causes = []
    if mode is not None:
        if mode not in {"NonIndexed", "Indexed"}:
            at = f"{field}.completionMode"
            out.append(causes.unsupported(at, mode, ("NonIndexed", "Indexed")))
        if mode == "Indexed":
            if completions is None:
                text = f"when completion mode is {mode}"
                out.append(causes.required(f"{field}.completions", text))
            if parallelism > _PARALLELISM_MAX:
                text = (
                    f"must be less than or equal to {_PARALLELISM_MAX} when completion mode is"
                    f" {mode}"
                )
                out.append(causes.invalid(f"{field}.parallelism", parallelism, text))
    limit, per_index = spec.get("maxFailedIndexes"), spec.get("backoffLimitPerIndex")
    if limit is not None and per_index is None:
        text = "when maxFailedIndexes is specified"
        out.append(causes.required(f"{field}.backoffLimitPerIndex", text))
    if mode == "Indexed":
        return out + _failed_indexes(spec, field)
    if mode in {None, "NonIndexed"}:
        out += [
            causes.invalid(f"{field}.{key}", spec[key], "requires indexed completion mode")
            for key in ("backoffLimitPerIndex", "maxFailedIndexes")
            if spec.get(key) is not None
        ]
    return out


def _failed_indexes(spec: objects.Object, field: str) -> Causes:
    """Check how many indexes of an indexed job may fail."""
    limit, completions = spec.get("maxFailedIndexes"), spec.get("completions")
    parallelism = spec.get("parallelism") or 0
    at = f"{field}.maxFailedIndexes"
    out: Causes = []
    if limit is not None and completions is not None and limit > completions:
        out.append(causes.invalid(at, limit, "must be less than or equal to completions"))
    if limit is not None and limit > _FAILED_INDEXES_MAX:
        text = f"must be less than or equal to {_FAILED_INDEXES_MAX}"
        out.append(causes.invalid(at, limit, text))
    if (completions or 0) <= _COMPLETIONS_SOFT_MAX or spec.get("backoffLimitPerIndex") is None:
        return out
    if limit is None:
        text = f"must be specified when completions is above {_COMPLETIONS_SOFT_MAX}"
        out.append(causes.required(at, text))
    for where, value in ((f"{field}.parallelism", parallelism), (at, limit or 0)):
        if value > _MANY_COMPLETIONS_MAX:
            text = (
                f"must be less than or equal to {_MANY_COMPLETIONS_MAX} when completions are"
                f" above {_COMPLETIONS_SOFT_MAX} and used with backoff limit per index"
            )
            out.append(causes.invalid(where, value, text))
    return out


def _validate(job: objects.Object) -> Causes:
    spec, meta = job["spec"], objects.metadata(job)
    out = _generated_selector(spec, meta) + _selected_spec(spec)
    name = objects.name_of(job)
    if spec.get("completionMode") == "Indexed" and (spec.get("completions") or 0) > 0:
        host = f"{name}-{spec['completions'] - 1}"
        if names.dns_label(host):
            text = f"will not able to create pod with invalid DNS label: {host}"
            out.append(causes.invalid("metadata.name", name, text))
    return out


def _selected_spec(spec: objects.Object) -> Causes:
    """Return every reason why a JobSpec with a selector is not valid."""
    out = validate_spec(spec, "spec")
    selector = spec.get("selector")
    if selector is None:
        out.append(causes.required("spec.selector"))
    out += selectors.validate_label_selector(selector, "spec.selector")
    labels = (spec["template"].get("metadata") or {}).get("labels")
    matcher = selectors.checked_label_selector(selector)
    if matcher is not None and not matcher.matches(labels or {}):
        out.append(causes.invalid("spec.template.metadata.labels", labels, _MESSAGE))
    return out


def _generated_selector(spec: objects.Object, meta: objects.Object) -> Causes:
    selector = spec.get("selector")
    if spec.get("manualSelector") or selector is None:
        return []
    labels = (spec["template"].get("metadata") or {}).get("labels") or {}
    uid, name = meta.get("uid") or "", meta.get("name") or ""
    out: Causes = []
    expected = {
        f"{prefix}{key}": value
        for prefix in ("", _PREFIX)
        for key, value in (("controller-uid", uid), ("job-name", name))
    }
    for key, value in expected.items():
        at = f"spec.template.metadata.labels[{key}]"
        if key not in labels:
            out.append(causes.required(at, f"must be '{value}'"))
        elif labels[key] != value:
            out.append(causes.invalid(at, labels, f"must be '{value}'"))
    matcher = selectors.checked_label_selector(selector)
    if matcher is not None and not matcher.matches(expected):
        out.append(causes.invalid("spec.selector", selector, "`selector` not auto-generated"))
    return out


_SCHEDULING_KEYS = ("nodeSelector", "tolerations", "schedulingGates")
_INTERNAL = {
    "podFailurePolicy": "io.k8s.api.batch.v1.PodFailurePolicy",
    "successPolicy": "io.k8s.api.batch.v1.SuccessPolicy",
}


def _validate_changes(spec: objects.Object, old_job: objects.Object) -> Causes:
    """Refuse changes to what defines the job; a suspended job may still be moved elsewhere."""
    old = old_job["spec"]
    out: Causes = []
    completions, before = spec.get("completions"), old.get("completions")
    if completions != before:
        resized = spec.get("completionMode") == "Indexed" and completions is not None
        if not resized:
            out.append(causes.invalid("spec.completions", completions, causes.IMMUTABLE))
        elif completions != spec.get("parallelism"):
            text = "can only be modified in tandem with spec.parallelism"
            out.append(causes.invalid("spec.completions", completions, text))
    out += rules.immutable(
        selectors.shown(spec.get("selector")), selectors.shown(old.get("selector")), "spec.selector"
    )
    out += _template_change(spec, old, old_job)
    for key in (
        "completionMode", "podFailurePolicy", "backoffLimitPerIndex", "managedBy", "successPolicy",
    ):  # fmt: skip
        if not rules.same(spec.get(key), old.get(key)):
            shown, kind = spec.get(key), _INTERNAL.get(key)
            if kind and shown is not None:
                shown = gotypes.internal(shown, kind)
            out.append(causes.invalid(f"spec.{key}", shown, causes.IMMUTABLE))
    return out


def _template_change(spec: objects.Object, old: objects.Object, old_job: objects.Object) -> Causes:
    new, before = objects.copy(spec.get("template") or {}), old.get("template") or {}
    status = old_job.get("status") or {}
    suspended = bool(old.get("suspend"))
    if suspended and status.get("startTime") is None:
        meta, old_meta = new.setdefault("metadata", {}), before.get("metadata") or {}
        for key in ("annotations", "labels"):
            rules.restore(meta, old_meta, key)
        pod, old_pod = new.setdefault("spec", {}), before.get("spec") or {}
        for key in _SCHEDULING_KEYS:
            rules.restore(pod, old_pod, key)
        _restore_node_affinity(pod, old_pod)
        for key in ("containers", "initContainers"):
            pairs = zip(pod.get(key) or (), old_pod.get(key) or (), strict=False)
            for one, old_one in pairs:
                rules.restore(one, old_one, "resources")
    if rules.same(new, before):
        return []
    shown = gotypes.internal(spec.get("template") or {}, "PodTemplateSpec")
    return [causes.invalid("spec.template", shown, causes.IMMUTABLE)]


def _restore_node_affinity(pod: objects.Object, old: objects.Object) -> None:
    """Undo what was changed of the affinity to nodes, and of nothing else."""
    new, before = pod.get("affinity"), old.get("affinity")
    rest = {key: value for key, value in (new or {}).items() if key != "nodeAffinity"}
    old_rest = {key: value for key, value in (before or {}).items() if key != "nodeAffinity"}
    if rules.same(rest, old_rest):
        rules.restore(pod, old, "affinity")


def _schedule(schedule: str, zone: str | None, *, with_zone: bool) -> Causes:
    """Check a schedule; one that brought its own time zone before may go on doing so."""
    out: Causes = []
    if complaint := schedules.complaint(schedule):
        out.append(causes.invalid("spec.schedule", schedule, complaint))
    if "TZ" in schedule and with_zone and zone is not None:
        text = "cannot use both timeZone field and TZ or CRON_TZ in schedule"
        out.append(causes.invalid("spec.schedule", schedule, text))
    elif "TZ" in schedule and not with_zone:
        text = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"
        out.append(causes.invalid("spec.schedule", schedule, text))
    return out


def _time_zone(zone: str) -> Causes:
    at = "spec.timeZone"
    if not zone:
        return [causes.invalid(at, zone, "timeZone must be nil or non-empty string")]
    unknown = causes.invalid(at, zone, f"unknown time zone {zone}")
    parts = zone.split("/")
    if any(p in {".", ".."} or p[:1] == "-" or not _ZONE_PART.fullmatch(p) for p in parts):
        return [unknown]
    out: Causes = []
    if zone.lower() == "local":
        text = "timeZone must be an explicit time zone as defined in"
        out.append(causes.invalid(at, zone, f"{text} https://www.iana.org/time-zones"))
    if not schedules.is_time_zone(zone):
        out.append(unknown)
    return out


def _warnings(spec: objects.Object, prefix: str) -> list[str]:
    out: list[str] = []
    completions, parallelism = spec.get("completions") or 0, spec.get("parallelism") or 0
    if spec.get("completionMode") == "Indexed" and completions > 100_000 and parallelism > 10_000:
        out.append(
            f"{prefix.removesuffix('.')}: In Indexed Jobs with a number of completions higher than"
            " 10^5 and a parallelism higher than 10^4, Kubernetes might not be able to track"
            " completedIndexes when a big number of indexes fail"
        )
    return out + podwarnings.of_template(spec.get("template") or {}, f"{prefix}template")
