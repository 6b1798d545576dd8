"""What an installation of Knative allows: the parts of its ConfigMaps that admission depends on."""

from __future__ import annotations

from dataclasses import dataclass

from understudy.kube import objects


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Values of `config-defaults`, `config-autoscaler` and `config-features`."""

    revision_timeout_s: int = 300
    """`revision-timeout-seconds`: timeout of a request where the template says nothing."""

    max_revision_timeout_s: int = 600
    """`max-revision-timeout-seconds`: longest timeout a template may ask for."""

    revision_response_start_timeout_s: int = 300
    """`revision-response-start-timeout-seconds`: set where the timeout is longer than this."""

    container_concurrency: int = 0
    """`container-concurrency`: where the template says nothing; 0 is without bound."""

    container_concurrency_max: int = 1000
    """`container-concurrency-max-limit`."""

    allow_zero_initial_scale: bool = False
    """`allow-zero-initial-scale`: whether `initial-scale: "0"` is accepted."""

    max_scale_limit: int = 0
    """`max-scale-limit`: largest `max-scale`; 0 is without bound."""

    enable_service_links: bool | None = False
    """`enable-service-links`; None leaves the choice to Kubernetes."""

    features: frozenset[str] = frozenset({"multi-container", "kubernetes.podspec-volumes-emptydir"})
    """Names of the switched-on flags of `config-features` (the two that are on by default)."""

    def allows(self, feature: str) -> bool:
        """Say whether a flag of `config-features` is on."""
        return feature in self.features


def from_config_maps(
    defaults: objects.Object, autoscaler: objects.Object, features: objects.Object
) -> Limits:
    """Read the `data` of the three ConfigMaps; a key that is absent keeps its default.

    Raises:
        ValueError: A value that is not what the key stands for.
    """
    base = Limits()

    def number(data: objects.Object, key: str, fallback: int) -> int:
        text = data.get(key)
        if text is None:
            return fallback
        try:
            return int(str(text))
        except ValueError:
            raise ValueError(f"{key}: {text!r} is not a whole number") from None

    flags = set(base.features)
    for key, value in features.items():
        if str(value).lower() in ("enabled", "allowed"):
            flags.add(key)
        else:
            flags.discard(key)
    return Limits(
        revision_timeout_s=number(defaults, "revision-timeout-seconds", base.revision_timeout_s),
        max_revision_timeout_s=number(
            defaults, "max-revision-timeout-seconds", base.max_revision_timeout_s
        ),
        revision_response_start_timeout_s=number(
            defaults,
            "revision-response-start-timeout-seconds",
            base.revision_response_start_timeout_s,
        ),
        container_concurrency=number(defaults, "container-concurrency", base.container_concurrency),
        container_concurrency_max=number(
            defaults, "container-concurrency-max-limit", base.container_concurrency_max
        ),
        allow_zero_initial_scale=str(autoscaler.get("allow-zero-initial-scale")).lower() == "true",
        max_scale_limit=number(autoscaler, "max-scale-limit", base.max_scale_limit),
        features=frozenset(flags),
    )
