"""Running the CEL rules of a schema on an object, old and new side by side.

Source: k8s.io/apiextensions-apiserver 0.36 `schema/cel/validation.go`.
"""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass

from understudy.kapi.resources.crds import correlation, fieldpaths, nodes, paths, rulechecks
from understudy.kube import causes, objects, statuses
from understudy.kube.cel import declarations, errors, programs, values

COST_BUDGET = 10_000_000
"""What all rules of one write may cost together."""
MESSAGE_BYTES_MAX = 5 * 1024
_OUT_OF_BUDGET = (
    "validation failed due to running out of cost budget, no further validation rules will be run"
)
_LINE_BREAK = re.compile(r"\n")
_KEY = ("apiVersion", "kind")


@dataclass(slots=True, kw_only=True)
class _Rule:
    """A compiled rule; a `problem` instead of a program where it does not compile."""

    rule: nodes.Rule
    program: programs.Program | None = None
    message: programs.Program | None = None
    problem: str = ""
    field_path: str = ""
    uses_old_self: bool = False


@dataclass(frozen=True, slots=True)
class _Ratchet:
    """The pair of values at a place, and the nearest pair above it."""

    current: correlation.Correlation | None = None
    parent: correlation.Correlation | None = None

    def unchanged(self) -> bool:
        pair = self.current or self.parent
        return pair is not None and pair.unchanged()

    def key(self, name: str) -> _Ratchet:
        if self.current is None:
            return self
        if self.parent is None and name in _KEY:
            return _Ratchet()
        return _Ratchet(self.current.key(name), self.current)

    def index(self, position: int) -> _Ratchet:
        if self.current is None:
            return self
        return _Ratchet(self.current.index(position), self.current)


class _BudgetSpentError(Exception):
    """No further rule may run."""


class _Tree:
    """The rules of one node and of those below it."""

    __slots__ = ("additional", "declared", "items", "node", "properties", "root", "rules")

    def __init__(
        self, node: nodes.Node, declared: declarations.Declaration | None, *, root: bool
    ) -> None:
        self.node = node
        self.root = root
        self.declared = declared
        self.rules = [_compiled(rule, node, declared) for rule in node.rules]
        element = declared.element if declared is not None else None
        self.items = _below(node.items, element)
        self.additional = _below(node.additional, element)
        self.properties: dict[str, _Tree] = {}
        for name, sub in node.properties.items():
            if not sub.rules_below:
                continue
            escaped = declarations.escape(name)
            if escaped is None:
                found = declarations.declare(sub.raw, root=sub.embedded, name="selfType")
            else:
                found = declared.fields.get(escaped) if declared is not None else None
            if found is not None:
                self.properties[name] = _Tree(sub, found, root=sub.embedded)


def _below(node: nodes.Node | None, declared: declarations.Declaration | None) -> _Tree | None:
    if node is None or not node.rules_below:
        return None
    return _Tree(node, declared, root=node.embedded)


def _compiled(
    rule: nodes.Rule, node: nodes.Node, declared: declarations.Declaration | None
) -> _Rule:
    out = _Rule(rule=rule)
    if declared is None:
        out.problem = "failed to convert to declType for CEL validation rules"
        return out
    environment = rulechecks.environment_of(declared, optional=rule.optional_old_self)
    try:
        out.program = programs.compile(rule.rule, environment)
    except errors.CompileError as error:
        out.problem = f"{error.stage}: {error}"
        return out
    out.uses_old_self = out.program.uses("oldSelf")
    if rule.message_expression:
        try:
            out.message = programs.compile(rule.message_expression, environment)
        except errors.CompileError:
            out.message = None
    if rule.field_path:
        try:
            out.field_path = fieldpaths.follow(rule.field_path, node)[0]
        except ValueError:
            out.field_path = ""
    return out


class Validator:
    """The rules of a whole schema, compiled when they first run."""

    __slots__ = ("_node", "_root", "_tree")

    def __init__(self, node: nodes.Node, *, root: bool) -> None:
        self._node = node
        self._root = root
        self._tree: _Tree | None = None

    def validate(
        self,
        value: objects.Json,
        old: objects.Json = None,
        path: str = "",
        pair: correlation.Correlation | None = None,
        warnings: list[str] | None = None,
    ) -> list[statuses.Cause]:
        """Return what the rules say against a value (and its change, where there is an old one).

        With `pair`, what rules without oldSelf say of a value that did not change goes to
        `warnings` instead.
        """
        if self._tree is None:
            declared = declarations.declare(
                self._node.raw, root=self._root or self._node.embedded, name="selfType"
            )
            self._tree = _Tree(self._node, declared, root=self._root)
        run = _Run()
        with contextlib.suppress(_BudgetSpentError):
            run.check(self._tree, value, old, path, _Ratchet(pair))
        if warnings is not None:
            warnings += run.warnings
        return run.causes


