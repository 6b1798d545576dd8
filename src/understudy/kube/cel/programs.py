"""Compiling expressions and running them: the face of this room."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from understudy.kube import objects
from understudy.kube.cel import (
    charges,
    checking,
    costs,
    declarations,
    errors,
    evaluating,
    functions,
    literals,
    parsing,
    standard,
    types,
)

CALL_COST_MAX = 1_000_000
"""What one evaluation may cost; about a tenth of a second in Kubernetes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """What an expression may speak of.

    Attributes:
        variables: Name -> type.
        declared: Bounds of `self` and `oldSelf`, for cost estimates.
        patches: Patches may be made: `Object{...}`, `JSONPatch{...}`.
        functions: Declarations beyond the standard ones, as in `functions`.
        library: Their implementations, by overload id.
    """

    variables: Mapping[str, types.Type]
    declared: declarations.Declaration | None = None
    patches: bool = False
    functions: functions.Functions | None = None
    library: Mapping[str, standard.Function] = field(default_factory=dict)


class Program:
    """A compiled expression.

    Attributes:
        source: The text.
        result: Its type.
        cost: Least and most that one evaluation may cost, by estimate.
    """

    __slots__ = ("_closure", "_fixed", "_used", "cost", "result", "source")

    def __init__(self, source: str, checked: checking.Checked, environment: Environment) -> None:
        library = evaluating.LIBRARY
        if environment.library:
            library = {**library, **environment.library}
        self.source = source
        self.result = checked.result
        self.cost = costs.estimate(checked, environment.declared)
        self._used = frozenset(checked.variables)
        self._closure, self._fixed = evaluating.compile_closure(checked, library)

    def uses(self, variable: str) -> bool:
        """Say whether the expression mentions a variable."""
        return variable in self._used

    def evaluate(
        self, variables: Mapping[str, objects.Json], budget: int = CALL_COST_MAX
    ) -> tuple[objects.Json, int]:
        """Return the value of the expression, and what it cost.

        Raises:
            EvaluationError: It failed on these values. CostError: it cost more than `budget`.
        """
        left = [budget]
        frame: evaluating.Frame = {**variables, charges.BUDGET: left}
        charges.spend(frame, self._fixed)
        return self._closure(frame), budget - left[0]


def compile(source: str, environment: Environment) -> Program:  # noqa: A001 (what it does)
    """Parse, check and compile an expression.

    Raises:
        CompileError: It does not parse, or types do not fit.
    """
    parsed = parsing.parse(source)
    known = environment.functions or functions.standard()
    checked = checking.check(parsed, environment.variables, known, patches=environment.patches)
    if problem := literals.pattern_problem(parsed):
        raise errors.ProgramError(problem)
    return Program(source, checked, environment)
