"""The selectors within an access review: what may be asked about only with this selector?

Roles know no selectors, so they change no answer; they are checked, and what could not be read is
said (`pkg/apis/authorization/validation` and `pkg/registry/authorization/util` of Kubernetes).
"""

from __future__ import annotations

from understudy.kube import causes, objects, selectors, statuses

_FIELD = "spec.resourceAttributes"


def complaints(asked: objects.Object) -> list[statuses.Cause]:
    """Return what is wrong with the selectors of `resourceAttributes`."""
    out: list[statuses.Cause] = []
    for name, check in (("fieldSelector", _field), ("labelSelector", _label)):
        selector, path = asked.get(name), f"{_FIELD}.{name}"
        if selector is None:
            continue
        raw, requirements = selector.get("rawSelector"), selector.get("requirements") or ()
        if raw and requirements:
            text = "may not specified at the same time as requirements"
            out.append(causes.invalid(f"{path}.rawSelector", raw, text))
        if not raw and not requirements:
            text = f"when {path} is specified, requirements or rawSelector is required"
            out.append(causes.required(f"{path}.requirements", text))
        for index, requirement in enumerate(requirements):
            out += check(requirement, f"{path}.requirements[{index}]")
    return out


def unread(asked: objects.Object) -> str:
    """Say which selectors could not be read and are thus ignored, '' for none."""
    said = []
    for name, parse, reads in (
        ("fieldSelector", selectors.parse_fields, _reads_field),
        ("labelSelector", selectors.parse_labels, _reads_label),
    ):
        selector = asked.get(name) or {}
        requirements = selector.get("requirements") or ()
        read = [reads(one) for one in requirements]
        if raw := selector.get("rawSelector"):
            try:
                parse(raw)
            except statuses.BadRequestError:
                read = [False]
        if not all(read):
            partially = "partially " if any(read) else ""
            said.append(f"{_FIELD}.{name} {partially}ignored due to parse error")
    return "; ".join(said)


def _label(requirement: objects.Object, field: str) -> list[statuses.Cause]:
    return selectors.validate_expression(requirement, field, any_operator=True)


def _field(requirement: objects.Object, field: str) -> list[statuses.Cause]:
    missing = (
        [] if requirement.get("key") else [causes.required(f"{field}.key", "must be specified")]
    )
    return missing + selectors.validate_values(requirement, field, any_operator=True)


def _reads_label(requirement: objects.Object) -> bool:
    return requirement.get("operator") in {"In", "NotIn", "Exists", "DoesNotExist"}


def _reads_field(requirement: objects.Object) -> bool:
    values = requirement.get("values") or ()
    return requirement.get("operator") in {"In", "NotIn"} and len(values) == 1
