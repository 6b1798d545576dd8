"""CEL in admission: what the expressions of policies and webhooks may speak of.

| variable | type |
| --- | --- |
| object, oldObject | dyn; null where there is none |
| request | the AdmissionRequest without its objects |
| namespaceObject | some fields of the object's namespace; null for cluster-scoped objects |
| params | dyn, of policies with a paramKind |
| authorizer, authorizer.requestResource | what may be asked of the authorizer |
| variables | the policy's own named expressions that stand before |

Source: k8s.io/apiserver 0.36 `admission/plugin/cel/compile.go`, `composition.go`.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping

from understudy.kube import objects
from understudy.kube.cel import errors, functions, programs, types

_TEXTS = types.list_of(types.STRING)
_LABELS = types.map_of(types.STRING, types.STRING)


class PolicyError(ValueError):
    """An expression does not compile to what is wanted of it; the text is Kubernetes'."""


def _object(name: str, /, **fields: types.Type) -> types.Type:
    return types.object_type(
        f"kubernetes.{name}",
        {field: types.Field(type=kind, name=field) for field, kind in fields.items()},
    )


def _strings(*names: str) -> dict[str, types.Type]:
    return dict.fromkeys(names, types.STRING)


_KIND = _object("GroupVersionKind", **_strings("group", "version", "kind"))
_RESOURCE = _object("GroupVersionResource", **_strings("group", "version", "resource"))
_USER = _object(
    "UserInfo",
    **_strings("username", "uid"),
    groups=_TEXTS,
    extra=types.map_of(types.STRING, _TEXTS),
)
REQUEST = _object(
    "AdmissionRequest",
    kind=_KIND,
    resource=_RESOURCE,
    requestKind=_KIND,
    requestResource=_RESOURCE,
    **_strings(
        "subResource", "requestSubResource", "name", "namespace", "operation",
    ),
    userInfo=_USER,
    dryRun=types.BOOL,
    options=types.DYN,
)  # fmt: skip
_CONDITION = _object(
    "NamespaceCondition",
    **_strings("status", "type", "message", "reason"),
    lastTransitionTime=types.TIMESTAMP,
)
NAMESPACE = _object(
    "Namespace",
    metadata=_object(
        "NamespaceMetadata",
        **_strings("name", "generateName", "namespace", "UID", "resourceVersion"),
        labels=_LABELS,
        annotations=_LABELS,
        creationTimestamp=types.TIMESTAMP,
        deletionTimestamp=types.TIMESTAMP,
        deletionGracePeriodSeconds=types.INT,
        generation=types.INT,
        finalizers=_TEXTS,
    ),
    spec=_object("NamespaceSpec", finalizers=_TEXTS),
    status=_object("NamespaceStatus", phase=types.STRING, conditions=types.list_of(_CONDITION)),
)
AUTHORIZERS = {
    "authorizer": types.AUTHORIZER,
    "authorizer.requestResource": types.RESOURCE_CHECK,
}
_ALWAYS = {
    "object": types.DYN, "oldObject": types.DYN, "namespaceObject": NAMESPACE, "request": REQUEST,
}  # fmt: skip

WANTED = {
    "ApplyConfiguration": types.OBJECT,
    "JSONPatch": types.list_of(types.JSON_PATCH),
}
"""What a mutation's expression must make, by patchType."""
MUTATIONS = {"ApplyConfiguration": "applyConfiguration", "JSONPatch": "jsonPatch"}
"""Where a mutation's expression stands, by patchType."""
_ESCAPE = "string_jsonpatch_escapeKey_string"


@functools.cache
def _patch_functions() -> functions.Functions:
    return functions.extended(f"{_ESCAPE}: jsonpatch.escapeKey(string) -> string")


def _escaped(key: str) -> str:
    """Return a key as a step of a JSON pointer."""
    return key.replace("~", "~0").replace("/", "~1")


Variables = Mapping[str, types.Type]


def compile(  # noqa: A001 (what it does)
    expression: str,
    wanted: Iterable[types.Type],
    *,
    params: bool = False,
    authorizer: bool = True,
    variables: Variables | None = None,
    patches: bool = False,
) -> programs.Program:
    """Compile an expression whose value must be of one of the types wanted; of any if none is.

    With `patches` it may make `Object{...}` and `JSONPatch{...}`.

    Raises:
        PolicyError: It does not parse, its types do not fit, or its value is of another type.
    """
    names = tuple(variables.items()) if variables is not None else None
    return _compile(expression, tuple(wanted), params, authorizer, names, patches)


@functools.lru_cache(maxsize=2048)
def _compile(
    expression: str,
    wanted: tuple[types.Type, ...],
    params: bool,
    authorizer: bool,
    variables: tuple[tuple[str, types.Type], ...] | None,
    patches: bool,
) -> programs.Program:
    known: dict[str, types.Type] = dict(_ALWAYS)
    if params:
        known["params"] = types.DYN
    if authorizer:
        known |= AUTHORIZERS
    if variables is not None:
        fields = {name: types.Field(type=kind, name=name) for name, kind in variables}
        known["variables"] = types.object_type(types.VARIABLES, fields)
    try:
        program = programs.compile(
            expression,
            programs.Environment(
                variables=known,
                patches=patches,
                functions=_patch_functions() if patches else None,
                library={_ESCAPE: _escaped} if patches else {},
            ),
        )
    except errors.CompileError as error:
        raise PolicyError(f"{error.stage}: {error}") from None
    if wanted and not any(types.same(program.result, kind) for kind in wanted):
        shown = " ".join(map(_shown, wanted))
        several = f"one of [{shown}]" if len(wanted) > 1 else shown
        raise PolicyError(f"must evaluate to {several} but got {_shown(program.result)}")
    return program


def _shown(kind: types.Type) -> str:
    if not kind.params:
        return kind.name
    return f"{kind.name}({', '.join(map(_shown, kind.params))})"


def variables_of(
    spec: objects.Object, *, params: bool
) -> tuple[dict[str, types.Type], dict[str, programs.Program | PolicyError]]:
    """Return the types of a policy's named expressions, and each one compiled or refused.

    Every expression may use those before it; one that does not compile is dyn to the others.
    """
    known: dict[str, types.Type] = {}
    made: dict[str, programs.Program | PolicyError] = {}
    for variable in spec.get("variables") or ():
        name, expression = str(variable.get("name") or ""), str(variable.get("expression") or "")
        if not expression.strip():
            continue
        try:
            made[name] = program = compile(expression, (), params=params, variables=known)
            known[name] = program.result
        except PolicyError as error:
            made[name] = error
            known[name] = types.DYN
    return known, made
