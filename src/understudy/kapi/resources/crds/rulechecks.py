"""Whether the CEL in a schema compiles, and what it may cost over a whole object."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from understudy.kube import causes, objects, statuses
from understudy.kube.cel import declarations, errors, programs, types

RULE_COST_MAX = 10_000_000
SCHEMA_COST_MAX = 100_000_000
_UNBOUNDED = None
_COST_HELP = (
    "(try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, "
    "maps, and strings are declared)"
)


def over(what: str, cost: int, limit: int) -> str:
    """Return how far an estimate is over its limit: `... by factor of more than 100x (try ...)`."""
    factor = cost / limit
    if factor > 100:
        shown = "more than 100x"
    elif factor < 1.5:
        shown = f"{factor:f}x"
    else:
        shown = f"{factor:.1f}x"
    return f"{what} exceeds budget by factor of {shown} {_COST_HELP}"


@dataclass(slots=True, kw_only=True)
class Compiled:
    """What the compilation of one rule gave."""

    cost: int = 0
    error: str = ""
    message_error: str = ""
    message_cost: int | None = None
    uses_old_self: bool = False


@dataclass(slots=True)
class Costs:
    """Adds up the estimates of all rules of one schema."""

    total: int = 0
    expensive: list[tuple[int, str]] = field(default_factory=list)

    def observe(self, path: str, cost: int) -> None:
        self.total += cost
        if cost >= SCHEMA_COST_MAX // 100:
            self.expensive.append((cost, path))

    def problems(self, path: str) -> Iterator[statuses.Cause]:
        if self.total <= SCHEMA_COST_MAX:
            return
        for _, where in sorted(self.expensive, key=lambda entry: -entry[0])[:4]:
            text = (
                "contributed to estimated rule cost total exceeding cost limit for entire "
                "OpenAPIv3 schema"
            )
            yield causes.forbidden(where, text)
        what = "x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema"
        yield causes.forbidden(path, over(what, self.total, SCHEMA_COST_MAX))


class Rules:
    """Types and cardinality at one place of a schema, for the rules that stand there."""

    def __init__(
        self,
        schema: objects.Object,
        *,
        cardinality: int | None,
        costs: Costs,
        declared: declarations.Declaration | None = None,
    ) -> None:
        self.schema = schema
        self.cardinality = cardinality
        self.costs = costs
        self._declared = declared
        self._is_root = declared is None and cardinality == 1

    @property
    def declared(self) -> declarations.Declaration | None:
        """The declaration of this place; made when first asked for."""
        if self._declared is None:
            resource = self._is_root or bool(self.schema.get("x-kubernetes-embedded-resource"))
            self._declared = declarations.declare(self.schema, root=resource, name="selfType")
        return self._declared

    def below(self, schema: objects.Object, kind: str, name: str = "") -> Rules:
        """Return the same for a schema directly below."""
        declared = None
        if self._declared is not None:
            if kind == "field":
                declared = self._declared.fields.get(declarations.escape(name) or "")
            else:
                declared = self._declared.element
        most = self._most_elements()
        cardinality = None
        if self.cardinality is not None and most is not None:
            cardinality = self.cardinality * most
        made = Rules(schema, cardinality=cardinality, costs=self.costs, declared=declared)
        made._is_root = False
        return made

    def _most_elements(self) -> int | None:
        kind = self.schema.get("type")
        if kind == "object" and self.schema.get("additionalProperties") is not None:
            most = self.schema.get("maxProperties")
        elif kind == "array":
            most = self.schema.get("maxItems")
        else:
            return 1
        return max(most, 0) if most is not None else _UNBOUNDED

    def total(self, cost: int) -> int:
        """Multiply a rule's cost by how often it may run in one object."""
        times = self.cardinality
        if times is None:
            declared = self.declared
            assert declared is not None, "what has no type is not compiled"
            times = declarations.REQUEST_BYTES_MAX // (declared.bytes_min + 1)
        return min(cost * times, 2**64 - 1)

    def compile(self, entry: objects.Object) -> Compiled:
        """Compile one rule and its message."""
        declared = self.declared
        assert declared is not None, "what has no type is not compiled"
        optional = bool(entry.get("optionalOldSelf"))
        environment = environment_of(declared, optional=optional)
        out = Compiled()
        try:
            program = programs.compile(str(entry["rule"]), environment)
        except errors.CompileError as error:
            out.error = f"{error.stage}: {error}"
            return out
        if program.result.kind != "bool":
            out.error = "cel expression must evaluate to a bool"
            return out
        out.cost, out.uses_old_self = program.cost.max, program.uses("oldSelf")
        message = str(entry.get("messageExpression") or "")
        if message:
            try:
                program = programs.compile(message, environment)
            except errors.CompileError as error:
                out.message_error = (
                    f"messageExpression {error.stage.removeprefix('program ')}: {error}"
                )
                return out
            if program.result.kind != "string":
                out.message_error = "messageExpression must evaluate to a string"
            else:
                out.message_cost = program.cost.max
        return out


def environment_of(declared: declarations.Declaration, *, optional: bool) -> programs.Environment:
    """Return what a rule may speak of: self and oldSelf, the latter perhaps absent."""
    old = types.optional_of(declared.type) if optional else declared.type
    return programs.Environment(
        variables={"self": declared.type, "oldSelf": old}, declared=declared
    )
