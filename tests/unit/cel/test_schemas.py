"""Rules on values that a schema describes: types, escaped names, equality, costs."""

import pytest

from understudy.kube.cel import authorizing, declarations, errors, programs, types

STRING, INT = {"type": "string"}, {"type": "integer"}
SPEC = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 10},
        "port": {"x-kubernetes-int-or-string": True},
        "at": {"type": "string", "format": "date-time"},
        "day": {"type": "string", "format": "date"},
        "every": {"type": "string", "format": "duration"},
        "data": {"type": "string", "format": "byte"},
        "ratio": {"type": "number"},
        "tags": {"type": "array", "maxItems": 4, "x-kubernetes-list-type": "set", "items": STRING},
        "ports": {
            "type": "array",
            "maxItems": 5,
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["port"],
            "items": {"type": "object", "properties": {"port": INT, "name": STRING}},
        },
        "labels": {"type": "object", "additionalProperties": STRING},
        "any": {"x-kubernetes-preserve-unknown-fields": True},
        "open": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        "x-dashed": STRING,
        "under__score": STRING,
        "namespace": STRING,
        "dotted.name": STRING,
        "note": {"type": "string", "nullable": True},
    },
}
DECLARED = declarations.declare(SPEC, root=False, name="selfType")
ENVIRONMENT = programs.Environment(
    variables={"self": DECLARED.type, "oldSelf": DECLARED.type}, declared=DECLARED
)
VALUE = {
    "name": "web", "port": "http", "at": "2024-01-02T03:04:05Z", "day": "2024-01-02",
    "every": "90m", "data": "aGk=", "ratio": 2, "tags": ["a", "b"],
    "ports": [{"port": 80, "name": "a"}, {"port": 443, "name": "b"}],
    "labels": {"app": "x"}, "any": 1, "open": {"deep": [1]}, "x-dashed": "d", "under__score": "u",
    "namespace": "ns", "dotted.name": "dot", "note": None,
}  # fmt: skip


def holds(rule, old=None):
    return programs.compile(rule, ENVIRONMENT).evaluate({"self": VALUE, "oldSelf": old})[0]


@pytest.mark.parametrize(
    "rule",
    [
        "type(self.port) == string && self.port == 'http'",
        "self.at < timestamp('2025-01-01T00:00:00Z') && self.at.getFullYear() == 2024",
        "self.day == timestamp('2024-01-02T00:00:00Z')",
        "self.every == duration('1h30m')",
        "self.data == b'hi'",
        "type(self.ratio) == double && self.ratio == 2.0",
        "self.labels.app == 'x' && 'app' in self.labels",
        "self.open == self.open && type(self.open) == map",
        "self.x__dash__dashed == 'd'",
        "self.under__underscores__score == 'u'",
        "self.__namespace__ == 'ns' && self.namespace == 'ns' && has(self.namespace)",
        "self.dotted__dot__name == 'dot'",
        "!has(self.note)",
        "self.ports.exists(p, p.port == 443)",
    ],
)
def test_a_rule_sees_typed_values_under_escaped_names(rule):
    assert holds(rule) is True


def test_a_rule_reads_bytes_in_the_alphabet_of_urls():
    assert programs.compile("self.data == b'\\xfb\\xff'", ENVIRONMENT).evaluate(
        {"self": VALUE | {"data": "-_8="}, "oldSelf": None}
    )[0]
    with pytest.raises(errors.EvaluationError) as raised:
        programs.compile("self == oldSelf", ENVIRONMENT).evaluate(
            {"self": VALUE | {"data": "+/8="}, "oldSelf": VALUE}
        )
    assert str(raised.value) == (
        "Invalid byte formatted string +/8=: illegal base64 data at input byte 0"
    )


def test_sets_and_map_lists_are_equal_in_any_order():
    old = VALUE | {"tags": ["b", "a"], "ports": VALUE["ports"][::-1]}
    assert holds("self.tags == oldSelf.tags && self.ports == oldSelf.ports", old) is True
    assert holds("self == oldSelf", old) is True
    assert holds("self.ports == oldSelf.ports", old | {"ports": []}) is False


def test_adding_sets_keeps_each_value_once_and_map_lists_are_merged_by_key():
    old = VALUE | {"tags": ["b", "c"], "ports": [{"port": 80, "name": "z"}, {"port": 1}]}
    assert holds("(self.tags + oldSelf.tags).size() == 3", old) is True
    assert holds("(self.ports + oldSelf.ports).size() == 3", old) is True
    assert holds("(self.ports + oldSelf.ports)[0].name == 'z'", old) is True


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        ("self.nope == 1", "undefined field 'nope'"),
        ("self.name == 1", "found no matching overload for '_==_' applied to '(string, int)'"),
        ("self.tags.all(t, t > 1)", "applied to '(string, int)'"),
        ("self.any == 1", "undefined field 'any'"),
    ],
)
def test_what_the_schema_does_not_know_does_not_compile(rule, text):
    with pytest.raises(errors.CompileError) as caught:
        programs.compile(rule, ENVIRONMENT)
    assert text in str(caught.value)


@pytest.mark.parametrize(
    ("rule", "least", "most"),
    [
        ("true", 0, 0),
        ("self.name == 'x'", 3, 3),
        ("self.name.startsWith('a')", 3, 3),
        ("self.name.contains('abc')", 2, 6),
        ("self.tags.all(t, t != '')", 3, 19),
        ("self.tags.size() > 1", 4, 4),
        ("self.ports.all(p, p.port > 0)", 3, 33),
    ],
)
def test_costs_are_estimated_from_the_bounds_of_the_schema(rule, least, most):
    assert tuple(programs.compile(rule, ENVIRONMENT).cost) == (least, most)


def test_what_has_no_bound_is_as_large_as_a_request():
    cost = programs.compile("self.labels.all(k, k != '')", ENVIRONMENT).cost
    assert cost.max > 1_000_000


def test_the_letters_of_keys_count_for_nothing():
    declared = declarations.declare(
        {"type": "object", "maxProperties": 100, "additionalProperties": {"type": "string"}}
    )
    environment = programs.Environment(variables={"self": declared.type}, declared=declared)
    dearer = programs.compile("self.all(k, self[k].matches('a+'))", environment).cost.max
    cheap = programs.compile("self.all(k, k.matches('a+'))", environment).cost.max
    assert cheap < 1_000 < dearer


@pytest.mark.parametrize("name", ["true", "in", "for", "package"])
def test_reserved_words_are_escaped(name):
    assert declarations.escape(name) == f"__{name}__"


def test_names_that_no_identifier_can_hold_are_out_of_reach():
    assert declarations.escape("ü") is None
    assert declarations.escape("4you") is None


def test_an_authorizer_is_asked_what_the_expression_says():
    asked = []

    def ask(question):
        asked.append(question)
        return authorizing.Decision(allowed=question.verb == "get", reason="because")

    environment = programs.Environment(variables={"authorizer": types.AUTHORIZER})
    program = programs.compile(
        "authorizer.serviceAccount('ns', 'robot').group('apps').resource('deployments')"
        ".subresource('scale').namespace('x').name('y').check('get').reason() == 'because'"
        " && !authorizer.path('/healthz').check('list').allowed()",
        environment,
    )
    check = authorizing.Check(ask, authorizing.Question())
    assert program.evaluate({"authorizer": check})[0] is True
    assert asked == [
        authorizing.Question(
            service_account="ns/robot",
            verb="get",
            group="apps",
            resource="deployments",
            subresource="scale",
            namespace="x",
            name="y",
        ),
        authorizing.Question(path="/healthz", verb="list"),
    ]
