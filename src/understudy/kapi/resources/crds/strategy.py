"""The rules of one custom resource in one version.

    decode:   metadata as ObjectMeta, defaults, unknown fields out (with a warning or an error)
    validate: schema -> scale -> embedded resources -> list types -> CEL

Source: k8s.io/apiextensions-apiserver 0.36 `registry/customresource`.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from understudy.kapi.resources import strategies
from understudy.kapi.resources.crds import (
    columns,
    correlation,
    embedded,
    listtypes,
    metadata,
    nodes,
    paths,
    rules,
    validating,
    values,
)
from understudy.kube import (
    causes,
    conversions,
    decoding,
    goformats,
    identities,
    names,
    objects,
    schemas,
    statuses,
)

INT32_MAX = 2**31 - 1
BLOCKED = (
    "some validation rules were not checked because the object was invalid; correct the existing "
    "errors to complete validation"
)
_BLOCKING = frozenset(
    {
        "FieldValueNotSupported", "FieldValueRequired", "FieldValueTooLong", "FieldValueTooMany",
        "FieldValueTypeInvalid",
    }
)  # fmt: skip
_STANDARD_FINALIZERS = frozenset({"orphan", "foregroundDeletion", "kubernetes"})


class CustomStrategy(strategies.Strategy):
    """What a version of a CustomResourceDefinition says of its objects.

    Attributes:
        node: Its schema.
        terminating_definition: The definition is being deleted: nothing may be created.
    """

    has_generation = True
    unconditional_update = False

    def __init__(
        self,
        *,
        resource: identities.GroupResource,
        kind: str,
        version: objects.Object,
        node: nodes.Node,
        terminating: bool,
    ) -> None:
        subresources = version.get("subresources") or {}
        self.node = node
        self.terminating_definition = terminating
        self._resource = resource
        self._kind = kind
        self._scale: objects.Object | None = subresources.get("scale")
        self._columns = columns.Columns(version.get("additionalPrinterColumns"))
        self._selectable = [
            (str(entry["jsonPath"]).removeprefix("."), columns.Path(str(entry["jsonPath"])))
            for entry in version.get("selectableFields") or ()
        ]
        # Of built-in kinds these belong to the class; here every version has its own.
        vars(self).update(
            status_is_separate=subresources.get("status") is not None,
            columns=self._columns.columns,
            selectable=tuple(name for name, _ in self._selectable),
        )
        self._rules = rules.Validator(node, root=True) if node.rules_below else None
        self._status = node.properties.get("status")
        if self._scale is not None:
            self.scale_paths = strategies.ScalePaths(
                _steps(self._scale["specReplicasPath"]),
                _steps(self._scale["statusReplicasPath"]),
                _steps(self._scale.get("labelSelectorPath") or ""),
            )

    # ------------------------------------------------------------------ form

    def decode(
        self,
        obj: objects.Object,
        schema: schemas.Schema,
        *,
        mode: str,
        api_version: str,
        kind: str,
        duplicates: Sequence[str] = (),
    ) -> list[str]:
        """Bring an object into the form of its schema, in place; see `Strategy.decode`."""
        try:
            unknown = metadata.coerce(self.node, obj)
        except conversions.ConversionError as error:
            raise decoding.refusal(str(error), api_version, kind) from None
        unknown += values.normalize(self.node, obj)
        if mode == "Ignore" or (not unknown and not duplicates):
            return []
        found = [*duplicates, *(f"unknown field {goformats.quoted(path)}" for path in unknown)]
        if mode == "Strict":
            problem = "strict decoding error: " + ", ".join(found)
            raise decoding.refusal(problem, api_version, kind)
        return found

    def normalize(self, obj: objects.Object) -> objects.Object:
        """Prune and default an object read from the store or converted, in place; returns it."""
        values.normalize(self.node, obj)
        return obj

    def prune(self, obj: objects.Object) -> objects.Object:
        """Remove what the schema does not know from a converted object, in place; returns it."""
        values.prune(self.node, obj, [], root=True)
        return obj

    def prepare_create(self, obj: objects.Object, context: strategies.WriteContext) -> None:
        """Drop status, where it is a subresource.

        Raises:
            ForbiddenError: The definition is being deleted.
        """
        if self.terminating_definition:
            raise statuses.forbidden(
                self._resource,
                objects.name_of(obj),
                "create not allowed while custom resource definition is terminating",
            )
        if self.status_is_separate:
            obj.pop("status", None)

    def prepare_update(
        self, obj: objects.Object, old: objects.Object, context: strategies.WriteContext
    ) -> None:
        """Keep status in main writes, and everything else in writes to status."""
        if context.subresource == "status":
            status = obj.get("status")
            has_status = "status" in obj
            fields = obj["metadata"].get("managedFields")
            version = obj["metadata"].get("resourceVersion")
            kept = objects.copy(old)
            obj.clear()
            obj.update(kept)
            obj.pop("status", None)
            if has_status:
                obj["status"] = status
            obj["metadata"].pop("managedFields", None)
            if fields is not None:
                obj["metadata"]["managedFields"] = fields
            if version is not None:
                obj["metadata"]["resourceVersion"] = version
        elif self.status_is_separate:
            obj.pop("status", None)
            if "status" in old:
                obj["status"] = objects.copy(old["status"])

    def advances_generation(
        self, obj: objects.Object, old: objects.Object, subresource: str
    ) -> bool:
        """Count every change outside metadata, but not those made through status."""
        if subresource == "status":
            return False
        mine = {key: value for key, value in obj.items() if key != "metadata"}
        theirs = {key: value for key, value in old.items() if key != "metadata"}
        return not correlation.same(mine, theirs)

    # ------------------------------------------------------------------ validation

    def validate_create(
        self, obj: objects.Object, context: strategies.WriteContext
    ) -> list[statuses.Cause]:
        """Return every reason why a new object is not valid."""
        out = validating.causes_of(self.node, obj)
        out += self._scale_problems(obj, status_only=False)
        if self.node.embedded_below:
            out += embedded.problems(self.node, obj)
        if self.node.lists_below:
            out += listtypes.duplicates(self.node, obj)
        return out + self._run_rules(out, obj, None)

    def validate_update(
        self, obj: objects.Object, old: objects.Object, context: strategies.WriteContext
    ) -> list[statuses.Cause]:
        """Return every reason why a change is not valid; what did not change is let be."""
        pair = correlation.Correlation(self.node, obj, old)
        in_status = context.subresource == "status"
        if not in_status:
            out = validating.causes_of(self.node, obj, correlated=pair)
        elif self._status is not None and "status" in obj:
            below = pair.key("status")
            out = validating.causes_of(self._status, obj["status"], "status", below)
        else:
            out = []
        out += self._scale_problems(obj, status_only=in_status)
        if self.node.embedded_below and not in_status:
            out += embedded.problems(self.node, obj)
        # Duplicates that were there before may stay.
        if self.node.lists_below and not listtypes.duplicates(self.node, old):
            out += listtypes.duplicates(self.node, obj)
        return out + self._run_rules(out, obj, old, pair, context.warnings)

    def _run_rules(
        self,
        found: list[statuses.Cause],
        obj: objects.Object,
        old: objects.Object | None,
        pair: correlation.Correlation | None = None,
        warnings: list[str] | None = None,
    ) -> list[statuses.Cause]:
        if self._rules is None:
            return []
        if any(cause.reason in _BLOCKING for cause in found):
            return [causes.invalid(paths.ROOT, None, BLOCKED)]
        return self._rules.validate(obj, old, "", pair, warnings)

    def _scale_problems(self, obj: objects.Object, *, status_only: bool) -> list[statuses.Cause]:
        if self._scale is None:
            return []
        out: list[statuses.Cause] = []
        fields = (
            ["statusReplicasPath"] if status_only else ["specReplicasPath", "statusReplicasPath"]
        )
        for field in fields:
            out += _replicas(obj, str(self._scale[field]))
        selector = str(self._scale.get("labelSelectorPath") or "")
        if selector:
            try:
                _typed(obj, selector, str)
            except TypeError as error:
                out.append(causes.invalid(selector, "", str(error)))
        return out

    def warnings(self, obj: objects.Object, old: objects.Object | None) -> list[str]:
        """Warn of new finalizers without a domain."""
        known = objects.metadata(old).get("finalizers") or () if old is not None else ()
        added = {f for f in objects.metadata(obj).get("finalizers") or () if f not in known}
        return [text for finalizer in sorted(added) for text in _finalizer_warnings(finalizer)]

    # ------------------------------------------------------------------ reading

    def selectable_fields(self, obj: objects.Object) -> dict[str, str]:
        """Return the values of spec.versions[*].selectableFields."""
        out: dict[str, str] = {}
        for name, path in self._selectable:
            value = path.first(obj)
            out[name] = "" if value is None else goformats.plain(value)
        return out

    def row(self, obj: objects.Object, now: dt.datetime) -> list[objects.Json]:
        """Return the cells of additionalPrinterColumns."""
        return self._columns.row(obj, now)


def _steps(path: str) -> tuple[str, ...]:
    return tuple(step for step in path.split(".") if step)


def _replicas(obj: objects.Object, path: str) -> list[statuses.Cause]:
    try:
        value = _typed(obj, path, int)
    except TypeError as error:
        return [causes.invalid(path, 0, str(error))]
    if value < 0:
        return [causes.invalid(path, value, "should be a non-negative integer")]
    if value > INT32_MAX:
        text = f"should be less than or equal to {INT32_MAX}"
        return [causes.invalid(path, value, text)]
    return []


_GO_TYPES: dict[type, str] = {int: "int64", str: "string"}


def _typed(obj: objects.Object, path: str, wanted: type) -> objects.Json:
    """Follow a dotted path to a value of a type; zero where it leads nowhere.

    Raises:
        TypeError: Something on the way, or the value, is of another type.
    """
    value: objects.Json = obj
    walked = ""
    for step in _steps(path):
        if not isinstance(value, dict):
            raise TypeError(_mismatch(path, value, "map[string]interface{}", walked))
        walked = f"{walked}.{step}"
        if step not in value:
            return wanted()
        value = value[step]
    if type(value) is not wanted:
        raise TypeError(_mismatch(path, value, _GO_TYPES[wanted], walked))
    return value


def _mismatch(path: str, value: objects.Json, wanted: str, walked: str) -> str:
    shown, name = goformats.plain(value), goformats.type_name(value)
    if wanted.startswith("map"):
        return f"{walked} accessor error: {shown} is of the type {name}, expected {wanted}"
    where = f".{'.'.join(_steps(path))}"
    return f"{where} accessor error: {shown} is of the type {name}, expected {wanted}"


def _finalizer_warnings(finalizer: str) -> list[str]:
    shown = f"metadata.finalizers: {goformats.quoted(finalizer)}: "
    out = [shown + complaint for complaint in names.qualified_name(finalizer)]
    if "/" not in finalizer and finalizer not in _STANDARD_FINALIZERS:
        advice = "prefer a domain-qualified finalizer name "
        if "." in finalizer:
            advice += "including a path (/) "
        out.append(f"{shown}{advice}to avoid accidental conflicts with other finalizer writers")
    return out
