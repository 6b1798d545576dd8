"""Whether the parts of admission policies that hold CEL are valid.

Source: pkg/apis/admissionregistration/validation @1.36.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from understudy.kapi.resources import policies
from understudy.kube import causes, names, objects, statuses
from understudy.kube.cel import types

MATCH_CONDITIONS_MAX = 64
AUDIT_ANNOTATIONS_MAX = 20
VALUE_EXPRESSION_BYTES_MAX = 5 * 1024
_REASONS = ("Forbidden", "Invalid", "RequestEntityTooLarge")
_BOOL, _TEXT, _ANNOTATION = (types.BOOL,), (types.STRING,), (types.STRING, types.NULL)
_LINE_BREAK = re.compile(r"[\n\r]")
_IDENTIFIER = re.compile(r"[_a-zA-Z][_a-zA-Z0-9]*")
_RESERVED = frozenset(
    {
        "true", "false", "null", "in", "as", "break", "const", "continue", "else", "for",
        "function", "if", "import", "let", "loop", "package", "namespace", "return", "var",
        "void", "while",
    }
)  # fmt: skip

Causes = Iterator[statuses.Cause]


def param_kind(kind: objects.Object, field: str) -> Causes:
    """Check which kind a policy's parameters are of."""
    api_version, at = str(kind.get("apiVersion") or ""), f"{field}.apiVersion"
    group, _, version = api_version.rpartition("/")
    if not api_version:
        yield causes.required(at)
    elif api_version.count("/") > 1:
        text = f"unexpected GroupVersion string: {api_version}"
        yield causes.invalid(at, api_version, text)
    else:
        if group and (complaints := names.dns_subdomain(group)):
            yield causes.invalid(at, group, ",".join(complaints))
        if not version:
            yield causes.invalid(at, api_version, "version must be specified")
        elif complaints := names.dns1035_label(version):
            yield causes.invalid(at, version, ",".join(complaints))
    name = str(kind.get("kind") or "")
    if not name:
        yield causes.required(f"{field}.kind")
    elif complaints := names.dns1035_label(name.lower()):
        text = f"may have mixed case, but should otherwise match: {','.join(complaints)}"
        yield causes.invalid(f"{field}.kind", name, text)


def match_conditions(
    listed: list[objects.Object] | None, field: str, *, params: bool = False
) -> Causes:
    """Check the conditions that requests must meet before anything else is asked."""
    listed = listed or []
    if len(listed) > MATCH_CONDITIONS_MAX:
        yield causes.too_many(field, len(listed), MATCH_CONDITIONS_MAX)
    seen: set[str] = set()
    for index, one in enumerate(listed):
        at, name = f"{field}[{index}]", str(one.get("name") or "")
        expression = str(one.get("expression") or "").strip()
        if not expression:
            yield causes.required(f"{at}.expression")
        else:
            try:
                policies.compile(expression, _BOOL, params=params)
            except policies.PolicyError as error:
                yield causes.invalid(f"{at}.expression", expression, str(error))
        if not name:
            yield causes.required(f"{at}.name")
            continue
        for complaint in names.qualified_name(name):
            yield causes.invalid(f"{at}.name", name, complaint)
        if name in seen:
            yield causes.duplicate(f"{at}.name", name)
        seen.add(name)


