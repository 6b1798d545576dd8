"""Go's verbs over JSON values; the expected texts were printed by Go programs."""

import pytest

from understudy.kube import goformats


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "<nil>"),
        (True, "true"),
        (5, "5"),
        (0.0, "0"),
        (1.5, "1.5"),
        (100000.0, "100000"),
        (1000000.0, "1e+06"),
        (123456789.0, "1.23456789e+08"),
        (0.0001, "0.0001"),
        (0.00001, "1e-05"),
        (-1250.0, "-1250"),
        ("x y", "x y"),
        ({"z": 1, "$patch": "merge"}, "map[$patch:merge z:1]"),
        ({"data": ["x", None]}, "map[data:[x <nil>]]"),
    ],
)
def test_values_print_as_with_percent_v(value, text):
    assert goformats.plain(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1, "1"),
        ("x", '"x"'),
        ({"name": "c"}, 'map[string]interface {}{"name":"c"}'),
        (["a", 1], '[]interface {}{"a", 1}'),
        ({"b": None}, 'map[string]interface {}{"b":interface {}(nil)}'),
    ],
)
def test_values_print_as_go_syntax(value, text):
    assert goformats.sharp(value) == text


def test_types_have_go_names():
    values = [True, 1, 1.0, "x", {}, [], None]
    assert [goformats.type_name(value) for value in values] == [
        "bool",
        "int64",
        "float64",
        "string",
        "map[string]interface {}",
        "[]interface {}",
        "<nil>",
    ]


def test_quoting_escapes_controls_and_keeps_letters():
    assert goformats.quoted('a"\n\tü\x01\u2028') == '"a\\"\\n\\tü\\x01\\u2028"'


def test_json_is_compact_sorted_and_safe_in_html():
    assert goformats.json_text({"b": "<&>", "a": [1]}) == ('{"a":[1],"b":"\\u003c\\u0026\\u003e"}')
