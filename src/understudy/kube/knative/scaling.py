"""What Knative's webhook says about annotations: autoscaling, rollout, deadline, ingress."""

from __future__ import annotations

import datetime as dt

from understudy.kube import records
from understudy.kube.knative import keys, limits, problems

_INT32_MAX = 2**31 - 1
_HOUR = dt.timedelta(hours=1)
_SIX_SECONDS = dt.timedelta(seconds=6)
_SECOND = dt.timedelta(seconds=1)
_PRECISION = "must be specified with at most second precision"
_ALGORITHMS = ("linear", "weightedExponential", "weighted_exponential")

_OTHER_SPELLINGS = {
    keys.MIN_SCALE: ("autoscaling.knative.dev/minScale",),
    keys.MAX_SCALE: ("autoscaling.knative.dev/maxScale",),
    keys.INITIAL_SCALE: ("autoscaling.knative.dev/initialScale",),
    keys.SCALE_DOWN_DELAY: ("autoscaling.knative.dev/scaleDownDelay",),
    keys.RETENTION: ("autoscaling.knative.dev/scaleToZeroPodRetentionPeriod",),
    keys.TARGET_UTILIZATION: ("autoscaling.knative.dev/targetUtilizationPercentage",),
    keys.TARGET_BURST_CAPACITY: ("autoscaling.knative.dev/targetBurstCapacity",),
    keys.PANIC_WINDOW: ("autoscaling.knative.dev/panicWindowPercentage",),
    keys.PANIC_THRESHOLD: ("autoscaling.knative.dev/panicThresholdPercentage",),
    keys.METRIC_ALGORITHM: ("autoscaling.knative.dev/metricAggregationAlgorithm",),
    keys.ROLLOUT_DURATION: ("serving.knative.dev/rolloutDuration",),
}


def find(annotations: dict[str, str], key: str) -> tuple[str, str] | None:
    """Return an annotation as (key as written, value), also in its older spelling, or None."""
    for spelling in (key, *_OTHER_SPELLINGS.get(key, ())):
        if spelling in annotations:
            return spelling, annotations[spelling]
    return None


def value(annotations: dict[str, str], key: str, default: str = "") -> str:
    """Return an annotation's value, also from its older spelling."""
    found = find(annotations, key)
    return found[1] if found else default


def check_template(
    annotations: dict[str, str], allowed: limits.Limits, path: str, found: problems.Problems
) -> None:
    """Note what is wrong with the annotations of a template or a Revision."""
    check_autoscaling(annotations, allowed, path, found)
    _check_seconds(annotations, keys.PROGRESS_DEADLINE, "progress-deadline", path, found)
    if (percent := find(annotations, keys.QUEUE_RESOURCES_PERCENT)) is not None:
        key, text = percent
        number = _float(text)
        if number is None:
            found.invalid(text, f"{path}.[{key}]")
        elif not 0.1 <= number <= 100:
            found.out_of_bounds(f"{number:g}", "0.1", "100", f"{path}.[{key}]")


def check_rollout_duration(
    annotations: dict[str, str], path: str, found: problems.Problems
) -> None:
    """Note what is wrong with the rollout duration of a Service or Route."""
    _check_seconds(annotations, keys.ROLLOUT_DURATION, "rollout-duration", path, found)


def check_none_for_scaling(
    annotations: dict[str, str], path: str, found: problems.Problems
) -> None:
    """Note autoscaling annotations where they have no effect: outside a template."""
    for key in annotations:
        if key.startswith(keys.AUTOSCALING):
            found.add(
                f'invalid key name "{key}"',
                path,
                details='autoscaling annotations must be put under "spec.template.metadata'
                '.annotations" to work',
            )


def check_autoscaling(
    annotations: dict[str, str], allowed: limits.Limits, path: str, found: problems.Problems
) -> None:
    """Note what is wrong with `autoscaling.knative.dev` annotations."""
    if (scaling_class := find(annotations, keys.CLASS)) is not None:
        key, text = scaling_class
        if text.endswith(keys.AUTOSCALING) and text not in (keys.KPA_CLASS, keys.HPA_CLASS):
            found.invalid(text, f"{path}.{key}")
    _check_scale(annotations, allowed, path, found)
    _check_numbers(annotations, path, found)
    _check_durations(annotations, path, found)
    _check_metric(annotations, path, found)
    _check_initial_scale(annotations, allowed, path, found)


def _check_scale(
    annotations: dict[str, str], allowed: limits.Limits, path: str, found: problems.Problems
) -> None:
    low = _scale(annotations, keys.MIN_SCALE, path, found)
    high = _scale(annotations, keys.MAX_SCALE, path, found)
    if high != 0 and high < low:
        found.add(
            f"max-scale={high} is less than min-scale={low}",
            f"{path}.{keys.MAX_SCALE}",
            f"{path}.{keys.MIN_SCALE}",
        )
    limit = allowed.max_scale_limit
    if limit and (given := find(annotations, keys.MAX_SCALE)) is not None:
        if high > limit:
            found.out_of_bounds(high, 1, limit, f"{path}.{given[0]}")
        if high == 0:
            found.add(f"max-scale=0 (unlimited), must be less than {limit}", f"{path}.{given[0]}")
    if (activation := find(annotations, keys.ACTIVATION_SCALE)) is None:
        return
    key, text = activation
    number = _integer(text)
    at = f"{path}.{key}"
    if number is None or abs(number) > _INT32_MAX:
        found.invalid(text, at)
    elif low > number:
        found.add(f"min-scale={low} is greater than activation-scale={number}", at)
    elif number > high != 0:
        found.add(f"max-scale={high} is less than activation-scale={number}", at)
    elif number < 2:
        found.add(f"activation-scale={number} must be greater than 1", at)


