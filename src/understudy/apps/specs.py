"""From an app's spec to its Knative Service, and the digests that tell whether one changed.

Rendering is a pure function of app and settings: the same input gives the same Service, byte for
byte, so an unchanged deploy writes nothing. What a spec asks for is honoured or refused, never
dropped; everything wrong with it is reported at once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from understudy.apps import errors, keys, names, payloads, records, settings, storage
from understudy.kube import objects, records as codec
from understudy.kube.knative import defaults, keys as knative, pods, validation

ProblemList = list[tuple[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """What an app becomes.

    Attributes:
        service: The Knative Service, without anything a server sets.
        spec_sha: 16 hex digits over the whole spec.
        deployment_id: Digest over what makes the app run as it does: the template and who may
            reach it, settings of the client included. Cosmetic fields do not change it.
        domains: Further names under which the app is reached; each needs a DomainMapping.
    """

    service: objects.Object
    spec_sha: str
    deployment_id: str
    domains: tuple[str, ...] = ()


def spec_sha(spec: records.Spec) -> str:
    """Return 16 hex digits of the SHA-256 over the spec's canonical JSON."""
    return codec.digest(codec.to_json(spec))[:16]


def render(app: records.App, config: settings.AppSettings) -> Rendered:
    """Build the Knative Service of an app that is to run (`park` makes the stopped form).

    Raises:
        AppInvalidError: The identity or spec cannot work; lists every problem found.
    """
    problems: ProblemList = names.complaints(app.id)
    spec = app.spec
    if spec is None:
        problems.append(("spec", "is required"))
        raise errors.AppInvalidError(f"app {app.id}", problems)
    template = _template(app.id, spec, config, problems)
    labels = {
        keys.MANAGED: "true",
        keys.PROJECT: app.id.project,
        keys.DOMAIN: app.id.domain,
        keys.APP_NAME: app.id.name,
    }
    if spec.ingress is not None and spec.ingress.private:
        labels[knative.VISIBILITY] = knative.CLUSTER_LOCAL
    sha = spec_sha(spec)
    deployment_id = codec.digest(
        {"template": template, "visibility": labels.get(knative.VISIBILITY, "")}
    )[:32]
    annotations = {
        keys.APP_ID: str(app.id),
        keys.APP_ORG: app.id.org,
        keys.SPEC_SHA: sha,
        keys.SPEC: storage.encode(spec),
        keys.DEPLOYMENT_ID: deployment_id,
    }
    service: objects.Object = {
        "apiVersion": knative.API_VERSION,
        "kind": "Service",
        "metadata": {
            "name": names.kservice_name(app.id),
            "namespace": config.namespace,
            "labels": labels,
            "annotations": annotations,
        },
        "spec": {"template": template},
    }
    problems.extend(_refusals(service, config))
    problems.extend(storage.complaints(annotations))
    if problems:
        raise errors.AppInvalidError(f"app {app.id}", list(dict.fromkeys(problems)))
    return Rendered(
        service=service,
        spec_sha=sha,
        deployment_id=deployment_id,
        domains=domains(spec, config),
    )


def domains(spec: records.Spec, config: settings.AppSettings) -> tuple[str, ...]:
    """Return the further host names a spec asks for: a subdomain of the base domain, a CNAME."""
    if spec.ingress is None:
        return ()
    found = []
    if spec.ingress.subdomain and config.base_domain:
        found.append(f"{spec.ingress.subdomain}.{config.base_domain}".lower())
    if spec.ingress.cname:
        found.append(spec.ingress.cname.lower())
    return tuple(found)


def park(template: objects.Object) -> objects.Object:
    """Return the template of a stopped app, made so that nothing can wake it.

    Its image has a host in `.invalid`, which no name server knows (RFC 6761): Knative fails to
    resolve the image and stops before it makes a Deployment or an autoscaler. With all other
    Revisions deleted there is nothing that a request could start, and no setting of the cluster is
    needed for it (an initial scale of zero is refused by Knative as it is installed).
    """
    container: objects.Object = {"image": keys.PARKED_IMAGE}
    name = objects.lookup(template, ("spec", "containers", 0, "name"))
    if name:
        container["name"] = name
    return {
        "metadata": {
            "annotations": {keys.PARKED: "true", knative.MIN_SCALE: "0"},
            "labels": dict(objects.labels_of(template)),
        },
        "spec": {"containers": [container]},
    }


def is_parked(template: objects.Object) -> bool:
    """Say whether a template, or a Revision, is a parked one."""
    return objects.annotations_of(template).get(keys.PARKED) == "true"


def is_shown_by(live: objects.Json, wanted: objects.Json) -> bool:
    """Say whether a live object shows everything that was rendered.

    Mappings may have more keys than wanted (a server fills in defaults); lists must have the same
    length, because an added container or variable is a change. Numbers and quantities compare by
    value.
    """
    if isinstance(wanted, dict):
        if not isinstance(live, dict):
            return not wanted
        return all(is_shown_by(live.get(key), item) for key, item in wanted.items())
    if isinstance(wanted, list):
        if not isinstance(live, list):
            return not wanted
        return len(live) == len(wanted) and all(
            is_shown_by(one, other) for one, other in zip(live, wanted, strict=True)
        )
    return live == wanted or payloads.same_quantity(live, wanted)


