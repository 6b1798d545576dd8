"""Expressions that choose devices.

Source: k8s.io/dynamic-resource-allocation/cel @0.36.
"""

from __future__ import annotations

import functools

from understudy.kube import causes, names, statuses
from understudy.kube.cel import errors, programs, types

_EXPRESSION_BYTES_MAX = 10 * 1024
_DEVICE = types.object_type(
    "kubernetes.DRADevice",
    {
        name: types.Field(type=kind, name=name)
        for name, kind in {
            "driver": types.STRING,
            "allowMultipleAllocations": types.BOOL,
            "attributes": types.map_of(types.STRING, types.map_of(types.STRING, types.DYN)),
            "capacity": types.map_of(types.STRING, types.map_of(types.STRING, types.QUANTITY)),
        }.items()
    },
)
_UNKNOWN_HERE = ("cel.bind(", ".includes(")


def validate(expression: str, field: str) -> list[statuses.Cause]:
    """Check that an expression says yes or no of a device."""
    if names.size(expression) > _EXPRESSION_BYTES_MAX:
        return [causes.too_long(field, _EXPRESSION_BYTES_MAX)]
    # Differs: expressions with cel.bind or includes, which only these know, are taken unseen.
    if any(text in expression for text in _UNKNOWN_HERE):
        return []
    problem = _problem(expression)
    return [causes.invalid(field, expression, problem)] if problem else []


@functools.lru_cache(maxsize=512)
def _problem(expression: str) -> str:
    environment = programs.Environment(variables={"device": _DEVICE})
    try:
        result = programs.compile(expression, environment).result
    except errors.CompileError as error:
        return f"{error.stage}: {error}"
    if any(types.same(result, kind) for kind in (types.BOOL, types.DYN)):
        return ""
    return f"must evaluate to bool or the unknown type, not {result.name}"
