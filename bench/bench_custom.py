"""Custom resources under a schema of 200 fields with three CEL rules; applies of objects of 3 KB.

    python bench/bench_custom.py [--objects 2000]

Baselines in the same run: the same object where nothing is known of it
(x-kubernetes-preserve-unknown-fields), and each rule in cel-python, where that is installed.
Parts of a write are timed alone, so that their share of the whole can be told.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import time
from collections.abc import Callable

import orjson
from bench_fields import pod

from understudy.kapi import views
from understudy.kapi.resources import strategies
from understudy.kapi.store import entries
from understudy.kapi.views import options as opts, ownership
from understudy.kube import objects
from understudy.kube.cel import declarations, programs

DEFINITIONS = "customresourcedefinitions.apiextensions.k8s.io"
GROUPS, FIELDS = 20, 9
RULES = [
    "self.replicas <= self.most",
    "self.parts.all(p, p.size > 0 && p.name.startsWith('part'))",
    "!has(self.group0.f0) || self.group0.f0 != self.group1.f1 || self.most > 1",
]


def schema() -> objects.Object:
    """Return a schema of 200 fields: groups of strings, numbers and a list of parts."""
    string = {"type": "string", "maxLength": 40, "pattern": "^[a-z0-9-]*$"}
    kinds = [string, {"type": "integer", "minimum": 0}, {"type": "boolean", "default": False}]
    groups = {
        f"group{g}": {
            "type": "object",
            "properties": {f"f{f}": dict(kinds[(f + g) % 3]) for f in range(FIELDS)},
        }
        for g in range(GROUPS)
    }
    for group in groups.values():
        group["properties"]["f0"] = dict(string)
    groups["group1"]["properties"]["f1"] = dict(string)
    part = {"type": "object", "properties": {"name": dict(string), "size": {"type": "integer"}}}
    rest = {
        "replicas": {"type": "integer", "default": 1},
        "most": {"type": "integer"},
        "parts": {"type": "array", "maxItems": 20, "items": part},
    }
    rules = [{"rule": rule} for rule in RULES]
    spec = {"type": "object", "properties": groups | rest, "x-kubernetes-validations": rules}
    return {"type": "object", "properties": {"spec": spec}}


def definition(plural: str, kind: str, open_api: objects.Object) -> objects.Object:
    """Return a CustomResourceDefinition of one version."""
    version = {
        "name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": open_api},
    }  # fmt: skip
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.bench.io"},
        "spec": {
            "group": "bench.io",
            "scope": "Namespaced",
            "names": {"plural": plural, "kind": kind},
            "versions": [version],
        },
    }


def spec() -> objects.Object:
    """Return a spec that fills every field, as far as it has no default."""
    properties = schema()["properties"]["spec"]["properties"]
    out: objects.Object = {"replicas": 3, "most": 5}
    for name, group in properties.items():
        if name.startswith("group"):
            values = {"string": "value", "integer": 7}
            out[name] = {
                field: values[kind["type"]]
                for field, kind in group["properties"].items()
                if kind["type"] in values
            }
    out["parts"] = [{"name": f"part-{n}", "size": n + 1} for n in range(10)]
    return out


def creates(view: views.View, kind: str, plural: str, count: int) -> float:
    """Return the median time of a create, in microseconds."""
    content, times = spec(), []
    for n in range(count):
        obj = {
            "apiVersion": "bench.io/v1",
            "kind": kind,
            "metadata": {"name": f"o-{n:06d}"},
            "spec": copy.deepcopy(content),
        }
        start = time.perf_counter()
        view.create(f"{plural}.bench.io", obj, "default")
        times.append(time.perf_counter() - start)
    return statistics.median(times) * 1e6


def timed(action: Callable[[], object], rounds: int = 2000) -> float:
    """Return the median time of an action, in microseconds."""
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return statistics.median(times) * 1e6


def shares(view: views.View, whole: float) -> None:
    """Print what the parts of a create under the schema cost, alone."""
    resource = view.resolve("strict.bench.io")
    strategy, options = resource.strategy, opts.WriteOptions()
    obj = {
        "apiVersion": "bench.io/v1",
        "kind": "Strict",
        "metadata": {"name": "x", "namespace": "default"},
        "spec": spec(),
    }

    def decode() -> None:
        strategy.decode(
            obj, resource.schema, mode="Warn", api_version=resource.api_version, kind="Strict"
        )

    def own() -> None:
        obj["metadata"].pop("managedFields", None)
        ownership.track(view, resource, None, obj, options)

    decode()
    context: strategies.WriteContext = view.context(options)
    parts = {
        "copy of what the caller keeps": lambda: objects.copy(obj),
        "defaults, unknown fields": decode,
        "managedFields": own,
        "validation and rules": lambda: strategy.validate_create(obj, context),
        "encoding": lambda: entries.encode(obj, b"{"),
    }
    for name, part in parts.items():
        cost = timed(part, 500)
        print(f"  {name:32} {cost:8.1f} us  {cost / whole:5.0%}")


def applies(view: views.View, ref: str, obj: objects.Object, change: Callable[[int], None]) -> None:
    """Print what server-side apply of an existing object costs, with a change and without."""
    options = opts.WriteOptions(field_manager="bench")
    resource = view.resolve(ref)
    view.apply(ref, obj, "default", options=options)
    stored = view.get_entry(resource, objects.name_of(obj), "default")
    size, kept = len(orjson.dumps(obj)), len(stored.encoded)
    same = timed(lambda: view.apply(ref, obj, "default", options=options), 500)
    live = stored.object(resource)
    merging = timed(
        lambda: ownership.applied(view, resource, live, objects.copy(obj), options, ""), 500
    )
    numbers = iter(range(10_000))

    def changed() -> None:
        change(next(numbers))
        view.apply(ref, obj, "default", options=options)

    changing = timed(changed, 500)
    print(f"apply of {ref}, {size} bytes ({kept} kept): one field changed {changing:8.1f} us, "
          f"nothing changed {same:8.1f} us, of which merging {merging:8.1f} us")  # fmt: skip


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--objects", type=int, default=2000)
    options = parser.parse_args()
    view = views.new_view()
    start = time.perf_counter()
    view.create(DEFINITIONS, definition("strict", "Strict", schema()))
    print(f"create the definition (compiles {len(RULES)} rules)  "
          f"{(time.perf_counter() - start) * 1e3:8.1f} ms")  # fmt: skip
    loose = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    view.create(DEFINITIONS, definition("open", "Open", loose))
    creates(view, "Strict", "strict", 1)
    view.delete_collection("strict.bench.io", "default")
    strict = creates(view, "Strict", "strict", options.objects)
    loosely = creates(view, "Open", "open", options.objects)
    print(f"create under the schema    {strict:8.1f} us")
    shares(view, strict)
    print(f"create without a schema    {loosely:8.1f} us")
    web = pod()
    applies(view, "pods", web, lambda n: web["metadata"]["labels"].update(n=str(n)))
    custom = {
        "apiVersion": "bench.io/v1",
        "kind": "Strict",
        "metadata": {"name": "applied", "namespace": "default"},
        "spec": spec(),
    }
    applies(view, "strict.bench.io", custom, lambda n: custom["spec"].update(most=n + 5))
    declared = declarations.declare(schema()["properties"]["spec"], root=False, name="spec")
    environment = programs.Environment(variables={"self": declared.type}, declared=declared)
    value = {"self": spec()}
    try:
        import celpy  # noqa: PLC0415 (a development dependency)
        from celpy import adapter  # noqa: PLC0415
    except ImportError:
        celpy = None
    for rule in RULES:
        program = programs.compile(rule, environment)
        mine = timed(lambda run=program: run.evaluate(value))
        compiling = timed(lambda text=rule: programs.compile(text, environment), 50)
        print(f"rule {rule[:44]:44}  evaluate {mine:6.1f} us  compile {compiling:7.1f} us", end="")
        if celpy is not None:
            oracle_environment = celpy.Environment()
            oracle = oracle_environment.program(oracle_environment.compile(rule))
            theirs = timed(
                lambda run=oracle: run.evaluate({"self": adapter.json_to_cel(value["self"])}), 50
            )
            print(f"  cel-python {theirs:8.1f} us", end="")
        print()


if __name__ == "__main__":
    main()
