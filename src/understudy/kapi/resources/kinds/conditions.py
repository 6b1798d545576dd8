"""metav1.Condition, as the newer kinds have them in their status.

Source: k8s.io/apimachinery/pkg/apis/meta/v1/validation @1.36.
"""

from __future__ import annotations

from understudy.kube import causes, names, objects, statuses

Causes = list[statuses.Cause]

_STATES = ("False", "True", "Unknown")
_REASON_BYTES_MAX, _MESSAGE_BYTES_MAX = 1024, 32 * 1024


def validate(conditions: list[objects.Object], field: str) -> Causes:
    """Return every reason why a list of conditions is not valid."""
    out: Causes = []
    seen: set[str] = set()
    for index, one in enumerate(conditions):
        at, kind = f"{field}[{index}]", one.get("type") or ""
        if kind in seen:
            out.append(causes.duplicate(f"{at}.type", kind))
        seen.add(kind)
        out += causes.complaints(f"{at}.type", kind, names.label_key(kind))
        state = one.get("status") or ""
        if state not in _STATES:
            out.append(causes.unsupported(f"{at}.status", state, _STATES))
        generation = one.get("observedGeneration") or 0
        if generation < 0:
            text = "must be greater than or equal to zero"
            out.append(causes.invalid(f"{at}.observedGeneration", generation, text))
        if not one.get("lastTransitionTime"):
            out.append(causes.required(f"{at}.lastTransitionTime"))
        reason, at_reason = one.get("reason") or "", f"{at}.reason"
        if not reason:
            out.append(causes.required(at_reason))
        else:
            out += causes.complaints(at_reason, reason, names.condition_reason(reason))
            if names.size(reason) > _REASON_BYTES_MAX:
                out.append(causes.too_long(at_reason, _REASON_BYTES_MAX))
        if names.size(one.get("message") or "") > _MESSAGE_BYTES_MAX:
            out.append(causes.too_long(f"{at}.message", _MESSAGE_BYTES_MAX))
    return out
