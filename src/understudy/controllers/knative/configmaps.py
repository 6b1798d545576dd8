"""A cluster's own settings of Knative, read from the ConfigMaps of `knative-serving`.

So that a rehearsal of a real cluster gives the URLs, the limits and the scale that one would. What
cannot be read is left at its default, as the control plane itself does not start with it.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from understudy.controllers.knative.settings import KnativeSettings
from understudy.kube import objects, records
from understudy.kube.knative import limits

GATEWAY_PORT = "gateway-port"
"""A key of ours in `config-network`: the port that public URLs show; 0 shows none."""
Find = Callable[[str], objects.Object | None]
_TOKENS = re.compile(r"\{\{-?\s*\.(Name|Namespace|Domain|Tag)\s*-?\}\}")


def read(find: Find, base: KnativeSettings | None = None) -> KnativeSettings:
    """Return the settings of a cluster.

    Args:
        find: Returns a ConfigMap of the namespace `knative-serving` by its name, or None.
        base: What counts where the cluster says nothing.
    """
    start = base or KnativeSettings()
    data = {
        name: _data(find(f"config-{name}"))
        for name in ("autoscaler", "defaults", "deployment", "domain", "features", "network")
    }
    changes: objects.Object = {}
    for key, value in data["domain"].items():
        if key != "_example" and (not value.strip() or "domain" not in changes):
            changes["domain"] = key
    _network(data["network"], changes)
    _autoscaler(data["autoscaler"], changes)
    deployment = data["deployment"]
    _put(changes, "progress_deadline_s", deployment.get("progress-deadline"), _whole_seconds)
    _put(changes, "queue_image", deployment.get("queue-sidecar-image"), str)
    _put(
        changes,
        "skipped_registries",
        deployment.get("registries-skipping-tag-resolving"),
        lambda text: frozenset(one.strip() for one in text.split(",") if one.strip()),
    )
    _put(
        changes,
        "limits",
        "x",
        lambda _: limits.from_config_maps(data["defaults"], data["autoscaler"], data["features"]),
    )
    fields = {name: getattr(start, name) for name in KnativeSettings.__slots__}
    return KnativeSettings(**(fields | changes))


def _network(data: dict[str, str], changes: objects.Object) -> None:
    _put(changes, "ingress_class", data.get("ingress-class"), str)
    _put(changes, "domain_template", data.get("domain-template"), _template)
    _put(changes, "tag_template", data.get("tag-template"), _template)
    _put(changes, "rollout_duration_s", data.get("rollout-duration"), int)
    _put(changes, "port", data.get(GATEWAY_PORT), int)
    _put(changes, "claims_domains", data.get("autocreate-cluster-domain-claims"), _flag)


def _autoscaler(data: dict[str, str], changes: objects.Object) -> None:
    for key, field, convert in (
        ("initial-scale", "initial_scale", int),
        ("min-scale", "min_scale", int),
        ("max-scale", "max_scale", int),
        ("enable-scale-to-zero", "enable_scale_to_zero", _flag),
        ("stable-window", "stable_window_s", _seconds),
        ("panic-window-percentage", "panic_window_percent", float),
        ("panic-threshold-percentage", "panic_threshold_percent", float),
        ("scale-to-zero-grace-period", "scale_to_zero_grace_s", _seconds),
        ("scale-to-zero-pod-retention-period", "retention_s", _seconds),
        ("scale-down-delay", "scale_down_delay_s", _seconds),
        ("container-concurrency-target-default", "target_concurrency", float),
        ("requests-per-second-target-default", "target_rps", float),
        ("container-concurrency-target-percentage", "target_utilization", _share),
        ("target-burst-capacity", "target_burst_capacity", float),
        ("activator-capacity", "activator_capacity", float),
        ("max-scale-up-rate", "max_scale_up_rate", float),
        ("max-scale-down-rate", "max_scale_down_rate", float),
    ):
        _put(changes, field, data.get(key), convert)


def _data(found: objects.Object | None) -> dict[str, str]:
    return {str(key): str(value) for key, value in ((found or {}).get("data") or {}).items()}


def _put(
    changes: objects.Object, field: str, text: str | None, convert: Callable[[str], object]
) -> None:
    if text is None:
        return
    try:
        changes[field] = convert(text.strip())
    except ValueError:
        return


def _template(text: str) -> str:
    """Turn Go's template into ours; what is more than names and text is not understood."""
    made = _TOKENS.sub(lambda match: "{" + match[1].lower() + "}", text)
    if "{{" in made:
        raise ValueError(text)
    return made


def _flag(text: str) -> bool:
    return text.lower() == "true"


def _seconds(text: str) -> float:
    seconds: float = records.parse_duration(text).total_seconds()
    return seconds


def _whole_seconds(text: str) -> int:
    return int(_seconds(text))


def _share(text: str) -> float:
    value = float(text)
    return value / 100 if value > 1 else value
