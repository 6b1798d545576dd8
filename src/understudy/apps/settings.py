"""Settings of the app client: where apps live, how they are reached, what the cluster allows."""

from __future__ import annotations

from dataclasses import dataclass, field

from understudy.kube.knative import limits


@dataclass(frozen=True, slots=True, kw_only=True)
class AppSettings:
    """How apps become Knative Services. Read once, by `cli`; every field may be left alone."""

    namespace: str = "default"
    """Namespace of every app. Default `default`: it exists in every cluster."""

    base_domain: str = ""
    """Domain under which apps are reached: `https://<service>.<base_domain>`. Empty (the default):
    apps have no public URL of ours, and the one that Knative reports is shown."""

    scheme: str = "https"
    """`http` or `https`, for public URLs. Default `https`, as public apps should have."""

    ingress_apps_port: int = 0
    """Port appended to public URLs; 0 (the default) appends none. A set port is always shown, also
    80 and 443."""

    default_request_timeout_s: int = 300
    """Longest time of a request in seconds where the spec says nothing. Default 300, Knative's."""

    max_request_timeout_s: int = 3600
    """Longest request timeout in seconds that a spec may ask for; more is refused, not clamped.
    Default 3600, the limit of the API. The cluster's own limit (`limits`) counts too."""

    default_env_vars: dict[str, str] = field(default_factory=dict)
    """Environment of every app; a spec's own variables win. Set in order of name. Default none."""

    namespaced_name_suffix_template: str = "{{ project }}-{{ domain }}"
    """What follows an app's name in the in-cluster host that `INTERNAL_APP_ENDPOINT_PATTERN` spells
    out; `{{ project }}` and `{{ domain }}` are replaced, in lower case."""

    default_service_account: str = ""
    """ServiceAccount of apps that name none. Default empty: the namespace's `default`."""

    internal_domain: str = "svc.cluster.local"
    """Cluster domain of Services, as in-cluster URLs spell it. Default Kubernetes' own."""

    gpu_resource: str = "nvidia.com/gpu"
    """Extended resource that a spec's `GPU` amounts stand for."""

    gpu_node_label: str = "k8s.amazonaws.com/accelerator"
    """Node label by which an accelerator's device is chosen. Needs Knative's node selector flag."""

    watch_buffer_size: int = 100
    """Apps with undelivered news that a subscriber may have before it is told that states in
    between were merged (RESYNC). It never loses the latest state of any app. Default 100."""

    conflict_retries_max: int = 5
    """How often a write that lost a race is read and tried again. Default 5, as client-go."""

    stop_timeout_s: float = 60.0
    """How long `stop` waits for Knative to take the parked revision before it gives up."""

    field_manager: str = "understudy-apps"
    """Field manager under which apps are written."""

    limits: limits.Limits = field(default_factory=limits.Limits)
    """What the cluster's Knative allows (`config-defaults`, `config-autoscaler`,
    `config-features`); the defaults are those of a fresh installation."""