def _scale(annotations: dict[str, str], key: str, path: str, found: problems.Problems) -> int:
    given = find(annotations, key)
    if given is None:
        return 0
    spelled, text = given
    number = _integer(text)
    if number is None:
        found.invalid(text, f"{path}.{spelled}")
        return 0
    if not 0 <= number <= _INT32_MAX:
        found.out_of_bounds(text, 0, _INT32_MAX, f"{path}.{spelled}")
        return 0
    return number


def _check_numbers(annotations: dict[str, str], path: str, found: problems.Problems) -> None:
    bounds = (
        (keys.PANIC_WINDOW, 1.0, 100.0),
        (keys.PANIC_THRESHOLD, 110.0, 1000.0),
        (keys.TARGET_UTILIZATION, 1.0, 100.0),
    )
    for key, low, high in bounds:
        if (given := find(annotations, key)) is not None:
            number = _float(given[1])
            if number is None:
                found.invalid(given[1], f"{path}.{given[0]}")
            elif not low <= number <= high:
                found.out_of_bounds(given[1], f"{low:g}", f"{high:g}", f"{path}.{given[0]}")
    if (target := find(annotations, keys.TARGET)) is not None:
        number = _float(target[1])
        if number is None:
            found.invalid(target[1], f"{path}.{target[0]}")
        elif number < 0.01:
            found.add(f"target {target[1]} should be at least 0.01", f"{path}.{target[0]}")
    if (burst := find(annotations, keys.TARGET_BURST_CAPACITY)) is not None:
        number = _float(burst[1])
        if number is None or (number < 0 and number != -1):
            found.invalid(burst[1], f"{path}.{burst[0]}")


def _check_durations(annotations: dict[str, str], path: str, found: problems.Problems) -> None:
    rules = (
        (keys.WINDOW, _SIX_SECONDS, True),
        (keys.RETENTION, dt.timedelta(), False),
        (keys.SCALE_DOWN_DELAY, dt.timedelta(), True),
    )
    for key, low, whole_seconds in rules:
        if (given := find(annotations, key)) is None:
            continue
        at = f"{path}.{given[0]}"
        try:
            duration = records.parse_duration(given[1])
        except ValueError:
            found.invalid(given[1], at)
            continue
        if not low <= duration <= _HOUR:
            bounds = records.go_duration(low), records.go_duration(_HOUR)
            found.out_of_bounds(given[1], *bounds, at)
        elif whole_seconds and duration % _SECOND:
            found.add(_PRECISION, at)


def _check_metric(annotations: dict[str, str], path: str, found: problems.Problems) -> None:
    scaling_class = value(annotations, keys.CLASS, keys.KPA_CLASS)
    if (metric := find(annotations, keys.METRIC)) is not None:
        known = metric[1] in ("concurrency", "rps")
        if (scaling_class == keys.KPA_CLASS and not known) or (
            scaling_class == keys.HPA_CLASS and not metric[1]
        ):
            found.invalid(metric[1], f"{path}.{metric[0]}")
    algorithm = find(annotations, keys.METRIC_ALGORITHM)
    if (
        annotations.get(keys.CLASS) == keys.KPA_CLASS
        and algorithm is not None
        and algorithm[1]
        and algorithm[1] not in _ALGORITHMS
    ):
        found.invalid(algorithm[1], f"{path}.{algorithm[0]}")


def _check_initial_scale(
    annotations: dict[str, str], allowed: limits.Limits, path: str, found: problems.Problems
) -> None:
    if (given := find(annotations, keys.INITIAL_SCALE)) is None:
        return
    key, text = given
    number = _integer(text)
    if number is None:
        found.invalid(text, f"{path}.{key}")
    elif number < 0:
        found.invalid(text, f"{path}.{key} must be greater than 0")
    elif number == 0 and not allowed.allow_zero_initial_scale:
        found.invalid(text, f"{path}.{key}=0 not allowed by cluster")


def _check_seconds(
    annotations: dict[str, str], key: str, word: str, path: str, found: problems.Problems
) -> None:
    given = find(annotations, key)
    if given is None or not given[1]:
        return
    spelled, text = given
    at = f"{path}.{spelled}"
    try:
        duration = records.parse_duration(text)
    except ValueError:
        found.invalid(text, at)
        return
    if duration % _SECOND:
        found.add(f"{word}={text} is not at second precision", at)
    elif duration < dt.timedelta():
        found.add(f"{word}={text} must be positive", at)


def _integer(text: str) -> int | None:
    digits = text.removeprefix("-").removeprefix("+")
    return int(text) if digits.isdigit() and digits.isascii() else None


def _float(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
