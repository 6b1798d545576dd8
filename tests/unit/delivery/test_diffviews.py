"""How changed fields are told to people."""

from understudy.delivery import diffs, diffviews, outcomes, plans, refs


def operation(name: str, *found: diffs.FieldDiff, op=outcomes.Op.CHANGE) -> plans.Operation:
    ref = refs.Ref("", "ConfigMap", "default", name)
    return plans.Operation(op=op, ref=ref, api_version="v1", diffs=found)


def told(*operations: plans.Operation) -> list[str]:
    return list(diffviews.changes(operations, lambda text, _colour: text))


def changed(path: str, before="1", after="2", cause=diffs.Cause.YOU) -> diffs.FieldDiff:
    return diffs.FieldDiff(path=path, before=before, after=after, cause=cause)


def test_objects_that_change_alike_are_told_once() -> None:
    label = changed("metadata.labels['app.kubernetes.io/version']")
    other = changed("data.v")
    lines = told(*(operation(name, label) for name in "abc"), operation("d", other))
    assert lines == [
        "@@ change 3 objects alike: ConfigMap default/a, ConfigMap default/b, ConfigMap default/c @@",
        "  ~ metadata.labels['app.kubernetes.io/version']: 1 -> 2",
        "",
        "@@ change configmap/d (v1) namespace: default @@",
        "  ~ data.v: 1 -> 2",
        "",
    ]
    assert told(*(operation(name, label) for name in "abcde"))[0] == (
        "@@ change 5 objects alike: 5 ConfigMaps @@"
    )


def test_of_a_long_text_only_the_lines_that_differ_are_told() -> None:
    before = "\n".join(f"line {n}" for n in range(40))
    after = before.replace("line 3\n", "line three\n").replace("line 30", "line thirty")
    assert told(operation("a", changed("data['nginx.conf']", before, after)))[1:-1] == [
        "  ~ data['nginx.conf']:",
        "        line 2", "      - line 3", "      + line three", "        line 4",
        "        ...",
        "        line 29", "      - line 30", "      + line thirty", "        line 31",
    ]  # fmt: skip
    many = "\n".join(f"row {n}" for n in range(40))
    assert told(operation("a", changed("data.v", before, many)))[-2].endswith("more lines")


def test_long_values_stand_below_each_other() -> None:
    image = "registry.example.com/team/web:1.2.3@sha256:" + "0" * 40
    lines = told(operation("a", changed("spec.image", image, image.replace("1.2.3", "1.2.4"))))
    assert lines[1:-1] == [
        "  ~ spec.image:",
        f"      - {image}",
        f"      + {image.replace('1.2.3', '1.2.4')}",
    ]


def test_a_schema_is_told_by_the_field_that_it_describes() -> None:
    path = "spec.versions[v1].schema.openAPIV3Schema.properties.spec.properties.size.maximum"
    said = changed(path.replace("maximum", "description"))
    assert told(operation("a", changed(path), said, said))[1:] == [
        "  ~ schema of v1: spec.size.maximum: 1 -> 2",
        "  and 2 descriptions",
        "",
    ]
    assert told(operation("a", said))[1:] == ["  and 1 description", ""]


def test_too_many_fields_are_counted() -> None:
    lines = told(operation("a", *(changed(f"data.k{n}") for n in range(30))))
    assert lines[-2] == "  and 15 more fields; -o json tells them all"


def test_what_only_says_that_an_object_is_another_is_left_out() -> None:
    noise = changed("spec.selector.matchLabels.controller-uid", cause=diffs.Cause.SERVER)
    lines = told(operation("a", changed("spec.image"), noise, op=outcomes.Op.RECREATE))
    assert lines[1:-1] == ["  ~ spec.image: 1 -> 2"]


def test_a_field_is_named_by_its_last_step() -> None:
    assert diffviews.leaf("metadata.labels['app.kubernetes.io/version']") == (
        "app.kubernetes.io/version"
    )
    assert diffviews.leaf("spec.containers[web].env[PATH]") == "env[PATH]"
    assert diffviews.leaf("data") == "data"
    same = (changed("spec.a.image"), changed("spec.b.image"), changed("spec.c.port"))
    assert diffviews.reasons(operation("a", *same)) == "image, c.port"
    label = changed("spec.template.metadata.labels['app.kubernetes.io/version']")
    described = "spec.versions[v1].schema.openAPIV3Schema.properties.spec.description"
    told = diffviews.reasons(operation("a", label, changed(described), *same))
    assert told == "image, c.port, app.kubernetes.io/version"
    assert diffviews.reasons(operation("a", changed(described))) == "description"
    secret = changed("spec.containers[web].envFrom[1].secretRef.name")
    assert diffviews.reasons(operation("a", secret)) == "secretRef.name"


def test_of_a_list_the_items_that_differ_are_told() -> None:
    verbs = changed("rules[0].verbs", ["get", "list"], ["get", "watch"])
    order = changed("spec.args", ["a", "b"], ["b", "a"])
    assert told(operation("a", verbs, order))[1:-1] == [
        "  ~ rules[0].verbs:", "      - list", "      + watch",
        "  ~ spec.args:", "      in another order",
    ]  # fmt: skip
