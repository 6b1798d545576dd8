"""Selectors: what they match, and the exact words when they do not parse."""

import pytest

from understudy.kube import selectors, statuses

LABELS = {"app": "web", "tier": "back", "n": "7", "empty": ""}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", True),
        ("app=web", True),
        ("app==web", True),
        ("app!=web", False),
        ("other!=web", True),
        ("app in (web, db)", True),
        ("app notin (web)", False),
        ("other notin (x)", True),
        ("app", True),
        ("!app", False),
        ("!other", True),
        ("n>6,n<8", True),
        ("n>7", False),
        ("app>1", False),
        ("empty=", True),
        ("empty", True),
        ("app=web,tier=front", False),
        ("  app =  web ", True),
        ("app in (,)", False),
        ("empty in ()", True),
        ("in in (in)", False),
    ],
)
def test_a_label_selector_matches(text, expected):
    assert selectors.parse_labels(text).matches(LABELS) is expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a=b=c", "found '=', expected: ',' or 'end of string'"),
        ("!", "unable to parse requirement: found '', expected: identifier"),
        ("a in b", "unable to parse requirement: found 'b' expected: '('"),
        ("a in (b", "unable to parse requirement: found '', expected: ',' or ')'"),
        ("a=bad value", "found 'value', expected: ',' or 'end of string'"),
        (
            "a>b",
            "unable to parse requirement: values[0]: Invalid value: \"b\": for 'Gt', 'Lt'"
            " operators, the value must be an integer",
        ),
        (",", "found ',', expected: !, identifier, or 'end of string'"),
        ("a,,b", "found ',', expected: identifier after ','"),
        ("a notin (x),", "found '', expected: identifier after ','"),
        (
            "a!b",
            "unable to parse requirement: found '!', expected: in, notin, =, ==, !=, gt, lt",
        ),
        ("(a)", "found '(', expected: !, identifier, or 'end of string'"),
        (
            "x" * 64 + "=y",
            f'unable to parse requirement: <nil>: Invalid value: "{"x" * 64}": name part must be'
            " no more than 63 bytes",
        ),
    ],
)
def test_a_bad_label_selector_is_told(text, message):
    with pytest.raises(statuses.BadRequestError) as caught:
        selectors.parse_labels(text)
    assert caught.value.message == message


def test_a_selector_object_matches():
    selector = selectors.from_label_selector(
        {
            "matchLabels": {"app": "web"},
            "matchExpressions": [
                {"key": "tier", "operator": "In", "values": ["back"]},
                {"key": "old", "operator": "DoesNotExist"},
            ],
        }
    )
    assert selector.matches(LABELS)
    assert not selector.matches(LABELS | {"old": ""})
    assert str(selector) == "app=web,!old,tier in (back)"


def test_no_selector_matches_nothing_and_an_empty_one_everything():
    assert not selectors.from_label_selector(None).matches(LABELS)
    assert selectors.from_label_selector({}).matches({})
    assert not selectors.from_labels({}).matches({})


def test_fields_are_compared_as_text():
    selector = selectors.parse_fields("metadata.name=a,status.phase!=Running")
    assert selector.matches({"metadata.name": "a", "status.phase": ""})
    assert not selector.matches({"metadata.name": "a", "status.phase": "Running"})
    assert selector.exact("metadata.name") == "a"
    assert selector.exact("status.phase") is None


def test_escapes_in_field_values_are_undone():
    assert selectors.parse_fields(r"a=x\,y\=z").exact("a") == "x,y=z"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nonsense", "invalid selector: 'nonsense'; can't understand 'nonsense'"),
        ("a=b=c", "invalid field selector: unescaped character in value: 61"),
        ("a=b\\x", "invalid field selector: invalid escape sequence: \\x"),
    ],
)
def test_a_bad_field_selector_is_told(text, message):
    with pytest.raises(statuses.BadRequestError) as caught:
        selectors.parse_fields(text)
    assert caught.value.message == message


def test_an_unknown_field_has_two_errors():
    selector = selectors.parse_fields("spec.x=1")
    with pytest.raises(statuses.BadRequestError, match=r"^field label not supported"):
        selector.check(("spec.nodeName",))
    with pytest.raises(statuses.BadRequestError, match="is not a known field selector"):
        selector.check(())
    selectors.parse_fields("metadata.name=a").check(())
