"""How Knative is set up in a view: the parts of its ConfigMaps that the controllers go by."""

from __future__ import annotations

from dataclasses import dataclass, field

from understudy.kube.knative import limits


@dataclass(slots=True, kw_only=True)
class KnativeSettings:
    """Settings of the control plane; the defaults are Knative's own unless said otherwise.

    Shared by the controllers of a view; only `configuring` changes them, when the ConfigMaps do.
    """

    domain: str = "localhost"
    """Domain of public names (`config-domain`). Ours: every name under it is this machine."""

    domain_template: str = "{name}.{namespace}.{domain}"
    """How a public host is put together (`domain-template`)."""

    tag_template: str = "{tag}-{name}"
    """How the host name of a tag is put together (`tag-template`)."""

    port: int = 0
    """Port shown in public URLs; 0 shows none. Ours, for a gateway that cannot have port 80."""

    cluster_domain: str = "cluster.local"
    """Domain of in-cluster names."""

    ingress_class: str = "understudy.ingress.networking.knative.dev"
    """`ingress-class`: who carries out ingresses."""

    rollout_duration_s: int = 0
    """`rollout-duration`: seconds over which traffic moves to a new Revision; 0 moves at once."""

    claims_domains: bool = True
    """`autocreate-cluster-domain-claims`. On, unlike Knative: there is one user here."""

    keeps_deployments: bool = False
    """Deployments that exist stay as they are, but for their scale. Ours, for the copy of a cluster
    whose own Knative wrote them in its own way."""

    progress_deadline_s: int = 600
    """`progress-deadline`: seconds until a Deployment that gets nowhere is given up."""

    initial_scale: int = 1
    """`initial-scale`: replicas of a new Revision."""

    min_scale: int = 0
    """`min-scale` where a Revision says nothing."""

    max_scale: int = 0
    """`max-scale` where a Revision says nothing; 0 is without bound."""

    enable_scale_to_zero: bool = True
    """`enable-scale-to-zero`."""

    stable_window_s: float = 60.0
    """`stable-window`: seconds over which load is averaged."""

    panic_window_percent: float = 10.0
    """`panic-window-percentage`: the share of the stable window that is looked at for bursts."""

    panic_threshold_percent: float = 200.0
    """`panic-threshold-percentage`: load at which bursts count more than the average."""

    scale_to_zero_grace_s: float = 30.0
    """`scale-to-zero-grace-period`: longest wait before the last replica is let go."""

    retention_s: float = 0.0
    """`scale-to-zero-pod-retention-period`."""

    scale_down_delay_s: float = 0.0
    """`scale-down-delay`: seconds that load must stay low before replicas are let go."""

    target_concurrency: float = 100.0
    """`container-concurrency-target-default`: requests at a time per replica."""

    target_rps: float = 200.0
    """`requests-per-second-target-default`."""

    target_utilization: float = 0.7
    """`container-concurrency-target-percentage`, as a share of 1."""

    target_burst_capacity: float = 211.0
    """`target-burst-capacity`: spare room below which requests go through the activator."""

    activator_capacity: float = 100.0
    """`activator-capacity`: requests at a time one activator takes."""

    max_scale_up_rate: float = 1000.0
    """`max-scale-up-rate`: factor by which one step may scale up."""

    max_scale_down_rate: float = 2.0
    """`max-scale-down-rate`: factor by which one step may scale down."""

    tick_s: float = 2.0
    """Seconds between two looks at the load (`tick-interval`, fixed in Knative)."""

    retain_since_create_s: float = 48 * 3600.0
    """`retain-since-create-time`; negative switches the rule off."""

    retain_since_active_s: float = 15 * 3600.0
    """`retain-since-last-active-time`; negative switches the rule off."""

    min_non_active_revisions: int = 20
    """`min-non-active-revisions`: never collect below this many."""

    max_non_active_revisions: int = 1000
    """`max-non-active-revisions`: collect above this many; negative switches the rule off."""

    queue_image: str = "dev.local/queue:latest"
    """Image of the proxy beside each app container; empty leaves the proxy out (local processes
    are reached by the gateway itself)."""

    skipped_registries: frozenset[str] = frozenset({"kind.local", "ko.local", "dev.local"})
    """`registries-skipping-tag-resolving`."""

    limits: limits.Limits = field(default_factory=limits.Limits)
    """What admission allows."""