def _template(
    app_id: records.Identifier,
    spec: records.Spec,
    config: settings.AppSettings,
    problems: ProblemList,
) -> objects.Object:
    payload = payloads.pod_template(spec, config, problems)
    pod, labels, annotations = payload.pod_spec, payload.labels, payload.annotations
    _add_environment(app_id, pod, payload.primary, config)
    _add_account(spec, pod, config, problems)
    if spec.security_context is not None and spec.security_context.secrets:
        labels |= {
            "organization": "flyte",
            "project": app_id.project,
            "domain": app_id.domain,
            "inject-flyte-secrets": "true",
        }
        annotations |= payloads.secret_annotations(spec.security_context.secrets)
    annotations |= _scaling(spec.autoscaling, problems)
    _add_timeout(spec, pod, config, problems)
    metadata: objects.Object = {}
    if labels:
        metadata["labels"] = labels
    if annotations:
        metadata["annotations"] = annotations
    return {"metadata": metadata, "spec": pod}


def _add_environment(
    app_id: records.Identifier,
    pod: objects.Object,
    primary: int,
    config: settings.AppSettings,
) -> None:
    """Put the default variables before the app's own and those of the system after them."""
    containers = pod.get("containers") or []
    if primary >= len(containers):
        return
    container = containers[primary]
    own = [one for one in container.get("env") or () if isinstance(one, dict)]
    system = {
        "INTERNAL_APP_ENDPOINT_PATTERN": names.endpoint_pattern(app_id, config),
        "FLYTE_INTERNAL_EXECUTION_PROJECT": app_id.project,
        "FLYTE_INTERNAL_EXECUTION_DOMAIN": app_id.domain,
    }
    taken = {one.get("name") for one in own} | set(system)
    preset = [
        {"name": key, "value": value}
        for key, value in sorted(config.default_env_vars.items())
        if key not in taken
    ]
    kept = [one for one in own if one.get("name") not in system]
    container["env"] = [
        *preset,
        *kept,
        *({"name": key, "value": value} for key, value in system.items()),
    ]


def _add_account(
    spec: records.Spec,
    pod: objects.Object,
    config: settings.AppSettings,
    problems: ProblemList,
) -> None:
    run_as = spec.security_context.run_as if spec.security_context is not None else None
    if run_as is not None and run_as.iam_role:
        problems.append(
            (
                "spec.securityContext.runAs.iamRole",
                "has no effect on Knative; bind the role to a ServiceAccount and name that in"
                " k8sServiceAccount",
            )
        )
    account = (run_as.k8s_service_account if run_as else "") or config.default_service_account
    if account:
        pod["serviceAccountName"] = account


def _scaling(
    autoscaling: records.AutoscalingConfig | None, problems: ProblemList
) -> dict[str, str]:
    if autoscaling is None:
        return {}
    notes: dict[str, str] = {}
    if autoscaling.replicas is not None:
        notes[knative.MIN_SCALE] = str(autoscaling.replicas.min)
        notes[knative.MAX_SCALE] = str(autoscaling.replicas.max)
    metric = autoscaling.scaling_metric
    if metric is not None:
        if (metric.request_rate is None) == (metric.concurrency is None):
            problems.append(
                (
                    "spec.autoscaling.scalingMetric",
                    "needs exactly one of requestRate and concurrency",
                )
            )
        elif metric.request_rate is not None:
            notes[knative.METRIC] = "rps"
            notes[knative.TARGET] = str(metric.request_rate.target_value)
        elif metric.concurrency is not None:
            notes[knative.METRIC] = "concurrency"
            notes[knative.TARGET] = str(metric.concurrency.target_value)
    if autoscaling.scaledown_period is not None:
        notes[knative.WINDOW] = codec.go_duration(autoscaling.scaledown_period)
    return notes


def _add_timeout(
    spec: records.Spec,
    pod: objects.Object,
    config: settings.AppSettings,
    problems: ProblemList,
) -> None:
    """Set the request timeout, and with it the time to the first byte, which Knative caps apart."""
    asked = spec.timeouts.request_timeout if spec.timeouts is not None else None
    seconds = config.default_request_timeout_s
    if asked is not None:
        seconds = math.ceil(asked.total_seconds())
        if not 0 <= seconds <= config.max_request_timeout_s:
            problems.append(
                (
                    "spec.timeouts.requestTimeout",
                    f"{codec.format_duration(asked)} is not between 0 and"
                    f" {config.max_request_timeout_s} s",
                )
            )
    pod["timeoutSeconds"] = seconds
    if seconds > config.limits.revision_response_start_timeout_s:
        pod.setdefault("responseStartTimeoutSeconds", seconds)


def _refusals(service: objects.Object, config: settings.AppSettings) -> ProblemList:
    """Return what Knative would refuse, and what it would drop without a word."""
    filled = objects.copy(service)
    defaults.default_service(filled, config.limits)
    found: ProblemList = []
    for problem in validation.validate(filled, None, config.limits).sorted():
        text = f"{problem.message} ({problem.details})" if problem.details else problem.message
        for path in problem.paths:
            remedy = _REMEDIES.get(path.rsplit(".", 1)[-1], "")
            found.append((path, text + remedy))
    pod = service["spec"]["template"]["spec"]
    known = pods.POD_ALLOWED | pods.REVISION_FIELDS | set(pods.POD_FEATURED)
    found.extend(
        (f"spec.template.spec.{key}", "Knative has no such field; remove it")
        for key in pod
        if key not in known
    )
    for index, container in enumerate(pod.get("containers") or ()):
        found.extend(
            (
                f"spec.template.spec.containers[{index}].{key}",
                "Knative has no such field; remove it",
            )
            for key in (container if isinstance(container, dict) else ())
            if key not in pods.CONTAINER_ALLOWED
        )
    return found


_REMEDIES = {
    "timeoutSeconds": "; ask for less, or raise max-revision-timeout-seconds in config-defaults",
    "nodeSelector": "; switch on kubernetes.podspec-nodeselector in config-features",
    "persistentVolumeClaim": "; switch on kubernetes.podspec-persistent-volume-claim in"
    " config-features",
}