class _Run:
    """One validation: the errors found and the budget left."""

    def __init__(self) -> None:
        self.causes: list[statuses.Cause] = []
        self.warnings: list[str] = []
        self.budget = COST_BUDGET

    def check(
        self, tree: _Tree, value: objects.Json, old: objects.Json, path: str, ratchet: _Ratchet
    ) -> None:
        if value is None:
            return
        if tree.rules:
            self._run_rules(tree, value, old, path, ratchet)
        if isinstance(value, list):
            self._list(tree, value, old, path, ratchet)
        elif isinstance(value, dict):
            self._map(tree, value, old, path, ratchet)

    def _list(
        self,
        tree: _Tree,
        value: list[objects.Json],
        old: objects.Json,
        path: str,
        ratchet: _Ratchet,
    ) -> None:
        if tree.items is None:
            return
        before: dict[correlation.Key, objects.Json] = {}
        if isinstance(old, list) and tree.node.list_type == "map":
            before = correlation.by_keys(tree.node, old)
        for position, item in enumerate(value):
            past = before.get(correlation.key_of(tree.node, item)) if before else None
            where = paths.index(path, position)
            self.check(tree.items, item, past, where, ratchet.index(position))

    def _map(
        self, tree: _Tree, value: objects.Object, old: objects.Json, path: str, ratchet: _Ratchet
    ) -> None:
        past = old if isinstance(old, dict) else {}
        if tree.additional is not None:
            for name, item in value.items():
                where = paths.key(path, name)
                self.check(tree.additional, item, past.get(name), where, ratchet.key(name))
        for name, sub in tree.properties.items():
            if name in value:
                where = paths.child(path, name)
                self.check(sub, value[name], past.get(name), where, ratchet.key(name))

    def _run_rules(
        self, tree: _Tree, value: objects.Json, old: objects.Json, path: str, ratchet: _Ratchet
    ) -> None:
        kind = tree.node.type
        if self.budget <= 0:
            self._spent(path, kind)
        for rule in tree.rules:
            if rule.program is None:
                text = f"rule compile error: {rule.problem}"
                self.causes.append(causes.invalid(path or paths.ROOT, kind, text))
                continue
            if rule.uses_old_self and old is None and not rule.rule.optional_old_self:
                continue
            variables: objects.Object = {"self": value, "oldSelf": old}
            if rule.rule.optional_old_self:
                past = values.NONE if old is None else values.Optional(old)
                variables["oldSelf"] = past
            if self._holds(rule, variables, path, kind):
                continue
            cause = self._failure(rule, variables, tree, value, path)
            if not rule.uses_old_self and ratchet.unchanged():
                self.warnings.append(str(cause))
            else:
                self.causes.append(cause)

    def _holds(self, rule: _Rule, variables: objects.Object, path: str, kind: str) -> bool:
        """Run a rule; says True also where an error was noted, as nothing more is to be said."""
        assert rule.program is not None, "rules without a program are told apart before"
        shown = rule.rule.message.strip() or rule.rule.rule.strip()
        try:
            result, cost = rule.program.evaluate(variables)
        except errors.CostError as error:
            text = (
                f"'{error}': no further validation rules will be run due to call cost exceeds "
                f"limit for rule: {shown}"
            )
            self.causes.append(causes.invalid(path or paths.ROOT, kind, text))
            raise _BudgetSpentError from None
        except errors.EvaluationError as error:
            text = f"{error} evaluating rule: {shown}"
            if str(error).startswith("no such overload"):
                text = (
                    f"'{error}': call arguments did not match a supported operator, function or "
                    f"macro signature for rule: {shown}"
                )
            self.causes.append(causes.invalid(path or paths.ROOT, kind, text))
            return True
        if cost > self.budget:
            self._spent(path, kind)
        self.budget -= cost
        return result is True

    def _spent(self, path: str, kind: str) -> None:
        self.causes.append(causes.invalid(path or paths.ROOT, kind, _OUT_OF_BUDGET))
        raise _BudgetSpentError

    def _failure(
        self,
        rule: _Rule,
        variables: objects.Object,
        tree: _Tree,
        value: objects.Json,
        path: str,
    ) -> statuses.Cause:
        # Kubernetes takes the path for a name, even where it begins with a key.
        where = paths.child(path, rule.field_path) if rule.field_path else path
        detail = self._message(rule, variables) or _default_message(rule.rule)
        omitted = tree.node.type in {"object", "array"}
        return _cause(rule.rule.reason, where or paths.ROOT, detail, value, omitted)

    def _message(self, rule: _Rule, variables: objects.Object) -> str:
        if rule.message is None:
            return ""
        try:
            text, cost = rule.message.evaluate(variables)
        except errors.EvaluationError:
            return ""
        self.budget -= cost
        trimmed = text.strip() if isinstance(text, str) else ""
        usable = len(trimmed.encode()) <= MESSAGE_BYTES_MAX and not _LINE_BREAK.search(trimmed)
        return trimmed if usable else ""


def _default_message(rule: nodes.Rule) -> str:
    return rule.message.strip() if rule.message else f"failed rule: {rule.rule.strip()}"


def _cause(
    reason: str, path: str, detail: str, value: objects.Json, omitted: bool
) -> statuses.Cause:
    match reason:
        case "FieldValueForbidden":
            return causes.forbidden(path, detail)
        case "FieldValueRequired":
            return causes.required(path, detail)
        case "FieldValueDuplicate":
            text = "Duplicate value" if omitted else f"Duplicate value: {causes.printed(value)}"
            return statuses.Cause(path, "FieldValueDuplicate", text)
        case _ if omitted:
            return statuses.Cause(path, "FieldValueInvalid", f"Invalid value: {detail}")
        case _:
            return causes.invalid(path, value, detail)