class Expressions:
    """The CEL of one policy: named expressions first, then what may use them."""

    def __init__(self, spec: objects.Object, field: str) -> None:
        self._spec = spec
        self._field = field
        self._params = spec.get("paramKind") is not None
        known, self._variables = policies.variables_of(spec, params=self._params)
        self._known = known if spec.get("variables") else None

    def variables(self) -> Causes:
        """Check the named expressions."""
        for index, variable in enumerate(self._spec.get("variables") or ()):
            at, name = f"{self._field}.variables[{index}]", str(variable.get("name") or "")
            if not name.strip():
                yield causes.required(f"{at}.name", "name is not specified")
            elif not _IDENTIFIER.fullmatch(name) or name in _RESERVED:
                yield causes.invalid(f"{at}.name", name, "must be a valid CEL identifier")
            expression = str(variable.get("expression") or "")
            if not expression.strip():
                yield causes.required(f"{at}.expression", "expression is not specified")
            elif isinstance(refusal := self._variables.get(name), policies.PolicyError):
                yield causes.invalid(f"{at}.expression", expression, str(refusal))

    def validations(self) -> Causes:
        """Check what objects must satisfy, and what is said of those that do not."""
        for index, one in enumerate(self._spec.get("validations") or ()):
            at = f"{self._field}.validations[{index}]"
            expression = str(one.get("expression") or "")
            if not expression.strip():
                yield causes.required(f"{at}.expression", "expression is not specified")
            else:
                yield from self._compiled(expression, _BOOL, f"{at}.expression")
            yield from self._message(one, at)
            reason = one.get("reason")
            if reason is not None and reason not in _REASONS:
                yield causes.unsupported(f"{at}.reason", reason, _REASONS)

    def mutations(self) -> Causes:
        """Check how objects are changed."""
        for index, one in enumerate(self._spec.get("mutations") or ()):
            at, kind = f"{self._field}.mutations[{index}]", one.get("patchType")
            wanted = policies.WANTED.get(str(kind))
            if wanted is None:
                if not kind:
                    yield causes.required(f"{at}.patchType")
                else:
                    yield causes.unsupported(f"{at}.patchType", kind, policies.WANTED)
                continue
            key = policies.MUTATIONS[str(kind)]
            said = one.get(key)
            if said is None:
                text = f"must be specified when patchType is {kind}"
                yield causes.required(f"{at}.{key}", text)
            elif expression := str(said.get("expression") or "").strip():
                where = f"{at}.{key}.expression"
                yield from self._compiled(expression, (wanted,), where, patches=True)
            else:
                yield causes.required(f"{at}.{key}.expression")
            for other in policies.MUTATIONS.values():
                if other != key and one.get(other) is not None:
                    text = f"must not be specified when patchType is {kind}"
                    yield causes.invalid(f"{at}.{other}", f"{{{other}}}", text)

    def _message(self, one: objects.Object, at: str) -> Causes:
        expression, where = str(one.get("messageExpression") or ""), f"{at}.messageExpression"
        if expression and not expression.strip():
            yield causes.invalid(where, expression, "must be non-empty if specified")
        elif expression:
            try:
                policies.compile(
                    expression,
                    _TEXT,
                    params=self._params,
                    authorizer=False,
                    variables=self._known,
                )
            except policies.PolicyError as error:
                yield causes.invalid(where, expression, str(error))
        message = str(one.get("message") or "")
        if message and not message.strip():
            yield causes.invalid(f"{at}.message", message, "message must be non-empty if specified")
        elif _LINE_BREAK.search(message.strip()):
            yield causes.invalid(f"{at}.message", message, "message must not contain line breaks")

    def audit_annotations(self, policy_name: str) -> Causes:
        """Check what a policy adds to audit events."""
        listed = self._spec.get("auditAnnotations") or []
        if len(listed) > AUDIT_ANNOTATIONS_MAX:
            text = f"must not have more than {AUDIT_ANNOTATIONS_MAX} auditAnnotations"
            yield causes.invalid(f"{self._field}.auditAnnotations", listed, text)
        seen: set[str] = set()
        for index, one in enumerate(listed):
            at, key = f"{self._field}.auditAnnotations[{index}]", str(one.get("key") or "")
            if not policy_name:
                yield causes.invalid(f"{at}.key", key, "requires metadata.name be non-empty")
            for complaint in names.qualified_name(f"{policy_name}/{key}") if policy_name else ():
                yield causes.invalid(f"{at}.key", f"{policy_name}/{key}", complaint)
            expression, where = str(one.get("valueExpression") or ""), f"{at}.valueExpression"
            if not expression.strip():
                yield causes.required(where, "valueExpression is not specified")
            elif len(expression.strip().encode()) > VALUE_EXPRESSION_BYTES_MAX:
                text = f"must not exceed {VALUE_EXPRESSION_BYTES_MAX} bytes in length"
                yield causes.required(where, text)
            else:
                yield from self._compiled(expression.strip(), _ANNOTATION, where)
            if key in seen:
                yield causes.duplicate(f"{at}.key", key)
            seen.add(key)

    def _compiled(
        self, expression: str, wanted: tuple[types.Type, ...], at: str, *, patches: bool = False
    ) -> Causes:
        try:
            policies.compile(
                expression,
                wanted,
                params=self._params,
                variables=self._known,
                patches=patches,
            )
        except policies.PolicyError as error:
            yield causes.invalid(at, expression, str(error))
